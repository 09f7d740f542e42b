//! The whole story on one page: load, prepare, plan, calibrate, resolve, rewrite, validate, report.

mod absorbed;
mod advised;
mod benched;
mod budgeted;
mod calibrated;
mod clustered;
mod completed;
mod corrected;
mod detailed;
mod encoded;
mod engines;
mod equalized;
mod fitting;
mod halves;
mod levels;
mod locked;
mod planned;
mod protected;
mod reconstructed;
mod recorded;
mod repaired;
mod reported;
mod sensitivity;
mod smoothed;
mod validated;

pub use advised::init;
pub use benched::{Bench, alone, bench};
pub use detailed::save_comparison;
pub use planned::Planned;
pub use recorded::record;
#[cfg(test)]
pub use sensitivity::rewritten;
pub use sensitivity::{Measuring, Sensitivity, sensitivity};

use crate::dequantize;
use crate::diff::{self, Difference};
use crate::error::{Error, Result};
use crate::file;
use crate::policy::{QuantizedInput, Settings};
use crate::progress::Progress;
use crate::quant::KnownGrids;
use crate::report::{self, Details, Form, Report, summarize};
use crate::validate::{self, Comparison};
use engines::Validating;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use validated::{Pair, Samples};

/// The program's name and version, as written into models and reports.
pub const TOOL: &str = concat!("tare ", env!("CARGO_PKG_VERSION"));

/// What a conversion needs beside the settings.
pub struct Context<'a> {
    /// How many samples run side by side.
    pub threads: usize,
    /// Who hears of progress.
    pub progress: &'a dyn Progress,
    /// Grids that are stated beside the model: they are neither observed nor chosen.
    pub known: &'a KnownGrids,
    /// ONNX Runtime's library, or a folder with it, for settings that want it; without it, it is looked for.
    pub onnxruntime: Option<&'a Path>,
}

/// Where what samples show comes from.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// From samples that are run now.
    Samples,
    /// From statistics that were saved.
    Saved(&'a Path),
    /// From a lock.
    Locked(&'a Path),
}

impl Found<'_> {
    /// The file that is read, with what it is.
    fn file(&self) -> Option<(&'static str, &Path)> {
        match self {
            Self::Samples => None,
            Self::Saved(path) => Some(("file of statistics", path)),
            Self::Locked(path) => Some(("lock", path)),
        }
    }
}

/// Converts a model: the main job. Returns the report, after writing it where the settings say.
///
/// # Errors
/// When anything on the way fails; nothing is then written.
pub fn quantize(settings: &Settings, found: Found<'_>, context: &Context<'_>) -> Result<Report> {
    output(settings, found)?;
    let Some(budget) = &settings.budget else {
        let report = convert(settings, found, &BTreeSet::new(), context)?;
        settings.write_policy.as_deref().map(|path| budgeted::save_policy(settings, &[], path)).transpose()?;
        return finished(report, settings);
    };
    let searched = budgeted::search(settings, budget, found, context)?;
    let (mut report, details) = convert(&searched.settings, found, &searched.samples, context)?;
    report.budget = Some(searched.summary);
    report.warnings.extend(searched.warnings);
    let rules = &searched.rules;
    settings.write_policy.as_deref().map(|path| budgeted::save_policy(settings, rules, path)).transpose()?;
    finished((report, details), settings)
}

