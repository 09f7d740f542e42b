//! Equalization of layers that follow each other: where nothing between two of them but what keeps factors, each channel of the
//! first is divided by a factor of its own and the weights of the second that meet it are multiplied by it, so that no channel is
//! lost in the steps that the largest one asks for.
//!
//! After Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction (2019, arXiv:1906.04721), section 4.1:
//! the factor of a channel is the root of the largest weight that makes it over the largest that reads it. Two things differ.
//! Factors are powers of two, so that the float model stays the same bit for bit, as long as nothing leaves the normal numbers. And
//! a pair gets them only where the error falls that the rounding of both weights and of what lies between leaves behind the second.

mod graph;
mod hard_swish;
mod weights;

pub use graph::{Pair, equalize, equalized_name, form, is_named, lie, pairs};
pub(super) use graph::{is_floats, pads_with_zeros, scale};
pub use hard_swish::HardSwish;
pub use weights::{Form, Weights};

use crate::quant::{Params, Scheme};

/// The largest power of two that a channel is divided or multiplied by.
pub const LARGEST: i32 = 20;
/// So many dB less error make a pair worth a change: less is what an estimate is off by.
const LEAST_GAIN_DB: f64 = 0.1;
/// No weight counts as smaller than the largest times this: what is hardly ever used must not get a factor without bounds.
const LEAST_SHARE: f64 = 1e-4;
/// A layer between two others is changed from both sides in turn; so many turns are enough for long chains.
const TURNS: usize = 20;
/// Below an upper bound, a channel is made larger until the largest number that was seen is at most the bound by this power of two:
/// samples that come later may go beyond it.
const ROOM: i32 = -2;

/// A layer and how its weights become integers.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its weights.
    pub weights: Weights,
    /// Whether each output channel has a scale of its own.
    pub by_channel: bool,
    /// How they become integers.
    pub scheme: Scheme,
}

/// What was seen of the channels of a value.
#[derive(Debug, Clone)]
pub struct Channels {
    /// The smallest and largest number of each, zero counted in.
    pub ends: Vec<(f64, f64)>,
    /// The mean square of each.
    pub power: Vec<f64>,
}

impl Channels {
    fn divide(&mut self, factors: &[f64]) {
        for ((ends, power), factor) in self.ends.iter_mut().zip(&mut self.power).zip(factors) {
            *ends = (ends.0 / factor, ends.1 / factor);
            *power /= factor * factor;
        }
    }
}

/// Two layers that follow each other, and the values around them, by their places among all.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The layer that makes the channels.
    pub first: usize,
    /// The layer that reads them.
    pub second: usize,
    /// What the first reads.
    pub input: usize,
    /// What lies between, where it gets its grid.
    pub grid: usize,
    /// What the second reads, which may be the same.
    pub read: usize,
    /// The number at which what lies between is cut off.
    pub bound: Option<f64>,
    /// How what lies between becomes integers.
    pub scheme: Scheme,
}

/// The powers of two that the channels between the layers of each of `links` are to be divided by; all zero where nothing is
/// gained. Layers and values become what they are then.
pub fn balance(layers: &mut [Layer], values: &mut [Channels], links: &[Link]) -> Vec<Vec<i32>> {
    let mut all: Vec<Vec<i32>> = links.iter().map(|link| vec![0; layers[link.first].weights.form().outputs]).collect();
    for _ in 0..TURNS {
        let mut changed = false;
        for (link, total) in links.iter().zip(&mut all) {
            let Some(exponents) = link.exponents(layers, values) else { continue };
            if total.iter().zip(&exponents).any(|(total, more)| (total + more).abs() > LARGEST) {
                continue;
            }
            total.iter_mut().zip(&exponents).for_each(|(total, more)| *total += more);
            let factors: Vec<f64> = exponents.iter().map(|&exponent| 2f64.powi(exponent)).collect();
            layers[link.first].weights.divide_outputs(&factors);
            layers[link.second].weights.multiply_inputs(&factors);
            values[link.grid].divide(&factors);
            if link.read != link.grid {
                values[link.read].divide(&factors);
            }
            changed = true;
        }
        if !changed {
            break;
        }
    }
    all
}

impl Link {
    /// The powers of two that its channels are to be divided by now; `None` where that gains too little.
    fn exponents(&self, layers: &[Layer], values: &[Channels]) -> Option<Vec<i32>> {
        let (first, second) = (&layers[self.first], &layers[self.second]);
        let logs: Vec<f64> = if first.by_channel && second.by_channel && second.is_depthwise() {
            // Integers of weights stay what they are: what lies between may fill its grid.
            let reach = values[self.grid].ends.iter().map(|&(low, high)| high.max(-low)).collect();
            floored(reach).into_iter().map(f64::log2).collect()
        } else {
            let (made, read) = (floored(first.weights.of_outputs()), floored(second.weights.of_inputs()));
            made.iter().zip(&read).map(|(made, read)| (made / read).log2() / 2.0).collect()
        };
        let exponents = powers(&logs, self.bound, &values[self.grid].ends);
        let squares = second.weights.squares_of_inputs();
        let error = |exponents: &[i32]| {
            let factors: Vec<f64> = exponents.iter().map(|&exponent| 2f64.powi(exponent)).collect();
            self.error(layers, values, &squares, &factors)
        };
        let (before, after) = (error(&vec![0; logs.len()]), error(&exponents));
        let worth = before.is_finite() && after * 10f64.powf(LEAST_GAIN_DB / 10.0) <= before;
        worth.then_some(exponents)
    }

