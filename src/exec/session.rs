//! A model, what to observe of it, and the programs for the shapes that were met last.

use super::lookups::{self, Lookup};
use super::{Executor, Observer, Program};
use crate::error::{Error, Result};
use crate::heap;
use crate::ir::{Model, ValueId};
use crate::tensor::{Tensor, TensorType};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many programs are kept. One holds a copy of the weights in the engine's layout, so samples that differ in shape one
/// and all must not each leave one behind.
pub(super) const MAX_PROGRAMS: usize = 32;

/// The place of one program. Whoever finds it empty compiles under its lock: two threads that meet a shape at once must not
/// both spend the time, while other shapes go on.
type Slot = Arc<Mutex<Option<Arc<dyn Program>>>>;

/// Runs one model on inputs of any shape. May be used from many threads.
pub struct Session<'a> {
    executor: &'a dyn Executor,
    /// What of the model has to run in the engine.
    model: Model,
    /// What is fed to it behind the inputs.
    lookups: Vec<Lookup>,
    /// The model as a message, until the first program is compiled of it.
    bytes: Mutex<Option<Vec<u8>>>,
    observed: Vec<String>,
    /// Whether the model's outputs are computed.
    outputs: bool,
    /// The programs last used, the latest at the end.
    programs: Mutex<Vec<(Vec<TensorType>, Slot)>>,
}

impl<'a> Session<'a> {
    /// A session that runs `model` for its outputs and observes the values called `observed`.
    ///
    /// # Errors
    /// When a value to observe is not there, or the model cannot be written as one message.
    pub fn new(executor: &'a dyn Executor, model: &Model, observed: Vec<String>) -> Result<Self> {
        Self::of(executor, model, observed, true)
    }

