//! `tare calibrate`.

use super::groups::{Data, Equalizing, Model, raw};
use clap::Args;
use std::path::PathBuf;
use tare::error::Result;
use tare::policy::{Overrides, Settings};

#[derive(Args)]
pub struct Calibrate {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    /// Leave the channels of what layers read as they are (repairs.smooth: false), as `quantize --no-smooth` does.
    #[arg(long)]
    pub no_smooth: bool,
    /// Move biases into those behind a Relu (repairs.absorb: true), as `quantize --absorb` does.
    #[arg(long)]
    pub absorb: bool,
    #[command(flatten)]
    pub equalizing: Equalizing,
    /// Where the statistics go, as JSON.
    #[arg(short, long)]
    pub output: PathBuf,
}

impl Calibrate {
    /// The policy with all flags over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.model.config.as_ref())?;
        let (model, dims) = (self.model.model.clone(), self.model.dims.clone());
        let (quantized_input, encodings) = (self.model.quantized_input()?, self.model.encodings.clone());
        let half_input = self.model.half_input()?;
        let (smooth, equalize) = (self.no_smooth.then_some(false), self.equalizing.stated());
        let absorb = self.absorb.then_some(true);
        let flags = Overrides {
            model,
            dims,
            quantized_input,
            half_input,
            encodings,
            smooth,
            absorb,
            equalize,
            labels: None,
            ..self.data.overrides()?
        };
        raw.override_with(&flags);
        raw.settings()
    }
}
