//! A model in sessions of ONNX Runtime.

use super::super::{Observer, Program, quiet};
use super::{Level, convert};
use crate::error::{Error, Result};
use crate::file::{self, Exposed};
use crate::tensor::Tensor;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionOutputs};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The longest reason that is passed on, in characters.
const LONGEST: usize = 400;

/// One session for each thread that runs at once: `ort` gives a session to one thread at a time.
pub struct Sessions {
    /// The message, whose outputs are the model's own and then the observed values that are none; for sessions to come.
    model: Exposed,
    level: Level,
    /// The engine's name.
    engine: String,
    /// Where each observed value is among the outputs.
    observed: Vec<usize>,
    idle: Mutex<Vec<Session>>,
}

impl Sessions {
    /// Loads a model that is to show the values called `observed`.
    ///
    /// # Errors
    /// [`Error::Engine`] with ONNX Runtime's words when it refuses the model.
    pub fn new(model: &[u8], observed: &[String], level: Level, engine: String) -> Result<Self> {
        let model = file::with_outputs(model, observed).map_err(|e| Error::Engine(e.to_string()))?;
        let places: HashMap<&String, usize> = model.outputs.iter().zip(0..).collect();
        let observed = observed.iter().filter_map(|name| places.get(name).copied()).collect();
        let sessions = Self { model, level, engine, observed, idle: Mutex::default() };
        let first = sessions.session()?;
        sessions.rest(first);
        Ok(sessions)
    }

    /// A session that no other thread uses.
    fn session(&self) -> Result<Session> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.loaded(), Ok)
    }

    fn rest(&self, session: Session) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn loaded(&self) -> Result<Session> {
        let load = || builder(self.level, 1)?.commit_from_memory(&self.model.bytes);
        let loaded = quiet::catch(load).map_err(|_| self.refusal("load", "the binding panicked"))?;
        loaded.map_err(|e| self.refusal("load", e.message()))
    }

    /// Shows the observed values of a run, and returns the model's outputs.
    fn shown(&self, made: &SessionOutputs<'_>, observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        let made: Vec<_> = made.values().collect();
        for (index, &place) in self.observed.iter().enumerate() {
            if let Some((shape, elements)) = convert::floats(&made[place]) {
                observe(index, &shape, elements);
            } else {
                let tensor = convert::from_ort(&made[place])?;
                observe(index, tensor.shape(), &tensor.to_f32()?);
            }
        }
        made[..self.model.own].iter().map(|value| convert::from_ort(value)).collect()
    }

    fn refusal(&self, what: &str, why: &str) -> Error {
        refusal(&self.engine, what, why)
    }
}

/// That the engine called `engine` cannot do `what`, in its own words on one line.
pub(super) fn refusal(engine: &str, what: &str, why: &str) -> Error {
    let words: Vec<&str> = why.split_whitespace().collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push_str(" ...");
    }
    match blamed(why) {
        Some((op_type, node)) => Error::node(node, op_type, format!("{engine} says: {line}")),
        None => Error::Engine(format!("{engine} cannot {what} it: {line}")),
    }
}

/// The operator and the name of the node in words like `while running Reshape node. Name:'r' Status Message: ...`.
fn blamed(why: &str) -> Option<(&str, &str)> {
    let (before, after) = why.split_once(" node. Name:'")?;
    let (name, _) = after.split_once("' Status Message")?;
    Some((before.rsplit(' ').next()?, name)).filter(|(_, name)| !name.is_empty())
}

/// Sessions of so many threads, no words on standard error.
pub(super) fn builder(level: Level, threads: usize) -> ort::Result<SessionBuilder> {
    let log = |level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
        tracing::debug!(?level, place, message, "ONNX Runtime");
    };
    Session::builder()?
        .with_optimization_level(match level {
            Level::DisableAll => GraphOptimizationLevel::Disable,
            Level::Default => GraphOptimizationLevel::Level3,
        })?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_log_level(LogLevel::Warning)?
        .with_logger(Box::new(log))
}

impl Program for Sessions {
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        let values = inputs.iter().map(convert::to_ort).collect::<Result<Vec<_>>>()?;
        let mut session = self.session()?;
        if session.inputs.len() != values.len() {
            let (wanted, given) = (session.inputs.len(), values.len());
            return Err(self.refusal("run", &format!("it has {wanted} inputs, and {given} were given")));
        }
        let ran = quiet::catch(|| session.run(values.as_slice()));
        // After a panic the session is not used again.
        let ran = ran.map_err(|_| self.refusal("run", "the binding panicked"))?;
        let outputs = ran.map_err(|e| self.refusal("run", e.message())).and_then(|made| self.shown(&made, observe));
        self.rest(session);
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_that_stops_a_run_is_named() {
        let why = "Non-zero status code returned while running Reshape node. Name:'a b' Status Message: it's odd";
        assert_eq!(blamed(why), Some(("Reshape", "a b")));
        assert_eq!(blamed("Could not find an implementation for MatMul(13) node with name 'p'"), None);
        let error = refusal("it", "run", why);
        assert!(
            matches!(&error, Error::Node { node, op_type, .. } if node == "a b" && op_type == "Reshape"),
            "{error}"
        );
    }
}
