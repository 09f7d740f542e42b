//! How fast models run: what to feed them, and which engines run them.

use super::{TOOL, planned, reported};
use crate::bench::{self, Benchmark, Effort, Here, Machine, Running, Subject, Task};
use crate::error::{Error, Result};
use crate::exec::{OnnxRuntime, Timer, Timing, Tract};
use crate::file;
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::pass::Pass;
use crate::policy::{Data, Engine, Settings};
use crate::prepare::FixDimensions as Fix;
use crate::progress::Progress;
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Samples that are run at most: of each shape among them an engine may keep a program.
const MOST_SAMPLES: usize = 16;

/// What to measure.
pub struct Bench<'a> {
    /// The models; ratios are to the first.
    pub models: &'a [PathBuf],
    /// The engines; where none is named, all that are there.
    pub engines: Option<&'a [Engine]>,
    /// Numbers of threads.
    pub threads: &'a [usize],
    /// How much is run.
    pub effort: Effort,
    /// How many nodes of each model are shown, if the times of nodes are wanted.
    pub nodes: Option<usize>,
    /// ONNX Runtime's library, or a folder with it; without it, it is looked for.
    pub onnxruntime: Option<&'a Path>,
}

/// A model, what it is fed, and the folder where that lies.
struct Fed {
    subject: Subject,
    samples: TempDir,
}

/// Measures models on the validation samples of `settings`, or on inputs that are made up; `launch` starts a process that calls
/// [`alone`] with what it is given.
///
/// # Errors
/// When a model or a sample cannot be read, a dimension is open, an engine that was named is not there, or nothing runs.
pub fn bench(
    what: &Bench<'_>,
    settings: &Settings,
    launch: &bench::Launch<'_>,
    progress: &dyn Progress,
) -> Result<Benchmark> {
    let mut notes = Vec::new();
    let engines = engines(what, &mut notes)?;
    let (all, source) = fed(what.models, settings)?;
    let most = all.iter().map(|fed| fed.subject.samples).max().unwrap_or(1);
    let mut measurements = Vec::new();
    for (engine, timer) in &engines {
        let shares = timer.shares_runs();
        let (threads, alone): (Vec<usize>, Vec<usize>) = what.threads.iter().partition(|&&n| shares || n == 1);
        if let Some(first) = alone.first() {
            notes.push(format!("{} runs a model on one thread: not measured on {first}", timer.name()));
        }
        for (index, &threads) in threads.iter().enumerate() {
            let task = |(path, fed): (&'_ PathBuf, &'_ Fed)| (path.clone(), fed.samples.path().to_path_buf());
            let paths: Vec<(PathBuf, PathBuf)> = what.models.iter().zip(&all).map(task).collect();
            let task = |(model, samples)| Task { model, engine: *engine, threads, nodes: false, samples };
            let tasks: Vec<Task<'_>> = paths.iter().map(|(m, s)| task((m.as_path(), s.as_path()))).collect();
            let nodes = what.nodes.is_some() && index == 0;
            let mut measured = bench::group(&tasks, (most, nodes), &what.effort, launch, progress);
            measured.engine = timer.name();
            measurements.push(measured);
        }
    }
    let models = all.into_iter().map(|fed| fed.subject).collect();
    let shown = what.nodes.unwrap_or_default();
    let (tool, machine) = (TOOL.to_owned(), Machine::this());
    let done = Benchmark { tool, machine, models, inputs: source, measurements, notes, shown };
    if done.is_empty() {
        let errors = done.measurements.iter().flat_map(|m| &m.models).filter_map(|model| model.error.as_deref());
        let why = errors.chain(done.notes.iter().map(String::as_str)).next().unwrap_or("there is nothing to run");
        return Err(Error::Engine(format!("nothing was measured: {why}")));
    }
    Ok(done)
}

/// The engines that run the models, and why some do not.
fn engines(what: &Bench<'_>, notes: &mut Vec<String>) -> Result<Vec<(Engine, Box<dyn Timer>)>> {
    let tract = || (Engine::Tract, Box::new(Tract::default()) as Box<dyn Timer>);
    let runtime = || Ok((Engine::Onnxruntime, Box::new(OnnxRuntime::load(what.onnxruntime)?) as Box<dyn Timer>));
    let Some(named) = what.engines else {
        let mut all = vec![tract()];
        match runtime() {
            Ok(found) => all.push(found),
            // Whoever says where it is wants it.
            Err(why) if what.onnxruntime.is_some() => return Err(why),
            Err(why) => notes.push(format!("ONNX Runtime is not measured: {why}")),
        }
        return Ok(all);
    };
    let engine = |engine: &Engine| match engine {
        Engine::Tract => Ok(tract()),
        Engine::Onnxruntime => runtime(),
    };
    named.iter().map(engine).collect()
}

