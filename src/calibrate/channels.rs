//! The extremes of each channel of one value.

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
    /// So many channels.
    Ends(Vec<(f32, f32)>),
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
            let ends = axis.map(|axis| Seen::Ends(quant::extremes_along(values, shape, axis)));
            self.take(&ends.unwrap_or(Seen::Unlike));
        }
    }

    /// Takes over what another one saw.
    pub(super) fn merge(&mut self, other: &Self) {
        self.take(if self.axis == other.axis { &other.seen } else { &Seen::Unlike });
    }

    fn take(&mut self, other: &Seen) {
        match (&mut self.seen, other) {
            (_, Seen::Nothing) | (Seen::Unlike, _) => {}
            (Seen::Ends(ends), Seen::Ends(others)) if ends.len() == others.len() => {
                for (own, other) in ends.iter_mut().zip(others) {
                    *own = (own.0.min(other.0), own.1.max(other.1));
                }
            }
            (Seen::Nothing, _) => self.seen = other.clone(),
            (Seen::Ends(_), _) => self.seen = Seen::Unlike,
        }
    }
}
