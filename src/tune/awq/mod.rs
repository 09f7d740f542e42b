//! Weights that large activations meet, protected from rounding: the weights of each input channel of a layer are multiplied by a factor,
//! and what the layer reads divided by it, so that channels that count more have finer steps. After Lin et al., AWQ: Activation-aware
//! Weight Quantization for LLM Compression and Acceleration (2023, arXiv:2306.00978): the factor of a channel is its mean magnitude to
//! the power of alpha, and alpha is the one with which the rounded weights leave the least error of what the layers make.
//!
//! Two things differ. Factors are powers of two, so that the float model stays the same bit for bit, as long as nothing leaves the normal
//! numbers. And positions of samples on which alpha was not chosen decide whether anything is changed.

mod graph;

pub use graph::{absorb, absorbs};

use crate::error::Result;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, ShapeBuilder};
use std::collections::BTreeSet;

/// The largest power of two.
pub const LARGEST: i32 = 12;
/// The exponents that are tried for alpha, in twentieths.
const ALPHAS: std::ops::RangeInclusive<i32> = 1..=20;
/// No channel counts as smaller than the largest times this: what is hardly ever used must not get a factor without bounds.
const LEAST_SHARE: f64 = 1e-4;
/// Positions at once.
const TILE: usize = 64;

/// What layers read.
#[derive(Debug, Clone)]
pub struct Read {
    /// The mean magnitude of each channel.
    pub sizes: Vec<f64>,
    /// Some positions, on which alpha is chosen: rows of numbers that weights are multiplied with.
    pub fitting: Array2<f32>,
    /// Others, which decide.
    pub checking: Array2<f32>,
}

/// The weight of a layer.
pub struct Weight<'a> {
    /// Its numbers.
    pub numbers: &'a [f32],
    /// Whether all those of an output stand together; otherwise those that meet a number that is read.
    pub outputs_first: bool,
    /// How many of those of an output meet the same channel, one after the other.
    pub taps: usize,
    /// What becomes of such numbers when they are stored.
    pub stored: &'a (dyn Fn(Vec<f32>) -> Result<Vec<f32>> + Sync),
}

/// The powers of two that the channels are to be divided by; `None` where on the positions that decide that gains less than
/// `least_gain`, in dB. `lets_through` makes powers of two of logarithms to the base of two.
///
/// # Errors
/// When a weight is malformed.
pub fn exponents(
    read: &Read,
    weights: &[Weight<'_>],
    lets_through: &dyn Fn(&[f64]) -> Vec<i32>,
    least_gain: f64,
) -> Result<Option<Vec<i32>>> {
    let channels = read.sizes.len();
    let largest = read.sizes.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let logs: Vec<f64> = read.sizes.iter().map(|size| size.max(largest * LEAST_SHARE).log2()).collect();
    let tried: BTreeSet<Vec<i32>> = ALPHAS
        .map(|twentieths| {
            let logs: Vec<f64> = logs.iter().map(|log| log * f64::from(twentieths) / 20.0).collect();
            lets_through(&logs).into_iter().map(|exponent| exponent.clamp(-LARGEST, LARGEST)).collect()
        })
        .filter(|exponents: &Vec<i32>| exponents.iter().any(|&exponent| exponent != exponents[0]))
        .collect();
    let none = vec![0; channels];
    let mut best = (error(weights, &none, &read.fitting)?, &none);
    for exponents in &tried {
        let error = error(weights, exponents, &read.fitting)?;
        if error < best.0 {
            best = (error, exponents);
        }
    }
    if *best.1 == none || read.checking.is_empty() {
        return Ok(None);
    }
    let (before, after) = (error(weights, &none, &read.checking)?, error(weights, best.1, &read.checking)?);
    let worth = before.is_finite() && after * 10f64.powf(least_gain / 10.0) <= before;
    Ok(worth.then(|| best.1.clone()))
}

/// The error of what layers make at positions, where the channels that they read are divided by powers of two.
fn error(weights: &[Weight<'_>], exponents: &[i32], positions: &Array2<f32>) -> Result<f64> {
    let mut all = 0.0;
    for weight in weights {
        let length = exponents.len() * weight.taps;
        let outputs = weight.numbers.len() / length.max(1);
        let factor = |index: usize| {
            let along = if weight.outputs_first { index % length } else { index / outputs };
            2f32.powi(exponents[along / weight.taps])
        };
        let factors: Vec<f32> = (0..weight.numbers.len()).map(factor).collect();
        let scaled: Vec<f32> = weight.numbers.iter().zip(&factors).map(|(number, factor)| number * factor).collect();
        if !scaled.iter().all(|number| number.is_finite()) {
            return Ok(f64::INFINITY);
        }
        let mut off = (weight.stored)(scaled)?;
        off.iter_mut()
            .zip(weight.numbers)
            .zip(&factors)
            .for_each(|((off, number), factor)| *off = *off / factor - number);
        let shape = (length, outputs);
        let off = if weight.outputs_first {
            ArrayView2::from_shape(shape.f(), &off)
        } else {
            ArrayView2::from_shape(shape, &off)
        };
        let Ok(off) = off else { return Ok(f64::INFINITY) };
        for rows in positions.axis_chunks_iter(Axis(0), TILE) {
            let mut made = Array2::<f32>::zeros((rows.nrows(), outputs));
            general_mat_mul(1.0, &rows, &off, 0.0, &mut made);
            all += made.iter().map(|&error| f64::from(error).powi(2)).sum::<f64>();
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
