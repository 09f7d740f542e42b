//! `tare bench`, and what runs one model for it.

use super::groups::{MOST_THREADS, Samples, raw};
use super::parse::{dim, word};
use clap::Args;
use std::path::{Path, PathBuf};
use tare::bench::{Effort, Task};
use tare::error::{Error, Result};
use tare::policy::{self, Engine, Overrides, Settings};

#[derive(Args)]
pub struct Bench {
    /// The models, the float one first: the others' times are also told as shares of its.
    #[arg(required = true, value_name = "MODEL")]
    pub models: Vec<PathBuf>,
    /// A policy, for its samples and preprocessing, and for sizes of open dimensions.
    #[arg(short = 'c', long = "config", value_name = "POLICY")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub set: Samples,
    /// Size of a dimension that the models leave open, by its name there or as `input[axis]`, where inputs are made up for lack of
    /// --data. May be repeated.
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dim)]
    pub dims: Vec<(String, usize)>,
    /// Threads that share the work of a run, as 1 or 1,2,4: each number is measured. tract has one.
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1")]
    pub threads: Vec<usize>,
    /// What runs the models: tract, onnxruntime or both; by default tract, and ONNX Runtime where it is found.
    #[arg(long, value_delimiter = ',')]
    pub engine: Vec<String>,
    /// ONNX Runtime's library, or a folder with it. Without this: what the variable ORT_DYLIB_PATH names, that of the active Python
    /// environment, or that of the system.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
    /// How long the slowest model runs, about, on each engine and number of threads; the others run as often.
    #[arg(long, value_name = "S", default_value_t = 3.0)]
    pub seconds: f64,
    /// How often each model runs, instead.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    pub runs: Option<usize>,
    /// How often each model runs before anything counts, at least.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub warmup: usize,
    /// Also tell which operators and nodes take the time, on the first number of threads, and show so many of each.
    #[arg(long, value_name = "K", num_args = 0..=1, default_missing_value = "10")]
    pub nodes: Option<usize>,
    /// Where all that was measured goes, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Bench {
    /// The policy with all flags over it: `--data` are the samples that are run.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        let set = self.set.overrides()?;
        raw.override_with(&Overrides {
            validation_samples: set.samples.map(|samples| samples.max(1)),
            validation: set.calibration,
            calibration: None,
            samples: None,
            dims: self.dims.clone(),
            ..set
        });
        raw.settings()
    }

    /// The engines, each once; `None` where none is named.
    pub fn engines(&self) -> Result<Option<Vec<Engine>>> {
        let mut engines = Vec::new();
        for name in &self.engine {
            let engine = word("engine", Some(name))?;
            engines.extend(engine.filter(|engine| !engines.contains(engine)));
        }
        Ok((!engines.is_empty()).then_some(engines))
    }

    /// The numbers of threads, each once, ascending.
    ///
    /// # Errors
    /// When one is out of bounds.
    pub fn threads(&self) -> Result<Vec<usize>> {
        if let Some(bad) = self.threads.iter().find(|n| !(1..=MOST_THREADS).contains(*n)) {
            return Err(Error::other(format!("--threads: expected 1 to {MOST_THREADS}, found {bad}")));
        }
        let mut threads = self.threads.clone();
        threads.sort_unstable();
        threads.dedup();
        Ok(threads)
    }

    /// How much is run.
    ///
    /// # Errors
    /// When that is no time at all.
    pub fn effort(&self) -> Result<Effort> {
        if !(self.seconds > 0.0 && self.seconds <= 86_400.0) {
            return Err(Error::other(format!(
                "--seconds: expected more than 0 and at most a day, found {}",
                self.seconds
            )));
        }
        if self.runs == Some(0) {
            return Err(Error::other("--runs: expected 1 or more, found 0"));
        }
        Ok(Effort { seconds: self.seconds, runs: self.runs, warmup: self.warmup })
    }
}

/// What `bench` starts for each model: no command of its own for anybody else.
#[derive(Args)]
pub struct BenchProcess {
    model: PathBuf,
    #[arg(long)]
    engine: String,
    #[arg(long)]
    threads: usize,
    #[arg(long)]
    samples: PathBuf,
    #[arg(long)]
    nodes: bool,
    #[arg(long)]
    pub onnxruntime: Option<PathBuf>,
}

impl BenchProcess {
    /// What to run.
    pub fn task(&self) -> Result<Task<'_>> {
        let engine = policy::word(&self.engine).map_err(|e| Error::other(format!("--engine: {e}")))?;
        Ok(Task { model: &self.model, engine, threads: self.threads, nodes: self.nodes, samples: &self.samples })
    }

    /// The arguments that say the same.
    pub fn arguments(task: &Task<'_>, onnxruntime: Option<&Path>) -> Vec<std::ffi::OsString> {
        let engine = match task.engine {
            Engine::Tract => "tract",
            Engine::Onnxruntime => "onnxruntime",
        };
        let mut arguments: Vec<std::ffi::OsString> = vec!["bench-process".into(), "--engine".into(), engine.into()];
        arguments.extend(["--threads".into(), task.threads.to_string().into()]);
        arguments.extend(["--samples".into(), task.samples.into()]);
        arguments.extend(task.nodes.then(|| "--nodes".into()));
        arguments.extend(onnxruntime.into_iter().flat_map(|path| ["--onnxruntime".into(), path.into()]));
        // A name may begin with a dash.
        arguments.extend(["--".into(), task.model.into()]);
        arguments
    }
}
