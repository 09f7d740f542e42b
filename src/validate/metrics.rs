//! Measures of the difference between two models' outputs.

use serde::Serialize;

/// Sums over one sample's output, from which every measure follows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sums {
    pub count: u64,
    pub reference: f64,
    pub quantized: f64,
    pub product: f64,
    pub error: f64,
    pub max_abs: f64,
    pub not_finite: u64,
    /// The smallest number of the reference, and the largest; 0 is always between them.
    pub ends: (f32, f32),
}

impl Sums {
    /// Of one output, elements in the same order.
    pub fn of(reference: &[f32], quantized: &[f32]) -> Self {
        let mut sums = Self { count: reference.len() as u64, ..Self::default() };
        for (&a, &b) in reference.iter().zip(quantized) {
            if !(a.is_finite() && b.is_finite()) {
                // Equal infinities agree, and so do NaNs whatever their bits; anything else is counted, not averaged.
                sums.not_finite += u64::from(a != b && !(a.is_nan() && b.is_nan()));
                continue;
            }
            sums.ends = (sums.ends.0.min(a), sums.ends.1.max(a));
            let (a, b) = (f64::from(a), f64::from(b));
            let difference = (a - b).abs();
            sums.reference += a * a;
            sums.quantized += b * b;
            sums.product += a * b;
            sums.error += difference * difference;
            sums.max_abs = sums.max_abs.max(difference);
        }
        sums
    }

    /// Those of both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            reference: self.reference + other.reference,
            quantized: self.quantized + other.quantized,
            product: self.product + other.product,
            error: self.error + other.error,
            max_abs: self.max_abs.max(other.max_abs),
            not_finite: self.not_finite + other.not_finite,
            ends: (self.ends.0.min(other.ends.0), self.ends.1.max(other.ends.1)),
        }
    }

    /// `None` when both are zero throughout; zero when one of them is, which points nowhere the other does.
    pub fn cosine(&self) -> Option<f64> {
        let norm = self.reference.sqrt() * self.quantized.sqrt();
        if norm > 0.0 { Some(self.product / norm) } else { (self.reference + self.quantized > 0.0).then_some(0.0) }
    }
}

/// How far one output is from the float model's, over all samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputError {
    /// The output's name.
    pub name: String,
    /// Whether there is no difference at all.
    pub identical: bool,
    /// Signal to quantization noise ratio in dB, over all elements; `None` when there is no noise, or no signal because the
    /// float model gives only zeros.
    pub sqnr_db: Option<f64>,
    /// Mean squared error.
    pub mse: f64,
    /// The same, of numbers of which the float model's and 0 span a range of 1; `None` where all of those are 0.
    pub relative_mse: Option<f64>,
    /// Largest absolute error.
    pub max_abs: f64,
    /// Mean over samples of the cosine between the two outputs, 0 where only one of them is zero; `None` when both always
    /// are.
    pub cosine: Option<f64>,
    /// The smallest cosine of any sample.
    pub cosine_min: Option<f64>,
    /// Elements that are NaN or infinite in one of the two and not the same in the other.
    pub not_finite: u64,
    /// The sample with the largest squared error.
    pub worst_sample: Option<String>,
}

impl OutputError {
    /// From the sums of each sample, in the order of the samples.
    pub(super) fn of(name: &str, samples: &[(&str, Sums)]) -> Self {
        let total = |f: fn(&Sums) -> f64| samples.iter().map(|(_, s)| f(s)).sum::<f64>();
        let (error, reference) = (total(|s| s.error), total(|s| s.reference));
        let count = samples.iter().map(|(_, s)| s.count).sum::<u64>().max(1) as f64;
        let cosines: Vec<_> = samples.iter().filter_map(|(_, s)| s.cosine()).collect();
        let worst = samples.iter().max_by(|a, b| a.1.error.total_cmp(&b.1.error).then(std::cmp::Ordering::Greater));
        let low = samples.iter().map(|(_, s)| s.ends.0).fold(0.0, f32::min);
        let high = samples.iter().map(|(_, s)| s.ends.1).fold(0.0, f32::max);
        let range = f64::from(high) - f64::from(low);
        Self {
            name: name.to_owned(),
            identical: error == 0.0 && samples.iter().all(|(_, s)| s.not_finite == 0),
            sqnr_db: (error > 0.0 && reference > 0.0).then(|| 10.0 * (reference / error).log10()),
            mse: error / count,
            relative_mse: (range > 0.0).then(|| error / count / (range * range)),
            max_abs: samples.iter().map(|(_, s)| s.max_abs).fold(0.0, f64::max),
            cosine: (!cosines.is_empty()).then(|| cosines.iter().sum::<f64>() / cosines.len() as f64),
            cosine_min: cosines.iter().copied().reduce(f64::min),
            not_finite: samples.iter().map(|(_, s)| s.not_finite).sum(),
            worst_sample: worst.map(|(name, _)| (*name).to_owned()),
        }
    }
}