    /// A session that computes no more of `model` than the values called `observed`: a run returns no outputs, and what
    /// only these need may be of a kind that the engine cannot run.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn observing(executor: &'a dyn Executor, model: &Model, observed: Vec<String>) -> Result<Self> {
        Self::of(executor, model, observed, false)
    }

    fn of(executor: &'a dyn Executor, model: &Model, observed: Vec<String>, outputs: bool) -> Result<Self> {
        let wanted = observed.iter().map(|name| {
            model.graph.find(name).ok_or_else(|| Error::value(name, "is to be observed, but is not in the model"))
        });
        let mut model = model.part(&wanted.collect::<Result<Vec<_>>>()?, outputs)?;
        let lookups = lookups::take_out(&mut model)?;
        let bytes = crate::file::to_bytes(&model)?;
        let bytes = Mutex::new(Some(bytes));
        Ok(Self { executor, model, lookups, bytes, observed, outputs, programs: Mutex::default() })
    }

    /// How many inputs of the engine are rows of tables.
    #[cfg(test)]
    pub(super) fn looks_up(&self) -> usize {
        self.lookups.len()
    }

    /// What the engine is fed for `inputs`.
    fn fed<'t>(&self, inputs: &'t [Tensor]) -> Result<Cow<'t, [Tensor]>> {
        if self.lookups.is_empty() {
            return Ok(Cow::Borrowed(inputs));
        }
        let rows = self.lookups.iter().map(|lookup| lookup.rows(inputs));
        Ok(Cow::Owned(inputs.iter().cloned().map(Ok).chain(rows).collect::<Result<_>>()?))
    }

    /// The program for what is fed; compiled when such types and shapes are met for the first time in a while.
    pub(super) fn program(&self, fed: &[Tensor]) -> Result<Arc<dyn Program>> {
        let types = self.types(fed);
        let slot = self.slot(&types);
        let mut program = lock(&slot);
        if let Some(program) = &*program {
            return Ok(program.clone());
        }
        // To keep a message for shapes that may never come would be to keep all weights once more.
        let message = match lock(&self.bytes).take() {
            Some(first) => first,
            None => crate::file::to_bytes(&self.model)?,
        };
        let compiled = self.executor.compile(message, &types, &self.observed)?;
        // The weights went through many hands.
        heap::give_back();
        Ok(program.insert(compiled.into()).clone())
    }

    /// What a program for these inputs is compiled for.
    fn types(&self, inputs: &[Tensor]) -> Vec<TensorType> {
        // Where one program serves for all shapes, they are told by their rank alone.
        let any = self.executor.takes_any_shape();
        let dims = |t: &Tensor| t.shape().iter().map(|&d| (!any).then_some(d)).collect();
        inputs.iter().map(|t| TensorType { dtype: t.dtype(), dims: dims(t) }).collect()
    }

    /// Lets go of the program for inputs of these shapes, which are not expected again, unless it serves for others, too.
    pub fn forget(&self, inputs: &[Tensor]) {
        if !self.executor.takes_any_shape() {
            let Ok(fed) = self.fed(inputs) else { return };
            let types = self.types(&fed);
            lock(&self.programs).retain(|(known, _)| *known != types);
        }
    }

    /// The place for inputs of one kind, which is now the one last used.
    fn slot(&self, kinds: &[TensorType]) -> Slot {
        let mut programs = lock(&self.programs);
        let known = programs.iter().position(|(k, _)| k == kinds);
        let entry = match known {
            Some(index) => programs.remove(index),
            None => (kinds.to_vec(), Slot::default()),
        };
        let slot = entry.1.clone();
        programs.push(entry);
        if programs.len() > MAX_PROGRAMS {
            programs.remove(0);
        }
        slot
    }

    /// Compiles the program for inputs of these types and shapes, unless that is there.
    ///
    /// # Errors
    /// When the engine cannot run the model at these shapes.
    pub fn make_ready(&self, inputs: &[Tensor]) -> Result<()> {
        let fed = self.fed(inputs)?;
        self.program(&fed).map(drop).map_err(|e| self.explained(e))
    }

    /// Runs the model once.
    ///
    /// # Errors
    /// When it cannot be compiled for these shapes, or an operator fails.
    pub fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        let fed = self.fed(inputs)?;
        self.program(&fed).and_then(|program| program.run(&fed, observe)).map_err(|e| self.explained(e))
    }

    /// The same for whoever has words of its own for an operator that stands in the way: it is an [`Error::Node`].
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn attempt(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let fed = self.fed(inputs)?;
        self.program(&fed)?.run(&fed, &mut |_, _, _| {})
    }

    /// An operator that stands in the way, in words for whoever has to go round it.
    fn explained(&self, error: Error) -> Error {
        let Error::Node { node, op_type, message } = error else { return error };
        let engine = self.executor.name();
        let Some((value, others)) = self.dependents(&node).filter(|_| !self.outputs) else {
            return Error::Engine(format!("{engine} cannot run {op_type} {node:?}: {message}"));
        };
        let others = if others > 0 { format!(" (as {others} more do)") } else { String::new() };
        Error::Engine(format!(
            "value {value:?} depends{others} on {op_type} {node:?}, which {engine} cannot run ({message}): give its range in a rule (match: {{value: {value}}}, range: [LOW, HIGH]), or keep the nodes that need it in float (quantize: false)"
        ))
    }

    /// The first observed value that depends on the node labelled `node`, and how many others do.
    fn dependents(&self, node: &str) -> Option<(&str, usize)> {
        let graph = &self.model.graph;
        let blamed = graph.node_ids().find(|&id| graph.label(id) == node)?;
        let outputs: Vec<ValueId> = graph.node(blamed).outputs().iter().flatten().copied().collect();
        let depends = |name: &&String| {
            let needed = graph.find(name).map(|value| graph.ancestors([value]));
            needed.is_some_and(|needed| outputs.iter().any(|o| needed[o.index()]))
        };
        let mut found = self.observed.iter().filter(depends);
        Some((found.next()?, found.count()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