/// Converts a model by settings without a budget; samples that were `searched` on do not validate it.
fn convert(
    settings: &Settings,
    found: Found<'_>,
    searched: &BTreeSet<usize>,
    context: &Context<'_>,
) -> Result<(Report, Option<Details>)> {
    let output = output(settings, found)?;
    // Before anything that takes long.
    let validating = Validating::new(settings, context)?;
    if let (QuantizedInput::Keep, Some(path)) = (settings.quantized_input, &settings.model) {
        let loaded = file::load(path)?;
        if completed::quantized_node(&loaded.graph).map_err(|e| e.in_model(path))?.is_some() {
            if let Some(path) = &settings.encodings {
                return Err(Error::file(
                    path,
                    "says nothing about a model that is kept as it is; leave one of the two out",
                ));
            }
            if settings.lock.is_some() || matches!(found, Found::Locked(_)) {
                let why = "is quantized already and kept as it is, so that there is nothing to lock";
                return Err(Error::file(path, why));
            }
            let encodings = encoded::wanted(settings, &loaded)?;
            let (report, details) = completed::keep(settings, (loaded, path), &output, (&validating, context))?;
            encoded::save(encodings)?;
            return Ok((report, details));
        }
    }
    let mut planned = Planned::knowing(settings, context.known)?;
    planned.check_quantizable()?;
    // Which files hold its weights is known now.
    self::output(settings, found)?;
    let mut samples = Samples::held_back(settings, &planned.inputs()?, &validated::output_names(&planned.original))?;
    if let Ok(samples) = &mut samples {
        samples.indices.retain(|index| !searched.contains(index));
    }
    let (resolved, calibration, mut summary) = planned.find(settings, found, context)?;
    tracing::info!(samples = summary.samples, source = summary.source, "calibrated");
    tracing::info!(grids = resolved.ranges.len(), clamps = resolved.absorbed.len(), "resolved");
    planned.check_strict(settings, &resolved)?;
    let (model, kept) = planned.rewrite(settings, &resolved, &summary)?;
    // Validated before it gets its name: what is run is what is on disk, and a bad sample leaves nothing behind.
    let staged = file::stage(&model, &output)?;
    let written = staged.load()?;
    planned.check_locked(&staged, &written)?;
    let lock = planned.lock(settings, &resolved, (found, &summary), (&staged, &written))?;
    let encodings = encoded::wanted(settings, &written)?;
    let samples_to_run = samples.as_ref().map_err(|why| *why);
    let mut compared = validated::compare(&planned, &written, samples_to_run, (settings, &validating), context)?;
    detailed::add_handed(&mut compared, samples.as_ref().ok(), &written, (settings, &validating), context)?;
    let ranges = calibration.as_ref().map(|calibration| (&resolved, calibration));
    let details = detailed::details(settings, &planned, &written, ranges, (&compared, samples.as_ref().ok()), context)?;
    staged.commit()?;
    encoded::save(encodings)?;
    locked::save(lock)?;
    tracing::info!(output = %output.display(), validated = compared.is_ok(), "written");
    samples.iter().for_each(|samples| samples.add_skipped(&mut summary));
    let types = planned.types(samples.as_ref().ok().and_then(Samples::types))?;
    let mut report = reported::report(settings, &planned, &resolved, types.as_ref(), compared, summary, &output)?;
    report.warnings.extend(reported::kept(&kept));
    Ok((report, details))
}

/// A report, after writing it where the settings say.
fn finished((report, details): (Report, Option<Details>), settings: &Settings) -> Result<Report> {
    match (&settings.report, &details) {
        (Some(path), Some(details)) => report.save_page(details, path)?,
        (Some(path), None) => report.save(path)?,
        (None, _) => {}
    }
    if let Some(path) = &settings.junit {
        report.save_junit(path)?;
    }
    Ok(report)
}

/// Where the model goes: hours of calibration must not end at a folder that cannot be written.
fn output(settings: &Settings, found: Found<'_>) -> Result<PathBuf> {
    let missing = || Error::other("no output: name one with -o, or state it in the policy");
    let output = settings.output.clone().ok_or_else(missing)?;
    let beside = settings.report.iter().chain(&settings.junit).chain(&settings.write_encodings);
    let beside = beside.chain(&settings.lock).chain(&settings.write_policy);
    let beside = beside.map(PathBuf::as_path);
    let written: Vec<&Path> = std::iter::once(output.as_path()).chain(beside).collect();
    let mut read = settings.files();
    read.extend(found.file());
    file::check_outputs(&written, &read)?;
    settings.report.as_deref().map(Form::of).transpose()?;
    Ok(output)
}

