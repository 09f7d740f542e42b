//! The grids of weights and of other constants.

use super::{clusters, pieces};
use crate::error::{Error, Result};
use crate::plan::ConstantPlan;
use crate::quant::{self, Blocks, Channel, Cut, Moments, Params};
use crate::tensor::{DataType, Tensor};
use crate::threads;

/// What is known around a constant when its grids are chosen.
#[derive(Default)]
pub(super) struct Around<'a> {
    /// The largest integer of each channel that a weight multiplies; empty where that was not observed.
    pub largest: &'a [u8],
    /// Mean and variance of what a weight multiplies.
    pub moments: Option<&'a Moments>,
    /// The bias that is scaled with a weight, one number for each output channel, and the scale of the layer's input.
    pub bias: Option<(&'a [f32], f32)>,
}

/// The grids of a constant: one, or one for each channel; those of blocks are made by [`in_blocks`]. A weight's are those of
/// least error behind its layer, and widened where the bias asks for it.
pub(super) fn grids(tensor: &Tensor, plan: &ConstantPlan, around: &Around<'_>) -> Result<Vec<Params>> {
    debug_assert_eq!(tensor.dtype(), DataType::Float32);
    if let Some(known) = &plan.known {
        return Ok(known.to_vec());
    }
    let numbers = tensor.to_f32()?;
    let ranges = pieces::extremes(tensor, plan.axis)?.into_iter();
    let mut grids: Vec<_> = ranges.map(|(low, high)| Params::from_range(low, high, plan.scheme)).collect();
    let mut least = vec![0f32; grids.len()];
    if let Some(order) = plan.sum_order {
        let safe = quant::pair_safe_scales(&numbers, tensor.shape(), order, around.largest);
        let count = least.len();
        for (channel, scale) in safe.into_iter().enumerate() {
            least[channel % count] = scale.max(least[channel % count]);
        }
    }
    if plan.least_error {
        let unknown = if plan.positive { Moments::of_positive() } else { Moments::default() };
        fit(&numbers, tensor.shape(), plan, around.moments.unwrap_or(&unknown), &mut grids, &least);
    }
    grids.iter_mut().zip(&least).for_each(|(grid, &least)| grid.scale = grid.scale.max(least));
    // One grid serves all channels, and one of several those at the same place of each group.
    let count = grids.len();
    if let Some((bias, input_scale)) = around.bias {
        for (channel, &b) in bias.iter().enumerate() {
            let grid = &mut grids[channel % count];
            grid.scale = quant::guard_weight_scale(grid.scale, input_scale, b);
        }
    }
    settle_steps(plan, &mut grids);
    if let Some(one) = clusters::one_grid(tensor, (plan, None), &grids, around)? {
        grids.fill(one);
    }
    Ok(grids)
}

/// A weight in blocks of `size` along `axis`: the grid of each block, and the integers, each in `bits` bits.
pub(super) fn in_blocks(
    tensor: &Tensor,
    plan: &ConstantPlan,
    (axis, size): (usize, usize),
    bits: u32,
) -> Result<(Vec<Params>, Vec<u8>)> {
    let plan = ConstantPlan { axis: Some(axis), ..plan.clone() };
    let made = round_blocks(tensor, &plan, (axis, size), bits);
    let Some(one) = clusters::one_grid(tensor, (&plan, Some(size)), &made.0, &Around::default())? else {
        return Ok(made);
    };
    let known = Some(vec![one; made.0.len()].into());
    Ok(round_blocks(tensor, &ConstantPlan { known, ..plan }, (axis, size), bits))
}

/// The numbers that a weight is stored as where nothing of what it multiplies is known.
///
/// # Errors
/// When it is malformed.
pub fn as_stored(tensor: &Tensor, plan: &ConstantPlan) -> Result<Vec<f32>> {
    if let (Some(axis), Some(size)) = (plan.axis, plan.block) {
        let (grids, integers) = in_blocks(tensor, plan, (axis, size), 8)?;
        let signed = plan.scheme.dtype.limits().0 < 0;
        let integer = |q: u8| if signed { i32::from(q as i8) } else { i32::from(q) };
        let cut = Cut::new(tensor.shape(), Some(axis), Some(size.clamp(1, tensor.shape()[axis].max(1))));
        let cut = cut.filter(|cut| cut.count() == grids.len());
        let cut = cut.ok_or_else(|| Error::other("the blocks of a weight are not as many as its grids"))?;
        let number = |(at, q): (usize, u8)| grids[cut.grid(at)].dequantize(integer(q));
        return Ok(integers.into_iter().enumerate().map(number).collect());
    }
    let grids = grids(tensor, plan, &Around::default())?;
    let cut = Cut::new(tensor.shape(), plan.axis, None).filter(|cut| cut.count() == grids.len());
    let cut = cut.ok_or_else(|| Error::other("the channels of a weight are not as many as its grids"))?;
    let number = |(at, &number): (usize, &f32)| {
        let grid = &grids[cut.grid(at)];
        grid.dequantize(grid.quantize(number))
    };
    Ok(tensor.to_f32()?.iter().enumerate().map(number).collect())
}

