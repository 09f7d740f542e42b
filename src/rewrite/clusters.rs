//! Weights of few values, each many times, as clustering leaves them: rounded, they are to have no more. One value must not
//! become several because it lies in several channels or blocks.

use super::weights::{Around, grids};
use crate::error::Result;
use crate::plan::ConstantPlan;
use crate::quant::{CodeBook, Cut, Params};
use crate::tensor::Tensor;
use std::collections::HashSet;

/// Each value of a clustered weight is there so many times on average, at least.
const TIMES: usize = 2;
/// A weight of as many values as these bits tell apart is a clustered one whatever it is stored as.
const FEWEST_BITS: u32 = 4;
/// A code of a book.
const BITS: u32 = 4;

/// How many values a weight of float32 has, if they are several, no more than a type of `bits` bits has, and each is there several
/// times.
pub fn count(tensor: &Tensor, bits: u32) -> Option<usize> {
    let most = (1usize << bits.clamp(FEWEST_BITS, 8)).min(tensor.len() / TIMES);
    let mut values = HashSet::new();
    let few = tensor.pieces().all(|piece| {
        tensor.with_piece(piece, |numbers| {
            numbers.iter().all(|&v| {
                values.insert(bits_of(v));
                values.len() <= most
            })
        })
    });
    few.then_some(values.len()).filter(|&count| count > 1)
}

/// The grid that a clustered weight is to have throughout, if it has more values on the grids that were `chosen` for its channels
/// or, with a size, for its blocks.
///
/// # Errors
/// When the tensor is malformed.
pub(super) fn one_grid(
    tensor: &Tensor,
    (plan, block): (&ConstantPlan, Option<usize>),
    chosen: &[Params],
    around: &Around<'_>,
) -> Result<Option<Params>> {
    if plan.known.is_some() || chosen.windows(2).all(|two| two[0] == two[1]) {
        return Ok(None);
    }
    let Some(cut) = Cut::new(tensor.shape(), plan.axis, block) else { return Ok(None) };
    let Some(count) = count(tensor, plan.scheme.dtype.bits()) else { return Ok(None) };
    let mut values = HashSet::new();
    let kept = tensor.pieces().all(|piece| {
        let first = piece.start;
        tensor.with_piece(piece, |numbers| {
            numbers.iter().enumerate().all(|(i, &v)| {
                let grid = &chosen[cut.grid(first + i)];
                values.insert(bits_of(grid.dequantize(grid.quantize(v))));
                values.len() <= count
            })
        })
    });
    if kept {
        return Ok(None);
    }
    let whole = ConstantPlan { axis: None, block: None, ..plan.clone() };
    Ok(grids(tensor, &whole, around)?.first().copied())
}

/// Whether a clustered weight has more values as codes of `book`, with a scale for each `size` numbers.
pub(super) fn spread(tensor: &Tensor, (scales, codes): (&[f32], &[u8]), (book, size): (CodeBook, usize)) -> bool {
    let Some(count) = count(tensor, BITS) else { return false };
    let blocks = codes.chunks(size).zip(scales);
    let values = blocks
        .flat_map(|(block, scale)| block.iter().map(move |&code| bits_of(book.numbers()[usize::from(code)] * scale)));
    values.collect::<HashSet<u32>>().len() > count
}

/// The bits of a number, both zeros alike.
fn bits_of(number: f32) -> u32 {
    (number + 0.0).to_bits()
}
