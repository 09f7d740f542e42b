//! Models run for their time: one session, which reads the file itself as an application's would.

use super::super::timed::{Loaded, NodeTime, Timed, Timer, Timing};
use super::super::{Executor, quiet};
use super::program::{builder, refusal};
use super::{OnnxRuntime, convert, profile};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorType};
use ort::session::Session;
use ort::session::builder::SessionBuilder;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the names of profiles begin with.
const PREFIX: &str = "profile";

/// A session, and the folder of its profile. The session writes there when it is dropped, so it goes first.
struct Running {
    session: Session,
    folder: Option<TempDir>,
    engine: String,
}

impl OnnxRuntime {
    /// What makes a session as `timing` says, with a profile in `folder`.
    fn prepared(&self, timing: Timing, folder: Option<&TempDir>) -> Result<SessionBuilder> {
        let build = || {
            let builder = builder(self.level, timing.threads)?;
            match folder {
                Some(folder) => builder.with_profiling(folder.path().join(PREFIX)),
                None => Ok(builder),
            }
        };
        let built = quiet::catch(build).map_err(|_| refusal(&self.name(), "load", "the binding panicked"))?;
        built.map_err(|e| refusal(&self.name(), "load", e.message()))
    }
}

impl Timer for OnnxRuntime {
    fn load(&self, path: &Path, _: &[TensorType], timing: Timing) -> Result<Loaded> {
        let folder = timing.nodes.then(tempfile::tempdir).transpose();
        let folder = folder.map_err(|e| Error::other(format!("no folder for the times of nodes: {e}")))?;
        // The first one starts the library, which an application does once, whatever models it runs.
        let prepared = self.prepared(timing, folder.as_ref())?;
        let start = Instant::now();
        let loaded = quiet::catch(|| prepared.commit_from_file(path));
        let took = start.elapsed();
        let loaded = loaded.map_err(|_| refusal(&self.name(), "load", "the binding panicked"));
        let session = loaded.and_then(|made| made.map_err(|e| refusal(&self.name(), "load", e.message())));
        let session = session.map_err(|e| e.in_model(path))?;
        Ok(Loaded { program: Box::new(Running { session, folder, engine: self.name() }), took })
    }

    fn shares_runs(&self) -> bool {
        true
    }
}

impl Timed for Running {
    fn run(&mut self, inputs: &[Tensor]) -> Result<Duration> {
        let values = inputs.iter().map(convert::to_ort).collect::<Result<Vec<_>>>()?;
        let (wanted, given) = (self.session.inputs.len(), values.len());
        if wanted != given {
            return Err(refusal(&self.engine, "run", &format!("it has {wanted} inputs, and {given} were given")));
        }
        let run = || {
            let start = Instant::now();
            let made = self.session.run(values.as_slice());
            let took = start.elapsed();
            made.map(|_| took)
        };
        let ran = quiet::catch(run).map_err(|_| refusal(&self.engine, "run", "the binding panicked"))?;
        ran.map_err(|e| refusal(&self.engine, "run", e.message()))
    }

    fn nodes(mut self: Box<Self>) -> Result<Vec<NodeTime>> {
        if self.folder.is_none() {
            return Ok(Vec::new());
        }
        let file = self.session.end_profiling().map_err(|e| refusal(&self.engine, "profile", e.message()))?;
        let text = std::fs::read(&file).map_err(|e| Error::file(&file, format!("cannot be read: {e}")))?;
        profile::nodes(&text).map_err(|e| Error::file(&file, e))
    }
}
