//! Boxes with scores, as YOLO gives them: what both models find, and whether it is the same.

use super::Worst;
use crate::validate::metrics::{OutputError, Sums};
use serde::Serialize;

/// Only boxes with a higher score are found.
const SCORE: f32 = 0.25;
/// Of two boxes of one class that overlap by more, the one with the lower score is dropped.
const OVERLAP: f32 = 0.45;
/// Two boxes of one class that overlap by more are the same find.
const SAME: f32 = 0.5;
/// Keeps the quotient of two empty boxes finite.
const EMPTY: f32 = 1e-9;
/// Centre, width and height.
const CORNERS: usize = 4;

/// How the numbers of one output stand for boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Numbers of one box: four of place and size, perhaps how sure it is that there is something, and a score per class.
    attributes: usize,
    boxes: usize,
    /// Whether the numbers of one box stand beside each other.
    boxes_first: bool,
    /// Whether there is a number between place and classes that all scores are multiplied by.
    objectness: bool,
}

impl Layout {
    /// Of one output of this shape, of a model that knows so many classes; `None` for an output that holds no boxes.
    ///
    /// The shorter axis is that of the numbers of a box. Without a word on how many classes there are, numbers of a box that stand
    /// beside each other are taken to have objectness, as older generations have it, and others not.
    pub fn of(shape: &[usize], classes: Option<usize>) -> Option<Self> {
        let &[1, first, second] = shape else { return None };
        let fits = |attributes: usize| match classes {
            None => attributes > CORNERS,
            Some(classes) => attributes == CORNERS + classes || attributes == CORNERS + 1 + classes,
        };
        let boxes_first = match (fits(first), fits(second)) {
            (true, true) => second < first,
            (true, false) => false,
            (false, true) => true,
            (false, false) => return None,
        };
        let (attributes, boxes) = if boxes_first { (second, first) } else { (first, second) };
        let objectness = classes.map_or(boxes_first && attributes > CORNERS + 1, |n| attributes == CORNERS + 1 + n);
        Some(Self { attributes, boxes, boxes_first, objectness })
    }

    fn at(&self, output: &[f32], index: usize, attribute: usize) -> f32 {
        match self.boxes_first {
            true => output[index * self.attributes + attribute],
            false => output[attribute * self.boxes + index],
        }
    }

    /// The numbers of all boxes from attribute `from` up to `to`.
    fn part(&self, output: &[f32], (from, to): (usize, usize)) -> Vec<f32> {
        (from..to).flat_map(|attribute| (0..self.boxes).map(move |index| self.at(output, index, attribute))).collect()
    }

    /// Places and sizes, and scores.
    pub fn apart(&self, output: &[f32]) -> [Vec<f32>; 2] {
        [(0, CORNERS), (CORNERS, self.attributes)].map(|part| self.part(output, part))
    }

    /// What is found: the highest score first, and of boxes that overlap one alone.
    fn found(&self, output: &[f32]) -> Vec<Found> {
        let first = CORNERS + usize::from(self.objectness);
        let mut all: Vec<Found> = (0..self.boxes)
            .filter_map(|index| {
                let sure = if self.objectness { self.at(output, index, CORNERS) } else { 1.0 };
                let scores = (first..self.attributes).map(|attribute| self.at(output, index, attribute) * sure);
                let best = scores.enumerate().reduce(|best, one| if one.1 > best.1 { one } else { best });
                let (class, score) = best.filter(|(_, score)| *score > SCORE)?;
                let [x, y, width, height] = [0, 1, 2, 3].map(|attribute| self.at(output, index, attribute));
                let (across, down) = (width / 2.0, height / 2.0);
                Some(Found { edges: [x - across, y - down, x + across, y + down], class, score })
            })
            .collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Found> = Vec::new();
        for one in all {
            if !kept.iter().any(|other| other.class == one.class && other.overlap(&one) > OVERLAP) {
                kept.push(one);
            }
        }
        kept
    }
}

