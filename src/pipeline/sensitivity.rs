//! Sensitivity: what each layer costs, on samples that did not calibrate.

use super::reported::{file_summary, policy_sha256};
use super::validated::{Samples, output_names};
use super::{Context, Found, Planned, TOOL};
use crate::calibrate::Calibration;
use crate::error::{Error, Result};
use crate::file;
use crate::inputs;
use crate::ir::Model;
use crate::policy::{Settings, Validation};
use crate::report::{self, CalibrationSummary, FileSummary, Form, Measured};
use crate::sensitivity::{self, Evidence, Metric, Parts, Subject, Task, With};
use crate::validate::Groups;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// How a measurement is made beyond what the settings say.
pub struct Measuring<'a> {
    /// By what nodes are ranked.
    pub metric: Metric,
    /// At most so many samples are run.
    pub samples: usize,
    /// Where what was measured so far is kept.
    pub resume: Option<&'a Path>,
}

/// What each layer of a model costs.
#[derive(Debug, Clone, Serialize)]
pub struct Sensitivity {
    /// The program and its version.
    pub tool: String,
    /// The float model.
    pub model: FileSummary,
    /// SHA-256 of the policy as used, in hexadecimal.
    pub policy_sha256: String,
    /// That policy, to save and run.
    #[serde(skip)]
    pub policy: String,
    /// Where ranges came from.
    pub calibration: CalibrationSummary,
    /// The layers.
    #[serde(flatten)]
    pub measured: sensitivity::Sensitivity,
}

impl Display for Sensitivity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "model        {}", self.model.path)?;
        writeln!(f, "calibration  {} samples of {}", self.calibration.samples, self.calibration.source)?;
        write!(f, "{}", self.measured)
    }
}

/// Measures what each layer of the model of `settings` costs.
///
/// # Errors
/// When anything on the way to the quantized model fails, there are no samples that do not calibrate, or the measurement fails.
pub fn sensitivity(
    settings: &Settings,
    found: Found<'_>,
    how: &Measuring<'_>,
    context: &Context<'_>,
) -> Result<Sensitivity> {
    let planned = Planned::knowing(settings, context.known)?;
    planned.check_quantizable()?;
    if planned.plan.halves().next().is_some() {
        let why = "has nodes that compute in 16 bits by this policy; what integers cost is measured where the rest is float32";
        return Err(Error::file(&planned.path, why));
    }
    let samples = Samples::held_back(settings, &planned.inputs()?, &output_names(&planned.original))?;
    let samples = samples.map_err(|why| Error::other(format!("sensitivity is measured on samples: {why}")))?;
    let few = inputs::spread(samples.indices.len(), how.samples);
    let indices: Vec<usize> = few.into_iter().map(|k| samples.indices[k]).collect();
    if indices.is_empty() {
        return Err(Error::other("no samples to measure on; name 1 or more"));
    }
    let Rewritten { planned, written, calibration, summary } = planned.carried_out(settings, found, context)?;
    let parts = Parts::of(&planned.model, &written, With::Causes).map_err(|e| e.in_model(&planned.path))?;
    let parts = parts.with_groups(Groups::of(settings, &planned.original)?);
    let seen = calibration.as_ref().map(|calibration| (calibration, &planned.plan));
    let digests: Vec<String> = file::digests(&planned.path)?.into_values().collect();
    let subject = Subject {
        tool: TOOL.to_owned(),
        model: digests.join(" "),
        policy: policy_sha256(settings),
        data: format!("{} of {}", file::digest_bytes(format!("{indices:?}").as_bytes()), data_sha256(settings)?),
        statistics: summary.statistics_sha256.clone(),
    };
    let task = Task {
        parts: &parts,
        samples: (&samples.set, &indices),
        metric: how.metric,
        subject,
        resume: how.resume,
        evidence: &Evidence { seen },
    };
    let measured = sensitivity::sensitivity(&task, context.progress).map_err(|e| e.in_model(&planned.path))?;
    let model = file_summary(&planned.path)?;
    Ok(Sensitivity {
        tool: TOOL.to_owned(),
        model,
        policy_sha256: policy_sha256(settings),
        policy: serde_yaml::to_string(&settings.written()).map_err(Error::other)?,
        calibration: summary,
        measured,
    })
}

impl Sensitivity {
    /// Writes it as a page or as JSON, as the ending of `path` says.
    ///
    /// # Errors
    /// When the ending is none of these, or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        match Form::of(path)? {
            Form::Json => report::save_json(self, path),
            Form::Html => {
                let (tool, policy) = (self.tool.as_str(), (self.policy.as_str(), self.policy_sha256.as_str()));
                let (model, calibration, measured) = (&self.model, &self.calibration, &self.measured);
                report::save_sensitivity(&Measured { tool, model, calibration, policy, measured }, path)
            }
        }
    }
}

/// A model as it would be written, and what it is from.
pub struct Rewritten {
    /// What was planned.
    pub planned: Planned,
    /// The quantized model.
    pub written: Model,
    /// What samples showed, where there were any.
    pub calibration: Option<Calibration>,
    /// Where that is from.
    pub summary: CalibrationSummary,
}

impl Planned {
    /// Finds the grids and quantizes the model.
    fn carried_out(mut self, settings: &Settings, found: Found<'_>, context: &Context<'_>) -> Result<Rewritten> {
        let (resolved, calibration, summary) = self.find(settings, found, context)?;
        let (written, _) = self.rewrite(settings, &resolved, &summary)?;
        Ok(Rewritten { planned: self, written, calibration, summary })
    }
}

/// The model of `settings` as it would be written.
///
/// # Errors
/// When anything on the way fails.
#[cfg(test)]
pub fn rewritten(settings: &Settings, found: Found<'_>, context: &Context<'_>) -> Result<Rewritten> {
    Planned::knowing(settings, context.known)?.carried_out(settings, found, context)
}

/// The digest of the samples that are run, with that of their labels.
fn data_sha256(settings: &Settings) -> Result<String> {
    let data = match &settings.validation {
        Validation::Samples(data) => Some(data),
        Validation::HeldBack | Validation::Off => settings.calibration.as_ref(),
    };
    let sources = data.map(|data| &data.source);
    let files = sources.into_iter().flat_map(|source| [Some(&source.path), source.labels.as_ref()]).flatten();
    let digests = files.map(|path| file::digest_all(path)).collect::<Result<Vec<_>>>()?;
    Ok(digests.join(" "))
}
