//! What is kept of one value.

use super::channels::{Channels, Seen};
use super::exact_sum::ExactSum;
use super::histogram::Histogram;
use super::loudness::Loudness;
use super::positions;
use crate::quant::{ChannelAxis, Moments};
use crate::vectors::on_vectors;

/// So many numbers stay in the processor's cache from one look at them to the next.
const CACHED: usize = 1 << 17;

/// The least share of a value's variance that counts as lying within its channels.
const LEAST_WITHIN: f64 = 0.01;

/// Everything a calibrator may ask of a value. Its size does not grow with the number of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statistics {
    /// The numbers seen.
    pub(super) loudness: Loudness,
    /// The axis along which the channels of a position lie, where outliers among the positions are looked for.
    pub(super) positions: Option<ChannelAxis>,
    /// Smallest and largest number; `None` until one was seen.
    pub(super) extremes: Option<(f32, f32)>,
    /// How many samples showed the value.
    pub(super) samples: u64,
    /// Sums of each sample's smallest and largest number.
    pub(super) lows: ExactSum,
    pub(super) highs: ExactSum,
    /// The extremes of each channel, for a value whose channels were asked for.
    pub(super) channels: Option<Channels>,
}

impl Statistics {
    /// Statistics that also keep the extremes of each channel along `axis`, where there is one.
    pub fn by_channel(axis: Option<ChannelAxis>) -> Self {
        Self { channels: axis.map(Channels::new), ..Self::default() }
    }

    /// These statistics, which also tell outliers among the positions apart, whose channels lie along `axis`.
    pub fn by_position(self, axis: Option<ChannelAxis>) -> Self {
        Self { positions: axis, ..self }
    }

    /// [`Statistics::add_shaped`] of an array with a single axis.
    pub fn add(&mut self, values: &[f32]) -> bool {
        self.add_shaped(&[values.len()], values)
    }

    /// Takes in the value as one sample showed it, an array of shape `shape`. Says whether every number was finite; if not,
    /// the statistics are spoiled.
    pub fn add_shaped(&mut self, shape: &[usize], values: &[f32]) -> bool {
        let (mut ends, mut all, mut outliers) = (None, Histogram::default(), Histogram::default());
        for part in values.chunks(CACHED) {
            let Some((low, high)) = extremes(part) else { return false };
            all.add(part, high.max(-low));
            ends = wider(ends, Some((low, high)));
        }
        let Some((low, high)) = ends else { return true };
        if let Some(channels) = &mut self.channels {
            channels.add(shape, values);
        }
        if let Some(axis) = self.positions {
            outliers.add(&positions::outliers(values, shape, axis), high.max(-low));
        }
        self.loudness.merge(&Loudness::of_sample(all, outliers));
        self.extremes = wider(self.extremes, ends);
        self.samples += 1;
        self.lows.add(low);
        self.highs.add(high);
        true
    }

    /// Takes over what another one saw.
    pub fn merge(&mut self, other: &Self) {
        self.loudness.merge(&other.loudness);
        self.positions = self.positions.or(other.positions);
        self.extremes = wider(self.extremes, other.extremes);
        self.samples += other.samples;
        self.lows.merge(&other.lows);
        self.highs.merge(&other.highs);
        match (&mut self.channels, &other.channels) {
            (Some(own), Some(other)) => own.merge(other),
            (None, Some(other)) => self.channels = Some(other.clone()),
            (_, None) => {}
        }
    }

    /// How many samples showed the value.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// The smallest and largest number seen; zeros when there was none.
    pub fn range(&self) -> (f32, f32) {
        self.extremes.unwrap_or((0.0, 0.0))
    }

    /// The numbers seen.
    pub fn histogram(&self) -> Histogram {
        self.loudness.all()
    }

