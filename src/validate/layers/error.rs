//! How wrong a value is, and how wrong it may be.

use super::super::metrics::Sums;
use super::grid::{CutOff, GridSums};
use super::places::Place;
use super::suspect::{Cause, RANGE_DB, Suspect, WEIGHTS_DB, steps_db};
use crate::error::Result;
use crate::quant::HalfType;
use crate::tensor::Tensor;
use serde::Serialize;

/// Error beside the signal that float32 arithmetic in another order may make: 70 dB.
const FLOAT_NOISE: f64 = 1e-7;
/// By how many dB the error of the worst of many channels may exceed the expected one by chance: each is one draw.
const CHANCE_DB: f64 = 12.0;
/// The error of one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerError {
    /// The value's name, the same in both models; of one that only the quantized model has nothing is told but a suspect grid, or what it cuts off.
    pub value: String,
    /// The node of the quantized model that makes it, by the name it has once the model is turned back; empty for an input of
    /// the model.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Whether only the quantized model has it: then nothing but its grid is looked at.
    pub only_quantized: bool,
    /// SQNR in dB of the layer by itself: fed what the original model has there, and rounded to its own grid. `None` where there
    /// is no error, or nothing to compare.
    pub alone_db: Option<f64>,
    /// SQNR in dB of the value as the whole quantized model has it.
    pub accumulated_db: Option<f64>,
    /// By how many dB the error that its weights and bias make exceeds what rounding to their steps makes.
    pub weights_excess_db: Option<f64>,
    /// By how many dB the error of its own grid, what it cuts off included, exceeds that of the narrowest one that covers all that
    /// the original has there.
    pub grid_excess_db: Option<f64>,
    /// The same of the numbers within the ends of its grid alone: how much too wide it is.
    pub steps_excess_db: Option<f64>,
    /// What its grid cuts off.
    pub cut_off: Option<CutOff>,
    /// What is wrong with it, if its error is larger than its types explain.
    pub suspect: Option<Suspect>,
}

impl LayerError {
    /// By how many dB its error exceeds what its types explain, as far as that counts.
    pub fn excess_db(&self) -> f64 {
        let known = || self.weights_excess_db.into_iter().chain(self.steps_excess_db).fold(f64::NEG_INFINITY, f64::max);
        self.suspect.map_or_else(known, |suspect| suspect.excess_db)
    }

    /// Whether its error is larger than its types explain.
    pub fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// What is wrong with it, as a sentence without its end.
    pub fn why(&self) -> Option<String> {
        let Suspect { cause, excess_db } = self.suspect?;
        Some(match (cause, self.cut_off) {
            (Cause::Range, Some(cut)) => format!("its grid cuts off too much: {cut}"),
            (Cause::Weights, _) => format!("{cause} are off by {excess_db:.0} dB more than their types explain"),
            _ => format!("{cause} is off by {excess_db:.0} dB more than its type explains"),
        })
    }

    /// What its grid cuts off, where that is most of its error and no fault.
    pub fn rarely_cut(&self) -> Option<CutOff> {
        let is_most = self.grid_excess_db.is_some_and(|db| db >= RANGE_DB);
        self.cut_off.filter(|cut| is_most && !cut.is_fault())
    }
}

/// Sums over one value of one sample.
#[derive(Debug, Clone, Default)]
pub(super) struct LayerSums {
    alone: Option<Sums>,
    accumulated: Option<Sums>,
    /// Error of weights and bias, and what is expected of it, for each channel.
    channels: Vec<[f64; 2]>,
    grid: Option<GridSums>,
}

impl LayerSums {
    /// Of a value that the original has as `reference`, and that comes out of the layer alone, of the layer with shaken
    /// weights, and of the whole model.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn of(place: &Place, reference: Option<&Tensor>, runs: [&Option<Tensor>; 3]) -> Result<Self> {
        let Some(reference) = reference else { return Ok(Self::default()) };
        let numbers = reference.to_f32()?;
        let alike = |run: &Option<Tensor>| {
            let run = run.as_ref().filter(|run| run.shape() == reference.shape());
            run.map(|run| run.to_f32().map(std::borrow::Cow::into_owned)).transpose()
        };
        let [alone, shaken, accumulated] = runs.map(alike);
        let (alone, shaken) = (alone?, shaken?);
        let grid = place.grid.map(|grid| GridSums::of(&grid, &numbers));
        let as_is = place.node.is_empty().then(|| numbers.to_vec());
        let channels = match (&alone, &shaken) {
            (Some(alone), Some(shaken)) if !place.has_bodies => {
                by_channel(reference.shape(), place.axis, &numbers, alone, shaken)
            }
            _ => Vec::new(),
        };
        let (read, rounded) = (|v: f32| place.read(v), |v: f32| place.rounded(v));
        let all = |numbers: &[f32], as_: &dyn Fn(f32) -> f32| numbers.iter().map(|&v| as_(v)).collect::<Vec<f32>>();
        let reference = all(&numbers, &read);
        Ok(Self {
            alone: alone.or(as_is).map(|alone| Sums::of(&reference, &all(&alone, &rounded))),
            accumulated: accumulated?.map(|run| Sums::of(&reference, &all(&run, &read))),
            channels,
            grid,
        })
    }
}

