//! What outputs say, beyond their numbers: classes, text, embeddings, masks, boxes. One sample at a time; what is kept of each is a
//! few counts, or its embedding.

mod boxes;
mod embedding;
mod groups;
mod masks;
#[cfg(test)]
mod tests;
mod text;

pub use boxes::Detections;
pub use embedding::Neighbours;
pub use groups::Groups;
pub use masks::Overlap;
pub use text::TextMatch;

use super::metrics::{Classification, Ranking};
use crate::error::{Error, Result};
use crate::inputs::Sample;
use crate::ir::Model;
use crate::policy::{OneOrEach, Settings, TaskName};
use crate::tensor::{DataType, Tensor};
use serde::Serialize;
use text::Charset;

/// The metadata of a model that say what it is for, what its classes are called, and which characters it reads.
const TASK: &str = "task";
const NAMES: &str = "names";
const CHARACTERS: &str = "character";
/// The input that says which steps count.
pub const MASK: &str = "attention_mask";

/// A sample, and what it is measured at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worst {
    /// Its name.
    pub sample: String,
    /// What was measured.
    pub value: f64,
}

impl Worst {
    /// The first sample of the least value.
    fn least(samples: &[(&str, f64)]) -> Option<Self> {
        let least = samples.iter().copied().reduce(|least, one| if one.1 < least.1 { one } else { least });
        least.map(|(sample, value)| Self { sample: sample.to_owned(), value })
    }
}

/// How two models agree in what one output says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "task", rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "there is one for each output")]
pub enum Measure {
    /// One score per class.
    Classify(Classification),
    /// Text, decoded by CTC.
    Ctc(TextMatch),
    /// Embeddings.
    Embed(Neighbours),
    /// Masks.
    Segment(Overlap),
    /// A class for each pixel.
    SegmentClasses(Overlap),
    /// Boxes with scores.
    Yolo(Detections),
}

/// The same with the output's name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The output.
    pub output: String,
    /// What was measured.
    #[serde(flatten)]
    pub measure: Measure,
}

impl Measure {
    /// What a threshold is about: its name in the policy, and the share that was measured; `None` of nothing.
    pub fn share(&self) -> (&'static str, Option<f64>) {
        match self {
            Self::Classify(classes) => ("top1_agreement", Some(classes.top1_agreement)),
            Self::Ctc(text) => ("text_match", Some(text.matches)),
            Self::Embed(embedding) => ("neighbours", embedding.agreement),
            Self::Segment(masks) | Self::SegmentClasses(masks) => ("iou", masks.iou),
            Self::Yolo(boxes) => ("f1", boxes.f1),
        }
    }
}

/// What is looked at in the outputs of a model.
pub(super) struct Tasks<'a> {
    /// Where the policy says it.
    policy: &'a Settings,
    /// Of each output.
    each: Vec<TaskName>,
    /// The first output of floats, which a task without an output's name is about.
    first: usize,
    mask_above: f32,
    charset: Option<Charset>,
    /// The classes that a detector's metadata name, if it is one.
    detects: Option<usize>,
    /// How many classes its metadata name.
    classes: Option<usize>,
    /// The input that says which steps count.
    mask: Option<usize>,
}

/// What one sample shows in one output.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Classes(Ranking),
    Text(text::Seen),
    Embedding(embedding::Seen),
    Mask(masks::Seen),
    Regions(masks::Seen),
    Boxes(boxes::Seen),
}

impl Seen {
    /// The five highest classes, of a classifier.
    pub fn ranking(&self) -> Option<&Ranking> {
        match self {
            Self::Classes(ranking) => Some(ranking),
            _ => None,
        }
    }
}

/// Where the policy gives outputs their tasks.
const KEY: &str = "validation.task";

