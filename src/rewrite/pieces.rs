//! Constants piece by piece along their first axis: of a large table in a mapped file little is in memory at any time.

use crate::error::Result;
use crate::quant::{self, AxisParams, Params};
use crate::tensor::{DataType, Tensor};
use std::ops::Range;

/// Elements of a piece, where a row has no more.
const PIECE: usize = 1 << 20;

/// Shows `tensor` piece by piece: the rows that a piece is made of, and their numbers and shape.
fn for_each(tensor: &Tensor, mut look: impl FnMut(Range<usize>, &[f32], &[usize])) -> Result<()> {
    let count = tensor.shape().first().copied().unwrap_or(1);
    if tensor.dtype() != DataType::Float32 || tensor.len() <= PIECE {
        look(0..count, &tensor.to_f32()?, tensor.shape());
        return Ok(());
    }
    let row = tensor.len() / count;
    let at_once = (PIECE / row).max(1);
    let mut shape = tensor.shape().to_vec();
    for from in (0..count).step_by(at_once) {
        let rows = from..(from + at_once).min(count);
        shape[0] = rows.len();
        tensor.with_piece(rows.start * row..rows.end * row, |numbers| look(rows, numbers, &shape));
    }
    Ok(())
}

/// The smallest and largest number of each index along an axis, or of all; zero counts as one of them.
pub(super) fn extremes(tensor: &Tensor, axis: Option<usize>) -> Result<Vec<(f32, f32)>> {
    let mut found = vec![(0f32, 0f32); axis.map_or(1, |axis| tensor.shape()[axis])];
    for_each(tensor, |rows, numbers, shape| {
        let seen = match axis {
            Some(axis) => quant::extremes_along(numbers, shape, axis),
            None => quant::extremes_along(numbers, &[1, numbers.len()], 0),
        };
        let of = if axis == Some(0) { &mut found[rows] } else { &mut found[..] };
        of.iter_mut().zip(seen).for_each(|(all, (low, high))| *all = (all.0.min(low), all.1.max(high)));
    })?;
    Ok(found)
}

/// The integers of `tensor`, each on the grid of its index along the axis, or on the only one; in bytes as
/// [`quant::quantize_axis`] makes them.
pub(super) fn quantize(tensor: &Tensor, axis: Option<usize>, grids: &[Params]) -> Result<Vec<u8>> {
    let mut integers = Vec::new();
    for_each(tensor, |rows, numbers, shape| {
        let piece = match axis {
            Some(axis) => {
                let channels = if axis == 0 { &grids[rows] } else { grids };
                quant::quantize_axis(numbers, shape, &AxisParams { axis, channels: channels.to_vec() })
            }
            None => quant::quantize(numbers, &grids[0]),
        };
        if integers.is_empty() {
            integers = piece;
        } else {
            integers.extend(piece);
        }
    })?;
    Ok(integers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build;
    use crate::quant::{GridType, Scheme};

    #[test]
    fn pieces_come_to_what_the_whole_does() {
        // Three pieces, the last one short; and a single row that is longer than a piece.
        for shape in [vec![2100, 1000], vec![1, 3, PIECE / 2], vec![7, 2]] {
            let numbers = build::noise(shape.iter().product(), 5);
            let tensor = Tensor::from_f32(shape.clone(), &numbers);
            for axis in (0..shape.len()).map(Some).chain([None]) {
                let scheme = Scheme::new(GridType::Int8, false);
                let (flat, whole) = ([1, numbers.len()], axis.map(|axis| (&shape[..], axis)));
                let (shape, along) = whole.unwrap_or((&flat, 0));
                let wanted = quant::extremes_along(&numbers, shape, along);
                assert_eq!(extremes(&tensor, axis).expect("numbers"), wanted);
                let channels = wanted.iter().map(|&(low, high)| Params::from_range(low, high, scheme)).collect();
                let params = AxisParams { axis: along, channels };
                let integers = quantize(&tensor, axis, &params.channels).expect("numbers");
                assert!(integers == quant::quantize_axis(&numbers, shape, &params), "{shape:?} {axis:?}");
            }
        }
    }
}
