//! The weight scales of least error behind a layer.
//!
//! Rounding a weight `w_k` to `w_k + e_k` adds `sum(e_k x_k)` to what the layer makes. For inputs of mean `m_k` and variance
//! `v` that is, squared and averaged, `v sum(e_k^2) + (sum(m_k e_k))^2`. The second part is a shift of the whole channel that
//! no averaging takes away; in a filter of nine taps behind a ReLU it is most of the error. A scale a little off the one that
//! the largest weight asks for often makes it vanish.

use super::params::Params;

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
const WIDEST: f32 = 1.15;
const STEPS: usize = 36;

/// One output channel: its weights, and the mean of the input that each of them meets.
pub struct Channel<'a> {
    /// Weights in the order of the sum.
    pub weights: &'a [f32],
    /// Means of the inputs, in the same order.
    pub means: &'a [f32],
}

/// The scale of least error for channels that share one, at least `least`; that of `widest` where none is better. The zero
/// point stays.
pub fn best_scale(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32) -> f32 {
    let base = widest.scale.max(least);
    let candidates = (0..STEPS).map(|i| NARROWEST + (WIDEST - NARROWEST) * i as f32 / (STEPS - 1) as f32);
    let (low, high) = widest.dtype.limits();
    let (low, high) = ((low - widest.zero_point) as f32, (high - widest.zero_point) as f32);
    let error_at = |scale: f32| -> f64 { channels.iter().map(|c| error(c, scale, low, high, variance)).sum() };
    let mut best = (error_at(base), base);
    for scale in candidates.map(|share| base * share).filter(|&scale| scale >= least && scale.is_normal()) {
        let error = error_at(scale);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

/// Adding 1.5 * 2^23 rounds a float32 of magnitude below 2^22 half to even.
const ROUND: f32 = 12_582_912.0;
/// Numbers that are looked at side by side, so that the compiler can use vector instructions.
const LANES: usize = 8;

/// The mean squared error behind the layer at one scale.
fn error(channel: &Channel<'_>, scale: f32, low: f32, high: f32, variance: f32) -> f64 {
    let one = |w: f32| {
        let steps = w / scale;
        let clipped = if steps < low { low } else { steps };
        let clipped = if clipped > high { high } else { clipped };
        ((clipped + ROUND) - ROUND) * scale - w
    };
    let (mut squares, mut shifts) = ([0f32; LANES], [0f32; LANES]);
    let (weights, rest) = channel.weights.as_chunks::<LANES>();
    let (means, rest_means) = channel.means.as_chunks::<LANES>();
    // Sums of 64 blocks at a time: float32 within, float64 between.
    let (mut square, mut shift) = (0f64, 0f64);
    for (weights, means) in weights.chunks(64).zip(means.chunks(64)) {
        for (w, m) in weights.iter().zip(means) {
            for lane in 0..LANES {
                let e = one(w[lane]);
                squares[lane] += e * e;
                shifts[lane] += m[lane] * e;
            }
        }
        square += squares.iter().map(|&v| f64::from(v)).sum::<f64>();
        shift += shifts.iter().map(|&v| f64::from(v)).sum::<f64>();
        (squares, shifts) = ([0.0; LANES], [0.0; LANES]);
    }
    for (&w, &m) in rest.iter().zip(rest_means) {
        let e = one(w);
        square += f64::from(e * e);
        shift += f64::from(m * e);
    }
    f64::from(variance) * square + shift * shift
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{IntType, Scheme};

    const S8: Scheme = Scheme::new(IntType::Int8, true);

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn widest(weights: &[f32]) -> Params {
        let most = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        Params::from_range(-most, most, S8)
    }

    /// The error by its definition.
    fn plain(weights: &[f32], means: &[f32], params: &Params, variance: f64) -> f64 {
        let errors: Vec<f64> =
            weights.iter().map(|&w| f64::from(params.dequantize(params.quantize(w))) - f64::from(w)).collect();
        let shift: f64 = errors.iter().zip(means).map(|(e, &m)| e * f64::from(m)).sum();
        variance * errors.iter().map(|e| e * e).sum::<f64>() + shift * shift
    }

    #[test]
    fn no_other_candidate_is_better() {
        for (count, seed) in [(9, 1), (27, 2), (64, 3), (1000, 4)] {
            let (weights, means) = (numbers(count, seed), vec![0.7; count]);
            let widest = widest(&weights);
            let channel = Channel { weights: &weights, means: &means };
            let scale = best_scale(&[channel], &widest, 0.3, 0.0);
            let at = |scale: f32| plain(&weights, &means, &Params { scale, ..widest }, 0.3);
            let found = at(scale);
            assert!(found <= at(widest.scale), "{count}");
            for i in 0..STEPS {
                let share = NARROWEST + (WIDEST - NARROWEST) * i as f32 / (STEPS - 1) as f32;
                assert!(found <= at(widest.scale * share) * 1.001, "{count}: {share}");
            }
        }
    }

    #[test]
    fn the_shift_of_a_short_filter_behind_a_relu_goes() {
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..50 {
            let (weights, means) = (numbers(9, seed), vec![1.0; 9]);
            let widest = widest(&weights);
            let scale = best_scale(&[Channel { weights: &weights, means: &means }], &widest, 0.2, 0.0);
            before += plain(&weights, &means, &widest, 0.2);
            after += plain(&weights, &means, &Params { scale, ..widest }, 0.2);
        }
        assert!(after < before / 2.0, "{before} became {after}");
    }

    #[test]
    fn a_least_scale_is_kept_and_zeros_change_nothing() {
        let weights = numbers(16, 5);
        let (widest, means) = (widest(&weights), vec![0.0; 16]);
        let least = widest.scale * 1.4;
        let channel = || Channel { weights: &weights, means: &means };
        assert!(best_scale(&[channel()], &widest, 1.0, least) >= least);
        let zeros = [0.0; 16];
        let dead = Channel { weights: &zeros, means: &means };
        assert_eq!(best_scale(&[dead], &Params::from_range(0.0, 0.0, S8), 1.0, 0.0), 1.0);
    }
}
