//! Smoothing of what layers read: each channel is divided by a factor of its own, and the weights that it meets are multiplied by it, so that a few large channels no longer set the grid for all others. After Xiao et al., SmoothQuant (2022,
//! arXiv:2211.10438), where the factor of a channel is max|x|^alpha / max|w|^(1 - alpha). Here alpha is chosen for each value by the
//! error that the rounding of both sides leaves behind the layers, and factors are powers of two: the model in float stays the
//! same, bit for bit, as long as nothing leaves the normal numbers.

mod graph;
mod moves;

pub use graph::{Product, Read, smooth, smooth_read, smoothed_name};
pub use moves::{Along, before};

use super::equalize::Form;
use crate::quant::{Moments, Params, Scheme};

/// So many dB less error is worth an operator more.
const LEAST_GAIN_DB: f64 = 2.0;
/// The exponents that are tried for alpha, in twentieths.
const ALPHAS: std::ops::RangeInclusive<i32> = 6..=20;
/// No channel counts as smaller than the largest times this: what is hardly ever used must not get a factor without bounds.
const LEAST_SHARE: f64 = 1e-4;
/// The largest power of two.
pub const LARGEST: i32 = 30;

/// What was seen of a value that layers read.
pub struct Seen<'a> {
    /// The smallest and largest number of each channel, zero counted in.
    pub ends: &'a [(f32, f32)],
    /// The mean of each channel, and the variance within them.
    pub moments: &'a Moments,
    /// How its numbers become integers.
    pub scheme: Scheme,
}

/// A weight that the channels are multiplied by.
pub struct Weight<'a> {
    /// Its numbers.
    pub numbers: &'a [f32],
    /// How they lie: what input channel and what output each is for.
    pub form: Form,
    /// Whether each output channel has a scale of its own.
    pub by_channel: bool,
    /// How its numbers become integers.
    pub scheme: Scheme,
}

/// The powers of two that the channels of a value are to be divided by; `None` where that gains too little.
pub fn exponents(seen: &Seen<'_>, weights: &[Weight<'_>]) -> Option<Vec<i32>> {
    let channels = seen.ends.len();
    if channels < 2 || weights.iter().any(|weight| !weight.is_of(channels)) || seen.moments.means.len() != channels {
        return None;
    }
    let squares = squares(weights, channels);
    let power = power(seen);
    let error = |exponents: &[i32]| {
        let factors: Vec<f64> = exponents.iter().map(|&exponent| 2f64.powi(exponent)).collect();
        of_activations(seen, &squares, &factors) + of_weights(weights, &power, &factors)
    };
    let sizes = floored(seen.ends.iter().map(|&(low, high)| f64::from(high.max(-low))).collect());
    let rows = floored(largest(weights, channels));
    let plain = error(&vec![0; channels]);
    let tried = ALPHAS.map(|twentieths| {
        let exponents = powers(&sizes, &rows, f64::from(twentieths) / 20.0);
        (error(&exponents), exponents)
    });
    let (least, exponents) = tried.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let worth = plain.is_finite() && least * 10f64.powf(LEAST_GAIN_DB / 10.0) <= plain;
    worth.then_some(exponents)
}

/// The factors for one alpha, about 1 in the geometric mean.
fn powers(sizes: &[f64], rows: &[f64], alpha: f64) -> Vec<i32> {
    let logs: Vec<f64> =
        sizes.iter().zip(rows).map(|(size, row)| alpha * size.log2() - (1.0 - alpha) * row.log2()).collect();
    let middle = logs.iter().sum::<f64>() / logs.len() as f64;
    logs.iter().map(|log| ((log - middle).round() as i32).clamp(-LARGEST, LARGEST)).collect()
}

/// The numbers, none below a small share of the largest.
fn floored(mut numbers: Vec<f64>) -> Vec<f64> {
    let largest = numbers.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    numbers.iter_mut().for_each(|number| *number = number.max(largest * LEAST_SHARE));
    numbers
}