/// Compares two model files on samples, and, if `layers` says so, value by value on some of them.
///
/// # Errors
/// When either cannot be loaded or run, or there are no samples.
pub fn compare(
    float: &Path,
    quantized: &Path,
    settings: &Settings,
    layers: bool,
    context: &Context<'_>,
) -> Result<Comparison> {
    let validating = Validating::new(settings, context)?;
    let Pair { original, written, samples } = &Pair::open(float, quantized, settings)?;
    let Some(samples) = samples else {
        let compared = validating.stress_alone(original, written, validated::NO_SAMPLES, context);
        return compared.map_err(|e| e.in_model(float));
    };
    let set = (&samples.set, samples.indices.as_slice());
    let (engines, how) = (validating.engines(), (context.threads, context.progress));
    let mut compared = validate::compare(original, written, &engines, set, settings, how)?;
    compared.stress = validating.stress(original, written, Some(set), context)?;
    if layers {
        let layers = samples.layers(original, written, settings, context);
        compared.layers = Some(layers.map_err(|e| e.in_model(quantized))?);
        if let (Some(runtime), Some(reference)) = (&engines.runtime, &mut compared.reference) {
            let handed = samples.handed(written, (engines.own, runtime), context);
            reference.layers = Some(handed.map_err(|e| e.in_model(quantized))?);
        }
    }
    Ok(compared)
}

/// Turns the quantized model at `path` back into a float one at `output`.
///
/// # Errors
/// When it cannot be loaded, has nothing quantized, holds what cannot be turned back, or `output` cannot be written.
pub fn dequantize(path: &Path, output: &Path) -> Result<dequantize::Done> {
    let mut model = file::load(path)?;
    file::check_outputs(&[output], &[("model", path)])?;
    let done = dequantize::dequantize(&mut model).map_err(|e| e.in_model(path))?;
    if done == dequantize::Done::default() {
        return Err(Error::file(path, "has nothing quantized in it: there is nothing to turn back"));
    }
    model.graph.verify().map_err(|e| e.in_model(path))?;
    file::stage(&model, output)?.commit()?;
    Ok(done)
}

/// What differs between the models at `a` and `b`.
///
/// # Errors
/// When one cannot be loaded, or holds what is malformed.
pub fn diff(a: &Path, b: &Path) -> Result<Difference> {
    let (one, two) = (file::load(a)?, file::load(b)?);
    let name = |path: &Path| path.display().to_string();
    diff::diff(&one, &two, [&name(a), &name(b)])
}

/// An audit of a model. One that is quantized already is shown as it would be completed.
///
/// # Errors
/// When the model cannot be loaded, or a rule of the policy matches nothing in it.
pub fn inspect(settings: &Settings) -> Result<String> {
    let mut planned = Planned::new(settings)?;
    let (mut loaded, mut how) = (None, String::new());
    if planned.completes || planned.check_quantizable().is_err() {
        loaded = Some(file::load(&planned.path)?);
        let completing = Settings { quantized_input: QuantizedInput::Complete, ..settings.clone() };
        match Planned::new(&completing) {
            Ok(understood) => {
                planned = understood;
                "below, what --quantized-input complete makes of it; tare dequantize makes it float"
                    .clone_into(&mut how);
            }
            // It is shown as it is.
            Err(why) => how = format!("cannot be completed: {why}"),
        }
    }
    let bytes = file::size(&planned.path)?;
    let types = planned.types(None)?;
    let summary = summarize(&planned.plan, &planned.model.graph, &planned.target, None, types.as_ref());
    let stands = report::Inspected {
        loaded: loaded.as_ref().unwrap_or(&planned.original),
        prepared: &planned.model,
        plan: &planned.plan,
        stored: &planned.known.own.constants.keys().map(String::as_str).collect(),
        bytes,
        how,
    };
    report::audit(&stands, &summary)
}

#[cfg(test)]
mod tests;