impl<'a> Tasks<'a> {
    /// Those of `policy`, for the outputs of the float model.
    ///
    /// # Errors
    /// When an output is named that the model has not, or the file of characters cannot be read.
    pub fn new(policy: &'a Settings, model: &Model) -> Result<Self> {
        let (graph, settings) = (&model.graph, &policy.tasks);
        let outputs: Vec<&str> = graph.outputs().map(|v| graph.value(v).name()).collect();
        let named = settings.task.iter().flat_map(OneOrEach::names);
        if let Some(unknown) = named.into_iter().find(|name| !outputs.contains(name)) {
            let why = format!("a task is given for the output {unknown:?}; the model has {outputs:?}");
            return Err(policy.blame_name(KEY, unknown, Error::other(why)));
        }
        // Integers are handed through, or are what others said already.
        let float = |value| graph.element_type(value).is_none_or(DataType::is_float);
        let first = graph.outputs().position(float).unwrap_or(0);
        let of = |(index, name): (usize, &&str)| match &settings.task {
            Some(OneOrEach::One(task)) if index == first => *task,
            None | Some(OneOrEach::One(_)) => TaskName::Auto,
            Some(each) => each.of(name).unwrap_or_default(),
        };
        let read = |path| std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")));
        let stated = settings.charset.as_deref().map(read).transpose()?;
        let characters = stated.as_deref().or(model.metadata(CHARACTERS));
        let classes = model.metadata(NAMES).and_then(entries);
        let shown = graph.inputs().map(|v| graph.value(v).name()).position(|name| name == MASK);
        Ok(Self {
            policy,
            each: outputs.iter().enumerate().map(of).collect(),
            first,
            mask_above: settings.mask_above,
            charset: characters.map(Charset::new),
            detects: classes.filter(|_| model.metadata(TASK) == Some("detect")),
            classes,
            mask: shown,
        })
    }

    /// What `sample` shows in the output `index`, called `name`.
    ///
    /// # Errors
    /// When the output is not what its task reads.
    pub fn look(
        &self,
        (index, name): (usize, &str),
        shape: &[usize],
        [float, quantized]: [&[f32]; 2],
        sample: &Sample,
    ) -> Result<Option<Seen>> {
        let task = self.each.get(index).copied().unwrap_or_default();
        let classes = || Ranking::of(shape, float, quantized, sample.label).map(Seen::Classes);
        let boxes = |classes: Option<usize>| {
            boxes::Layout::of(shape, classes).map(|layout| Seen::Boxes(boxes::Seen::of(layout, float, quantized)))
        };
        let text = || {
            let label = (self.charset.as_ref(), sample.text.as_deref());
            text::Seen::of(shape, float, quantized, label).map(Seen::Text)
        };
        if let Some(label) = sample.label.filter(|&label| label as usize >= float.len())
            && (task == TaskName::Classify || task == TaskName::Auto && index == self.first)
            && classes().is_some()
        {
            let (sample, count) = (&sample.name, float.len());
            let why = format!(
                "has {count} classes, and the sample {sample} is labelled {label}: labels count from 0; correct them, or set task: none"
            );
            return Err(Error::value(name, why));
        }
        let (seen, wanted) = match task {
            TaskName::None => return Ok(None),
            TaskName::Auto => {
                let first = index == self.first;
                let reads = self.charset.as_ref().is_some_and(|charset| {
                    shape.len() == 3 && shape.last().is_some_and(|&classes| charset.fits(classes))
                });
                let seen = classes().filter(|_| first);
                let seen = seen.or_else(|| self.detects.and_then(|classes| boxes(Some(classes))));
                return Ok(seen.or_else(|| text().filter(|_| reads)));
            }
            TaskName::Classify => (classes(), "one score per class, [1,C]"),
            TaskName::Ctc => (text(), "scores of characters for each step, [1,T,C]"),
            TaskName::Embed => {
                let mask = self.mask.and_then(|mask| sample.inputs.get(mask));
                let mask = mask.filter(|mask| mask.dtype() != DataType::String).map(Tensor::to_f32).transpose()?;
                let seen = embedding::Seen::of(shape, float, quantized, mask.as_deref());
                (seen.map(Seen::Embedding), "an embedding, [1,D] or [1,T,D]")
            }
            TaskName::Segment => {
                let seen = masks::Seen::above(self.mask_above, float, quantized);
                (Some(Seen::Mask(seen)), "")
            }
            TaskName::SegmentClasses => {
                let seen = masks::Seen::classes(shape, float, quantized);
                (seen.map(Seen::Regions), "a score per class for each pixel, [1,C,H,W] or [1,H,W,C]")
            }
            TaskName::Yolo => (boxes(self.classes).or_else(|| boxes(None)), "boxes, [1,4+C,N], or [1,N,5+C]"),
        };
        let refused = || {
            let why = format!("the task {task} reads {wanted}; this output has shape {shape:?}");
            self.policy.blame_name(KEY, name, Error::value(name, why))
        };
        seen.map(Some).ok_or_else(refused)
    }