/// Rounds block by block and piece by piece, so that of a weight in a mapped file little is in memory at any time.
fn round_blocks(
    tensor: &Tensor,
    plan: &ConstantPlan,
    (axis, size): (usize, usize),
    bits: u32,
) -> (Vec<Params>, Vec<u8>) {
    let blocks = Blocks::new(tensor.shape(), axis, size);
    let mut grids = vec![Params::from_range(0.0, 0.0, plan.scheme); blocks.count()];
    let mut packed = vec![0u8; (tensor.len() * bits as usize).div_ceil(8)];
    let (mut rest, mut bytes) = (grids.as_mut_slice(), packed.as_mut_slice());
    let mut parts = Vec::new();
    for piece in blocks.pieces() {
        let (own, after) = rest.split_at_mut(piece.grids.len());
        let (stored, behind) = bytes.split_at_mut((piece.values.len() * bits as usize).div_ceil(8));
        (rest, bytes) = (after, behind);
        parts.push((piece, own, stored));
    }
    threads::for_each(parts.into_iter(), |(piece, own, stored)| {
        tensor.with_piece(piece.values, |numbers| {
            match &plan.known {
                Some(known) => own.copy_from_slice(&known[piece.grids]),
                None => choose(&piece.blocks, numbers, plan, own),
            }
            stored.copy_from_slice(&quant::pack(piece.blocks.quantize(numbers, own), bits));
        });
    });
    (grids, packed)
}

/// Chooses the grids of blocks.
fn choose(blocks: &Blocks, numbers: &[f32], plan: &ConstantPlan, grids: &mut [Params]) {
    grids.copy_from_slice(&blocks.min_max(numbers, plan.scheme));
    match (plan.least_norm, plan.least_error) {
        (true, _) => blocks.least_norm(numbers, grids, plan.scheme.scales),
        (false, true) => blocks.least_error(numbers, grids, plan.scheme.symmetric || plan.scheme.dtype.is_float()),
        (false, false) => {}
    }
    settle_steps(plan, grids);
}

/// Makes every step one that the scheme has, and none shorter.
fn settle_steps(plan: &ConstantPlan, grids: &mut [Params]) {
    if plan.scheme.power_of_two || plan.scheme.scales.is_some() {
        grids.iter_mut().for_each(|grid| grid.scale = plan.scheme.step(f64::from(grid.scale)) as f32);
    }
}

/// Gives each grid the scale of least error that is at least `least`.
fn fit(numbers: &[f32], shape: &[usize], plan: &ConstantPlan, moments: &Moments, grids: &mut [Params], least: &[f32]) {
    let Some(axis) = plan.axis else {
        // One scale for all channels: as near to the weights as it can be.
        let means = vec![0.0; numbers.len()];
        let all = Channel { weights: numbers, means: &means };
        grids[0].scale = quant::best_scale(&[all], &grids[0], moments.variance, least[0], plan.scheme.scales);
        return;
    };
    let (rows, length) = (shape[..axis].iter().product::<usize>(), shape[axis + 1..].iter().product::<usize>());
    let (channels, count) = (shape[axis], rows * length);
    let together = TOGETHER.div_ceil(count.max(1));
    let parts = grids.chunks_mut(together).zip(least.chunks(together)).enumerate();
    threads::for_each(parts, |(part, (grids, least))| {
        let (first, mut weights) = (part * together, vec![0f32; grids.len() * count]);
        // Row by row: channels may lie side by side.
        for row in 0..rows {
            let runs = numbers[(row * channels + first) * length..].chunks_exact(length.max(1)).take(grids.len());
            runs.enumerate().for_each(|(i, run)| weights[i * count + row * length..][..length].copy_from_slice(run));
        }
        if plan.least_norm {
            let together = Blocks::new(&[grids.len(), count], 1, count);
            return together.least_norm(&weights, grids, plan.scheme.scales);
        }
        for (i, (grid, &least)) in grids.iter_mut().zip(least).enumerate() {
            let means = means(moments, shape, axis, first + i, count);
            let one = Channel { weights: &weights[i * count..][..count], means: &means };
            grid.scale = quant::best_scale(&[one], grid, moments.variance, least, plan.scheme.scales);
        }
    });
}

/// Weights, in whole channels, that are worth a turn of a thread.
const TOGETHER: usize = 1 << 16;

/// The mean of the input that each weight of an output channel meets.
fn means(moments: &Moments, shape: &[usize], axis: usize, channel: usize, count: usize) -> Vec<f32> {
    let taps: usize = shape.get(2..).map_or(1, |taps| taps.iter().product());
    match moments.means.as_slice() {
        // A place behind a transposed convolution meets a part of the taps only.
        _ if axis == 1 && shape.len() > 2 => vec![0.0; count],
        [one] => vec![*one; count],
        // The inputs of a matrix, in rows or in columns.
        means if shape.len() == 2 && means.len() == count => means.to_vec(),
        means if axis == 0 && shape.len() > 2 && shape[1] > 0 && means.len() % shape[1] == 0 => {
            let groups = means.len() / shape[1];
            let group = channel * groups / shape[0].max(1);
            let own = &means[group * shape[1]..][..shape[1]];
            own.iter().flat_map(|&mean| std::iter::repeat_n(mean, taps)).collect()
        }
        means => vec![means.iter().sum::<f32>() / means.len().max(1) as f32; count],
    }
}
