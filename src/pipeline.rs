//! The whole story on one page: load, prepare, plan, calibrate, resolve, rewrite, validate, report.

use crate::calibrate::{self, Calibration};
use crate::error::{Error, Result};
use crate::exec::{Executor, Tract, Types};
use crate::file;
use crate::inputs::{self, Dataset, InputSpec};
use crate::ir::Model;
use crate::plan::{Placement, Plan, plan, unlike_joins};
use crate::policy::{self, Data, Settings};
use crate::prepare;
use crate::progress::Progress;
use crate::report::{self, CalibrationSummary, FileSummary, Report, summarize};
use crate::resolve::{Resolved, resolve};
use crate::rewrite;
use crate::target::OnnxRuntimeCpu;
use crate::tensor::TensorType;
use crate::validate::{self, Comparison};
use std::path::{Path, PathBuf};

/// The program's name and version, as written into models and reports.
pub const TOOL: &str = concat!("tare ", env!("CARGO_PKG_VERSION"));

/// What a conversion needs beside the settings.
pub struct Context<'a> {
    /// How many samples run side by side.
    pub threads: usize,
    /// Who hears of progress.
    pub progress: &'a dyn Progress,
}

/// A model made ready and planned.
pub struct Planned {
    /// The model as it was loaded.
    pub original: Model,
    /// The prepared model.
    pub model: Model,
    /// The plan for it.
    pub plan: Plan,
    /// The runtime it is for.
    pub target: OnnxRuntimeCpu,
    path: PathBuf,
    executor: Tract,
}

impl Planned {
    /// Loads, prepares and plans the model of `settings`.
    ///
    /// # Errors
    /// When there is no such model, it is malformed, or a rule of the policy matches nothing in it.
    pub fn new(settings: &Settings) -> Result<Self> {
        let path =
            settings.model.clone().ok_or_else(|| Error::other("no model: name one, or state it in the policy"))?;
        let original = file::load(&path)?;
        let (executor, target) = (Tract::default(), OnnxRuntimeCpu);
        let mut model = original.clone();
        let options = prepare::Options { dims: settings.dims.clone(), fuse_patterns: !settings.keep_patterns };
        prepare::prepare(&mut model, &executor, &options).map_err(|e| Error::file(&path, e))?;
        let (before, after) = (original.graph.node_ids().count(), model.graph.node_ids().count());
        tracing::info!(model = %path.display(), nodes = before, prepared = after, "prepared");
        let plan = plan(&model.graph, settings, &target, &[]).map_err(|e| e.in_model(&path))?;
        tracing::info!(values = plan.values.len(), observed = plan.observed().count(), "planned");
        Ok(Self { original, model, plan, target, path, executor })
    }

    /// Whether the model can be quantized.
    ///
    /// # Errors
    /// When it is quantized already.
    fn check_quantizable(&self) -> Result<()> {
        let mut nodes = self.plan.nodes.iter();
        if nodes.any(|n| n.op_type == "DequantizeLinear" || n.op_type.starts_with("QLinear")) {
            return Err(Error::file(&self.path, "is quantized already; start from the float model"));
        }
        Ok(())
    }

    /// Whether anything in the model runs on integers.
    fn is_quantized(&self) -> bool {
        self.plan.nodes.iter().any(|n| matches!(n.placement, Placement::Integer(_) | Placement::Lookup(_)))
    }

    /// What each graph input wants.
    ///
    /// # Errors
    /// When the model does not state the type of an input.
    pub fn inputs(&self) -> Result<Vec<InputSpec>> {
        input_specs(&self.model).map_err(|e| e.in_model(&self.path))
    }