    /// Mean and variance of the numbers, to the width of a bin; `None` when there were none.
    pub fn moments(&self) -> Option<(f64, f64)> {
        let histogram = self.histogram();
        let (half, total) = (histogram.width() / 2.0, histogram.total() as f64);
        let (sum, squares) = histogram.bins().fold((0.0, 0.0), |(sum, squares), (low, count)| {
            let (number, count) = (low + half, count as f64);
            (sum + count * number, squares + count * number * number)
        });
        let mean = sum / total;
        (total > 0.0).then_some((mean, (squares / total - mean * mean).max(0.0)))
    }

    /// The mean over samples of each channel's mean, along `axis`; `None` where [`Statistics::channels`] is.
    pub fn channel_means(&self, axis: ChannelAxis) -> Option<Vec<f32>> {
        match &self.channels.as_ref().filter(|c| c.axis == axis)?.seen {
            Seen::Ends(_, sums) => {
                Some(sums.iter().map(|sum| (sum.value() / self.samples.max(1) as f64) as f32).collect())
            }
            Seen::Nothing | Seen::Unlike => None,
        }
    }

    /// The mean of each channel along `axis`, and the variance within channels; `None` where [`Statistics::channels`] is, or
    /// there were no numbers.
    pub fn moments_by_channel(&self, axis: ChannelAxis) -> Option<Moments> {
        let means = self.channel_means(axis).filter(|means| !means.is_empty())?;
        let (mean, variance) = self.moments()?;
        // What lies between the channels' means is no variance within them.
        let of_means = means.iter().map(|&m| f64::from(m).powi(2)).sum::<f64>() / means.len() as f64;
        let within = (variance + mean * mean - of_means).max(variance * LEAST_WITHIN);
        Some(Moments { means, variance: within as f32 })
    }

    /// The smallest and largest number of each channel along `axis`, zero counted in; `None` where this was not asked for,
    /// or samples differ in the number of channels.
    pub fn channels(&self, axis: ChannelAxis) -> Option<&[(f32, f32)]> {
        match &self.channels.as_ref().filter(|c| c.axis == axis)?.seen {
            Seen::Ends(ends, _) => Some(ends),
            Seen::Nothing | Seen::Unlike => None,
        }
    }

    /// The mean over samples of the smallest and of the largest number.
    pub fn average_range(&self) -> (f32, f32) {
        let count = self.samples.max(1) as f64;
        ((self.lows.value() / count) as f32, (self.highs.value() / count) as f32)
    }
}

/// The range that holds both.
fn wider(one: Option<(f32, f32)>, other: Option<(f32, f32)>) -> Option<(f32, f32)> {
    match (one, other) {
        (Some((l, h)), Some((low, high))) => Some((l.min(low), h.max(high))),
        (one, other) => one.or(other),
    }
}

/// The smallest and largest of `values`; `None` when there are none or one is not finite.
fn extremes(values: &[f32]) -> Option<(f32, f32)> {
    on_vectors!("avx2", ends_of(values: &[f32]) -> Option<(f32, f32)>);
    ends_of(values)
}

#[inline(always)]
fn ends_of(values: &[f32]) -> Option<(f32, f32)> {
    if values.is_empty() {
        return None;
    }
    // Lanes, so that the compiler can use vector instructions; a NaN makes the sum of `v - v` a NaN, an infinity too.
    const LANES: usize = 16;
    let (mut low, mut high, mut check) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES], [0f32; LANES]);
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    let mut take = |lane: usize, v: f32| {
        low[lane] = if v < low[lane] { v } else { low[lane] };
        high[lane] = if v > high[lane] { v } else { high[lane] };
        #[expect(clippy::eq_op, reason = "not zero for NaN and infinity")]
        {
            check[lane] += v - v;
        }
    };
    for chunk in chunks {
        for (lane, &v) in chunk.iter().enumerate() {
            take(lane, v);
        }
    }
    rest.iter().enumerate().for_each(|(lane, &v)| take(lane, v));
    let finite = check.iter().all(|&c| c == 0.0);
    // Minus zero would make the saved statistics depend on which zero came first.
    let min = low.iter().copied().fold(f32::INFINITY, f32::min) + 0.0;
    let max = high.iter().copied().fold(f32::NEG_INFINITY, f32::max) + 0.0;
    finite.then_some((min, max))
}
