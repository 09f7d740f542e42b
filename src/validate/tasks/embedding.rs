//! Embeddings: whether what is near each other stays so.

use super::Worst;
use crate::validate::metrics::{OutputError, Sums};
use serde::Serialize;

/// What one sample shows: its embedding of length 1 by both models, or of length 0.
#[derive(Debug, Clone)]
pub(in crate::validate) struct Seen {
    ends: [Vec<f64>; 2],
    is_masked: bool,
}

impl Seen {
    /// Of an output `[1,D]`, or `[1,T,D]`, of which the mean over the steps counts whose number in `mask`, if there is one, is not
    /// 0; `None` for another one.
    pub fn of(shape: &[usize], float: &[f32], quantized: &[f32], mask: Option<&[f32]>) -> Option<Self> {
        let (steps, size) = match *shape {
            [1, size] => (1, size),
            [1, steps, size] => (steps, size),
            _ => return None,
        };
        let mask = mask.filter(|mask| shape.len() == 3 && mask.len() == steps);
        let pooled = |numbers: &[f32]| -> Vec<f64> {
            let mut sum = vec![0.0; size];
            for (at, step) in numbers.chunks_exact(size.max(1)).enumerate() {
                let weight = mask.map_or(1.0, |mask| f64::from(mask[at]));
                sum.iter_mut().zip(step).for_each(|(sum, &number)| *sum += weight * f64::from(number));
            }
            // Dividing by the number of steps would change the length alone.
            let length = dot(&sum, &sum).sqrt();
            if length > 0.0 {
                sum.iter_mut().for_each(|number| *number /= length);
            }
            sum
        };
        (size > 1).then(|| Self { ends: [pooled(float), pooled(quantized)], is_masked: mask.is_some() })
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How the embeddings of both models agree.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Neighbours {
    /// Samples.
    pub samples: usize,
    /// Share of the samples whose nearest other one, by cosine, is the same in both models; `None` of fewer than three.
    pub agreement: Option<f64>,
    /// Mean of the cosine between both embeddings of a sample.
    pub cosine: f64,
    /// The sample of the least.
    pub worst: Option<Worst>,
    /// SQNR of embeddings of length 1, in dB; `None` where there is no noise.
    pub sqnr_db: Option<f64>,
    /// The input whose numbers tell which steps count.
    pub mask: Option<String>,
}

impl Neighbours {
    pub(super) fn of(samples: &[(&str, &Seen)], mask: Option<&str>) -> Self {
        let each: Vec<_> = samples.iter().map(|(name, seen)| (*name, dot(&seen.ends[0], &seen.ends[1]))).collect();
        let same = samples.iter().enumerate().filter(|(at, _)| nearest(samples, *at, 0) == nearest(samples, *at, 1));
        let single = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect::<Vec<_>>();
        let sums = samples.iter().map(|(name, seen)| (*name, Sums::of(&single(&seen.ends[0]), &single(&seen.ends[1]))));
        Self {
            samples: samples.len(),
            // Of two samples each is the other's nearest.
            agreement: (samples.len() > 2).then(|| same.count() as f64 / samples.len() as f64),
            cosine: super::mean(each.iter().map(|one| one.1)).unwrap_or(1.0),
            worst: Worst::least(&each),
            sqnr_db: OutputError::of("", &sums.collect::<Vec<_>>()).sqnr_db,
            mask: mask.filter(|_| samples.iter().any(|(_, seen)| seen.is_masked)).map(str::to_owned),
        }
    }
}

/// The sample whose embedding by one of the models is nearest to that of sample `at`; the first of several.
fn nearest(samples: &[(&str, &Seen)], at: usize, model: usize) -> Option<usize> {
    let own = &samples[at].1.ends[model];
    let others = samples.iter().enumerate().filter(|(other, _)| *other != at);
    let cosines = others.map(|(other, (_, seen))| (other, dot(own, &seen.ends[model])));
    cosines.reduce(|best, one| if one.1 > best.1 { one } else { best }).map(|best| best.0)
}