impl Weight<'_> {
    /// Whether it has numbers for so many channels, and as many as its form says.
    fn is_of(&self, channels: usize) -> bool {
        self.form.inputs == channels && self.form.count() == self.numbers.len()
    }

    /// Shows each of its numbers with its channel and its output.
    fn each(&self, mut look: impl FnMut(usize, usize, f64)) {
        let Form { outputs, inputs, groups, taps, inputs_first } = self.form;
        let [of_group, width] = [outputs / groups, inputs / groups];
        let [row, others] = if inputs_first { [of_group, width] } else { [width, of_group] };
        for (first, numbers) in self.numbers.chunks_exact((row * taps).max(1)).enumerate() {
            let base = first / others * row;
            for (second, numbers) in numbers.chunks_exact(taps).enumerate() {
                let (channel, output) = if inputs_first { (first, base + second) } else { (base + second, first) };
                numbers.iter().for_each(|&number| look(channel, output, f64::from(number)));
            }
        }
    }

    /// The scale that an output shares with those of other groups: a transposed convolution has one for each in a group.
    fn scale_of(&self, output: usize) -> usize {
        let Form { outputs, groups, inputs_first, .. } = self.form;
        if inputs_first && groups > 1 { output % (outputs / groups) } else { output }
    }
}

/// The largest weight that each channel meets.
fn largest(weights: &[Weight<'_>], channels: usize) -> Vec<f64> {
    let mut found = vec![0f64; channels];
    for weight in weights {
        weight.each(|channel, _, number| found[channel] = found[channel].max(number.abs()));
    }
    found
}

/// The sum of squares of the weights that each channel meets.
fn squares(weights: &[Weight<'_>], channels: usize) -> Vec<f64> {
    let mut found = vec![0f64; channels];
    for weight in weights {
        weight.each(|channel, _, number| found[channel] += number * number);
    }
    found
}

/// The mean square of each channel: the variance within channels is theirs by the squares of their extents.
fn power(seen: &Seen<'_>) -> Vec<f64> {
    let extent = |&(low, high): &(f32, f32)| f64::from(high - low).powi(2);
    let mean = seen.ends.iter().map(extent).sum::<f64>() / seen.ends.len() as f64;
    let share = f64::from(seen.moments.variance) / mean.max(f64::MIN_POSITIVE);
    seen.ends
        .iter()
        .zip(&seen.moments.means)
        .map(|(ends, mean)| f64::from(*mean).powi(2) + extent(ends) * share)
        .collect()
}

/// The variance of rounding on a grid for these ends; infinite where float32 does not hold them.
fn rounding((low, high): (f64, f64), scheme: Scheme) -> f64 {
    let (low, high) = (low as f32, high as f32);
    if !low.is_finite() || !high.is_finite() {
        return f64::INFINITY;
    }
    f64::from(Params::from_range(low, high, scheme).scale).powi(2) / 12.0
}

/// The error behind the layers of rounding what they read.
fn of_activations(seen: &Seen<'_>, squares: &[f64], factors: &[f64]) -> f64 {
    let ends = seen.ends.iter().zip(factors).fold((0f64, 0f64), |(least, most), (&(low, high), factor)| {
        (least.min(f64::from(low) / factor), most.max(f64::from(high) / factor))
    });
    rounding(ends, seen.scheme)
        * squares.iter().zip(factors).map(|(square, factor)| square * factor * factor).sum::<f64>()
}

/// The error behind the layers of rounding weights.
fn of_weights(weights: &[Weight<'_>], power: &[f64], factors: &[f64]) -> f64 {
    let scaled: Vec<f64> = power.iter().zip(factors).map(|(power, factor)| power / (factor * factor)).collect();
    let of_one = |weight: &Weight<'_>| {
        let Form { outputs, inputs, groups, taps, .. } = weight.form;
        let read: Vec<f64> =
            scaled.chunks(inputs / groups).map(|group| group.iter().sum::<f64>() * taps as f64).collect();
        let mut ends = vec![(0f64, 0f64); outputs];
        weight.each(|channel, output, number| {
            let (number, (low, high)) = (number * factors[channel], &mut ends[weight.scale_of(output)]);
            *low = low.min(number);
            *high = high.max(number);
        });
        let all = joined(&ends);
        let of_output = |output: usize| {
            let ends = if weight.by_channel { ends[weight.scale_of(output)] } else { all };
            rounding(ends, weight.scheme) * read[output / (outputs / groups)]
        };
        (0..outputs).map(of_output).sum::<f64>()
    };
    weights.iter().map(of_one).sum()
}

/// The ends of all.
fn joined(all: &[(f64, f64)]) -> (f64, f64) {
    all.iter().fold((0f64, 0f64), |all, ends| (all.0.min(ends.0), all.1.max(ends.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build;
    use crate::quant::GridType;

    const CHANNELS: usize = 16;

    fn matrix(inputs: usize, outputs: usize, inputs_first: bool) -> Form {
        Form { outputs, inputs, groups: 1, taps: 1, inputs_first }
    }

    fn smoothed(large: f32, transposed: bool, by_channel: bool) -> Option<Vec<i32>> {
        let ends: Vec<_> = (0..CHANNELS).map(|c| if c == 3 { (-large, large) } else { (-1.0, 1.0) }).collect();
        let moments = Moments { means: vec![0.0; CHANNELS], variance: 0.1 };
        let seen = Seen { ends: &ends, moments: &moments, scheme: Scheme::new(GridType::Uint8, false) };
        let numbers = build::noise(CHANNELS * 8, 3);
        let turned: Vec<f32> = (0..CHANNELS * 8).map(|i| numbers[i % CHANNELS * 8 + i / CHANNELS]).collect();
        let numbers = if transposed { &turned } else { &numbers };
        let form = matrix(CHANNELS, 8, !transposed);
        exponents(&seen, &[Weight { numbers, form, by_channel, scheme: Scheme::new(GridType::Int8, true) }])
    }

    #[test]
    fn a_channel_larger_than_the_others_is_made_smaller() {
        for (transposed, by_channel) in [(false, true), (true, true), (false, false)] {
            let found = smoothed(64.0, transposed, by_channel).expect("much is gained");
            assert!((0..CHANNELS).all(|c| c == 3 || found[3] >= found[c] + 3), "{found:?}");
        }
        assert_eq!(smoothed(64.0, false, true), smoothed(64.0, true, true));
    }

    #[test]
    fn channels_that_are_alike_stay_as_they_are() {
        assert_eq!(smoothed(1.0, false, true), None);
    }

    #[test]
    fn dead_channels_and_numbers_of_nothing_have_bounds() {
        let ends = [(0.0, 0.0), (-1.0, 90.0), (0.0, 1e-30), (-1.0, 0.5)];
        let moments = Moments { means: vec![0.0, 1.0, 0.0, 0.0], variance: 1.0 };
        let seen = Seen { ends: &ends, moments: &moments, scheme: Scheme::new(GridType::Uint8, false) };
        let scheme = Scheme::new(GridType::Int8, true);
        let form = matrix(4, 2, true);
        let numbers = [0.1, 0.2, 0.0, 0.0, 0.3, -0.1, 0.5, 0.5];
        let weight = Weight { numbers: &numbers, form, by_channel: true, scheme };
        let found = exponents(&seen, &[weight]).expect("something is gained");
        assert!(found.iter().all(|e| e.abs() <= 14), "{found:?}");
        let huge = [3e38, 1e38, 3e38, 3e38, 3e38, 3e38, 3e38, 3e38];
        let huge = Weight { numbers: &huge, form, by_channel: true, scheme };
        let fits = |found: Vec<i32>| (0..4).all(|c| (3e38 * 2f32.powi(found[c])).is_finite());
        assert!(exponents(&seen, &[huge]).is_none_or(fits));
        let nothing = Weight { numbers: &[0.0; 8], form, by_channel: true, scheme };
        let found = exponents(&seen, &[nothing]);
        assert!(found.is_none_or(|found| found.iter().all(|e| e.abs() <= LARGEST)));
    }
}
