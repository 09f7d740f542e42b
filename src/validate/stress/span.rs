//! From where to where the numbers of an input go.

use crate::error::Result;
use crate::inputs::{Levels, Meaning};
use crate::tensor::Tensor;
use std::cmp::Ordering;

/// The lowest and the highest number that an input is meant for, and where that is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// For all channels, or for each.
    pub low: Vec<f32>,
    /// As many as `low`.
    pub high: Vec<f32>,
    /// The axis of the channels; without meaning where there is one number.
    pub axis: usize,
    /// Where it is from.
    pub from: &'static str,
}

/// The largest level of a picture.
const WHITE: f64 = 255.0;

impl Span {
    /// One span for all channels.
    pub fn plain(low: f32, high: f32, from: &'static str) -> Self {
        Self { low: vec![low], high: vec![high], axis: 0, from }
    }

    /// What black and white come to.
    pub fn of_levels(levels: &Levels, from: &'static str) -> Self {
        let number =
            |level: f64| levels.scale.iter().zip(&levels.zero).map(move |(scale, zero)| (level - zero) * scale);
        let numbers = |level: f64| number(level).map(|v| v as f32).collect();
        Self { low: numbers(0.0), high: numbers(WHITE), axis: levels.axis, from }
    }

    /// What the ends of a grid stand for.
    pub fn of_meaning(meaning: &Meaning) -> Self {
        match meaning {
            Meaning::Levels(levels) => Self::of_levels(levels, "levels 0 and 255, as the quantized model takes them"),
            Meaning::Grid(grid) => {
                let (bottom, top) = grid.dtype.limits();
                Self::plain(grid.dequantize(bottom), grid.dequantize(top), "the grid of the quantized model's input")
            }
        }
    }

    /// What the finite numbers of samples span; `None` where they have none.
    ///
    /// # Errors
    /// When a tensor holds no numbers.
    pub fn of_samples<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Option<Self>> {
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for tensor in tensors {
            for &number in tensor.to_f32()?.iter().filter(|number| number.is_finite()) {
                (low, high) = (low.min(number), high.max(number));
            }
        }
        Ok(match low.total_cmp(&high) {
            Ordering::Less => Some(Self::plain(low, high, "what the samples span")),
            // A state that is 0 at the start of each sample is not so for long.
            Ordering::Equal => {
                Some(Self::plain(low.min(-1.0), high.max(1.0), "a guess: the samples have but one number"))
            }
            Ordering::Greater => None,
        })
    }

    /// Lowest and highest number of element `index` of a tensor of this shape.
    pub fn at(&self, shape: &[usize], index: usize) -> (f32, f32) {
        let count = self.low.len();
        let inner: usize = if count > 1 { shape.iter().skip(self.axis + 1).product() } else { 1 };
        let channel = index / inner.max(1) % count;
        (self.low[channel], self.high[channel])
    }

    /// In words.
    pub fn told(&self) -> String {
        let least = |ends: &[f32]| ends.iter().copied().fold(f32::INFINITY, f32::min);
        let most = |ends: &[f32]| ends.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        // A negative scale turns black and white round.
        let (low, high) = (least(&self.low).min(least(&self.high)), most(&self.low).max(most(&self.high)));
        format!("{} to {}, {}", number(low), number(high), self.from)
    }
}

/// A number with as many digits as tell something.
fn number(number: f32) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        1e-2..1e5 => format!("{number:.4}"),
        _ => format!("{number:.3e}"),
    }
}
