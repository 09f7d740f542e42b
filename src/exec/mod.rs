//! Running models. An [`Executor`] compiles a model for concrete input shapes; a [`Session`] keeps programs for the shapes
//! it has met last and may be used from many threads.

mod lookups;
mod onnxruntime;
mod quiet;
mod session;
mod switched;
mod timed;
mod tract;

pub use onnxruntime::{Level, OnnxRuntime};
pub use session::Session;
pub use switched::{Chooser, Correction, Corrections, Corrector, Ran, Shown, Side, Sides, Stretch, Switched, Switches};
pub use timed::{Loaded, NodeTime, Timed, Timer, Timing, types_of};
pub use tract::Tract;

use crate::error::{Error, Result};
use crate::ir::Model;
use crate::tensor::{Tensor, TensorType};
use std::collections::HashMap;

/// What is told of a value while a model runs: which of the observed values it is, its shape, its elements.
pub type Observer<'a> = dyn FnMut(usize, &[usize], &[f32]) + 'a;

/// Types of values by name.
pub type Types = HashMap<String, TensorType>;

/// A model ready to run on inputs of one shape. Runs on one thread; any number may run at once.
pub trait Program: Send + Sync {
    /// Runs once and returns the graph's outputs, telling `observe` once of each observed value as soon as it is computed.
    ///
    /// # Errors
    /// [`Error::Node`] when an operator fails on these inputs, [`Error::Engine`] when anything else does.
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>>;
}

/// An engine that runs models.
pub trait Executor: Send + Sync {
    /// Its name and version, for reports.
    fn name(&self) -> String;

    /// Makes a model, given as a protobuf message that is let go of as soon as it was read, ready for inputs of the concrete types `inputs`. The float values
    /// called `observed` are shown to the observer, numbered in that order; every other one may be optimised away.
    ///
    /// # Errors
    /// [`Error::Node`] when the engine cannot run an operator, [`Error::Engine`] when anything else is wrong. An engine
    /// may find out as late as when the program runs.
    fn compile(&self, model: Vec<u8>, inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>>;

    /// The type of every value of known rank, as far as it follows from inputs of the types `inputs`, dimensions of which
    /// may vary, or is stated in the model. What cannot be told is left out. Weights need not be there, see
    /// [`crate::file::outline`].
    ///
    /// # Errors
    /// When the engine cannot read the model at all.
    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types>;

    /// Whether a program runs inputs of any shape, so that a model is compiled once. The shapes that it is then compiled for
    /// are unknown ones.
    fn takes_any_shape(&self) -> bool {
        false
    }

    /// Whether it computes with numbers of 16 bits itself. Other engines are to be given float32 in their place.
    fn runs_halves(&self) -> bool {
        false
    }
}

/// Runs a model without inputs: the outputs of a constant expression.
///
/// # Errors
/// When the engine lacks an operator.
pub fn evaluate(executor: &dyn Executor, model: &Model) -> Result<Vec<Tensor>> {
    if model.graph.inputs().next().is_some() {
        return Err(Error::other("a constant expression has no inputs"));
    }
    executor.compile(crate::file::to_bytes(model)?, &[], &[])?.run(&[], &mut |_, _, _| {})
}

#[cfg(test)]
mod tests;