    /// Runs calibration samples; every fifth is held back where the policy names no other samples to validate on.
    ///
    /// # Errors
    /// When samples are missing or bad, or the engine cannot run the model.
    pub fn calibrate(&self, settings: &Settings, context: &Context<'_>) -> Result<(Calibration, CalibrationSummary)> {
        self.check_quantizable()?;
        if self.plan.observed().next().is_none() {
            let calibration = Calibration { model: file::digest(&self.path)?, ..Calibration::default() };
            let (source, statistics_sha256) = ("nothing to observe".to_owned(), calibration.digest()?);
            let summary =
                CalibrationSummary { source, samples: 0, statistics_sha256, preprocessing: None, skipped: vec![] };
            return Ok((calibration, summary));
        }
        let data = settings.calibration.as_ref();
        let data = data.ok_or_else(|| {
            Error::other("no calibration samples: name them with --data, or state data.calibration in the policy")
        })?;
        let set = Dataset::open(&data.source, &self.inputs()?)?;
        let indices = match &settings.validation {
            Some(_) => inputs::spread(set.len(), data.samples),
            None => inputs::split(set.len(), data.samples, policy::HELD_BACK_SAMPLES).0,
        };
        if indices.is_empty() {
            return Err(Error::file(&data.source.path, "holds no samples"));
        }
        let digest = file::digest(&self.path)?;
        let source = (&set, indices.as_slice());
        let (mut calibration, mut skipped) = calibrate::collect(
            &self.model,
            &self.plan,
            &self.executor,
            source,
            settings.on_bad_value,
            context.threads,
            context.progress,
        )
        .map_err(|e| match e {
            Error::Engine(why) => Error::file(&self.path, why),
            other => other,
        })?;
        calibration.model = digest;
        skipped.extend(set.skipped());
        let summary = CalibrationSummary {
            source: data.source.path.display().to_string(),
            samples: calibration.samples,
            statistics_sha256: calibration.digest()?,
            preprocessing: preprocessing_note(&set),
            skipped,
        };
        Ok((calibration, summary))
    }

    /// Statistics that were saved before, if they are of this model.
    ///
    /// # Errors
    /// When they are of another model.
    pub fn load_ranges(&self, path: &Path) -> Result<(Calibration, CalibrationSummary)> {
        let calibration = Calibration::load(path)?;
        if calibration.model != file::digest(&self.path)? {
            let model = self.path.display();
            return Err(Error::file(
                path,
                format!("holds the statistics of another model than {model}; calibrate again"),
            ));
        }
        let (source, samples) = (path.display().to_string(), calibration.samples);
        let statistics_sha256 = calibration.digest()?;
        Ok((
            calibration,
            CalibrationSummary { source, samples, statistics_sha256, preprocessing: None, skipped: vec![] },
        ))
    }

    /// Chooses the grids. Joins whose inputs turn out to be unlike are taken back to float first.
    ///
    /// # Errors
    /// When the statistics lack a value.
    pub fn resolve(&mut self, settings: &Settings, calibration: &Calibration) -> Result<Resolved> {
        let resolved = resolve(&self.plan, calibration)?;
        let graph = &self.model.graph;
        let unlike = unlike_joins(graph, &self.plan, |v| resolved.ranges.get(graph.value(v).name()).copied());
        if unlike.is_empty() {
            return Ok(resolved);
        }
        tracing::info!(nodes = unlike.len(), "kept in float: joins of unlike inputs, and what moves them");
        let anew = plan(graph, settings, &self.target, &unlike).map_err(|e| e.in_model(&self.path))?;
        let before = std::mem::replace(&mut self.plan, anew);
        resolve(&self.plan, &inherited(calibration, &before, &self.plan))
    }

    /// The type of each value, for inputs like those of a sample, or as the model states them with a batch of one.
    fn types(&self, inputs: &[InputSpec], sample: Option<&[TensorType]>) -> Option<Types> {
        let one = |input: &InputSpec| {
            let dims = input.ty.dims.iter().enumerate().map(|(axis, d)| d.or((axis == 0).then_some(1)));
            TensorType { dtype: input.ty.dtype, dims: dims.collect() }
        };
        let types = sample.map_or_else(|| inputs.iter().map(one).collect(), <[_]>::to_vec);
        self.executor.types(&file::to_bytes(&self.model).ok()?, &types).ok()
    }
}

/// The statistics for `plan`, of which those of `before` are known. What a movement made was not observed while it was on the
/// grid of what it moved: it has the numbers of that.
fn inherited(calibration: &Calibration, before: &Plan, plan: &Plan) -> Calibration {
    let mut calibration = calibration.clone();
    for value in plan.observed() {
        let root = before.value(before.root(value.id)).and_then(|root| calibration.values.get(&root.name));
        if let Some(statistics) = root.cloned() {
            calibration.values.entry(value.name.clone()).or_insert(statistics);
        }
    }
    calibration
}