impl LayerSums {
    /// Adds those of another run of the same layer.
    pub fn add(&mut self, other: Self) {
        let both = |one: Option<Sums>, other: Option<Sums>| match (one, other) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        self.alone = both(self.alone, other.alone);
        self.accumulated = both(self.accumulated, other.accumulated);
        if self.channels.len() < other.channels.len() {
            self.channels.resize(other.channels.len(), [0.0; 2]);
        }
        for (sum, more) in self.channels.iter_mut().zip(other.channels) {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        self.grid = match (self.grid, other.grid) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
    }
}

/// Squared differences of `alone` to `reference`, and to `shaken`, for each index of the axis.
fn by_channel(shape: &[usize], axis: usize, reference: &[f32], alone: &[f32], shaken: &[f32]) -> Vec<[f64; 2]> {
    let count = shape.get(axis).copied().unwrap_or(1).max(1);
    let inner: usize = shape.get(axis + 1..).map_or(1, |rest| rest.iter().product()).max(1);
    let mut sums = vec![[0.0; 2]; count];
    for (index, ((&wanted, &found), &moved)) in reference.iter().zip(alone).zip(shaken).enumerate() {
        let sum = &mut sums[index / inner % count];
        let squared = |a: f32, b: f32| Some(f64::from(a - b).powi(2)).filter(|d| d.is_finite()).unwrap_or(0.0);
        sum[0] += squared(found, wanted);
        sum[1] += squared(moved, found);
    }
    sums
}

impl LayerError {
    /// From the sums of each sample, in the order of the samples. `halves` is the type of 16 bits that nodes compute in.
    pub(super) fn of(place: &Place, samples: &[&LayerSums], halves: Option<HalfType>) -> Self {
        let sqnr = |sums: fn(&LayerSums) -> Option<Sums>| {
            let all: Vec<Sums> = samples.iter().filter_map(|sample| sums(sample)).collect();
            let (signal, error) = all.iter().fold((0.0, 0.0), |(s, e), sums| (s + sums.reference, e + sums.error));
            (error > 0.0 && signal > 0.0).then(|| 10.0 * (signal / error).log10())
        };
        let signal: f64 = samples.iter().filter_map(|sample| sample.alone).map(|sums| sums.reference).sum();
        let share = halves.map_or(FLOAT_NOISE, half_noise);
        let noise = signal * share;
        let weights = weights_excess(place, samples, noise);
        let judged = judged(place, samples, share);
        let cut_off = judged.and_then(|(_, cut_off)| cut_off);
        let count = samples.iter().filter_map(|sample| sample.grid).map(|sums| sums.count()).sum();
        let [steps, grid] = [0, 1].map(|k| judged.map(|(excess, _)| excess[k]));
        let over = |cause: Cause, excess: Option<f64>, limit: f64| {
            excess.filter(|&excess_db| excess_db >= limit).map(|excess_db| Suspect { cause, excess_db })
        };
        let range = grid.filter(|_| cut_off.is_some_and(|cut| cut.is_fault()));
        let found = [
            over(Cause::Weights, weights, WEIGHTS_DB),
            over(Cause::Steps, steps, steps_db(count)),
            over(Cause::Range, range, RANGE_DB),
        ];
        Self {
            value: place.name.clone(),
            node: place.node.clone(),
            op_type: place.op_type.clone(),
            only_quantized: place.is_inner,
            alone_db: sqnr(|sums| sums.alone),
            accumulated_db: sqnr(|sums| sums.accumulated),
            weights_excess_db: weights,
            grid_excess_db: grid,
            steps_excess_db: steps,
            cut_off,
            suspect: found.into_iter().flatten().max_by(|a, b| a.excess_db.total_cmp(&b.excess_db)),
        }
    }
}

/// The same of arithmetic in 16 bits, 60 dB with the 11 bits of float16 and 42 dB with the 8 of bfloat16: weights, what they
/// multiply and what comes out are rounded.
fn half_noise(kind: HalfType) -> f64 {
    match kind {
        HalfType::Float16 => 1e-6,
        HalfType::Bfloat16 => 64e-6,
    }
}

fn excess(error: f64, expected: f64, noise: f64) -> f64 {
    // Where there is no signal at all, any error is too much.
    let noise = noise.max(f64::MIN_POSITIVE);
    10.0 * ((error + noise) / (expected + noise)).log10()
}

fn weights_excess(place: &Place, samples: &[&LayerSums], noise: f64) -> Option<f64> {
    let count = samples.iter().map(|sample| sample.channels.len()).min().filter(|&count| count > 0)?;
    let channel = |c: usize, k: usize| samples.iter().map(|sample| sample.channels[c][k]).sum::<f64>();
    let sums: Vec<[f64; 2]> = (0..count).map(|c| [channel(c, 0), channel(c, 1)]).collect();
    let [error, expected] = sums.iter().fold([0.0; 2], |all, one| [all[0] + one[0], all[1] + one[1]]);
    let share = expected / count as f64;
    // Of a channel with fine steps less is expected than of the mean one: a fault in it is a fault, however faint.
    let least = |c: usize| match place.steps.get(c) {
        Some(square) if place.steps.len() == count => share * square.min(1.0),
        _ => share,
    };
    let worst = sums.iter().enumerate().map(|(c, one)| excess(one[0], one[1].max(least(c)), noise / count as f64));
    let worst = worst.fold(f64::NEG_INFINITY, f64::max) - CHANCE_DB;
    Some(excess(error, expected, noise).max(worst))
}

/// The excess of the steps of a value's grid and of all that the grid does, and what it cuts off; `share` of the signal is noise.
fn judged(place: &Place, samples: &[&LayerSums], share: f64) -> Option<([f64; 2], Option<CutOff>)> {
    let grid = place.grid.filter(|grid| !grid.params.dtype.is_float())?;
    let sums = samples.iter().filter_map(|sample| sample.grid).reduce(GridSums::and)?;
    let [rounding, all, expected] = sums.errors(&grid);
    let noise = sums.signal() * share;
    Some(([rounding, all].map(|error| excess(error, expected, noise)), sums.cut_off(&grid)))
}
