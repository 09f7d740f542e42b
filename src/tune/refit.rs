//! Sequential refit of channels: walking the layers in order on quantized inputs, each output channel gets the gain and the mean
//! that it has in float. The gain goes into the scale of its weights, the mean into its bias, so that neither costs anything when
//! the model runs.
//!
//! The mean alone is the empirical bias correction of Nagel et al., Data-Free Quantization Through Weight Equalization and Bias
//! Correction (2019), section 4.2.

use crate::exec::Correction;
use crate::ir::NodeId;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The least and the largest gain: what asks for more is no rounding of weights.
const GAINS: (f64, f64) = (0.8, 1.25);
/// So many numbers of a channel each sample must have. Where there are fewer, as in the head of a classifier, they tell more of the
/// samples than of rounding.
const LEAST: usize = 16;
/// So many sums are taken side by side.
const LANES: usize = 8;

/// What the output channels of a layer are multiplied by, and what is then added to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Refit {
    /// The factor of each.
    pub gains: Vec<f32>,
    /// The addend of each.
    pub shifts: Vec<f32>,
}

impl Refit {
    /// The same of a layer that is refitted by `before` already, as one.
    #[must_use]
    pub fn behind(self, before: &Self) -> Self {
        let gains = self.gains.iter().zip(&before.gains).map(|(gain, before)| gain * before).collect();
        let shifts = self.gains.iter().zip(&self.shifts).zip(&before.shifts);
        Self { gains, shifts: shifts.map(|((gain, shift), before)| gain * before + shift).collect() }
    }
}

/// A layer that can be refitted.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The node.
    pub node: NodeId,
    /// The axis along which its output channels lie, counted from the end where it is negative.
    pub axis: i8,
    /// Whether each channel has a scale of its own, which nobody else uses.
    pub gain: bool,
    /// Whether there is a place for a bias.
    pub shift: bool,
    /// The steps of that bias before any gain, one for all channels or one for each; empty where it is no integer, or not the
    /// layer's own.
    pub steps: Vec<f32>,
}

impl Layer {
    /// The axis of a tensor of this shape along which its output channels lie.
    fn axis_of(&self, shape: &[usize]) -> Option<usize> {
        let axis = if self.axis < 0 {
            shape.len().checked_sub(usize::from(self.axis.unsigned_abs()))
        } else {
            Some(usize::from(self.axis.unsigned_abs()))
        };
        axis.filter(|&axis| axis < shape.len())
    }

    /// Gain and shift as the layer can have them: a bias of integers has no shift between two steps. The layers behind it then see
    /// what is left, and are refitted to that.
    fn rounded(&self, channel: usize, (gain, shift): (f64, f64)) -> (f64, f64) {
        let step = self.steps.get(channel % self.steps.len().max(1)).map(|&step| f64::from(step) * gain);
        let rounded = step.filter(|step| *step > 0.0).map(|step| (shift / step).round_ties_even() * step);
        (gain, rounded.unwrap_or(shift))
    }
}

/// Refits layers while samples run side by side.
pub struct Refitting {
    layers: HashMap<usize, Layer>,
    /// What was seen of the layer that is being refitted.
    seen: Mutex<Vec<Seen>>,
    /// What was found so far, in the order of the layers.
    pub found: Vec<(NodeId, Refit)>,
}

/// What a sample shows of a layer: sums over each channel, whose numbers follow each other in blocks of `inner`.
struct Seen {
    sample: usize,
    inner: usize,
    sums: Vec<Sums>,
}

impl Refitting {
    /// Refits these layers, by their places among all that are shown.
    pub fn new(layers: HashMap<usize, Layer>) -> Self {
        Self { layers, seen: Mutex::default(), found: Vec::new() }
    }

    /// Whether layer `layer` is one of them.
    pub fn refits(&self, layer: usize) -> bool {
        self.layers.contains_key(&layer)
    }

    /// Takes in what layer `layer` made of a sample, in float and rounded: tensors of shape `shape`. Any thread may, in any order.
    pub fn see(&self, layer: usize, shape: &[usize], sample: usize, float: &[f32], rounded: &[f32]) {
        let axis = self.layers.get(&layer).and_then(|layer| layer.axis_of(shape));
        let Some(axis) = axis else { return };
        let (channels, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        if float.len() < LEAST * channels.max(1) {
            return;
        }
        let mut sums = vec![Sums::default(); channels];
        for (at, (float, rounded)) in float.chunks_exact(inner).zip(rounded.chunks_exact(inner)).enumerate() {
            sums[at % channels].add(float, rounded);
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { sample, inner, sums });
    }

    /// What is to be done to what layer `layer` makes, by what was seen of it. Nothing, where that would not help each sample by what
    /// all others say.
    pub fn settle(&mut self, layer: usize) -> Option<Correction> {
        let mut seen = std::mem::take(self.seen.get_mut().unwrap_or_else(PoisonError::into_inner));
        // Sums of floats depend on their order.
        seen.sort_by_key(|seen| seen.sample);
        let layer = self.layers.get(&layer)?;
        let first = seen.first()?;
        let (channels, inner) = (first.sums.len(), first.inner);
        // One correction is for samples of one shape.
        if seen.iter().any(|seen| (seen.sums.len(), seen.inner) != (channels, inner)) {
            return None;
        }
        let of_channel = |channel: usize| seen.iter().map(|seen| seen.sums[channel]).collect::<Vec<Sums>>();
        let fitted: Vec<(f64, f64)> =
            (0..channels).map(|channel| layer.rounded(channel, fit(&of_channel(channel), layer))).collect();
        let (mut before, mut after) = (0.0, 0.0);
        for channel in 0..channels {
            let all = of_channel(channel);
            for (sample, own) in all.iter().enumerate() {
                let mut others = all.clone();
                others.swap_remove(sample);
                let (gain, shift) = layer.rounded(channel, fit(&others, layer));
                before += own.error(1.0, 0.0);
                after += own.error(gain, shift);
            }
        }
        if after.partial_cmp(&before) != Some(Ordering::Less) {
            return None;
        }
        let (gains, shifts): (Vec<f32>, Vec<f32>) =
            fitted.into_iter().map(|(gain, shift)| (gain as f32, shift as f32)).unzip();
        self.found.push((layer.node, Refit { gains: gains.clone(), shifts: shifts.clone() }));
        Some(Correction { inner, gains, shifts })
    }
}

/// Sums over a channel of a sample.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    float: f64,
    rounded: f64,
    float_squares: f64,
    squares: f64,
    products: f64,
}

