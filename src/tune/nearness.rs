//! How near outputs are to those of the float model, and whether one model is nearer than another.

use crate::tensor::{DataType, Tensor};
use std::borrow::Cow;

/// What counts as exact, in dB: the noise of float32.
const EXACT_DB: f64 = 140.0;
/// So many standard errors may a loss be, to be put down to chance: each layer's repair was held against other samples before.
const DOUBTED: f64 = 0.5;
/// So many has a gain to be, where nothing but chance speaks for it.
const SURE: f64 = 1.0;
/// So many standard errors of a gain, and of a loss, are clear enough to look at no more samples.
const CLEAR: (f64, f64) = (2.0, 3.0);

/// Squares of the numbers of an output in float, and of what is left beside them.
type Squares = (f64, f64);

/// Sums for each output of each sample.
#[derive(Debug, Clone, Default)]
pub struct Nearness(Vec<Vec<Squares>>);

impl Nearness {
    /// Adds the outputs of a sample. Those that are not float32 do not count.
    pub fn add(&mut self, float: &[Tensor], other: &[Tensor]) {
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
        self.0.push(float.iter().zip(other).map(one).collect());
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

    /// Whether it is nearer than `before` was on the same samples, or further by chance alone.
    pub fn stands(&self, before: &Self) -> bool {
        let (mean, error) = self.gain_db(before);
        mean > -DOUBTED * error
    }

    /// Whether it is nearer than `before` was on the same samples, and not by chance.
    pub fn surpasses(&self, before: &Self) -> bool {
        let (mean, error) = self.gain_db(before);
        mean > SURE * error
    }

    /// Whether more samples would hardly change what [`stands`](Self::stands) says.
    pub fn is_clear(&self, before: &Self) -> bool {
        let (mean, error) = self.gain_db(before);
        mean > CLEAR.0 * error || mean < -CLEAR.1 * error
    }

    /// By how many dB a sample is nearer than `before` in the mean, and the standard error of that.
    fn gain_db(&self, before: &Self) -> (f64, f64) {
        let gain = |(own, before): (&Vec<Squares>, &Vec<Squares>)| Some(mean_db(own)? - mean_db(before)?);
        let gains: Vec<f64> = self.0.iter().zip(&before.0).filter_map(gain).collect();
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
            near.add(&float, &other);
        }
        near
    }

    #[test]
    fn what_is_nearer_in_the_mean_over_samples_stands() {
        assert!((of(&[0.1, 0.1]).sqnr_db() - 20.0).abs() < 1e-3 && (of(&[0.1, 0.01]).sqnr_db() - 30.0).abs() < 1e-3);
        assert!(of(&[0.05; 8]).stands(&of(&[0.1; 8])));
        assert!(!of(&[0.1; 8]).stands(&of(&[0.1; 8])));
        // One sample has it all, and is no more than one.
        let before = of(&[0.9, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]);
        assert!(!of(&[0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02]).stands(&before));
        assert!(of(&[0.95, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005]).stands(&before));
        // A little more often worse than better may be chance, and nothing but worse is none.
        assert!(of(&[0.1, 0.1, 0.05, 0.05]).stands(&of(&[0.05, 0.05, 0.1, 0.101])));
        assert!(!of(&[0.101; 8]).stands(&of(&[0.1; 8])));
        assert!(!of(&[]).stands(&of(&[])) && !of(&[]).surpasses(&of(&[])));
        assert!(of(&[0.05; 8]).surpasses(&of(&[0.1; 8])) && !of(&[0.1; 8]).surpasses(&of(&[0.1; 8])));
        assert!(!of(&[0.1, 0.1, 0.05, 0.05]).surpasses(&of(&[0.05, 0.06, 0.1, 0.1])));
        assert!(!of(&[f32::NAN; 4]).stands(&of(&[0.1; 4])));
        assert!(of(&[0.05, 0.06, 0.05, 0.04]).is_clear(&of(&[0.1; 4])) && of(&[0.1; 4]).is_clear(&of(&[0.05; 4])));
        // A loss has to be clearer than a gain.
        let (mixed, before) = (of(&[0.08, 0.16, 0.08, 0.12]), of(&[0.1; 4]));
        assert!(!mixed.is_clear(&before) && !before.is_clear(&mixed) && !of(&[]).is_clear(&of(&[])));
        let (most, before) = (of(&[0.05, 0.09, 0.05, 0.09]), of(&[0.1; 4]));
        assert!(most.is_clear(&before) && !before.is_clear(&most));
    }
}