fn input_specs(model: &Model) -> Result<Vec<InputSpec>> {
    let spec = |v| {
        let name = model.graph.value(v).name().to_owned();
        let ty =
            model.graph.stated_type(v).ok_or_else(|| Error::value(&name, "is a graph input without a tensor type"))?;
        Ok(InputSpec { name, ty })
    };
    model.graph.inputs().map(spec).collect()
}

fn preprocessing_note(set: &Dataset) -> Option<String> {
    set.describe().pictures.as_ref().map(|p| format!("pictures: {p}"))
}

/// Converts a model: the main job. Returns the report, after writing it where the settings say.
///
/// # Errors
/// When anything on the way fails; nothing is then written.
pub fn quantize(settings: &Settings, ranges: Option<&Path>, context: &Context<'_>) -> Result<Report> {
    let output = settings
        .output
        .clone()
        .ok_or_else(|| Error::other("no output: name one with -o, or state it in the policy"))?;
    let mut planned = Planned::new(settings)?;
    planned.check_quantizable()?;
    if output.canonicalize().ok().is_some_and(|o| planned.path.canonicalize().ok() == Some(o)) {
        return Err(Error::file(&output, "is the model itself; name another output"));
    }
    // Hours of calibration must not end at a folder that cannot be written.
    std::iter::once(&output).chain(&settings.report).try_for_each(|path| file::check_writable(path))?;
    let validation = validation_samples(settings, &planned.inputs()?)?;
    let (calibration, mut summary) = match ranges {
        Some(path) => planned.load_ranges(path)?,
        None => planned.calibrate(settings, context)?,
    };
    tracing::info!(samples = summary.samples, source = summary.source, "calibrated");
    let resolved = planned.resolve(settings, &calibration)?;
    tracing::info!(grids = resolved.ranges.len(), clamps = resolved.absorbed.len(), "resolved");
    let mut model = planned.model.clone();
    rewrite::insert_qdq(&mut model, &planned.plan, &resolved)?;
    let policy_sha256 = file::digest_bytes(settings.canonical().to_string().as_bytes());
    model.set_metadata("tare.version", env!("CARGO_PKG_VERSION"));
    model.set_metadata("tare.policy_sha256", &policy_sha256);
    model.set_metadata("tare.statistics_sha256", &summary.statistics_sha256);
    // Validated before it gets its name: what is run is what is on disk, and a bad sample leaves nothing behind.
    let staged = file::stage(&model, &output)?;
    let compared = match &validation {
        Some((set, indices)) => {
            let samples = (set, indices.as_slice());
            let (threads, progress) = (context.threads, context.progress);
            match validate::compare(&planned.original, &staged.load()?, &planned.executor, samples, threads, progress) {
                Ok(comparison) => Ok(comparison),
                Err(Error::Engine(why)) => Err(why),
                Err(other) => return Err(other),
            }
        }
        None => {
            staged.load()?;
            Err("there are no samples to validate on; name some with --validation".to_owned())
        }
    };
    staged.commit()?;
    tracing::info!(output = %output.display(), validated = compared.is_ok(), "written");
    if let Some((set, _)) = &validation {
        summary.skipped.extend(set.skipped());
        summary.skipped.sort();
        summary.skipped.dedup();
    }
    let sample = validation.as_ref().and_then(|(set, indices)| sample_types(set, indices));
    let report = finish(settings, &planned, &resolved, compared, summary, policy_sha256, &output, sample.as_deref())?;
    if let Some(path) = &settings.report {
        report.save(path)?;
    }
    Ok(report)
}

/// The samples to validate on, none of which calibrates.
fn validation_samples(settings: &Settings, inputs: &[InputSpec]) -> Result<Option<(Dataset, Vec<usize>)>> {
    let (data, held_back): (&Data, bool) = match (&settings.validation, &settings.calibration) {
        (Some(data), _) => (data, false),
        (None, Some(data)) => (data, true),
        (None, None) => return Ok(None),
    };
    let set = Dataset::open(&data.source, inputs)?;
    let indices = if held_back {
        inputs::split(set.len(), data.samples, policy::HELD_BACK_SAMPLES).1
    } else {
        inputs::spread(set.len(), data.samples)
    };
    Ok((!indices.is_empty()).then_some((set, indices)))
}

