//! Rounding of weights that looks at what the layer makes. Rounding to nearest makes each weight's own error least; what counts is
//! the error of their products with what the layer reads. For one output of a layer that is `(x - t)' H (x - t)`, where `H` is the
//! Gram matrix of what its weights are multiplied with: a search for the nearest point of a lattice, which is what Nagel et al., Up
//! or Down? Adaptive Rounding for Post-Training Quantization (2020, arXiv:2004.10568), section 3, set up for AdaRound.
//!
//! Here it is solved in two steps. [`Method::Gptq`] rounds weight by weight, and each takes in the errors of those before it. With
//! [`Method::Learned`] descent along coordinates goes on from there: a weight moves by a step where that makes the error smaller,
//! until none does.
//!
//! What a layer reads is what the layers before it make once they are rounded, so that their errors are made up for, too: there is a
//! solution for the layer's own weights, and one for what the float layer makes; samples that fitted neither decide between these
//! and rounding to nearest.

mod gram;
mod patches;
mod problem;
mod reach;
mod solve;

pub use patches::Patches;
pub use reach::{Reach, Window};

use crate::error::Result;
use crate::exec::Sides;
use crate::quant::{KnownConstant, SumOrder};
use crate::tensor::Tensor;
use gram::Gram;
use ndarray::Array2;
use problem::Problem;

/// How integers of weights are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// One after the other, each with the errors of those before it.
    Gptq,
    /// From there on, moving one at a time while that helps.
    Learned,
}

/// By how many steps each integer of a weight lies beside the nearest one, in the order of its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounding {
    /// The steps.
    pub steps: Vec<i8>,
}

/// The weight of a layer.
#[derive(Debug, Clone)]
pub struct Weight {
    /// How it goes over what the layer reads.
    pub reach: Reach,
    /// How many groups its outputs fall into.
    pub groups: usize,
    /// Whether its first axis is that of the outputs; otherwise the last of two.
    pub outputs_first: bool,
    /// In float, and as it is rounded to nearest.
    pub sides: [Tensor; 2],
    /// Its grids.
    pub known: KnownConstant,
}

/// What else a layer asks of its integers.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Whether a bias brings the mean of each output to what it is in float.
    pub shift: bool,
    /// The order in which sums of 16 bits are taken that its integers must not overflow, and the largest integer of each channel
    /// that it reads.
    pub sums: Option<(SumOrder, Vec<u8>)>,
}

/// Finds integers for a layer that made tensors of shape `made` of `samples`, and lets what they made follow from these. `None`
/// where nearest is best, or the layer is not one to look at.
///
/// # Errors
/// When a weight is malformed.
pub fn round(
    weight: &Weight,
    asked: &Asked,
    method: Method,
    made: &[usize],
    samples: &mut [Sides<'_>],
) -> Result<Option<Rounding>> {
    let Some(problem) = Problem::new(weight, made)? else { return Ok(None) };
    let Some((fitted, checked)) = problem.grams(samples) else { return Ok(None) };
    let mut found: Vec<Option<[Array2<f64>; 2]>> = Vec::with_capacity(fitted.len());
    for (group, gram) in problem.groups.iter().zip(&fitted) {
        found.push(problem.solve(group, gram, method, asked.shift));
    }
    // Over all groups: the change of the error on samples that fitted nothing.
    let mut changes = [0f64; 2];
    for ((group, gram), found) in problem.groups.iter().zip(&checked).zip(&found) {
        let Some(found) = found else { continue };
        let (squares, left) = gram.means(asked.shift);
        for (change, x) in changes.iter_mut().zip(found) {
            let by = x - &group.nearest;
            *change += (&squares.dot(&by) * &by).sum() - 2.0 * (&left * &by).sum();
        }
    }
    // Fewer positions than numbers in a patch can have any error before them made up for, and what that does elsewhere is left to chance.
    let determined = fitted.iter().all(Gram::is_determined);
    let best = usize::from(determined && changes[1] < changes[0]);
    if changes[best].is_nan() || changes[best] >= 0.0 {
        return Ok(None);
    }
    let mut rounded: Vec<Array2<f64>> = Vec::with_capacity(found.len());
    for (group, found) in problem.groups.iter().zip(found) {
        rounded.push(found.map_or_else(
            || group.nearest.clone(),
            |found| {
                let [own, all] = found;
                if best == 0 { own } else { all }
            },
        ));
    }
    problem.keep_safe(asked, &mut rounded);
    let steps = problem.steps(&mut rounded);
    if steps.iter().all(|&step| step == 0) {
        return Ok(None);
    }
    problem.follow(&rounded, samples);
    Ok(Some(Rounding { steps }))
}

#[cfg(test)]
mod tests;
