//! Running models. An [`Executor`] compiles a model for concrete input shapes; a [`Session`] keeps one program for each
//! shape it has met and may be used from many threads.

mod tract;

pub use tract::Tract;

use crate::error::{Error, Result};
use crate::ir::Model;
use crate::tensor::{DataType, Tensor, TensorType};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is told of a value while a model runs: which of the observed values it is, its shape, its elements.
pub type Observer<'a> = dyn FnMut(usize, &[usize], &[f32]) + 'a;

/// Types of values by name.
pub type Types = HashMap<String, TensorType>;

/// A model ready to run on inputs of one shape. Runs on one thread; any number may run at once.
pub trait Program: Send + Sync {
    /// Runs once and returns the graph's outputs, telling `observe` of each observed value as soon as it is computed.
    ///
    /// # Errors
    /// When an operator fails on these inputs.
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>>;
}

/// An engine that runs models.
pub trait Executor: Send + Sync {
    /// Its name and version, for reports.
    fn name(&self) -> String;

    /// Makes a model, given as a protobuf message, ready for inputs of the concrete types `inputs`. The float values
    /// called `observed` are shown to the observer, numbered in that order; every other one may be optimised away.
    ///
    /// # Errors
    /// When the engine lacks an operator, or the shapes do not fit together.
    fn compile(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>>;

    /// The type of every value of known rank, as far as it follows from inputs of the types `inputs`; dimensions of these
    /// may vary. What cannot be told is left out.
    ///
    /// # Errors
    /// When the engine cannot read the model at all.
    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types>;
}

/// Programs by the element types and shapes of their inputs.
type Programs = HashMap<Vec<(DataType, Vec<usize>)>, Arc<dyn Program>>;

/// A model, what to observe of it, and a program for each input shape met so far.
pub struct Session<'a> {
    executor: &'a dyn Executor,
    model: Vec<u8>,
    observed: Vec<String>,
    programs: Mutex<Programs>,
}

impl<'a> Session<'a> {
    /// A session that runs `model` and observes the values called `observed`.
    ///
    /// # Errors
    /// When the model cannot be written as one message.
    pub fn new(executor: &'a dyn Executor, model: &Model, observed: Vec<String>) -> Result<Self> {
        let model = crate::file::to_bytes(model)?;
        Ok(Self { executor, model, observed, programs: Mutex::default() })
    }

    /// The program for inputs of these types and shapes; compiled when they are met for the first time.
    ///
    /// # Errors
    /// When the engine cannot run the model at these shapes.
    pub fn program(&self, inputs: &[Tensor]) -> Result<Arc<dyn Program>> {
        let kinds: Vec<_> = inputs.iter().map(|t| (t.dtype(), t.shape().to_vec())).collect();
        // Compiling under the lock: two threads that meet a shape at once must not both spend the time.
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = programs.get(&kinds) {
            return Ok(program.clone());
        }
        let concrete = |t: &Tensor| TensorType { dtype: t.dtype(), dims: t.shape().iter().map(|&d| Some(d)).collect() };
        let types: Vec<_> = inputs.iter().map(concrete).collect();
        let program: Arc<dyn Program> = self.executor.compile(&self.model, &types, &self.observed)?.into();
        programs.insert(kinds, program.clone());
        Ok(program)
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// When it cannot be compiled for these shapes, or an operator fails.
    pub fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        self.program(inputs)?.run(inputs, observe)
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
    executor.compile(&crate::file::to_bytes(model)?, &[], &[])?.run(&[], &mut |_, _, _| {})
}