/// What each model is fed, and a sentence about it.
fn fed(paths: &[PathBuf], settings: &Settings) -> Result<(Vec<Fed>, String)> {
    let data = settings.samples();
    let mut models: Vec<Model> = paths.iter().map(|path| file::load(path)).collect::<Result<_>>()?;
    let mut sentences = Vec::new();
    if data.is_none() {
        fix(paths, &mut models, &settings.dims)?;
    }
    let mut all = Vec::new();
    for (path, model) in paths.iter().zip(&mut models) {
        let (samples, sentence) = match data {
            Some(data) => read(model, data),
            None => made(model),
        }
        .map_err(|e| match e {
            Error::Other(message) => Error::file(path, message),
            placed => placed.in_model(path),
        })?;
        if !sentences.contains(&sentence) {
            sentences.push(sentence);
        }
        all.push(Fed { subject: subject(path, model, &samples)?, samples: saved(&samples)? });
    }
    Ok((all, sentences.join("; ")))
}

/// Gives dimensions their sizes in all models that have them.
fn fix(paths: &[PathBuf], models: &mut [Model], sizes: &BTreeMap<String, usize>) -> Result<()> {
    for (name, &size) in sizes {
        let sizes = BTreeMap::from([(name.clone(), size)]);
        let fixed = models.iter_mut().map(|model| Fix { sizes: &sizes }.run(model));
        let fixed: Vec<_> = fixed.collect();
        if fixed.iter().all(Result::is_err)
            && let Some((path, Err(why))) = paths.iter().zip(fixed).next()
        {
            return Err(Error::file(path, why));
        }
    }
    Ok(())
}

fn read(model: &Model, data: &Data) -> Result<(Vec<Vec<Tensor>>, String)> {
    let specs = planned::input_specs(model)?;
    let set = Dataset::open(&data.source, &specs)?;
    let indices = inputs::spread(set.len(), data.samples.min(MOST_SAMPLES));
    let samples = set.read(&indices).map(|sample| Ok(sample?.inputs)).collect::<Result<Vec<_>>>()?;
    if samples.is_empty() {
        return Err(Error::file(&data.source.path, "holds no samples"));
    }
    let sentence = format!("{} of {}", samples.len(), set.describe());
    Ok((samples, sentence))
}

fn made(model: &mut Model) -> Result<(Vec<Vec<Tensor>>, String)> {
    let bench::Made { inputs, batches } = bench::made(model, planned::input_specs)?;
    let batches = match batches.len() {
        0 => String::new(),
        _ => format!("; {} taken for a batch of 1", batches.join(", ")),
    };
    Ok((vec![inputs], format!("made up, the same each time{batches}")))
}

fn subject(path: &Path, model: &Model, samples: &[Vec<Tensor>]) -> Result<Subject> {
    let shapes = |sample: &[Tensor]| sample.iter().map(|tensor| tensor.shape().to_vec()).collect::<Vec<_>>();
    let first = samples.first().map(Vec::as_slice).unwrap_or_default();
    let names = model.graph.inputs().map(|v| model.graph.value(v).name());
    let types = crate::exec::types_of(first);
    Ok(Subject {
        file: reported::file_summary(path)?,
        inputs: names.zip(types).map(|(name, ty)| format!("{name} {ty}")).collect(),
        samples: samples.len(),
        shapes_vary: samples.iter().any(|sample| shapes(sample) != shapes(first)),
    })
}

/// Samples in a folder of their own, where [`alone`] finds them: reading them as they came may take more memory than the model.
fn saved(samples: &[Vec<Tensor>]) -> Result<TempDir> {
    let folder = tempfile::tempdir().map_err(|e| Error::other(format!("no folder for the inputs: {e}")))?;
    for (index, sample) in samples.iter().enumerate() {
        for (input, tensor) in sample.iter().enumerate() {
            inputs::save_tensor(&folder.path().join(format!("{index}_{input}.pb")), "", tensor)?;
        }
        // A model may have no inputs.
        std::fs::write(folder.path().join(format!("{index}")), "").map_err(|e| Error::file(folder.path(), e))?;
    }
    Ok(folder)
}

/// The samples that [`saved`] wrote.
fn restored(folder: &Path) -> Result<Vec<Vec<Tensor>>> {
    let mut samples = Vec::new();
    while folder.join(format!("{}", samples.len())).exists() {
        let mut sample = Vec::new();
        loop {
            let path = folder.join(format!("{}_{}.pb", samples.len(), sample.len()));
            if !path.exists() {
                break;
            }
            sample.push(inputs::load_tensor(&path)?);
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Loads the model of `task` in this process, which is to run nothing else; `onnxruntime` is where the library is, if that was
/// said.
///
/// # Errors
/// When the engine is not there or cannot run the model.
pub fn alone(task: &Task<'_>, onnxruntime: Option<&Path>) -> Result<Box<dyn Running>> {
    let engine: Box<dyn Timer> = match task.engine {
        Engine::Tract => Box::new(Tract::default()),
        Engine::Onnxruntime => Box::new(OnnxRuntime::load(onnxruntime)?),
    };
    let timing = Timing { threads: task.threads, nodes: task.nodes };
    Ok(Box::new(Here::begin(&*engine, task.model, restored(task.samples)?, timing)?))
}
