//! The inputs of an LSTM, and products with its weights.

use super::super::dynamic::{grid, quantized};
use tract_onnx::tract_hir::internal::*;

/// The inputs, by what they are.
pub struct Given<'a> {
    /// Those that are given.
    pub inputs: &'a [TValue],
    /// Which of them each one of the operator's is.
    pub places: &'a [Option<usize>],
}

impl Given<'_> {
    /// Input number `slot`, which has one of `shapes`.
    ///
    /// # Errors
    /// When it has another one.
    pub fn get(&self, slot: usize, shapes: &[&[usize]]) -> TractResult<Option<&TValue>> {
        let Some(input) = self.places.get(slot).copied().flatten().and_then(|place| self.inputs.get(place)) else {
            return Ok(None);
        };
        let found = input.shape();
        ensure!(shapes.contains(&found), "input {slot} of shape {found:?}, expected one of {shapes:?}");
        Ok(Some(input))
    }

    /// Its numbers.
    ///
    /// # Errors
    /// When its shape is not `shape`.
    pub fn floats(&self, slot: usize, shape: &[usize]) -> TractResult<Option<Vec<f32>>> {
        let Some(input) = self.get(slot, &[shape])? else { return Ok(None) };
        let numbers = input.cast_to::<f32>()?;
        Ok(Some(numbers.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()))
    }

    /// Its integers.
    ///
    /// # Errors
    /// When it has none of `shapes`.
    pub fn integers(&self, slot: usize, shapes: &[&[usize]]) -> TractResult<Option<Vec<i32>>> {
        let Some(input) = self.get(slot, shapes)? else { return Ok(None) };
        let numbers = input.cast_to::<i32>()?;
        Ok(Some(numbers.try_as_plain_ram()?.as_slice::<i32>()?.to_vec()))
    }
}

/// The matrix of one direction, a row for each number that it is multiplied with.
pub enum Weights {
    Floats(Vec<f32>, usize),
    /// Less their zero point, and the scale of each column.
    Integers(Vec<i32>, Vec<f32>),
}

impl Weights {
    /// Those of direction `index` of ONNX's LSTM, a row for each number of the gates.
    ///
    /// # Errors
    /// When they are missing or of another shape.
    pub fn floats(
        given: &Given<'_>,
        slot: usize,
        (index, count): (usize, usize),
        (rows, columns): (usize, usize),
    ) -> TractResult<Self> {
        let all = given.floats(slot, &[count, columns, rows])?.context("its weights are missing")?;
        let own = &all[index * rows * columns..][..rows * columns];
        let turned = (0..rows).flat_map(|row| (0..columns).map(move |column| own[column * rows + row]));
        Ok(Self::Floats(turned.collect(), columns))
    }

    /// Those of direction `index` of DynamicQuantizeLSTM, with scale and zero point at `grid`.
    ///
    /// # Errors
    /// When one of them is missing or of another shape.
    pub fn integers(
        given: &Given<'_>,
        (slot, grid): (usize, usize),
        (index, count): (usize, usize),
        (rows, columns): (usize, usize),
    ) -> TractResult<Self> {
        let all = given.integers(slot, &[&[count, rows, columns]])?.context("its weights are missing")?;
        let shapes: [&[usize]; 2] = [&[count], &[count, columns]];
        let scales = given.get(grid, &shapes)?.context("a scale is missing")?.cast_to::<f32>()?;
        let zeros = given.integers(grid + 1, &shapes)?.context("a zero point is missing")?;
        let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        // One for each direction, or one for each column of each direction. The kernel takes one zero point for a direction.
        let each = scales.len() / count;
        let zero = zeros[index * (zeros.len() / count)];
        let integers = all[index * rows * columns..][..rows * columns].iter().map(|q| q.wrapping_sub(zero)).collect();
        Ok(Self::Integers(integers, (0..columns).map(|column| scales[index * each + column % each]).collect()))
    }

    /// Adds the product of the rows `left` and the matrix to the rows `sums`. Rows become integers on one grid for all of them.
    pub fn add_product(&self, left: &[f32], sums: &mut [f32]) {
        match self {
            Self::Floats(matrix, columns) => {
                let length = matrix.len() / columns;
                for (row, sums) in left.chunks(length.max(1)).zip(sums.chunks_mut(*columns)) {
                    for (&a, weights) in row.iter().zip(matrix.chunks(*columns)) {
                        sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += a * w);
                    }
                }
            }
            Self::Integers(matrix, scales) => {
                let (scale, zero) = grid(left);
                let mut integers = vec![0u8; left.len()];
                quantized(left, (scale, zero), &mut integers);
                let (columns, zero) = (scales.len(), zero as i32);
                let length = matrix.len() / columns;
                let mut products = vec![0i32; columns];
                for (row, sums) in integers.chunks(length.max(1)).zip(sums.chunks_mut(columns)) {
                    products.fill(0);
                    for (&q, weights) in row.iter().zip(matrix.chunks(columns)) {
                        let a = i32::from(q) - zero;
                        // Sums beyond 32 bits wrap, as those of kernels do.
                        let add = |(sum, w): (&mut i32, &i32)| *sum = sum.wrapping_add(a * w);
                        products.iter_mut().zip(weights).for_each(add);
                    }
                    let scaled = products.iter().zip(scales).map(|(&sum, s)| sum as f32 * (scale * s));
                    sums.iter_mut().zip(scaled).for_each(|(sum, product)| *sum += product);
                }
            }
        }
    }
}
