//! Weights that large activations meet, protected from rounding: the weights of each input channel of a layer are multiplied by a factor,
//! and what the layer reads divided by it, so that channels that count more have finer steps. After Lin et al., AWQ: Activation-aware
//! Weight Quantization for LLM Compression and Acceleration (2023, arXiv:2306.00978): the factor of a channel is its mean magnitude to
//! the power of alpha, and alpha is the one with which the rounded weights leave the least error of what the layers make.
//!
//! Two things differ. Factors are powers of two, so that the float model stays the same bit for bit, as long as nothing leaves the normal
//! numbers. And positions of samples on which alpha was not chosen decide whether anything is changed: the error has to fall, and what shifts an
//! output everywhere must not grow.

mod graph;

pub use graph::{absorb, absorbs};

use crate::error::Result;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis, ShapeBuilder};
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
    let plain = Off::of(weights, &none, &read.fitting)?;
    let mut best = (plain.squares, &none);
    for exponents in &tried {
        let off = Off::of(weights, exponents, &read.fitting)?;
        if off.squares < best.0 && off.shift <= plain.shift {
            best = (off.squares, exponents);
        }
    }
    if *best.1 == none || read.checking.is_empty() {
        return Ok(None);
    }
    let (before, after) = (Off::of(weights, &none, &read.checking)?, Off::of(weights, best.1, &read.checking)?);
    let nearer = before.squares.is_finite() && after.squares * 10f64.powf(least_gain / 10.0) <= before.squares;
    Ok((nearer && after.shift <= before.shift).then(|| best.1.clone()))
}

/// The error of what layers make at positions.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Off {
    /// The sum of its squares.
    squares: f64,
    /// The sum over outputs of the squares of its sums: what shifts an output everywhere, which nothing behind averages away.
    shift: f64,
}

impl Off {
    /// What float32 does not hold.
    const BEYOND: Self = Self { squares: f64::INFINITY, shift: f64::INFINITY };

    /// Where the channels that the layers read are divided by powers of two.
    fn of(weights: &[Weight<'_>], exponents: &[i32], positions: &Array2<f32>) -> Result<Self> {
        let mut all = Self { squares: 0.0, shift: 0.0 };
        for weight in weights {
            let Some(off) = weight.off(exponents)? else { return Ok(Self::BEYOND) };
            let mut sums = vec![0f64; off.ncols()];
            for rows in positions.axis_chunks_iter(Axis(0), TILE) {
                let mut made = Array2::<f32>::zeros((rows.nrows(), off.ncols()));
                general_mat_mul(1.0, &rows, &off, 0.0, &mut made);
                all.squares += made.iter().map(|&error| f64::from(error).powi(2)).sum::<f64>();
                for row in made.rows() {
                    sums.iter_mut().zip(row).for_each(|(sum, &error)| *sum += f64::from(error));
                }
            }
            all.shift += sums.iter().map(|sum| sum * sum).sum::<f64>();
        }
        Ok(all)
    }
}

impl Weight<'_> {
    /// By how much its numbers are off, a row for each number that is read, where the channels that it meets are divided by powers of
    /// two; `None` where float32 does not hold it then.
    fn off(&self, exponents: &[i32]) -> Result<Option<Array2<f32>>> {
        let length = exponents.len() * self.taps;
        let outputs = self.numbers.len() / length.max(1);
        let factor = |index: usize| {
            let along = if self.outputs_first { index % length } else { index / outputs };
            2f32.powi(exponents[along / self.taps])
        };
        let factors: Vec<f32> = (0..self.numbers.len()).map(factor).collect();
        let scaled: Vec<f32> = self.numbers.iter().zip(&factors).map(|(number, factor)| number * factor).collect();
        if !scaled.iter().all(|number| number.is_finite()) {
            return Ok(None);
        }
        let mut off = (self.stored)(scaled)?;
        off.iter_mut()
            .zip(self.numbers)
            .zip(&factors)
            .for_each(|((off, number), factor)| *off = *off / factor - number);
        let shape = (length, outputs);
        let off = match self.outputs_first {
            true => Array2::from_shape_vec(shape.f(), off),
            false => Array2::from_shape_vec(shape, off),
        };
        Ok(off.ok())
    }
}

#[cfg(test)]
mod tests;
