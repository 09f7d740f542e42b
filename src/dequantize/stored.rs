//! The numbers that stored integers stand for.

use super::Grid;
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::{Cut, Float8, HalfType};
use crate::tensor::{DataType, Tensor};
use std::borrow::Cow;

/// The numbers of the constant `integers`, of the type of their scale, which `id` reads on `grid`.
///
/// # Errors
/// When the grid is not constant or does not fit, or the types have no float32 numbers.
pub(super) fn numbers(
    graph: &Graph,
    id: NodeId,
    integers: ValueId,
    grid: Grid,
    axis: i64,
    block: i64,
) -> Result<Tensor> {
    let blame = |why: Error| graph.node_error(id, why);
    let stored = graph.constant(integers)?.ok_or_else(|| graph.node_error(id, "its integers are sparse"))?;
    let scale = graph.constant(grid.scale)?;
    let scale = scale.ok_or_else(|| graph.node_error(id, "its scale is computed while the model runs"))?;
    let zeros = zero_points(graph, grid).map_err(blame)?;
    let zeros = zeros.ok_or_else(|| graph.node_error(id, "its zero point is computed while the model runs"))?;
    of(&stored, &scale, &zeros, axis, block).map_err(blame)
}

/// The zero points of a grid: empty where it has none, `None` where they are not constant.
pub(super) fn zero_points(graph: &Graph, grid: Grid) -> Result<Option<Vec<i64>>> {
    let Some(zero) = grid.zero_point else { return Ok(Some(Vec::new())) };
    let constant = graph.constant(zero)?;
    let read = |zeros: Tensor| match Float8::of(zeros.dtype()) {
        // The first bit is the sign.
        Some(_) if bytes(&zeros).iter().all(|code| code & 0x7f == 0) => Ok(vec![0; zeros.len()]),
        Some(_) => Err(Error::other(format!("its zero point of {} is not 0", zeros.dtype()))),
        None => values(&zeros).map(Cow::into_owned),
    };
    constant.map(read).transpose()
}

/// `(q - zero point) * scale` for each integer: with one scale, one for each index along `axis`, or one for each `block`
/// elements along it.
pub(super) fn of(integers: &Tensor, scale: &Tensor, zeros: &[i64], axis: i64, block: i64) -> Result<Tensor> {
    let kind = HalfType::of(scale.dtype());
    if scale.dtype() != DataType::Float32 && kind.is_none() {
        return Err(Error::other(format!("its scale is {}, expected float32, float16 or bfloat16", scale.dtype())));
    }
    let (shape, scales) = (integers.shape(), scale.to_f32()?);
    let float = Float8::of(integers.dtype());
    let q = if float.is_some() { bytes(integers) } else { values(integers)? };
    let rank = shape.len() as i64;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&axis| axis < shape.len());
    let block = usize::try_from(block).ok().filter(|&block| block > 0);
    let cut = match (scales.len(), block) {
        (1, None) => Cut::new(shape, None, None),
        _ => axis.and_then(|axis| Cut::new(shape, Some(axis), block)),
    };
    let fits = |cut: &Cut| scales.len() == cut.count() && (zeros.is_empty() || zeros.len() == cut.count());
    let Some(cut) = cut.filter(fits) else {
        let (scales, zeros) = (scales.len(), zeros.len());
        return Err(Error::other(format!("{scales} scales and {zeros} zero points do not fit integers of {shape:?}")));
    };
    let largest = kind.map_or(f32::MAX, HalfType::max);
    let number = |(i, &q): (usize, &i64)| {
        let grid = cut.grid(i);
        // Masks of the lowest float pass it by the rounding of their scale, and infinite ones make NaN of a Softmax.
        let steps = match float {
            // Its zero point is zero.
            Some(kind) => kind.decode(q as u8),
            None => (q - zeros.get(grid).copied().unwrap_or(0)) as f32,
        };
        (steps * scales[grid]).clamp(-largest, largest)
    };
    let numbers = Tensor::from_f32(shape.to_vec(), &q.iter().enumerate().map(number).collect::<Vec<_>>());
    kind.map_or(Ok(numbers.clone()), |kind| kind.tensor(&numbers))
}

/// The bytes of a tensor as numbers.
fn bytes(tensor: &Tensor) -> Cow<'_, [i64]> {
    tensor.bytes().iter().map(|&byte| i64::from(byte)).collect()
}