    /// What all samples show in the output `index`, called `name`: each with its name, in their order. `None` where there is
    /// nothing to say of all of them.
    pub fn sum_up(&self, (index, name): (usize, &str), samples: &[(&str, Option<&Seen>)]) -> Option<Measure> {
        /// All of one kind, or none.
        fn all<'a, T>(
            samples: &[(&'a str, Option<&'a Seen>)],
            kind: impl Fn(&'a Seen) -> Option<&'a T>,
        ) -> Option<Vec<(&'a str, &'a T)>> {
            samples.iter().map(|(sample, seen)| Some((*sample, kind((*seen)?)?))).collect()
        }
        let measure = match samples.first()?.1? {
            Seen::Classes(_) => {
                let rankings = all(samples, |seen| if let Seen::Classes(seen) = seen { Some(seen) } else { None })?;
                let rankings: Vec<&Ranking> = rankings.into_iter().map(|(_, ranking)| ranking).collect();
                let is_stated = self.each.get(index) == Some(&TaskName::Classify);
                Measure::Classify(Classification::of((name, is_stated), &rankings)?)
            }
            Seen::Text(_) => {
                let seen = all(samples, |seen| if let Seen::Text(seen) = seen { Some(seen) } else { None })?;
                Measure::Ctc(TextMatch::of(&seen))
            }
            Seen::Embedding(_) => {
                let seen = all(samples, |seen| if let Seen::Embedding(seen) = seen { Some(seen) } else { None })?;
                Measure::Embed(Neighbours::of(&seen, self.mask.map(|_| MASK)))
            }
            Seen::Mask(_) => {
                let seen = all(samples, |seen| if let Seen::Mask(seen) = seen { Some(seen) } else { None })?;
                Measure::Segment(Overlap::of(&seen))
            }
            Seen::Regions(_) => {
                let seen = all(samples, |seen| if let Seen::Regions(seen) = seen { Some(seen) } else { None })?;
                Measure::SegmentClasses(Overlap::of(&seen))
            }
            Seen::Boxes(_) => {
                let seen = all(samples, |seen| if let Seen::Boxes(seen) = seen { Some(seen) } else { None })?;
                Measure::Yolo(Detections::of(name, &seen))
            }
        };
        Some(measure)
    }
}

/// The place of the highest score, the first of several.
fn highest(scores: impl Iterator<Item = f32>) -> usize {
    let best = scores.enumerate().reduce(|best, one| if one.1 > best.1 { one } else { best });
    best.map_or(0, |(at, _)| at)
}

/// `None` of nothing.
fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = numbers.fold((0.0, 0usize), |(sum, count), number| (sum + number, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// How many entries a dictionary has that is written as Python does: `{0: 'cat', 1: "cat's"}`; `None` where it is none.
fn entries(text: &str) -> Option<usize> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut quote, mut escaped, mut count) = (None, false, 0);
    for c in inner.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, ':') => count += 1,
            _ => {}
        }
    }
    (count > 0 && quote.is_none()).then_some(count)
}