/// How two classifiers agree, and, with labels, how often each is right. Shares between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Classification {
    /// The output that holds the scores.
    pub output: String,
    /// Whether somebody said that it does.
    #[serde(skip)]
    pub is_stated: bool,
    /// Samples.
    pub samples: usize,
    /// Those of them that have a label.
    pub labelled: usize,
    /// Labelled samples that the float model classifies rightly and the quantized one does not.
    pub worsened: usize,
    /// Labelled samples of which it is the other way round.
    pub improved: usize,
    /// Samples whose highest class is the same in both.
    pub top1_agreement: f64,
    /// Samples whose highest class is among the float model's five highest.
    pub top5_agreement: f64,
    /// Labelled samples that the float model classifies rightly.
    pub top1_float: Option<f64>,
    /// Labelled samples that the quantized model classifies rightly.
    pub top1_quantized: Option<f64>,
    /// Labelled samples whose label is among the float model's five highest.
    pub top5_float: Option<f64>,
    /// Labelled samples whose label is among the quantized model's five highest.
    pub top5_quantized: Option<f64>,
}

/// What one sample adds to a [`Classification`].
#[derive(Debug, Clone)]
pub struct Ranking {
    pub float: Vec<usize>,
    pub quantized: Vec<usize>,
    pub label: Option<u32>,
}

impl Ranking {
    /// The five highest classes of both; `None` for an output that is not one score per class.
    pub fn of(shape: &[usize], float: &[f32], quantized: &[f32], label: Option<u32>) -> Option<Self> {
        let classes = float.len();
        let scores =
            classes >= 2 && shape.iter().filter(|&&d| d != 1).count() == 1 && shape.len() >= 2 && shape[0] == 1;
        scores.then(|| Self { float: top5(float), quantized: top5(quantized), label })
    }
}

fn top5(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
    order.truncate(5);
    order
}

impl Classification {
    /// Of the output with its name, and whether somebody said that it is a classifier's.
    pub(super) fn of((output, is_stated): (&str, bool), rankings: &[&Ranking]) -> Option<Self> {
        let share = |count: usize, of: usize| count as f64 / of as f64;
        let count = |f: &dyn Fn(&Ranking) -> bool| rankings.iter().filter(|r| f(r)).count();
        if rankings.is_empty() {
            return None;
        }
        let labelled = count(&|r| r.label.is_some());
        let right = |f: &dyn Fn(&Ranking, usize) -> bool| {
            (labelled > 0).then(|| share(count(&|r| r.label.is_some_and(|l| f(r, l as usize))), labelled))
        };
        let turned = |from: fn(&Ranking) -> &[usize], to: fn(&Ranking) -> &[usize]| {
            let is = |of: fn(&Ranking) -> &[usize], r: &Ranking| r.label.map(|label| of(r)[0] == label as usize);
            count(&|r| is(from, r) == Some(true) && is(to, r) == Some(false))
        };
        Some(Self {
            output: output.to_owned(),
            is_stated,
            samples: rankings.len(),
            labelled,
            worsened: turned(|r| &r.float, |r| &r.quantized),
            improved: turned(|r| &r.quantized, |r| &r.float),
            top1_agreement: share(count(&|r| r.float[0] == r.quantized[0]), rankings.len()),
            top5_agreement: share(count(&|r| r.float.contains(&r.quantized[0])), rankings.len()),
            top1_float: right(&|r, label| r.float[0] == label),
            top1_quantized: right(&|r, label| r.quantized[0] == label),
            top5_float: right(&|r, label| r.float.contains(&label)),
            top5_quantized: right(&|r, label| r.quantized.contains(&label)),
        })
    }
}
