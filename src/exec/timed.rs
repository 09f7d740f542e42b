//! Running a model over and over for the time that it takes.

use super::Executor;
use crate::error::Result;
use crate::tensor::{Tensor, TensorType};
use std::path::Path;
use std::time::Duration;

/// How a model is run for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// How many threads share the work of one run.
    pub threads: usize,
    /// Whether the time of each node is taken, which makes a run slower.
    pub nodes: bool,
}

/// The time that a node took, summed over runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTime {
    /// The node as the model or, where it made the node itself, the engine calls it.
    pub node: String,
    /// The operator that ran.
    pub op_type: String,
    /// The sum, without what nodes in its bodies took if these are told apart.
    pub time: Duration,
}

/// A model that was loaded to be timed.
pub struct Loaded {
    /// The model.
    pub program: Box<dyn Timed>,
    /// How long it took to read the file and make it ready for the first run.
    pub took: Duration,
}

/// A model whose runs are timed.
pub trait Timed {
    /// Runs once. What is counted is the engine's work alone: neither the inputs' way to it nor the outputs' way back.
    ///
    /// # Errors
    /// When the engine fails on these inputs.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Duration>;

    /// The time of each node, summed over all runs but the first; nothing unless [`Timing::nodes`] asked for it.
    ///
    /// # Errors
    /// When the engine does not tell.
    fn nodes(self: Box<Self>) -> Result<Vec<NodeTime>>;
}

/// An engine that can be timed.
pub trait Timer: Executor {
    /// Loads the model in the file at `path` as an application would, for inputs of the concrete types `inputs`; others are
    /// still taken.
    ///
    /// # Errors
    /// When the file cannot be read or the engine cannot run the model.
    fn load(&self, path: &Path, inputs: &[TensorType], timing: Timing) -> Result<Loaded>;

    /// Whether several threads can share the work of one run.
    fn shares_runs(&self) -> bool;
}

/// The types of inputs, whose shapes are concrete.
pub fn types_of(inputs: &[Tensor]) -> Vec<TensorType> {
    let dims = |t: &Tensor| t.shape().iter().map(|&d| Some(d)).collect();
    inputs.iter().map(|t| TensorType { dtype: t.dtype(), dims: dims(t) }).collect()
}
