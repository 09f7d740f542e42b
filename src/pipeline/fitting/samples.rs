//! The calibration samples: those that fit, and those that decide.

use super::FEWEST;
use crate::error::Result;
use crate::inputs::{self, Dataset, Sample};
use crate::pipeline::Planned;
use crate::pipeline::calibrated::calibrating;
use crate::policy::Settings;
use crate::tensor::{DataType, Tensor, TensorType};
use std::collections::HashSet;

/// The calibration samples.
pub struct Samples {
    set: Dataset,
    indices: Vec<usize>,
    /// The types of those that are used: the first one's.
    pub types: Vec<TensorType>,
}

impl Samples {
    /// Those of the settings; `None` where there are none.
    pub fn of(planned: &Planned, settings: &Settings) -> Result<Option<Self>> {
        let Some(data) = &settings.calibration else { return Ok(None) };
        // As the model takes them that is converted, whatever levels layers read since it was prepared.
        let set = Dataset::open(&data.source, &planned.inputs()?)?;
        let indices = calibrating(data, settings, set.len());
        let first = set.read(&indices).next().transpose()?;
        Ok(first.map(|first| Self { types: first.types(), set, indices }))
    }

    /// Samples that run side by side, `beside` of them and at most a half, each from the middle of a stretch of its own; and up to
    /// `deciding` others. Where integers are looked for, three quarters may fit, as long as enough decide.
    pub fn dealt(&self, (beside, rounds): (usize, bool), deciding: usize) -> (Vec<usize>, Vec<usize>) {
        let all: Vec<usize> = inputs::spread(self.indices.len(), beside + deciding);
        let (half, enough) = (all.len() / 2, all.len().saturating_sub(FEWEST));
        let count = beside.min(if rounds { enough.min(all.len() * 3 / 4).max(half) } else { half });
        let middles: HashSet<usize> = (0..count).map(|at| (2 * at + 1) * all.len() / (2 * count)).collect();
        let places = all.into_iter().enumerate().map(|(at, place)| (middles.contains(&at), self.indices[place]));
        let (beside, others): (Vec<_>, Vec<_>) = places.partition(|(beside, _)| *beside);
        let indices = |dealt: Vec<(bool, usize)>| dealt.into_iter().map(|(_, index)| index).collect();
        (indices(beside), indices(others))
    }

    /// The samples at some indices, but those of other types, and those with numbers that are none.
    pub fn read<'a>(&'a self, few: &[usize]) -> impl Iterator<Item = Result<Sample>> + Send + 'a {
        let fits = |sample: &Sample| sample.types() == self.types && sample.inputs.iter().all(is_finite);
        self.set.read(few).filter(move |sample| sample.as_ref().map_or(true, fits))
    }
}

/// Whether no number of a tensor of float32 is infinite or none at all.
fn is_finite(tensor: &Tensor) -> bool {
    tensor.dtype() != DataType::Float32 || tensor.to_f32().is_ok_and(|numbers| numbers.iter().all(|x| x.is_finite()))
}
