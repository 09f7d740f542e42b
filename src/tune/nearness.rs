//! How near outputs are to those of the float model, and whether one model is nearer than another.

use crate::tensor::{DataType, Tensor};
use std::borrow::Cow;

/// What counts as exact, in dB: the noise of float32.
const EXACT_DB: f64 = 140.0;
/// So many standard errors has a gain to be where each layer's repair was held against other samples before: a small loss may be chance.
pub const HARMLESS: f64 = -0.5;
/// The same where nothing else speaks for a gain.
pub const CERTAIN: f64 = 1.0;
/// How much fewer samples vary is chance, too.
const TELLING: usize = 6;
/// So many standard deviations of what samples to come may add: they turn a verdict around in one of a hundred cases.
const SETTLED: f64 = 2.33;

/// Squares of the numbers of an output in float, and of what is left beside them.
type Squares = (f64, f64);

/// Sums for each output of each sample.
#[derive(Debug, Clone, Default)]
pub struct Nearness(Vec<Vec<Squares>>);

impl Nearness {
    /// That of the outputs of one sample. Those that are not float32 do not count.
    pub fn of(float: &[Tensor], other: &[Tensor]) -> Self {
        let one = |(float, other): (&Tensor, &Tensor)| {
            let numbers = |tensor: &Tensor| {
                let float = tensor.dtype() == DataType::Float32;
                tensor.to_f32().ok().filter(|_| float).map(Cow::into_owned)
            };
            let (Some(float), Some(other)) = (numbers(float), numbers(other)) else { return (0.0, 0.0) };
            let both = float.iter().zip(&other);
            both.fold((0.0, 0.0), |(signal, noise), (&f, &o)| {
                (signal + f64::from(f).powi(2), noise + f64::from(f - o).powi(2))
            })
        };
        Self(vec![float.iter().zip(other).map(one).collect()])
    }

    /// Adds those of other samples.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many samples were added.
    pub fn samples(&self) -> usize {
        self.0.len()
    }

    /// The signal-to-quantization-noise ratio in dB: the mean over samples and outputs. Over all samples together it would be that of
    /// a few, which have most of the error of many models, and say little of all others.
    pub fn sqnr_db(&self) -> f64 {
        let each: Vec<f64> = self.0.iter().filter_map(|sample| mean_db(sample)).collect();
        if each.is_empty() { 0.0 } else { each.iter().sum::<f64>() / each.len() as f64 }
    }

    /// Whether it is nearer than `before` was on the same samples, by `bar` standard errors: [`HARMLESS`] or [`CERTAIN`].
    pub fn passes(&self, before: &Self, bar: f64) -> bool {
        let (mean, error) = self.gain_db(before);
        mean > bar * error
    }

    /// Whether more samples, `all` in the end, would hardly change what [`passes`](Self::passes) says: Lan, Simon and Halperin,
    /// "Stochastically curtailed tests in long-term clinical trials", 1982, with the trend that samples so far have.
    pub fn is_settled(&self, before: &Self, bar: f64, all: usize) -> bool {
        let (mean, error) = self.gain_db(before);
        if self.gains_db(before).count() < TELLING {
            return false;
        }
        let share = self.samples() as f64 / all as f64;
        (mean - bar * error * share.sqrt()).abs() > SETTLED * error * (1.0 - share).max(0.0).sqrt()
    }

    /// By how many dB each sample is nearer than `before`, but those whose outputs are zero throughout.
    fn gains_db(&self, before: &Self) -> impl Iterator<Item = f64> {
        self.0.iter().zip(&before.0).filter_map(|(own, before)| Some(mean_db(own)? - mean_db(before)?))
    }

    /// By how many dB a sample is nearer than `before` in the mean, and the standard error of that.
    fn gain_db(&self, before: &Self) -> (f64, f64) {
        let gains: Vec<f64> = self.gains_db(before).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let spread = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (mean, (spread / count).sqrt())
    }
}

