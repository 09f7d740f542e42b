//! One model that is loaded and takes its turns.

use super::memory::{Memory, processor_ms, resident};
use crate::error::Result;
use crate::exec::{NodeTime, Timed, Timer, Timing, types_of};
use crate::policy::Engine;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is to be run alone.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The model's file.
    pub model: &'a Path,
    /// What runs it.
    pub engine: Engine,
    /// On so many threads.
    pub threads: usize,
    /// Whether the time of each node is taken.
    pub nodes: bool,
    /// The folder of the samples: `K_J.pb` is input J of sample K.
    pub samples: &'a Path,
}

/// What is known once a model is loaded and has run for the first time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// The engine and its version.
    pub engine: String,
    /// Milliseconds from the file to a model ready to run.
    pub load_ms: f64,
    /// Milliseconds of the first run.
    pub first_run_ms: f64,
}

/// What a turn took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Milliseconds of each run.
    pub runs_ms: Vec<f64>,
    /// Milliseconds from the first to the last, with what lies between runs.
    pub whole_ms: f64,
    /// For so many milliseconds of these the process had a processor, where the system tells; of each thread, added up.
    pub processor_ms: Option<f64>,
}

/// What is known at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The memory, where the system tells.
    pub memory: Option<Memory>,
    /// How many runs there were after the first.
    pub runs: usize,
    /// Node, operator, milliseconds a run: where the time of nodes was taken.
    pub nodes: Vec<(String, String, f64)>,
}

/// A model that takes turns.
pub trait Running {
    /// What loading it took.
    fn began(&self) -> &Began;

    /// Runs `count` times, first the sample `first`, counted around.
    ///
    /// # Errors
    /// When a run fails.
    fn turn(&mut self, first: usize, count: usize) -> Result<Turn>;

    /// Ends it.
    ///
    /// # Errors
    /// When it is gone already.
    fn end(self: Box<Self>) -> Result<Ended>;
}

/// After another model had its turn, caches are cold and threads of its pool may still spin: runs do not count for so long,
/// where a run is not long itself.
const LEAD: Duration = Duration::from_millis(2);
/// Of runs as long as this each counts.
const LONG: Duration = Duration::from_millis(50);

/// A model in this process.
pub struct Here {
    began: Began,
    program: Box<dyn Timed>,
    samples: Vec<Vec<Tensor>>,
    runs: usize,
    last: Duration,
    before_bytes: Option<u64>,
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Here {
    /// Loads the model at `path`, and runs it once.
    ///
    /// # Errors
    /// When the engine cannot.
    pub fn begin(engine: &dyn Timer, path: &Path, samples: Vec<Vec<Tensor>>, timing: Timing) -> Result<Self> {
        let before_bytes = resident().map(|(now, _)| now);
        let first = samples.first().map(Vec::as_slice).unwrap_or_default();
        let mut loaded = engine.load(path, &types_of(first), timing)?;
        let last = loaded.program.run(first).map_err(|e| e.in_model(path))?;
        let began = Began { engine: engine.name(), load_ms: ms(loaded.took), first_run_ms: ms(last) };
        Ok(Self { began, program: loaded.program, samples, runs: 0, last, before_bytes })
    }

    fn run(&mut self, sample: usize) -> Result<f64> {
        let inputs = self.samples.get(sample % self.samples.len().max(1)).map(Vec::as_slice).unwrap_or_default();
        self.last = self.program.run(inputs)?;
        self.runs += 1;
        Ok(ms(self.last))
    }
}

impl Running for Here {
    fn began(&self) -> &Began {
        &self.began
    }

    fn turn(&mut self, first: usize, count: usize) -> Result<Turn> {
        let start = Instant::now();
        while self.last < LONG && start.elapsed() < LEAD {
            self.run(first)?;
        }
        let (had, start) = (processor_ms(), Instant::now());
        let runs_ms = (first..first + count).map(|sample| self.run(sample)).collect::<Result<_>>()?;
        let whole_ms = ms(start.elapsed());
        let processor_ms = had.zip(processor_ms()).map(|(before, after)| after - before);
        Ok(Turn { runs_ms, whole_ms, processor_ms })
    }

    fn end(self: Box<Self>) -> Result<Ended> {
        let peak = resident().map(|(_, peak)| peak);
        let memory = peak.zip(self.before_bytes).map(|(peak_bytes, before_bytes)| Memory { peak_bytes, before_bytes });
        let runs = self.runs;
        let told = |node: NodeTime| (node.node, node.op_type, ms(node.time) / runs.max(1) as f64);
        Ok(Ended { memory, runs, nodes: self.program.nodes()?.into_iter().map(told).collect() })
    }
}
