//! Weights whose integers were looked for, instead of being the nearest.

use super::weights::in_blocks;
use crate::error::{Error, Result};
use crate::plan::ConstantPlan;
use crate::quant::{Cut, Params};
use crate::tensor::Tensor;
use crate::tune::rounding::Rounding;

/// A weight moved to the integers that were found, as numbers that are on its grids, and the plan for it, which knows the grids of
/// blocks then. `grids` are those of a weight without blocks.
///
/// # Errors
/// When it is malformed, or there is not a step for each of its elements.
pub fn moved(
    weight: &Tensor,
    plan: &ConstantPlan,
    grids: &[Params],
    rounding: &Rounding,
) -> Result<(Tensor, ConstantPlan)> {
    let in_blocks = match (plan.axis, plan.block, &plan.known) {
        (Some(axis), Some(size), None) => Some(in_blocks(weight, plan, (axis, size), plan.scheme.dtype.bits())?.0),
        _ => None,
    };
    let plan = match &in_blocks {
        Some(grids) => ConstantPlan { known: Some(grids.clone().into()), ..plan.clone() },
        None => plan.clone(),
    };
    let grids = in_blocks.as_deref().or(plan.known.as_deref()).unwrap_or(grids);
    let cut = Cut::new(weight.shape(), plan.axis, plan.block).filter(|cut| cut.count() == grids.len());
    let cut = cut.filter(|_| rounding.steps.len() == weight.len());
    let cut = cut.ok_or_else(|| Error::other("the integers of a weight are not as many as its elements"))?;
    let number = |(index, (&number, &step)): (usize, (&f32, &i8))| {
        let grid = &grids[cut.grid(index)];
        let (low, high) = grid.dtype.limits();
        grid.dequantize((grid.quantize(number) + i32::from(step)).clamp(low, high))
    };
    let numbers: Vec<f32> = weight.to_f32()?.iter().zip(&rounding.steps).enumerate().map(number).collect();
    Ok((Tensor::from_f32(weight.shape().to_vec(), &numbers), plan))
}