/// Something that a model found.
#[derive(Debug, Clone, Copy)]
struct Found {
    /// Left, top, right, bottom.
    edges: [f32; 4],
    class: usize,
    score: f32,
}

impl Found {
    /// Intersection over union.
    fn overlap(&self, other: &Self) -> f32 {
        let ([left, top, right, bottom], [x0, y0, x1, y1]) = (self.edges, other.edges);
        let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
        let both = (right.min(x1) - left.max(x0)).max(0.0) * (bottom.min(y1) - top.max(y0)).max(0.0);
        both / (area(self.edges) + area(other.edges) - both + EMPTY)
    }
}

/// What one sample shows.
#[derive(Debug, Clone, Copy)]
pub(in crate::validate) struct Seen {
    /// What the float model found, what the quantized one did, and what of it is the same.
    counts: [usize; 3],
    places: Sums,
    scores: Sums,
}

impl Seen {
    pub(super) fn of(layout: Layout, float: &[f32], quantized: &[f32]) -> Self {
        let (ours, theirs) = (layout.found(float), layout.found(quantized));
        let mut used = vec![false; theirs.len()];
        let mut same = 0;
        for one in &ours {
            let free = theirs.iter().enumerate().filter(|(at, other)| !used[*at] && other.class == one.class);
            let best = free.map(|(at, other)| (one.overlap(other), at)).max_by(|a, b| a.0.total_cmp(&b.0));
            if let Some((_, at)) = best.filter(|(overlap, _)| *overlap > SAME) {
                used[at] = true;
                same += 1;
            }
        }
        let ([places, scores], [other_places, other_scores]) = (layout.apart(float), layout.apart(quantized));
        let (places, scores) = (Sums::of(&places, &other_places), Sums::of(&scores, &other_scores));
        Self { counts: [ours.len(), theirs.len(), same], places, scores }
    }
}

/// F1 of finds; `None` where neither found anything.
fn f1([float, quantized, same]: [usize; 3]) -> Option<f64> {
    (float + quantized > 0).then(|| 2.0 * same as f64 / (float + quantized) as f64)
}

/// What both models find. The float model's finds are taken for the truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Detections {
    /// Samples.
    pub samples: usize,
    /// What the float model found in all of them.
    pub float: usize,
    /// What the quantized model found.
    pub quantized: usize,
    /// What of it is the same: the class is, and the boxes overlap by more than a half.
    pub same: usize,
    /// Harmonic mean of precision and recall over all finds; `None` where neither model found anything.
    pub f1: Option<f64>,
    /// Mean of the same over the samples in which one of them found something.
    pub f1_mean: Option<f64>,
    /// The sample of the least.
    pub worst: Option<Worst>,
    /// The error of places and sizes alone.
    pub boxes: OutputError,
    /// The error of scores alone.
    pub scores: OutputError,
}

impl Detections {
    pub(super) fn of(output: &str, samples: &[(&str, &Seen)]) -> Self {
        let total = |k: usize| samples.iter().map(|(_, seen)| seen.counts[k]).sum::<usize>();
        let [float, quantized, same] = [total(0), total(1), total(2)];
        let each = samples.iter().filter_map(|(sample, seen)| Some((*sample, f1(seen.counts)?)));
        let each: Vec<_> = each.collect();
        let part = |name: &str, of: fn(&Seen) -> Sums| {
            let sums: Vec<_> = samples.iter().map(|(sample, seen)| (*sample, of(seen))).collect();
            OutputError::of(&format!("{output}, {name}"), &sums)
        };
        Self {
            samples: samples.len(),
            float,
            quantized,
            same,
            f1: f1([float, quantized, same]),
            f1_mean: super::mean(each.iter().map(|one| one.1)),
            worst: Worst::least(&each),
            boxes: part("boxes", |seen| seen.places),
            scores: part("scores", |seen| seen.scores),
        }
    }
}
