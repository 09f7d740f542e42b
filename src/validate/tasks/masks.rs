//! Masks: what belongs to them in both models.

use super::Worst;
use serde::Serialize;

/// What one sample shows: of each class, or of the one mask, how many elements are in it in both models and in either.
#[derive(Debug, Clone)]
pub(in crate::validate) struct Seen {
    both_and_either: Vec<[u64; 2]>,
    /// Elements that are the same in both, and all.
    same: [u64; 2],
}

impl Seen {
    /// Of masks that are what is above a number.
    pub fn above(above: f32, float: &[f32], quantized: &[f32]) -> Self {
        let (mut counts, mut same) = ([0, 0], 0);
        for (&a, &b) in float.iter().zip(quantized) {
            let (a, b) = (a > above, b > above);
            counts[0] += u64::from(a && b);
            counts[1] += u64::from(a || b);
            same += u64::from(a == b);
        }
        Self { both_and_either: vec![counts], same: [same, float.len() as u64] }
    }

    /// Of a score per class for each pixel, classes along axis 1 of four or along the last; `None` for an output that holds none.
    /// Two axes of one length are height and width; where that does not tell, classes are fewer than either.
    pub fn classes(shape: &[usize], float: &[f32], quantized: &[f32]) -> Option<Self> {
        let &[batch, first, second, third] = shape else { return None };
        let classes_first = match (first == second, second == third) {
            (true, false) => false,
            (false, true) => true,
            _ => first <= third,
        };
        let (classes, pixels, stride) = match classes_first {
            true => (first, second * third, second * third),
            false => (third, first * second, 1),
        };
        if classes < 2 {
            return None;
        }
        let mut both_and_either = vec![[0; 2]; classes];
        let mut same = [0, 0];
        for image in 0..batch {
            let start = image * classes * pixels;
            for pixel in 0..pixels {
                let at = start + if stride == 1 { pixel * classes } else { pixel };
                let best = |scores: &[f32]| super::highest((0..classes).map(|class| scores[at + class * stride]));
                let (a, b) = (best(float), best(quantized));
                both_and_either[a][1] += 1;
                match a == b {
                    true => both_and_either[a][0] += 1,
                    false => both_and_either[b][1] += 1,
                }
                same[0] += u64::from(a == b);
                same[1] += 1;
            }
        }
        Some(Self { both_and_either, same })
    }

    /// The mean, over classes that occur, of intersection over union; `None` where nothing does.
    fn iou(&self) -> Option<f64> {
        let occur = self.both_and_either.iter().filter(|[_, either]| *either > 0);
        super::mean(occur.map(|[both, either]| *both as f64 / *either as f64))
    }
}

/// How the masks of both models overlap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overlap {
    /// Samples.
    pub samples: usize,
    /// Intersection over union of all samples together; with several classes the mean over those that occur. `None` where
    /// nothing belongs to a mask.
    pub iou: Option<f64>,
    /// Mean of the same over the samples in which something does.
    pub iou_mean: Option<f64>,
    /// The sample of the least.
    pub worst: Option<Worst>,
    /// Share of elements that are the same in both.
    pub agreement: f64,
}

impl Overlap {
    pub(super) fn of(samples: &[(&str, &Seen)]) -> Self {
        let mut all = Seen { both_and_either: Vec::new(), same: [0, 0] };
        for (_, seen) in samples {
            all.both_and_either.resize(seen.both_and_either.len().max(all.both_and_either.len()), [0, 0]);
            for (sum, counts) in all.both_and_either.iter_mut().zip(&seen.both_and_either) {
                *sum = [sum[0] + counts[0], sum[1] + counts[1]];
            }
            all.same = [all.same[0] + seen.same[0], all.same[1] + seen.same[1]];
        }
        let each: Vec<_> = samples.iter().filter_map(|(sample, seen)| Some((*sample, seen.iou()?))).collect();
        Self {
            samples: samples.len(),
            iou: all.iou(),
            iou_mean: super::mean(each.iter().map(|one| one.1)),
            worst: Worst::least(&each),
            agreement: all.same[0] as f64 / all.same[1].max(1) as f64,
        }
    }
}
