//! What is summed up over samples, and the measures that follow.

use crate::error::Result;
use crate::tensor::Tensor;
use crate::validate::{Groups, Ranking, Sums};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// By what damage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Signal to quantization noise ratio, in dB.
    #[default]
    Sqnr,
    /// Mean squared error.
    Mse,
    /// Mean over samples of the cosine between the outputs.
    Cosine,
    /// Of samples with labels the loss of right answers, of others the share whose highest class changes.
    Top1,
    /// The same of the five highest classes.
    Top5,
}

/// Sums over the samples of one output, or of one group of its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Output {
    count: u64,
    reference: f64,
    error: f64,
    cosines: f64,
    with_cosine: u64,
    not_finite: u64,
}

/// Samples whose classes agree with the float model's, and whose label is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Classes {
    samples: u64,
    labelled: u64,
    /// Those with the float model's highest class, and with it among their five.
    same: [u64; 2],
    /// Those with a label that is highest or among the five, in the float model and here.
    right_float: [u64; 2],
    right: [u64; 2],
}

/// Sums of one variant of the model over samples. Its size does not grow with their number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Total {
    outputs: Vec<Output>,
    classes: Option<Classes>,
}

/// What one sample adds.
pub struct Row {
    outputs: Vec<Sums>,
    ranking: Option<Ranking>,
}

impl Row {
    /// Of the outputs of the float model and of a variant, for a sample of a class: sums of each group of numbers of an output.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn of(float: &[Tensor], variant: &[Tensor], label: Option<u32>, groups: &Groups) -> Result<Self> {
        let mut row = Self { outputs: Vec::with_capacity(float.len()), ranking: None };
        for (index, (float, variant)) in float.iter().zip(variant).enumerate() {
            let (shape, numbers) = (float.shape(), float.to_f32()?);
            if variant.shape() != shape {
                // Boxes, say, of which there are more or fewer: nothing of them can be compared.
                let none = |group: &[f32]| Sums { not_finite: group.len().max(1) as u64, ..Sums::default() };
                row.outputs.extend(groups.split(index, shape, &numbers).iter().map(|group| none(group)));
                continue;
            }
            let found = variant.to_f32()?;
            row.ranking = row.ranking.or_else(|| Ranking::of(shape, &numbers, &found, label));
            let pairs = groups.split(index, shape, &numbers).into_iter().zip(groups.split(index, shape, &found));
            row.outputs.extend(pairs.map(|(own, other)| Sums::of(&own, &other)));
        }
        Ok(row)
    }
}

impl Total {
    /// Adds a sample. Sums of floating-point numbers depend on their order: samples are added in theirs.
    pub fn add(&mut self, row: &Row) {
        self.outputs.resize(row.outputs.len(), Output::default());
        for (total, sums) in self.outputs.iter_mut().zip(&row.outputs) {
            total.count += sums.count;
            total.reference += sums.reference;
            total.error += sums.error;
            total.not_finite += sums.not_finite;
            if let Some(cosine) = sums.cosine() {
                total.cosines += cosine;
                total.with_cosine += 1;
            }
        }
        let Some(ranking) = &row.ranking else { return };
        let classes = self.classes.get_or_insert_default();
        let best = ranking.float.first();
        classes.samples += 1;
        classes.same[0] += u64::from(ranking.quantized.first() == best);
        classes.same[1] += u64::from(best.is_some_and(|best| ranking.quantized.contains(best)));
        let Some(label) = ranking.label.map(|label| label as usize) else { return };
        classes.labelled += 1;
        let right = |found: &[usize]| [found.first() == Some(&label), found.contains(&label)].map(u64::from);
        let (float, quantized) = (right(&ranking.float), right(&ranking.quantized));
        for k in 0..2 {
            classes.right_float[k] += float[k];
            classes.right[k] += quantized[k];
        }
    }

    /// Whether samples with labels were among them.
    pub fn is_labelled(&self) -> bool {
        self.classes.is_some_and(|classes| classes.labelled > 0)
    }

    /// What follows from it.
    pub fn damage(&self) -> Damage {
        let worst = |each: fn(&Output) -> Option<f64>, worse: fn(f64, f64) -> f64| {
            self.outputs.iter().filter_map(each).reduce(worse)
        };
        let share = |k: usize| {
            self.classes.map(|classes| match classes.labelled {
                0 => 1.0 - classes.same[k] as f64 / classes.samples as f64,
                labelled => (classes.right_float[k] as f64 - classes.right[k] as f64) / labelled as f64,
            })
        };
        Damage {
            sqnr_db: worst(Output::sqnr, f64::min),
            mse: worst(|o| Some(o.error / o.count.max(1) as f64), f64::max).unwrap_or_default(),
            cosine: worst(|o| (o.with_cosine > 0).then(|| o.cosines / o.with_cosine as f64), f64::min),
            top1: share(0),
            top5: share(1),
            not_finite: self.outputs.iter().map(|o| o.not_finite).sum(),
        }
    }
}

impl Output {
    fn sqnr(&self) -> Option<f64> {
        (self.error > 0.0 && self.reference > 0.0).then(|| 10.0 * (self.reference / self.error).log10())
    }
}

/// How far the outputs are from the float model's: of several outputs that of the worst.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Damage {
    /// SQNR in dB; `None` where nothing is different.
    pub sqnr_db: Option<f64>,
    /// Mean squared error.
    pub mse: f64,
    /// Mean over samples of the cosine; `None` where both outputs are zero throughout.
    pub cosine: Option<f64>,
    /// Of a classifier: loss of right answers as a share where there are labels, otherwise the share of samples whose highest class
    /// is another one.
    pub top1: Option<f64>,
    /// The same of the five highest.
    pub top5: Option<f64>,
    /// Numbers that are not finite, or belong to an output that came out in another shape.
    pub not_finite: u64,
}

impl Damage {
    /// The damage by `metric` as a number that is larger for more of it. In dB for SQNR, below all others where there is none.
    pub fn by(&self, metric: Metric) -> f64 {
        if self.not_finite > 0 {
            return f64::INFINITY;
        }
        match metric {
            Metric::Sqnr => self.sqnr_db.map_or(f64::NEG_INFINITY, |db| -db),
            Metric::Mse => self.mse,
            Metric::Cosine => self.cosine.map_or(0.0, |cosine| 1.0 - cosine),
            Metric::Top1 => self.top1.unwrap_or_default(),
            Metric::Top5 => self.top5.unwrap_or_default(),
        }
    }

    /// Which of two is less damage by `metric`; where both are alike, as answers of few samples are, by SQNR.
    pub fn compare(&self, other: &Self, metric: Metric) -> Ordering {
        let by = |metric: Metric| self.by(metric).total_cmp(&other.by(metric));
        by(metric).then_with(|| by(Metric::Sqnr))
    }

    /// The same in words.
    pub fn shown(&self, metric: Metric) -> String {
        if self.not_finite > 0 {
            return "no number".to_owned();
        }
        match metric {
            Metric::Sqnr => self.sqnr_db.map_or_else(|| "exact".to_owned(), |db| format!("{db:.1} dB")),
            Metric::Mse => format!("{:.2e}", self.mse),
            Metric::Cosine => self.cosine.map_or_else(|| "exact".to_owned(), |cosine| format!("{cosine:.6}")),
            Metric::Top1 | Metric::Top5 => format!("{:.2} %", 100.0 * self.by(metric)),
        }
    }
}
