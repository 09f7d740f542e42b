//! The executor over ONNX Runtime, whose library is loaded when somebody asks for it. No other folder knows the `ort` crate.

mod convert;
mod library;
mod profile;
mod program;
mod search;
mod timed;

use super::{Executor, Program, Tract, Types};
use crate::error::Result;
use crate::tensor::TensorType;
use std::path::Path;

/// What ONNX Runtime makes of a model before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing: each operator runs as it stands in the model (ORT_DISABLE_ALL).
    DisableAll,
    /// What it does for whoever asks for nothing: operators are fused, and Q/DQ pairs become integer kernels
    /// (ORT_ENABLE_ALL).
    Default,
}

/// ONNX Runtime on the CPU, one thread for each run. What types values have, it does not tell: [`Executor::types`] is
/// [`Tract`]'s.
pub struct OnnxRuntime {
    version: String,
    level: Level,
    tract: Tract,
}

impl OnnxRuntime {
    /// Loads the library: the file, or the one in the folder, `named`; else what the variable `ORT_DYLIB_PATH` names, else
    /// that of the active Python environment, else what the system's loader knows. A process has only one: the first.
    ///
    /// # Errors
    /// When there is none (the error says where was looked, and how to get it), or what is there is none or too old.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        Ok(Self { version: library::load(named)?, level: Level::Default, tract: Tract::default() })
    }

    /// The same at another level of optimization.
    #[must_use]
    pub fn at(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// Its version, as `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl Executor for OnnxRuntime {
    fn name(&self) -> String {
        let version = &self.version;
        match self.level {
            Level::DisableAll => format!("ONNX Runtime {version} without graph optimizations"),
            Level::Default => format!("ONNX Runtime {version}"),
        }
    }

    fn compile(&self, model: Vec<u8>, _: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        Ok(Box::new(program::Sessions::new(&model, observed, self.level, self.name())?))
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        self.tract.types(model, inputs)
    }

    fn takes_any_shape(&self) -> bool {
        true
    }

    fn runs_halves(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
