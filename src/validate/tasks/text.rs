//! Text that CTC decodes: of equal neighbouring steps one counts, and blanks, class 0, are dropped.

use super::Worst;
use serde::Serialize;

/// The characters of a model, that of class 1 first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Charset(Vec<String>);

impl Charset {
    /// One on each line.
    pub fn new(lines: &str) -> Self {
        Self(lines.lines().map(str::to_owned).collect())
    }

    /// Whether scores of so many classes are of these characters: with the blank, and perhaps with a space behind them.
    pub fn fits(&self, classes: usize) -> bool {
        classes == self.0.len() + 1 || classes == self.0.len() + 2
    }

    /// The text of decoded classes, without spaces, which labels set in their own way. A class beyond the last is one.
    fn text(&self, classes: &[usize]) -> String {
        let characters = classes.iter().filter_map(|class| self.0.get(class - 1));
        without_spaces(&characters.map(String::as_str).collect::<String>())
    }
}

fn without_spaces(text: &str) -> String {
    text.chars().filter(|c| *c != ' ').collect()
}

/// What one sample shows.
#[derive(Debug, Clone)]
pub(in crate::validate) struct Seen {
    /// Steps, and those whose highest class is the same.
    steps: [usize; 2],
    matches: bool,
    /// 1 less the edit distance over the length of the longer one.
    similarity: f64,
    /// Whether each model reads what the label says.
    right: Option<[bool; 2]>,
}

impl Seen {
    /// Of an output `[1,T,C]`, `[T,1,C]` or `[T,C]`; `None` for another one.
    pub(super) fn of(
        shape: &[usize],
        float: &[f32],
        quantized: &[f32],
        (charset, label): (Option<&Charset>, Option<&str>),
    ) -> Option<Self> {
        let (&[1, steps, classes] | &[steps, 1, classes] | &[steps, classes]) = shape else { return None };
        // One row of scores is a classifier's.
        if classes < 2 || steps == 0 || matches!(shape, [1, _]) {
            return None;
        }
        let best = |scores: &[f32]| -> Vec<usize> {
            scores.chunks_exact(classes).map(|step| super::highest(step.iter().copied())).collect()
        };
        let (a, b) = (best(float), best(quantized));
        let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
        let (a, b) = (decoded(&a), decoded(&b));
        let longest = a.len().max(b.len()).max(1);
        let right = charset.zip(label).map(|(charset, label)| {
            let label = without_spaces(label);
            [charset.text(&a) == label, charset.text(&b) == label]
        });
        let similarity = 1.0 - distance(&a, &b) as f64 / longest as f64;
        Some(Self { steps: [steps, same], matches: a == b, similarity, right })
    }
}

/// The classes that are left of those of each step.
fn decoded(steps: &[usize]) -> Vec<usize> {
    let before = std::iter::once(0).chain(steps.iter().copied());
    steps
        .iter()
        .copied()
        .zip(before)
        .filter(|(class, before)| *class != 0 && class != before)
        .map(|pair| pair.0)
        .collect()
}

/// Levenshtein's: how many characters have to be changed, added or taken away.
fn distance(a: &[usize], b: &[usize]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (above, one) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(one != other);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[b.len()]
}

/// How the texts of both models agree. Shares between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextMatch {
    /// Samples.
    pub samples: usize,
    /// Samples whose text is the same to the last character.
    pub matches: f64,
    /// Steps whose highest class is the same.
    pub step_agreement: f64,
    /// Mean of 1 less the edit distance over the length of the longer text.
    pub similarity: f64,
    /// The sample of the least.
    pub worst: Option<Worst>,
    /// Samples that have a label, where the characters are known.
    pub labelled: usize,
    /// Labelled samples that the float model reads rightly and the quantized one does not.
    pub worsened: usize,
    /// Labelled samples of which it is the other way round.
    pub improved: usize,
    /// Labelled samples that the float model reads rightly, spaces aside.
    pub accuracy_float: Option<f64>,
    /// Labelled samples that the quantized model reads rightly.
    pub accuracy_quantized: Option<f64>,
}

impl TextMatch {
    pub(super) fn of(samples: &[(&str, &Seen)]) -> Self {
        let count = samples.len().max(1) as f64;
        let sum = |f: &dyn Fn(&Seen) -> usize| samples.iter().map(|(_, seen)| f(seen)).sum::<usize>() as f64;
        let each: Vec<_> = samples.iter().map(|(sample, seen)| (*sample, seen.similarity)).collect();
        let labelled: Vec<[bool; 2]> = samples.iter().filter_map(|(_, seen)| seen.right).collect();
        let right = |k: usize| super::mean(labelled.iter().map(|right| f64::from(u8::from(right[k]))));
        Self {
            samples: samples.len(),
            matches: sum(&|seen| usize::from(seen.matches)) / count,
            step_agreement: sum(&|seen| seen.steps[1]) / sum(&|seen| seen.steps[0]).max(1.0),
            similarity: super::mean(each.iter().map(|one| one.1)).unwrap_or(1.0),
            worst: Worst::least(&each),
            labelled: labelled.len(),
            worsened: labelled.iter().filter(|right| right[0] && !right[1]).count(),
            improved: labelled.iter().filter(|right| !right[0] && right[1]).count(),
            accuracy_float: right(0),
            accuracy_quantized: right(1),
        }
    }
}
