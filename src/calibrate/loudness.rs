//! The numbers of one value, sorted by how loud what they belong to is.
//!
//! Energy is the mean of squares. Numbers are counted by the octave (the power of two) of their sample's energy, those at
//! outliers among the positions once more; what is loud is known only when all samples are.

use super::histogram::Histogram;
use std::collections::BTreeMap;

/// Histograms by octave, all of one bin width.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loudness {
    octaves: BTreeMap<i32, Octave>,
}

/// The numbers of samples of like energy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Octave {
    /// All of them.
    pub(super) all: Histogram,
    /// Those at positions far louder than others of their sample.
    pub(super) outliers: Histogram,
}

/// Loud is what has more than so many times the mean energy: pictures seldom do.
const LOUD: f64 = 1.5;

/// What numbers of an energy weigh where `mean` is that of all: loud ones less, by the square of how loud they are.
fn weight(energy: f64, mean: f64) -> f64 {
    if energy > LOUD * mean { (mean / energy).powi(2) } else { 1.0 }
}

/// The octave of an energy; silence counts as the lowest.
fn octave(energy: f64) -> i32 {
    // floor(log2) by the bits of the number.
    ((energy.max(f64::MIN_POSITIVE).to_bits() >> 52) & 0x7ff) as i32 - 1023
}

impl Loudness {
    /// Of one sample's numbers; `outliers` are some of them.
    pub fn of_sample(all: Histogram, outliers: Histogram) -> Self {
        let octave = octave(all.energy());
        Self { octaves: [(octave, Octave { all, outliers })].into() }
    }

    /// Takes over the numbers of another one.
    pub fn merge(&mut self, other: &Self) {
        for (&octave, numbers) in &other.octaves {
            let own = self.octaves.entry(octave).or_default();
            own.all.merge(&numbers.all);
            own.outliers.merge(&numbers.outliers);
        }
        let histograms = || self.octaves.values().map(|octave| &octave.all);
        let Some(widest) = histograms().map(Histogram::exponent).max() else { return };
        for octave in self.octaves.values_mut() {
            octave.all.widen(widest);
            if !octave.outliers.counts().is_empty() {
                octave.outliers.widen(widest);
            }
        }
    }

    /// All numbers.
    pub fn all(&self) -> Histogram {
        let mut all = Histogram::default();
        self.octaves.values().for_each(|octave| all.merge(&octave.all));
        all
    }

    /// All numbers but zeros, loud ones with less weight: the lower edge and the weight of each non-empty bin, in rising order.
    pub fn weighted(&self) -> Vec<(f64, f64)> {
        let all = self.all();
        let mean = all.energy();
        let mut weights = vec![0.0; all.counts().len()];
        for Octave { all, outliers } in self.octaves.values() {
            for part in [&all.without(outliers), outliers] {
                let weight = weight(part.energy(), mean);
                weights.iter_mut().zip(part.counts()).for_each(|(sum, &count)| *sum += weight * count as f64);
            }
        }
        let bins = weights.into_iter().enumerate().filter(|(_, weight)| *weight > 0.0);
        bins.map(|(bin, weight)| (all.edge(bin), weight)).collect()
    }

    /// What has to be stored.
    pub(super) fn octaves(&self) -> &BTreeMap<i32, Octave> {
        &self.octaves
    }

    /// The numbers in these octaves; `None` when they are not such: outliers must be among all, and bins of one width.
    pub(super) fn from_octaves(octaves: BTreeMap<i32, Octave>) -> Option<Self> {
        let within = |octave: &Octave| octave.all.total() > 0 && octave.all.holds(&octave.outliers);
        let total = octaves.values().try_fold(0u64, |sum, octave| sum.checked_add(octave.all.total()));
        (total.is_some() && octaves.values().all(within)).then_some(Self { octaves })
    }
}