fn sample_types(set: &Dataset, indices: &[usize]) -> Option<Vec<TensorType>> {
    let sample = set.read(indices.get(..1)?).next()?.ok()?;
    let concrete =
        |t: &crate::tensor::Tensor| TensorType { dtype: t.dtype(), dims: t.shape().iter().map(|&d| Some(d)).collect() };
    Some(sample.inputs.iter().map(concrete).collect())
}

#[expect(clippy::too_many_arguments, reason = "the ends of every strand of the story meet here")]
fn finish(
    settings: &Settings,
    planned: &Planned,
    resolved: &Resolved,
    compared: std::result::Result<Comparison, String>,
    calibration: CalibrationSummary,
    policy_sha256: String,
    output: &Path,
    sample: Option<&[TensorType]>,
) -> Result<Report> {
    let (validation, not_validated) = match compared {
        Ok(comparison) => (Some(comparison), None),
        Err(why) => (None, Some(why)),
    };
    let types = planned.types(&planned.inputs()?, sample);
    let mut warnings: Vec<String> =
        resolved.warnings.iter().map(|(value, what)| format!("value {value:?} {what}; its range is a guess")).collect();
    if !planned.is_quantized() {
        let what =
            "nothing in the model runs on integers: it was written as it is; `tare inspect` says why of each node";
        warnings.insert(0, what.to_owned());
    }
    let (bad, files) = (calibration.skipped.len(), calibration.skipped.join("; "));
    if bad > 0 {
        warnings.push(format!("skipped, {bad} in all: {files}"));
    }
    if validation.as_ref().is_some_and(|v| v.outputs.iter().any(|o| o.not_finite > 0)) {
        warnings.push("an output is NaN or infinite where the other model's is not".to_owned());
    }
    Ok(Report {
        tool: TOOL.to_owned(),
        model: file_summary(&planned.path)?,
        output: file_summary(output)?,
        policy_sha256,
        calibration,
        placement: summarize(&planned.plan, &planned.model.graph, &planned.target, Some(resolved), types.as_ref()),
        missed: validate::misses(&settings.thresholds, validation.as_ref()),
        validation,
        not_validated,
        warnings,
    })
}

fn file_summary(path: &Path) -> Result<FileSummary> {
    Ok(FileSummary { path: path.display().to_string(), bytes: file::size(path)?, sha256: file::digest(path)? })
}

/// Compares two model files on samples.
///
/// # Errors
/// When either cannot be loaded or run, or there are no samples.
pub fn compare(float: &Path, quantized: &Path, settings: &Settings, context: &Context<'_>) -> Result<Comparison> {
    let original = file::load(float)?;
    let inputs = input_specs(&original).map_err(|e| e.in_model(float))?;
    let data = settings.validation.as_ref().or(settings.calibration.as_ref());
    let data = data.ok_or_else(|| Error::other("no samples: name them with --data"))?;
    let set = Dataset::open(&data.source, &inputs)?;
    let indices = inputs::spread(set.len(), data.samples);
    if indices.is_empty() {
        return Err(Error::file(&data.source.path, "holds no samples"));
    }
    let samples = (&set, indices.as_slice());
    validate::compare(&original, &file::load(quantized)?, &Tract::default(), samples, context.threads, context.progress)
}

/// An audit of a model.
///
/// # Errors
/// When the model cannot be loaded, or a rule of the policy matches nothing in it.
pub fn inspect(settings: &Settings) -> Result<String> {
    let planned = Planned::new(settings)?;
    let bytes = file::size(&planned.path)?;
    let types = planned.types(&planned.inputs()?, None);
    let summary = summarize(&planned.plan, &planned.model.graph, &planned.target, None, types.as_ref());
    report::audit(&planned.original, &planned.model, &planned.plan, &summary, bytes)
}

#[cfg(test)]
mod tests;
