//! Models whose inputs or outputs are integers, fed and read as if they were float.

use crate::error::Result;
use crate::inputs::Meaning;
use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// The grids of a model's inputs and outputs: `None` for those that are no integers on a grid.
#[derive(Debug, Default)]
pub struct Border {
    inputs: Vec<Option<Meaning>>,
    outputs: Vec<Option<Meaning>>,
}

impl Border {
    /// Reads the metadata.
    ///
    /// # Errors
    /// When an entry is none that was written here.
    pub fn of(model: &Model) -> Result<Self> {
        let meaning = |value: ValueId| Meaning::of(model, value);
        let inputs = model.graph.inputs().map(meaning).collect::<Result<_>>()?;
        Ok(Self { inputs, outputs: model.graph.outputs().map(meaning).collect::<Result<_>>()? })
    }

    /// The step of each output that is integers on a grid.
    pub fn steps(&self) -> Vec<Option<f64>> {
        let step = |meaning: &Option<Meaning>| match meaning {
            Some(Meaning::Grid(grid)) => Some(f64::from(grid.scale)),
            Some(Meaning::Levels(_)) | None => None,
        };
        self.outputs.iter().map(step).collect()
    }

    /// The float numbers of a sample as the model's integers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn quantize(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let one = |(tensor, meaning): (&Tensor, &Option<Meaning>)| match meaning {
            Some(meaning) => meaning.quantize(tensor),
            None => Ok(tensor.clone()),
        };
        inputs.iter().zip(&self.inputs).map(one).collect()
    }

    /// The numbers of inputs, be they given as the model's integers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn numbers(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let one = |(tensor, meaning): (&Tensor, &Option<Meaning>)| match meaning {
            Some(meaning) if !tensor.dtype().is_float() => meaning.dequantize(tensor.clone()),
            _ => Ok(tensor.clone()),
        };
        inputs.iter().zip(&self.inputs).map(one).collect()
    }

    /// The numbers of outputs that were recorded, be it as the model's integers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn recorded(&self, outputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let one = |(at, tensor): (usize, &Tensor)| match self.outputs.get(at) {
            Some(Some(Meaning::Grid(grid))) if tensor.dtype() == grid.dtype.data_type() => {
                Meaning::Grid(*grid).dequantize(tensor.clone())
            }
            _ => Ok(tensor.clone()),
        };
        outputs.iter().enumerate().map(one).collect()
    }

    /// The model's integers as float numbers.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn dequantize(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let one = |(tensor, meaning): (Tensor, &Option<Meaning>)| match meaning {
            Some(meaning) => meaning.dequantize(tensor),
            None => Ok(tensor),
        };
        outputs.into_iter().zip(&self.outputs).map(one).collect()
    }
}
