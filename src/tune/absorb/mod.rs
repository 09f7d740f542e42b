//! Absorption of high biases: what a channel ahead of a Relu never falls below goes out of the bias that makes it, and into the biases
//! behind, so that the grid between need not reach as far.
//!
//! After Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019, arXiv:1906.04721), section 4.1.3:
//! `relu(x) - c = relu(x - c)` wherever `x` is at least `c`, and what the layers behind make of `c` is a number for each of their
//! channels. Two things differ. Where samples show what `x` is, that decides, not mean and deviation alone. And nothing is done ahead of
//! a border of zeros, where it would not be exact.

mod graph;

pub use graph::{Site, absorb, absorbed_name, sites};

use crate::quant::Normal;

/// So many standard deviations below its mean a channel is taken never to be.
const DEVIATIONS: f64 = 3.0;
/// What was not seen may lie below what was by this share of that.
const ROOM: f64 = 1.0 / 8.0;
/// A channel counts that never falls below this share of the largest number it has.
const LEAST_SHARE: f64 = 1.0 / 16.0;

/// What channels are never below, by the ends of what was seen of them; 0 where that is too little.
pub fn by_samples(ends: &[(f32, f32)]) -> Vec<f32> {
    let least = |&(low, high): &(f32, f32)| counted(f64::from(low) - f64::from(high - low) * ROOM, f64::from(high));
    ends.iter().map(least).collect()
}

/// The same by how they are distributed.
pub fn by_statistics(normal: &Normal) -> Vec<f32> {
    let both = normal.means.iter().zip(&normal.deviations);
    let least = |(mean, deviation): (&f64, &f64)| counted(mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation);
    both.map(least).collect()
}

fn counted(least: f64, most: f64) -> f32 {
    if least.is_finite() && most.is_finite() && least > LEAST_SHARE * most { least.max(0.0) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests;
