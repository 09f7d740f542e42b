//! How the numbers of each channel of a value are spread: as a function of a number that is normally distributed, known at some points.

use crate::quant::Normal;
use std::sync::OnceLock;

/// So many points of the normal distribution, up to so many standard deviations from its mean.
const POINTS: usize = 129;
const REACH: f64 = 6.0;

/// The points, in standard deviations, and the share that each has.
fn points() -> &'static [(f64, f64)] {
    static ALL: OnceLock<Vec<(f64, f64)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let at = |point: usize| REACH * (2.0 * point as f64 / (POINTS - 1) as f64 - 1.0);
        let all: f64 = (0..POINTS).map(|point| (-at(point).powi(2) / 2.0).exp()).sum();
        (0..POINTS).map(|point| (at(point), (-at(point).powi(2) / 2.0).exp() / all)).collect()
    })
}

/// The channels of a value.
#[derive(Debug, Clone)]
pub struct Spread {
    /// The value that it is a function of, number by number. Two of one base have their numbers at the same places.
    pub base: usize,
    /// What each channel is at each point.
    channels: Vec<Vec<f64>>,
}

impl Spread {
    /// Of what is distributed normally.
    pub fn of(normal: &Normal, base: usize) -> Self {
        let channel = |(mean, deviation): (&f64, &f64)| points().iter().map(|(at, _)| mean + deviation * at).collect();
        Self { base, channels: normal.means.iter().zip(&normal.deviations).map(channel).collect() }
    }

    /// How many channels there are.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// The mean of each channel.
    pub fn means(&self) -> Vec<f64> {
        self.channels
            .iter()
            .map(|channel| points().iter().zip(channel).map(|((_, share), x)| share * x).sum())
            .collect()
    }

    /// Mean and standard deviation of each channel.
    fn normal(&self) -> Normal {
        let means = self.means();
        let deviation = |(channel, mean): (&Vec<f64>, &f64)| {
            let squares = points().iter().zip(channel).map(|((_, share), x)| share * (x - mean).powi(2));
            squares.sum::<f64>().sqrt()
        };
        Normal { deviations: self.channels.iter().zip(&means).map(deviation).collect(), means }
    }

    /// What a function makes of each number, which it knows the channel of.
    #[must_use]
    pub fn map(mut self, function: impl Fn(usize, f64) -> f64) -> Self {
        for (channel, numbers) in self.channels.iter_mut().enumerate() {
            numbers.iter_mut().for_each(|x| *x = function(channel, *x));
        }
        self
    }

    /// What a function makes of the numbers of two that are functions of the same.
    #[must_use]
    pub fn beside(mut self, other: &Self, function: impl Fn(f64, f64) -> f64) -> Self {
        for (own, others) in self.channels.iter_mut().zip(&other.channels) {
            own.iter_mut().zip(others).for_each(|(x, other)| *x = function(*x, *other));
        }
        self
    }

    /// The sum of two that have nothing to do with each other, the other one times a sign: as if it were distributed normally.
    #[must_use]
    pub fn plus(&self, other: &Self, sign: f64, base: usize) -> Self {
        let (own, other) = (self.normal(), other.normal());
        let means = own.means.iter().zip(&other.means).map(|(own, other)| own + sign * other).collect();
        let deviations = own.deviations.iter().zip(&other.deviations).map(|(own, other)| own.hypot(*other)).collect();
        Self::of(&Normal { means, deviations }, base)
    }

    /// What averages over many positions are: each channel its mean.
    #[must_use]
    pub fn averaged(self, base: usize) -> Self {
        let channels = self.means().into_iter().map(|mean| vec![mean; POINTS]).collect();
        Self { base, channels }
    }

    /// The same numbers at other places.
    #[must_use]
    pub fn moved(self, base: usize) -> Self {
        Self { base, ..self }
    }

    /// The channels of all, one after the other.
    pub fn joined(all: Vec<Self>, base: usize) -> Self {
        Self { base, channels: all.into_iter().flat_map(|one| one.channels).collect() }
    }
}
