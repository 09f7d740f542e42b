//! The weight scales of least error behind a layer.
//!
//! Rounding a weight `w_k` to `w_k + e_k` adds `sum(e_k x_k)` to what the layer makes. For inputs of mean `m_k` and variance
//! `v` that is, squared and averaged, `v sum(e_k^2) + (sum(m_k e_k))^2`. The second part is a shift of the whole channel that
//! no averaging takes away; in a filter of nine taps behind a ReLU it is most of the error. A scale a little off the one that
//! the largest weight asks for often makes it vanish.

use super::half::HalfType;
use super::params::Params;
use crate::vectors::on_vectors;

/// What a layer reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The mean of each input channel, or one for all.
    pub means: Vec<f32>,
    /// The mean squared distance from the means.
    pub variance: f32,
}

impl Default for Moments {
    /// Of an input that nothing is known of: weights are then to be as near as they can.
    fn default() -> Self {
        Self { means: vec![0.0], variance: 1.0 }
    }
}

impl Moments {
    /// Of an input of which only is known that it cannot be negative: its mean is then about as large as its deviation.
    pub fn of_positive() -> Self {
        Self { means: vec![1.0], variance: 1.0 }
    }
}

/// The share of the widest scale that is tried first and last, and in how many steps.
const NARROWEST: f32 = 0.8;
/// The first share for integers of 2 bits: with so few it pays to clip much.
const NARROWEST_OF_FOUR: f32 = 0.3;
const WIDEST: f32 = 1.15;
const STEPS: usize = 36;

/// The share of the widest scale that is tried at step `i`.
fn share(i: usize, grid: &Params) -> f32 {
    let narrowest = if grid.dtype.bits() == 2 { NARROWEST_OF_FOUR } else { NARROWEST };
    narrowest + (WIDEST - narrowest) * i as f32 / (STEPS - 1) as f32
}

mod blocks;
mod half_quadratic;

pub use blocks::{Line, SIDE_BY_SIDE, best_grids};
pub use half_quadratic::best_by_norm;

/// One output channel: its weights, and the mean of the input that each of them meets.
pub struct Channel<'a> {
    /// Weights in the order of the sum.
    pub weights: &'a [f32],
    /// Means of the inputs, in the same order.
    pub means: &'a [f32],
}

/// The scale of least error for channels that share one, at least `least`; that of `widest` where none is better. The zero
/// point stays. No weight lies beyond `widest`. Only numbers of the type `kind` are tried, if there is one.
pub fn best_scale(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32, kind: Option<HalfType>) -> f32 {
    let base = widest.scale.max(least);
    let mut scales = [base; STEPS + 1];
    // The first is the scale that clips nothing; it counts even where it is not normal.
    scales[1..].iter_mut().enumerate().for_each(|(i, scale)| *scale = base * share(i, widest));
    if let Some(kind) = kind {
        scales.iter_mut().for_each(|scale| *scale = kind.round_up(f64::from(*scale)) as f32);
    }
    let scales = &scales;
    // With 512 bits it takes longer: lanes are added up once for each candidate.
    on_vectors!(
        "avx2",
        best_of_all(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32, scales: &[f32; STEPS + 1]) -> f32
    );
    best_of_all(channels, widest, variance, least, scales)
}

// Loops instead of iterators: what those call is not compiled for the same processor.
#[inline(always)]
fn best_of_all(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32, scales: &[f32; STEPS + 1]) -> f32 {
    let (low, high) = widest.dtype.limits();
    let ends = ((low - widest.zero_point) as f32, (high - widest.zero_point) as f32);
    let mut errors = [0f64; STEPS + 1];
    for channel in channels {
        let mut sums = [(0f64, 0f64); STEPS + 1];
        for (weights, means) in channel.weights.chunks(IN_CACHE).zip(channel.means.chunks(IN_CACHE)) {
            for (i, sums) in sums.iter_mut().enumerate() {
                match scales[i] < scales[0] {
                    true => add::<true>((weights, means), scales[i], ends, sums),
                    false => add::<false>((weights, means), scales[i], ends, sums),
                }
            }
        }
        for (i, (square, shift)) in sums.into_iter().enumerate() {
            let scale = f64::from(scales[i]);
            errors[i] += (f64::from(variance) * square + shift * shift) * scale * scale;
        }
    }
    let mut best = (errors[0], scales[0]);
    for (i, &error) in errors.iter().enumerate().skip(1) {
        let scale = scales[i];
        if scale >= least && scale.is_normal() && error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

/// Weights that all scales are tried on before the next are read.
const IN_CACHE: usize = 2048;

/// Adding 1.5 * 2^23 rounds a float32 of magnitude below 2^22 half to even.
const ROUND: f32 = 12_582_912.0;
/// Numbers that are looked at side by side, so that the compiler can use vector instructions.
const LANES: usize = 32;
/// Lines of numbers that are added up in float32 before float64 takes over.
const LINES: usize = 64;

/// How far a number, in steps, is from the integer that it becomes; where it cannot leave the grid, it need not be clipped to
/// it. A product with the inverse of the scale is off by less than what could matter to the choice of a scale.
#[inline(always)]
fn off<const CLIP: bool>(steps: f32, low: f32, high: f32) -> f32 {
    let mut clipped = steps;
    if CLIP {
        clipped = if clipped < low { low } else { clipped };
        clipped = if clipped > high { high } else { clipped };
    }
    ((clipped + ROUND) - ROUND) - steps
}

/// Adds the errors at one scale, in steps, to `sums`: their squares, and their products with the means.
#[inline(always)]
fn add<const CLIP: bool>(
    (weights, means): (&[f32], &[f32]),
    scale: f32,
    ends: (f32, f32),
    (square, shift): &mut (f64, f64),
) {
    let inverse = scale.recip();
    let (weights, rest) = weights.as_chunks::<LANES>();
    let (means, rest_means) = means.as_chunks::<LANES>();
    // Zeros have no error.
    let (mut last, mut last_means) = ([0f32; LANES], [0f32; LANES]);
    last[..rest.len()].copy_from_slice(rest);
    last_means[..rest.len()].copy_from_slice(rest_means);
    for (weights, means) in weights.chunks(LINES).zip(means.chunks(LINES)).chain([(&[last][..], &[last_means][..])]) {
        let (mut squares, mut shifts) = ([0f32; LANES], [0f32; LANES]);
        for (w, m) in weights.iter().zip(means) {
            for lane in 0..LANES {
                let e = off::<CLIP>(w[lane] * inverse, ends.0, ends.1);
                squares[lane] += e * e;
                shifts[lane] += m[lane] * e;
            }
        }
        for lane in 0..LANES {
            *square += f64::from(squares[lane]);
            *shift += f64::from(shifts[lane]);
        }
    }
}

#[cfg(test)]
mod tests;
