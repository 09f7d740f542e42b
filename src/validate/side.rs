//! A model in one engine, fed with numbers and read as numbers whatever its inputs and outputs are.

use super::border::Border;
use super::twin;
use crate::error::Result;
use crate::exec::{Executor, Session};
use crate::ir::Model;
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};

/// A model ready to run.
pub(super) struct Side<'a> {
    session: Session<'a>,
    /// The grids of inputs and outputs that are integers.
    border: Border,
    halves: Halves,
}

/// What becomes of numbers of 16 bits.
enum Halves {
    /// The engine takes them: the types of 16 bits of the inputs.
    Taken(Kinds),
    /// The model has none.
    None,
    /// The model runs in float32 in the place of one with such numbers: the types that inputs and outputs are rounded to.
    Rounded([Kinds; 2]),
}

/// The type of 16 bits of each input or output, where it has one.
type Kinds = Vec<Option<HalfType>>;

impl<'a> Side<'a> {
    /// Makes `model` ready for `executor`, which compiles it with the first run.
    ///
    /// # Errors
    /// When its metadata or a constant is malformed, or it is too large for one message.
    pub fn new(executor: &'a dyn Executor, model: &Model) -> Result<Self> {
        let border = Border::of(model)?;
        if executor.runs_halves() {
            let kinds = model.graph.inputs().map(|v| model.graph.element_type(v).and_then(HalfType::of)).collect();
            let session = Session::new(executor, model, vec![])?;
            return Ok(Self { session, border, halves: Halves::Taken(kinds) });
        }
        Ok(match twin::in_float32(model)? {
            Some(twin) => {
                let session = Session::new(executor, &twin.model, vec![])?;
                Self { session, border, halves: Halves::Rounded([twin.inputs, twin.outputs]) }
            }
            None => Self { session: Session::new(executor, model, vec![])?, border, halves: Halves::None },
        })
    }

    /// Whether float32 stands in for numbers of 16 bits.
    pub fn is_twin(&self) -> bool {
        matches!(self.halves, Halves::Rounded(_))
    }

    /// What the model takes in the place of a sample's numbers.
    fn inputs(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let inputs = self.border.quantize(inputs)?;
        match &self.halves {
            Halves::None => Ok(inputs),
            Halves::Rounded([read, _]) => rounded(&inputs, read),
            Halves::Taken(kinds) => {
                let one = |(tensor, kind): (Tensor, &Option<HalfType>)| match kind {
                    Some(kind) if tensor.dtype() == DataType::Float32 => kind.tensor(&tensor),
                    _ => Ok(tensor),
                };
                inputs.into_iter().zip(kinds).map(one).collect()
            }
        }
    }

    /// Whether the engine takes the model, for a sample of these inputs.
    ///
    /// # Errors
    /// [`crate::error::Error::Engine`] when it does not.
    pub fn check(&self, inputs: &[Tensor]) -> Result<()> {
        self.session.make_ready(&self.inputs(inputs)?)
    }

    /// Lets go of what was compiled for inputs of these shapes.
    pub fn forget(&self, inputs: &[Tensor]) {
        if let Ok(inputs) = self.inputs(inputs) {
            self.session.forget(&inputs);
        }
    }

    /// The numbers of outputs that were recorded, be it as the integers that the model gives.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn recorded(&self, outputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.border.recorded(outputs)
    }

    /// The outputs for a sample of these inputs.
    ///
    /// # Errors
    /// [`crate::error::Error::Engine`] when the engine cannot run the model.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.outputs(self.session.run(&self.inputs(inputs)?, &mut |_, _, _| {})?)
    }

    /// The same for whoever has words of its own for an operator that stands in the way.
    ///
    /// # Errors
    /// As [`Session::attempt`].
    pub fn attempt(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.outputs(self.session.attempt(&self.inputs(inputs)?)?)
    }

    fn outputs(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        self.border.dequantize(match &self.halves {
            Halves::Rounded([_, written]) => rounded(&outputs, written)?,
            Halves::Taken(_) | Halves::None => outputs,
        })
    }
}

/// Numbers of the types `kinds`, as float32.
fn rounded(tensors: &[Tensor], kinds: &Kinds) -> Result<Vec<Tensor>> {
    let one = |(tensor, kind): (&Tensor, &Option<HalfType>)| match kind {
        Some(kind) => {
            let numbers: Vec<f32> = tensor.to_f32()?.iter().map(|&v| kind.round(v)).collect();
            Ok(Tensor::from_f32(tensor.shape().to_vec(), &numbers))
        }
        None => Ok(tensor.clone()),
    };
    tensors.iter().zip(kinds).map(one).collect()
}