/// The integers of a tensor of 2 to 32 bits.
pub(super) fn values(tensor: &Tensor) -> Result<Cow<'_, [i64]>> {
    match tensor.dtype() {
        DataType::Uint2 => Ok(parts(tensor, 2, |byte| byte >> 6).collect()),
        DataType::Int2 => Ok(parts(tensor, 2, |byte| byte.cast_signed() >> 6).collect()),
        DataType::Uint4 => Ok(parts(tensor, 4, |byte| byte >> 4).collect()),
        DataType::Int4 => Ok(parts(tensor, 4, |byte| byte.cast_signed() >> 4).collect()),
        DataType::Int8 | DataType::Uint8 | DataType::Int16 | DataType::Uint16 | DataType::Int32 => tensor.to_i64(),
        other => Err(Error::other(format!("integers of type {other} are not read"))),
    }
}

/// The integers of a tensor that has several in a byte, the first in its lowest `bits`: what `number` makes of each, given in the
/// highest bits.
fn parts<N: Into<i64>>(tensor: &Tensor, bits: usize, number: impl Fn(u8) -> N) -> impl Iterator<Item = i64> {
    let byte = move |i: usize| tensor.bytes().get(i * bits / 8).copied().unwrap_or_default();
    (0..tensor.len()).map(move |i| number(byte(i) << (8 - bits - i * bits % 8)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn numbers(integers: &Tensor, scale: &Tensor, zeros: &[i64], axis: i64, block: i64) -> Vec<f32> {
        of(integers, scale, zeros, axis, block).expect("numbers").to_f32().expect("floats").into_owned()
    }

    #[test]
    fn each_integer_meets_the_scale_of_its_place() {
        let q = Tensor::from_i32(vec![2, 3], &[1, 2, 3, 4, 5, 6]);
        let scales = |shape: &[usize], s: &[f32]| Tensor::from_f32(shape.to_vec(), s);
        assert_eq!(numbers(&q, &scales(&[], &[2.0]), &[1], 1, 0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(numbers(&q, &scales(&[2], &[1.0, 10.0]), &[], 0, 0), [1.0, 2.0, 3.0, 40.0, 50.0, 60.0]);
        assert_eq!(numbers(&q, &scales(&[3], &[1.0, 10.0, 0.5]), &[1, 0, 1], -1, 0), [0.0, 20.0, 1.0, 3.0, 50.0, 2.5]);
        let blocks = scales(&[2, 2], &[1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(numbers(&q, &blocks, &[], 1, 2), [1.0, 2.0, 30.0, 400.0, 500.0, 6000.0]);
        assert!(of(&q, &scales(&[2], &[1.0, 2.0]), &[], 1, 0).is_err());
        assert!(of(&q, &scales(&[], &[1.0]), &[1, 2], 1, 0).is_err());
    }

    #[test]
    fn floats_of_eight_bits_are_read_by_their_bytes() {
        let codes = |dtype| Tensor::new(dtype, vec![3], Bytes::from_static(&[0x7b, 0x80, 0xb8])).expect("a tensor");
        let half = Tensor::from_f32(vec![], &[0.5]);
        assert_eq!(numbers(&codes(DataType::Float8E4M3Fn), &half, &[0], 0, 0), [176.0, 0.0, -0.5]);
        assert_eq!(numbers(&codes(DataType::Float8E5M2), &half, &[], 0, 0), [28_672.0, 0.0, -0.25]);
    }

    #[test]
    fn nibbles_are_read_from_the_low_bits_up() {
        let nibbles = |dtype| Tensor::new(dtype, vec![3], Bytes::from_static(&[0xf1, 0x08])).expect("a tensor");
        let one = Tensor::from_f32(vec![], &[1.0]);
        assert_eq!(numbers(&nibbles(DataType::Int4), &one, &[], 0, 0), [1.0, -1.0, -8.0]);
        assert_eq!(numbers(&nibbles(DataType::Uint4), &one, &[1], 0, 0), [0.0, 14.0, 7.0]);
    }

    #[test]
    fn pairs_of_bits_are_read_from_the_low_bits_up() {
        let pairs = |dtype| Tensor::new(dtype, vec![5], Bytes::from_static(&[0b11_10_01_00, 0b10])).expect("a tensor");
        let one = Tensor::from_f32(vec![], &[1.0]);
        assert_eq!(numbers(&pairs(DataType::Int2), &one, &[], 0, 0), [0.0, 1.0, -2.0, -1.0, -2.0]);
        assert_eq!(numbers(&pairs(DataType::Uint2), &one, &[1], 0, 0), [-1.0, 0.0, 1.0, 2.0, 1.0]);
    }
}