/// The ratio in dB: the mean over outputs that are not zero throughout; `None` where all are.
fn mean_db(outputs: &[Squares]) -> Option<f64> {
    let told = outputs.iter().filter(|(signal, _)| *signal > 0.0);
    // What is no number is as far away as can be.
    let db = |ratio: f64| if ratio.is_nan() { -EXACT_DB } else { (10.0 * ratio.log10()).clamp(-EXACT_DB, EXACT_DB) };
    let each: Vec<f64> = told.map(|(signal, noise)| db(signal / noise)).collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was made of samples whose noise is that of `noises`.
    fn of(noises: &[f32]) -> Nearness {
        let mut near = Nearness::default();
        for &noise in noises {
            let [float, other] = [1.0, 1.0 + noise].map(|x| [Tensor::from_f32(vec![1], &[x])]);
            near.extend(Nearness::of(&float, &other));
        }
        near
    }

    #[test]
    fn what_is_nearer_in_the_mean_over_samples_stands() {
        assert!((of(&[0.1, 0.1]).sqnr_db() - 20.0).abs() < 1e-3 && (of(&[0.1, 0.01]).sqnr_db() - 30.0).abs() < 1e-3);
        assert!(of(&[0.05; 8]).passes(&of(&[0.1; 8]), HARMLESS));
        assert!(!of(&[0.1; 8]).passes(&of(&[0.1; 8]), HARMLESS));
        // One sample has it all, and is no more than one.
        let before = of(&[0.9, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]);
        assert!(!of(&[0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02]).passes(&before, HARMLESS));
        assert!(of(&[0.95, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005]).passes(&before, HARMLESS));
        // A little more often worse than better may be chance, and nothing but worse is none.
        assert!(of(&[0.1, 0.1, 0.05, 0.05]).passes(&of(&[0.05, 0.05, 0.1, 0.101]), HARMLESS));
        assert!(!of(&[0.101; 8]).passes(&of(&[0.1; 8]), HARMLESS));
        assert!(!of(&[]).passes(&of(&[]), HARMLESS) && !of(&[]).passes(&of(&[]), CERTAIN));
        assert!(of(&[0.05; 8]).passes(&of(&[0.1; 8]), CERTAIN) && !of(&[0.1; 8]).passes(&of(&[0.1; 8]), CERTAIN));
        assert!(!of(&[0.1, 0.1, 0.05, 0.05]).passes(&of(&[0.05, 0.06, 0.1, 0.1]), CERTAIN));
        assert!(!of(&[f32::NAN; 4]).passes(&of(&[0.1; 4]), HARMLESS));
    }

    #[test]
    fn what_more_samples_would_hardly_change_is_settled() {
        let (nearer, before) = (of(&[0.05, 0.06, 0.05, 0.04, 0.05, 0.06]), of(&[0.1; 6]));
        for bar in [HARMLESS, CERTAIN] {
            assert!(nearer.is_settled(&before, bar, 64) && before.is_settled(&nearer, bar, 64));
            // However alike they are, a few samples settle nothing, nor do those that say nothing.
            assert!(!of(&[0.05; 5]).is_settled(&of(&[0.1; 5]), bar, 64) && !of(&[]).is_settled(&of(&[]), bar, 4));
            let (mut told, mut before) = (of(&[0.05; 5]), of(&[0.1; 5]));
            for near in [&mut told, &mut before] {
                (0..3).for_each(|_| near.extend(Nearness(vec![vec![(0.0, 1.0)]])));
            }
            assert!(!told.is_settled(&before, bar, 64));
        }
        let (mixed, before) = (of(&[0.08, 0.12, 0.07, 0.09, 0.08, 0.12]), of(&[0.1; 6]));
        // A gain that is less than certain is no loss either.
        assert!(mixed.is_settled(&before, HARMLESS, 8) && !mixed.is_settled(&before, CERTAIN, 8));
        assert!(!mixed.is_settled(&before, HARMLESS, 64));
    }
}
