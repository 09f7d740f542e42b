//! Validate: the float model and what was made of it, side by side.

use super::engines::Validating;
use super::{Context, Planned};
use crate::error::{Error, Result};
use crate::inputs::{self, Dataset, InputSpec};
use crate::ir::Model;
use crate::policy::{self, Settings, Validation};
use crate::report::CalibrationSummary;
use crate::tensor::{Tensor, TensorType};
use crate::validate::{self, Comparison};

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

    /// Adds bad files that were passed over to those of calibration.
    pub fn add_skipped(&self, summary: &mut CalibrationSummary) {
        summary.skipped.extend(self.set.skipped());
        summary.skipped.sort();
        summary.skipped.dedup();
    }

    /// The types of the first sample, if it can be read.
    pub fn types(&self) -> Option<Vec<TensorType>> {
        let sample = self.set.read(self.indices.get(..1)?).next()?.ok()?;
        let concrete = |t: &Tensor| TensorType { dtype: t.dtype(), dims: t.shape().iter().map(|&d| Some(d)).collect() };
        Some(sample.inputs.iter().map(concrete).collect())
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
    (settings, validating): (&Settings, &Validating),
    context: &Context<'_>,
) -> Result<Compared> {
    let Samples { set, indices } = match samples {
        Ok(samples) => samples,
        Err(why) if !validating.stresses() => return Ok(Err(why.to_owned())),
        Err(why) => return validating.stress_alone(&planned.original, quantized, why, context).map(Ok),
    };
    let (float, engines, samples) = (&planned.original, validating.engines(), (set, indices.as_slice()));
    let how = (context.threads, context.progress);
    match validate::compare(float, quantized, &engines, samples, &settings.tasks, how) {
        Ok(mut comparison) => {
            comparison.stress = validating.stress(float, quantized, Some(samples), context)?;
            Ok(Ok(comparison))
        }
        Err(Error::Engine(why)) => Ok(Err(why)),
        Err(other) => Err(other),
    }
}