impl Sums {
    /// Adds a block of numbers in float and rounded.
    fn add(&mut self, float: &[f32], rounded: &[f32]) {
        let mut lanes = [[0.0f64; LANES]; 5];
        let mut take = |float: &[f32], rounded: &[f32]| {
            for (lane, (&float, &rounded)) in float.iter().zip(rounded).enumerate() {
                let (float, rounded) = (f64::from(float), f64::from(rounded));
                lanes[0][lane] += float;
                lanes[1][lane] += rounded;
                lanes[2][lane] += float * float;
                lanes[3][lane] += rounded * rounded;
                lanes[4][lane] += float * rounded;
            }
        };
        let (floats, others) = (float.chunks_exact(LANES), rounded.chunks_exact(LANES));
        let rest = (floats.remainder(), others.remainder());
        floats.zip(others).for_each(|(float, rounded)| take(float, rounded));
        take(rest.0, rest.1);
        let [sum_of_float, sum, float_squares, squares, products] = lanes.map(|lanes| lanes.iter().sum::<f64>());
        self.count += float.len() as f64;
        self.float += sum_of_float;
        self.rounded += sum;
        self.float_squares += float_squares;
        self.squares += squares;
        self.products += products;
    }

    /// What is left of these sums without, or more with, `sign` times those of `other`.
    fn with(self, other: &Self, sign: f64) -> Self {
        Self {
            count: self.count + sign * other.count,
            float: self.float + sign * other.float,
            rounded: self.rounded + sign * other.rounded,
            float_squares: self.float_squares + sign * other.float_squares,
            squares: self.squares + sign * other.squares,
            products: self.products + sign * other.products,
        }
    }

    /// The sum of squares of what is left between float and `gain * rounded + shift`.
    fn error(&self, gain: f64, shift: f64) -> f64 {
        self.float_squares + gain * gain * self.squares + shift * shift * self.count
            - 2.0 * gain * self.products
            - 2.0 * shift * self.float
            + 2.0 * gain * shift * self.rounded
    }

    /// By how much the mean in float exceeds the rounded one, and the gain of least error.
    fn estimate(&self, layer: &Layer) -> [f64; 2] {
        let (float, rounded) = (self.float / self.count, self.rounded / self.count);
        let (variance, covariance) = match layer.shift {
            true => (self.squares / self.count - rounded * rounded, self.products / self.count - float * rounded),
            false => (self.squares / self.count, self.products / self.count),
        };
        let gain = covariance / variance;
        let gain = if layer.gain && gain.is_finite() { gain.clamp(GAINS.0, GAINS.1) } else { 1.0 };
        [if layer.shift { float - rounded } else { 0.0 }, gain - 1.0]
    }
}

/// Gain and shift of a channel by its sums over samples. An estimate that varies from sample to sample is believed by that much
/// less: its error is known by leaving out one sample after the other (the jackknife of Quenouille and Tukey), and what is kept
/// of it is what shrinking by `1 - error / square` leaves.
fn fit(samples: &[Sums], layer: &Layer) -> (f64, f64) {
    let all = samples.iter().fold(Sums::default(), |all, one| all.with(one, 1.0));
    if all.count == 0.0 || samples.len() < 2 {
        return (1.0, 0.0);
    }
    let estimates = all.estimate(layer);
    let without: Vec<[f64; 2]> = samples.iter().map(|one| all.with(one, -1.0).estimate(layer)).collect();
    let count = samples.len() as f64;
    let [mean, gain] = [0, 1].map(|k| {
        let middle = without.iter().map(|one| one[k]).sum::<f64>() / count;
        let error = without.iter().map(|one| (one[k] - middle).powi(2)).sum::<f64>() * (count - 1.0) / count;
        let kept = 1.0 - error / estimates[k].powi(2);
        if kept.is_finite() { estimates[k] * kept.max(0.0) } else { 0.0 }
    });
    let rounded = if layer.shift { all.rounded / all.count } else { 0.0 };
    // The gain is about the mean.
    (1.0 + gain, mean - gain * rounded)
}

#[cfg(test)]
mod tests;
