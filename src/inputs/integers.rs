//! What the integers stand for that a model takes or gives: scale and zero point stand in its metadata.

use super::Levels;
use crate::error::{Error, Result};
use crate::ir::{Model, ValueId};
use crate::quant::{self, GridType, Params};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The metadata entry of an integer input or output is this and its name.
const PREFIX: &str = "tare.io.";

/// What the entry says, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Grid(GridEntry),
    Levels(LevelsEntry),
}

/// One grid for all numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GridEntry {
    scale: f32,
    zero_point: i32,
}

/// The levels of a picture, for all channels or each along an axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelsEntry {
    scale: Vec<f64>,
    zero_point: Vec<f64>,
    axis: usize,
}

/// Notes the grid of the integer input or output `name` in the metadata.
pub fn note_grid(model: &mut Model, name: &str, params: &Params) {
    note(model, name, &Entry::Grid(GridEntry { scale: params.scale, zero_point: params.zero_point }));
}

/// Notes in the metadata what numbers the levels stand for that the uint8 input `name` takes.
pub fn note_levels(model: &mut Model, name: &str, levels: &Levels) {
    let Levels { scale, zero, axis } = levels.clone();
    note(model, name, &Entry::Levels(LevelsEntry { scale, zero_point: zero, axis }));
}

fn note(model: &mut Model, name: &str, entry: &Entry) {
    // Finite numbers always have a form in JSON.
    let text = serde_json::to_string(entry).unwrap_or_default();
    model.set_metadata(&format!("{PREFIX}{name}"), &text);
}

/// What the integers of an input or output stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// Numbers on a grid.
    Grid(Params),
    /// What the levels of a picture are worth.
    Levels(Levels),
}

impl Meaning {
    /// What the metadata of `model` say of its input or output `value`; `None` of one that is no integer on a grid.
    ///
    /// # Errors
    /// When the entry is none that was written here.
    pub fn of(model: &Model, value: ValueId) -> Result<Option<Self>> {
        let name = model.graph.value(value).name();
        let Some(text) = model.metadata(&format!("{PREFIX}{name}")) else { return Ok(None) };
        let Some(dtype) = model.graph.stated_type(value).and_then(|ty| integer(ty.dtype)) else { return Ok(None) };
        let wrong = |why: String| Error::value(name, format!("its metadata entry {PREFIX}{name} {why}"));
        let entry: Entry = serde_json::from_str(text).map_err(|e| wrong(format!("is no scale and zero_point: {e}")))?;
        let meaning = entry.meaning(dtype).ok_or_else(|| wrong(format!("is no grid of {dtype}: {text}")))?;
        Ok(Some(meaning))
    }

    /// The integers for the numbers of `tensor`; one that holds integers is taken as it is.
    ///
    /// # Errors
    /// When a number is NaN or infinite, or its channels are not as many as the levels are of.
    pub fn quantize(&self, tensor: &Tensor) -> Result<Tensor> {
        if !tensor.dtype().is_float() {
            return Ok(tensor.clone());
        }
        if let Some(bad) = tensor.to_f32()?.iter().find(|number| !number.is_finite()) {
            return Err(Error::other(format!("holds {bad}, for which the model's integers have no place")));
        }
        let shape = tensor.shape().to_vec();
        match self {
            Self::Levels(levels) => {
                let bytes: Vec<u8> = levels.of(tensor)?.to_f32()?.iter().map(|&level| level as u8).collect();
                Tensor::new(DataType::Uint8, shape, bytes.into())
            }
            Self::Grid(grid) => {
                Tensor::new(grid.dtype.data_type(), shape, Bytes::from(quant::quantize(&tensor.to_f32()?, grid)))
            }
        }
    }

    /// The numbers that the integers of an output stand for.
    ///
    /// # Errors
    /// When the tensor is malformed.
    pub fn dequantize(&self, tensor: Tensor) -> Result<Tensor> {
        match self {
            Self::Grid(grid) => {
                let numbers: Vec<f32> = tensor.to_f32()?.iter().map(|&q| grid.dequantize(q as i32)).collect();
                Ok(Tensor::from_f32(tensor.shape().to_vec(), &numbers))
            }
            // No output is a picture.
            Self::Levels(_) => Ok(tensor),
        }
    }
}

impl Entry {
    /// What it means for integers of `dtype`; `None` where it cannot be.
    fn meaning(self, dtype: GridType) -> Option<Meaning> {
        match self {
            Self::Grid(GridEntry { scale, zero_point }) => {
                let (low, high) = dtype.limits();
                let right = scale.is_normal() && scale > 0.0 && (low..=high).contains(&zero_point);
                right.then_some(Meaning::Grid(Params { dtype, scale, zero_point }))
            }
            Self::Levels(LevelsEntry { scale, zero_point: zero, axis }) => {
                let normal = scale.iter().all(|&v| (v as f32).is_normal()) && zero.iter().all(|v| v.is_finite());
                let right = dtype == GridType::Uint8 && normal && !scale.is_empty() && scale.len() == zero.len();
                right.then_some(Meaning::Levels(Levels { scale, zero, axis }))
            }
        }
    }
}

fn integer(dtype: DataType) -> Option<GridType> {
    [GridType::Int8, GridType::Uint8, GridType::Int16, GridType::Uint16].into_iter().find(|ty| ty.data_type() == dtype)
}
