//! Validate: the float model and what was made of it, side by side.

use super::engines::{self, Validating};
use super::{Context, Planned, planned, recorded};
use crate::error::{Error, Result};
use crate::exec::{Executor, Tract};
use crate::file;
use crate::inputs::{self, Dataset, InputSpec};
use crate::ir::Model;
use crate::policy::{self, Data, Engine, Settings, Validation};
use crate::report::CalibrationSummary;
use crate::tensor::TensorType;
use crate::validate::{self, Comparison, Handed, Layers, Runtime};
use std::path::Path;

/// What to do where no samples are named.
pub(super) const NO_SAMPLES: &str = "no samples: name them with --data";
/// How many samples are compared value by value: all values of each are in memory at once.
const LAYER_SAMPLES: usize = validate::ENOUGH_FOR_LAYERS;

/// Samples to validate on.
pub struct Samples {
    pub(super) set: Dataset,
    pub(super) indices: Vec<usize>,
}

impl Samples {
    /// The samples to validate on, none of which calibrates, or why there are none.
    ///
    /// # Errors
    /// When they are missing or bad.
    pub fn held_back(
        settings: &Settings,
        inputs: &[InputSpec],
        outputs: &[String],
    ) -> Result<std::result::Result<Self, &'static str>> {
        const NONE: &str = "there are no samples to validate on; name some with --validation";
        let (data, held_back) = match (&settings.validation, &settings.calibration) {
            (Validation::Samples(data), _) => (data, false),
            // Where nothing is observed, no sample calibrates.
            (Validation::HeldBack, Some(data)) => (data, settings.looks_at_samples()),
            (Validation::HeldBack, None) => return Ok(Err(NONE)),
            (Validation::Off, _) => return Ok(Err("validation is switched off")),
        };
        let mut set = Dataset::open(&data.source, inputs)?;
        if settings.recorded.is_some() {
            set = set.with_outputs(outputs)?;
        }
        let indices = if held_back {
            inputs::split(set.len(), data.samples, policy::HELD_BACK_SAMPLES).1
        } else {
            inputs::spread(set.len(), data.samples)
        };
        Ok(if indices.is_empty() { Err(NONE) } else { Ok(Self { set, indices }) })
    }

    /// All samples that `settings` name to run models on, as `open` opens them.
    ///
    /// # Errors
    /// When they are missing or bad.
    pub(super) fn all(settings: &Settings, open: impl FnOnce(&Data) -> Result<Dataset>) -> Result<Self> {
        let data = settings.samples().ok_or_else(|| Error::other(NO_SAMPLES))?;
        let set = open(data)?;
        set.describe().notes.iter().for_each(|note| tracing::warn!("{}: {note}", data.source.path.display()));
        let indices = inputs::spread(set.len(), data.samples);
        if indices.is_empty() {
            return Err(Error::file(&data.source.path, "holds no samples"));
        }
        Ok(Self { set, indices })
    }

    /// The error of each value that two models have, on a few of the samples. They run in tract; where that cannot run them, in
    /// the engine of the settings.
    ///
    /// # Errors
    /// When `written` cannot be turned back, or one of them cannot be run.
    pub(super) fn layers(
        &self,
        original: &Model,
        written: &Model,
        settings: &Settings,
        context: &Context<'_>,
    ) -> Result<Layers> {
        let set = (&self.set, &*self.few());
        let run =
            |engine: &dyn Executor| validate::layers(original, written, engine, set, context.threads, context.progress);
        match run(&Tract::default()) {
            Err(_) if settings.engine != Engine::Tract => run(&*engines::calibrating(settings, context)?),
            ran => ran,
        }
    }

    /// The integers that the layers of `written` hand to each other in a runtime, on the same samples.
    ///
    /// # Errors
    /// When the first engine cannot run it.
    pub(super) fn handed(
        &self,
        written: &Model,
        engines: (&dyn Executor, &Runtime<'_>),
        context: &Context<'_>,
    ) -> Result<Handed> {
        validate::handed(written, engines, (&self.set, &self.few()), context.threads, context.progress)
    }

    /// Those on which models are compared value by value.
    fn few(&self) -> Vec<usize> {
        let some = inputs::spread(self.indices.len(), LAYER_SAMPLES);
        some.into_iter().map(|k| self.indices[k]).collect()
    }

    /// Adds bad files that were passed over to those of calibration.
    pub fn add_skipped(&self, summary: &mut CalibrationSummary) {
        summary.skipped.extend(self.set.skipped());
        summary.skipped.sort();
        summary.skipped.dedup();
    }

    /// The types of the first sample that can be read.
    pub fn types(&self) -> Option<Vec<TensorType>> {
        Some(self.set.read(&self.indices).next()?.ok()?.types())
    }
}

/// Two models on file, and the samples to compare them on, if some are named.
pub struct Pair {
    pub(super) original: Model,
    pub(super) written: Model,
    pub(super) samples: Option<Samples>,
}

impl Pair {
    /// Loads them.
    ///
    /// # Errors
    /// When a model cannot be loaded, or samples are missing or bad.
    pub fn open(float: &Path, quantized: &Path, settings: &Settings) -> Result<Self> {
        let original = file::load(float)?;
        let mut inputs = planned::input_specs(&original).map_err(|e| e.in_model(float))?;
        let written = file::load(quantized)?;
        let is_recorded = settings.recorded.is_some();
        if is_recorded {
            recorded::note_integers(&mut inputs, &written).map_err(|e| e.in_model(quantized))?;
        }
        let open = |data: &Data| {
            let set = Dataset::open(&data.source, &inputs)?;
            if is_recorded { set.with_outputs(&output_names(&original)) } else { Ok(set) }
        };
        let samples = settings.samples().map(|_| Samples::all(settings, open)).transpose()?;
        Ok(Self { original, written, samples })
    }
}

/// The names of a model's outputs.
pub fn output_names(model: &Model) -> Vec<String> {
    model.graph.outputs().map(|v| model.graph.value(v).name().to_owned()).collect()
}

/// A comparison, or why there is none.
pub type Compared = std::result::Result<Comparison, String>;

/// Runs the float model and `quantized` on samples.
///
/// # Errors
/// When a sample is bad. What the engine cannot run is no error: it is said in place of the comparison.
pub fn compare(
    planned: &Planned,
    quantized: &Model,
    samples: std::result::Result<&Samples, &'static str>,
    (settings, validating): (&Settings, &Validating<'_>),
    context: &Context<'_>,
) -> Result<Compared> {
    let Samples { set, indices } = match samples {
        Ok(samples) => samples,
        Err(why) if !validating.stresses() => return Ok(Err(why.to_owned())),
        Err(why) => return validating.stress_alone(&planned.original, quantized, why, context).map(Ok),
    };
    let (float, engines, samples) = (&planned.original, validating.engines(), (set, indices.as_slice()));
    let how = (context.threads, context.progress);
    match validate::compare(float, quantized, &engines, samples, settings, how) {
        Ok(mut comparison) => {
            comparison.stress = validating.stress(float, quantized, Some(samples), context)?;
            Ok(Ok(comparison))
        }
        Err(Error::Engine(why)) => Ok(Err(why)),
        Err(other) => Err(other),
    }
}
