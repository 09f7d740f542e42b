//! How near outputs are to those of the float model, and whether one model is nearer than another.

use crate::tensor::{DataType, Tensor};
use std::borrow::Cow;

/// What counts as exact, in dB: the noise of float32.
const EXACT_DB: f64 = 140.0;
/// So many standard errors must a gain be above nothing to be believed.
const BELIEVED: f64 = 1.5;
/// So many, up or down, are clear enough to look at no more samples.
const CLEAR: f64 = 4.0;

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

    /// The signal-to-quantization-noise ratio over all samples in dB: the mean over outputs.
    pub fn sqnr_db(&self) -> f64 {
        let outputs = self.0.first().map_or(0, Vec::len);
        let sum = |output: usize| {
            let own = self.0.iter().filter_map(|sample| sample.get(output));
            own.fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
        };
        mean_db((0..outputs).map(sum)).unwrap_or(0.0)
    }

    /// Whether it is nearer than `before` was on the same samples: taken together, and sample by sample by more than chance. A few
    /// samples have most of the error of many models, and what happens to them says little of all others.
    pub fn improves(&self, before: &Self) -> bool {
        let (mean, error) = self.gain_db(before);
        self.sqnr_db() > before.sqnr_db() && mean > BELIEVED * error
    }

    /// Whether more samples would hardly change what [`improves`](Self::improves) says.
    pub fn is_clear(&self, before: &Self) -> bool {
        let (mean, error) = self.gain_db(before);
        mean.abs() > CLEAR * error && (mean > 0.0) == (self.sqnr_db() > before.sqnr_db())
    }

    /// By how many dB a sample is nearer than `before` in the mean, and the standard error of that.
    fn gain_db(&self, before: &Self) -> (f64, f64) {
        let gain = |(own, before): (&Vec<Squares>, &Vec<Squares>)| {
            Some(mean_db(own.iter().copied())? - mean_db(before.iter().copied())?)
        };
        let gains: Vec<f64> = self.0.iter().zip(&before.0).filter_map(gain).collect();
        let count = gains.len() as f64;
        let mean = gains.iter().sum::<f64>() / count;
        let spread = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (mean, (spread / count).sqrt())
    }
}

/// The ratio in dB: the mean over outputs that are not zero throughout; `None` where all are.
fn mean_db(outputs: impl Iterator<Item = Squares>) -> Option<f64> {
    let told = outputs.filter(|(signal, _)| *signal > 0.0);
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
    fn what_is_nearer_on_most_samples_and_all_together_improves() {
        assert!((of(&[0.1, 0.1]).sqnr_db() - 20.0).abs() < 1e-3);
        assert!(of(&[0.05; 8]).improves(&of(&[0.1; 8])));
        assert!(!of(&[0.1; 8]).improves(&of(&[0.1; 8])));
        // One sample has it all.
        let before = of(&[0.9, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01]);
        assert!(!of(&[0.1, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.02]).improves(&before));
        assert!(!of(&[0.95, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005, 0.005]).improves(&before));
        // As often worse as better.
        assert!(!of(&[0.04, 0.1, 0.04, 0.1, 0.04, 0.1]).improves(&of(&[0.1, 0.05, 0.1, 0.05, 0.1, 0.05])));
        assert!(!of(&[]).improves(&of(&[])));
        assert!(!of(&[f32::NAN; 4]).improves(&of(&[0.1; 4])));
        assert!(of(&[0.05, 0.06, 0.05, 0.04]).is_clear(&of(&[0.1; 4])) && of(&[0.1; 4]).is_clear(&of(&[0.05; 4])));
        assert!(!of(&[0.04, 0.2, 0.04, 0.1]).is_clear(&of(&[0.1; 4])) && !of(&[]).is_clear(&of(&[])));
    }
}
