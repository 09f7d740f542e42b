//! Models whose inputs or outputs are integers, fed and read as if they were float: scale and zero point stand in the metadata.

use crate::error::{Error, Result};
use crate::ir::{Model, ValueId};
use crate::quant::{self, GridType, Params};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The metadata entry of an integer input or output is this and its name.
const PREFIX: &str = "tare.io.";

/// What the entry says, as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    scale: f32,
    zero_point: i32,
}

/// Notes the grid of the integer input or output `name` in the metadata.
pub fn note_grid(model: &mut Model, name: &str, params: &Params) {
    let entry = Entry { scale: params.scale, zero_point: params.zero_point };
    // Two numbers always have a form in JSON.
    let text = serde_json::to_string(&entry).unwrap_or_default();
    model.set_metadata(&format!("{PREFIX}{name}"), &text);
}

/// The grids of a model's inputs and outputs: `None` for those that are no integers on a grid.
#[derive(Debug, Default)]
pub struct Border {
    inputs: Vec<Option<Params>>,
    outputs: Vec<Option<Params>>,
}

impl Border {
    /// Reads the metadata.
    ///
    /// # Errors
    /// When an entry is none that was written here.
    pub fn of(model: &Model) -> Result<Self> {
        let grid = |value: ValueId| {
            let name = model.graph.value(value).name();
            let Some(text) = model.metadata(&format!("{PREFIX}{name}")) else { return Ok(None) };
            let Some(dtype) = model.graph.stated_type(value).and_then(|ty| integer(ty.dtype)) else { return Ok(None) };
            let wrong = |why: String| Error::value(name, format!("its metadata entry {PREFIX}{name} {why}"));
            let entry: Entry =
                serde_json::from_str(text).map_err(|e| wrong(format!("is no scale and zero_point: {e}")))?;
            let (low, high) = dtype.limits();
            if !(entry.scale.is_normal() && entry.scale > 0.0 && (low..=high).contains(&entry.zero_point)) {
                return Err(wrong(format!("is no grid of {dtype}: {text}")));
            }
            Ok(Some(Params { dtype, scale: entry.scale, zero_point: entry.zero_point }))
        };
        let inputs = model.graph.inputs().map(grid).collect::<Result<_>>()?;
        Ok(Self { inputs, outputs: model.graph.outputs().map(grid).collect::<Result<_>>()? })
    }

    /// The float numbers of a sample as the model's integers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn quantize(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let one = |(tensor, grid): (&Tensor, &Option<Params>)| match grid {
            Some(grid) if tensor.dtype().is_float() => {
                let bytes = Bytes::from(quant::quantize(&tensor.to_f32()?, grid));
                Tensor::new(grid.dtype.data_type(), tensor.shape().to_vec(), bytes)
            }
            _ => Ok(tensor.clone()),
        };
        inputs.iter().zip(&self.inputs).map(one).collect()
    }

    /// The model's integers as float numbers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn dequantize(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let one = |(tensor, grid): (Tensor, &Option<Params>)| match grid {
            Some(grid) => {
                let numbers: Vec<f32> = tensor.to_f32()?.iter().map(|&q| grid.dequantize(q as i32)).collect();
                Ok(Tensor::from_f32(tensor.shape().to_vec(), &numbers))
            }
            None => Ok(tensor),
        };
        outputs.into_iter().zip(&self.outputs).map(one).collect()
    }
}

fn integer(dtype: DataType) -> Option<GridType> {
    [GridType::Int8, GridType::Uint8, GridType::Int16, GridType::Uint16].into_iter().find(|ty| ty.data_type() == dtype)
}
