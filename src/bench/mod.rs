//! How fast models run, side by side: each alone in a process of its own, by turns, so that what else the machine does meets all
//! of them alike.

mod made;
mod memory;
mod nodes;
mod process;
mod rounds;
mod running;
mod spread;
mod text;

pub use made::{Made, made};
pub use memory::Memory;
pub use nodes::{NodeCost, OperatorCost, Profile};
pub use process::{Process, serve};
pub use rounds::{Effort, Launch, group};
pub use running::{Began, Ended, Here, Running, Task, Turn};
pub use spread::Spread;

use crate::report::FileSummary;
use serde::Serialize;

/// What was measured. Times are in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Benchmark {
    /// The program and its version.
    pub tool: String,
    /// Where it ran.
    pub machine: Machine,
    /// The models; ratios are to the first.
    pub models: Vec<Subject>,
    /// Where inputs came from, and what was assumed of them.
    pub inputs: String,
    /// The measurements, one entry for each engine and number of threads.
    pub measurements: Vec<Measurement>,
    /// What was not measured, and why.
    pub notes: Vec<String>,
    /// How many operators and nodes of each the text shows; JSON has all.
    #[serde(skip)]
    pub shown: usize,
}

/// A machine.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The system, as `linux`.
    pub os: &'static str,
    /// The processor's family, as `x86_64`.
    pub arch: &'static str,
    /// How many threads it runs at once.
    pub processors: usize,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { os: std::env::consts::OS, arch: std::env::consts::ARCH, processors }
    }
}

/// A model and what it is fed.
#[derive(Debug, Clone, Serialize)]
pub struct Subject {
    /// The file; bytes are those on disk, with external data.
    #[serde(flatten)]
    pub file: FileSummary,
    /// The inputs of the first sample: `images float32[1,3,224,224]`.
    pub inputs: Vec<String>,
    /// Of how many samples.
    pub samples: usize,
    /// Whether samples differ in their shapes.
    pub shapes_vary: bool,
}

/// What one engine did on so many threads.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The engine and its version.
    pub engine: String,
    /// How many threads shared the work of a run.
    pub threads: usize,
    /// How many rounds there were, in each of which every model had a turn.
    pub rounds: usize,
    /// How often each model ran for its time.
    pub runs: usize,
    /// The models, in their order.
    pub models: Vec<Timed>,
}

/// What one model took.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timed {
    /// The model's file.
    pub model: String,
    /// Why there are no times.
    pub error: Option<String>,
    /// The time of a run.
    pub latency_ms: Option<Spread>,
    /// The time of a turn as a share of the first model's turn in the same round.
    pub ratio: Option<Spread>,
    /// The time from the file to a model that is ready for its first run.
    pub load_ms: Option<Spread>,
    /// The time of the first run, which may still set things up.
    pub first_run_ms: Option<Spread>,
    /// For what share of its turns the process had a processor, on one thread and where the system tells: below 1 others had it.
    pub processor_share: Option<f64>,
    /// The time of a run for which the process had a processor, with the inputs' way to the engine; likewise.
    pub processor_ms: Option<Spread>,
    /// That as a share of the first model's.
    pub processor_ratio: Option<Spread>,
    /// The memory of a process that runs this model alone.
    pub memory: Option<Memory>,
    /// Which nodes take the time, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

impl Benchmark {
    /// Whether any model ran at all.
    pub fn is_empty(&self) -> bool {
        self.measurements.iter().flat_map(|m| &m.models).all(|model| model.latency_ms.is_none())
    }
}

#[cfg(test)]
mod tests;