    /// The error behind the second layer of rounding both weights and what lies between.
    fn error(&self, layers: &[Layer], values: &[Channels], squares: &[f64], factors: &[f64]) -> f64 {
        let (first, second) = (&layers[self.first], &layers[self.second]);
        // What the first layer makes is off by its weights' rounding times what it reads.
        let made: Vec<f64> = first.weights.of_outputs().iter().zip(factors).map(|(most, f)| most / f).collect();
        let power = first.weights.power_of_outputs(&values[self.input].power);
        let heard = squares.iter().zip(factors).map(|(square, f)| square * f * f);
        let of_first: f64 =
            first.variances(&made).iter().zip(power).zip(heard.clone()).map(|((v, p), h)| v * p * h).sum();
        let ends = values[self.grid]
            .ends
            .iter()
            .zip(factors)
            .fold((0f64, 0f64), |(least, most), (ends, f)| (least.min(ends.0 / f), most.max(ends.1 / f)));
        let of_grid = rounding(ends, self.scheme) * heard.sum::<f64>();
        let power: Vec<f64> = values[self.read].power.iter().zip(factors).map(|(power, f)| power / (f * f)).collect();
        let made = second.weights.of_outputs_with(factors);
        let power = second.weights.power_of_outputs(&power);
        let of_second: f64 = second.variances(&made).iter().zip(power).map(|(v, p)| v * p).sum();
        of_first + of_grid + of_second
    }
}

impl Layer {
    /// Whether each output channel is made of one input channel alone.
    fn is_depthwise(&self) -> bool {
        let form = self.weights.form();
        form.groups == form.inputs && form.inputs == form.outputs
    }

    /// The variance of rounding the weights of each output, the largest of which are these.
    fn variances(&self, largest: &[f64]) -> Vec<f64> {
        let of = |most: f64| if most > 0.0 { rounding((-most, most), self.scheme) } else { 0.0 };
        if self.by_channel {
            return largest.iter().map(|&most| of(most)).collect();
        }
        vec![of(largest.iter().copied().fold(0.0, f64::max)); largest.len()]
    }
}

/// The numbers, none below a small share of the largest.
fn floored(mut numbers: Vec<f64>) -> Vec<f64> {
    let largest = numbers.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    numbers.iter_mut().for_each(|number| *number = number.max(largest * LEAST_SHARE));
    numbers
}

/// Logarithms as powers of two by which channels may be divided that are cut off at a bound, if there is one, and of which these ends
/// were seen.
pub fn powers(logs: &[f64], bound: Option<f64>, ends: &[(f64, f64)]) -> Vec<i32> {
    bound.map_or_else(|| rounded(logs, |_| true), |bound| below(logs, bound, ends))
}

/// Logarithms as powers of two, about 1 in the geometric mean of those that count.
fn rounded(logs: &[f64], counts: impl Fn(usize) -> bool) -> Vec<i32> {
    let own: Vec<f64> = logs.iter().enumerate().filter(|(channel, _)| counts(*channel)).map(|(_, log)| *log).collect();
    let middle = own.iter().sum::<f64>() / own.len().max(1) as f64;
    logs.iter().map(|log| ((log - middle).round() as i32).clamp(-LARGEST, LARGEST)).collect()
}

/// The same below an upper bound: a channel that reaches it stays as it is, and no other is made so large that it would, with some
/// room for what was not seen. One of which nothing positive was seen is not made larger at all.
fn below(logs: &[f64], bound: f64, ends: &[(f64, f64)]) -> Vec<i32> {
    let reaches = |channel: usize| ends[channel].1 >= bound * (1.0 - 1e-6);
    let any = (0..logs.len()).any(reaches);
    let mut exponents = rounded(logs, |channel| !any || reaches(channel));
    for (channel, exponent) in exponents.iter_mut().enumerate() {
        let most = ends[channel].1;
        let least = if most > 0.0 { ((most / bound).log2().ceil() as i32 - ROOM).min(0) } else { 0 };
        *exponent = if reaches(channel) { 0 } else { (*exponent).max(least) };
    }
    exponents
}

/// The variance of rounding on a grid for these ends; infinite where float32 does not hold them.
fn rounding((low, high): (f64, f64), scheme: Scheme) -> f64 {
    let (low, high) = (low as f32, high as f32);
    if !low.is_finite() || !high.is_finite() {
        return f64::INFINITY;
    }
    f64::from(Params::from_range(low, high, scheme).scale).powi(2) / 12.0
}

#[cfg(test)]
mod tests;
