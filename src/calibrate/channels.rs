//! The extremes and the mean of each channel of one value.

use super::exact_sum::ExactSum;
use crate::quant::{self, ChannelAxis};

/// The smallest and largest number of each channel. Zero counts as one of them, as on every grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Channels {
    /// The axis along which the channels lie.
    pub(super) axis: ChannelAxis,
    pub(super) seen: Seen,
}

/// What was seen of the channels.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// Nothing yet.
    Nothing,
    /// So many channels: the ends of each, and the sum over samples of each sample's mean.
    Ends(Vec<(f32, f32)>, Vec<ExactSum>),
    /// Samples differ in the number of channels, or there is no such axis.
    Unlike,
}

impl Channels {
    pub(super) fn new(axis: ChannelAxis) -> Self {
        Self { axis, seen: Seen::Nothing }
    }

    /// Takes in finite `values`, an array of shape `shape`.
    pub(super) fn add(&mut self, shape: &[usize], values: &[f32]) {
        if self.seen != Seen::Unlike {
            let axis = self.axis.index(shape);
            let seen = axis.map(|axis| {
                let sum = |mean| {
                    let mut sum = ExactSum::default();
                    sum.add(mean);
                    sum
                };
                let means = quant::means_along(values, shape, axis).into_iter().map(sum);
                Seen::Ends(quant::extremes_along(values, shape, axis), means.collect())
            });
            self.take(&seen.unwrap_or(Seen::Unlike));
        }
    }

    /// Takes over what another one saw.
    pub(super) fn merge(&mut self, other: &Self) {
        self.take(if self.axis == other.axis { &other.seen } else { &Seen::Unlike });
    }

    fn take(&mut self, other: &Seen) {
        match (&mut self.seen, other) {
            (_, Seen::Nothing) | (Seen::Unlike, _) => {}
            (Seen::Ends(ends, sums), Seen::Ends(others, other_sums)) if ends.len() == others.len() => {
                for (own, other) in ends.iter_mut().zip(others) {
                    *own = (own.0.min(other.0), own.1.max(other.1));
                }
                sums.iter_mut().zip(other_sums).for_each(|(own, other)| own.merge(other));
            }
            (Seen::Nothing, _) => self.seen = other.clone(),
            (Seen::Ends(..), _) => self.seen = Seen::Unlike,
        }
    }
}
