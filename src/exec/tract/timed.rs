//! Models run for their time. One run is the work of one thread.

use super::super::timed::{Loaded, NodeTime, Timed, Timer, Timing, types_of};
use super::failure::Label;
use super::program::{NodeTold, Stepped};
use super::{Tract, VERSION};
use crate::error::{Error, Result};
use crate::file;
use crate::tensor::{Tensor, TensorType};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A model and its programs for the shapes that were met.
struct Programs {
    tract: Tract,
    path: PathBuf,
    programs: Vec<(Vec<TensorType>, Box<dyn Stepped>)>,
    /// The time of each node, where that is asked for.
    nodes: Option<HashMap<Label, Duration>>,
    runs: usize,
}

impl Programs {
    /// Where the program for inputs of these types is.
    fn program(&mut self, types: &[TensorType]) -> Result<usize> {
        if let Some(known) = self.programs.iter().position(|(met, _)| met == types) {
            return Ok(known);
        }
        // Read again for each shape: kept, the message would count as memory that running the model takes.
        let message = file::to_bytes(&file::load(&self.path)?)?;
        let program = self.tract.program(message, types, &[]).map_err(explained)?;
        self.programs.push((types.to_vec(), program));
        Ok(self.programs.len() - 1)
    }
}

/// An error in words for whoever has the model in front of him.
fn explained(error: Error) -> Error {
    match error {
        Error::Node { node, op_type, message } => {
            Error::Engine(format!("tract {VERSION} cannot run {op_type} {node:?}: {message}"))
        }
        other => other,
    }
}

impl Timed for Programs {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Duration> {
        let program = self.program(&types_of(inputs))?;
        let counted = self.runs > 0;
        self.runs += 1;
        let mut add = self
            .nodes
            .as_mut()
            .filter(|_| counted)
            .map(|nodes| |label: Label, time: Duration| *nodes.entry(label).or_default() += time);
        let told = add.as_mut().map(|add| add as &mut NodeTold<'_>);
        self.programs[program].1.time(inputs, told).map_err(explained)
    }

    fn nodes(self: Box<Self>) -> Result<Vec<NodeTime>> {
        let told = self.nodes.into_iter().flatten();
        Ok(told.map(|(Label { name, op_type }, time)| NodeTime { node: name, op_type, time }).collect())
    }
}

impl Timer for Tract {
    fn load(&self, path: &Path, inputs: &[TensorType], timing: Timing) -> Result<Loaded> {
        let (tract, nodes) = (Self::default(), timing.nodes.then(HashMap::new));
        let start = Instant::now();
        let mut loaded = Programs { tract, path: path.to_path_buf(), programs: Vec::new(), nodes, runs: 0 };
        loaded.program(inputs).map_err(|e| e.in_model(path))?;
        Ok(Loaded { took: start.elapsed(), program: Box::new(loaded) })
    }

    fn shares_runs(&self) -> bool {
        false
    }
}
