//! `tare sensitivity`.

use super::groups::{Data, Model, raw};
use super::parse::word;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use tare::error::{Error, Result};
use tare::pipeline::Found;
use tare::policy::{Overrides, Settings};
use tare::sensitivity::Metric;

/// How many samples are run without `--samples`.
const SAMPLES: usize = 16;

#[derive(Args)]
#[command(mut_arg("samples", |arg| arg.help("At most so many samples are measured on, spread evenly; 16 without this. How many calibrate is up to the policy")))]
pub struct Sensitivity {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    /// static, dynamic, weight-only, ...: as with `quantize`.
    #[arg(long)]
    pub mode: Option<String>,
    /// The type of weights: as with `quantize`.
    #[arg(long, value_name = "TYPE")]
    pub weights: Option<String>,
    /// Samples to measure on. By default every fifth calibration sample is held back.
    #[arg(long, value_name = "PATH")]
    pub validation: Option<PathBuf>,
    /// Saved statistics; no calibration data is needed then.
    #[arg(long, value_name = "FILE", conflicts_with = "data", requires = "validation")]
    pub ranges: Option<PathBuf>,
    /// By what nodes are ranked: SQNR, mean squared error or cosine of the outputs, or, of a classifier, answers that change: right
    /// ones that are lost where there are labels.
    #[arg(long, value_enum, default_value_t = By::Sqnr)]
    pub metric: By,
    /// Where what was measured so far is kept after each sample. A measurement that was stopped goes on from there.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Where all that was measured goes: a page for people (.html) or JSON (.json), as its ending says.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum By {
    Sqnr,
    Mse,
    Cosine,
    Top1,
    Top5,
}

impl Sensitivity {
    /// Where what samples show comes from.
    pub fn found(&self) -> Found<'_> {
        self.ranges.as_deref().map_or(Found::Samples, Found::Saved)
    }

    /// The metric.
    pub fn metric(&self) -> Metric {
        match self.metric {
            By::Sqnr => Metric::Sqnr,
            By::Mse => Metric::Mse,
            By::Cosine => Metric::Cosine,
            By::Top1 => Metric::Top1,
            By::Top5 => Metric::Top5,
        }
    }

    /// How many samples are run.
    ///
    /// # Errors
    /// When that is none.
    pub fn samples(&self) -> Result<usize> {
        match self.data.set.samples.unwrap_or(SAMPLES) {
            0 => Err(Error::other("--samples 0 leaves nothing to run; name 1 or more")),
            samples => Ok(samples),
        }
    }

    /// The policy with all flags over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.model.config.as_ref())?;
        raw.override_with(&Overrides {
            model: self.model.model.clone(),
            dims: self.model.dims.clone(),
            encodings: self.model.encodings.clone(),
            quantized_input: self.model.quantized_input()?,
            mode: word("mode", self.mode.as_ref())?,
            weights: word("weights", self.weights.as_ref())?,
            validation: self.validation.clone(),
            samples: None,
            ..self.data.overrides()?
        });
        let mut settings = raw.settings()?;
        settings.found = self.ranges.is_some();
        Ok(settings)
    }
}
