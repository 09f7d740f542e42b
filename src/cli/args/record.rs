//! `tare record`.

use super::groups::{Data, raw};
use clap::Args;
use std::path::PathBuf;
use tare::error::Result;
use tare::policy::Settings;

#[derive(Args)]
pub struct Record {
    /// The model.
    pub model: PathBuf,
    /// A policy, for its samples and preprocessing.
    #[arg(short = 'c', long = "config", value_name = "POLICY")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    /// Where inputs and outputs go: an .npz, or a new folder, without an ending, of ONNX test data, which takes samples of unlike
    /// shapes.
    #[arg(short, long)]
    pub output: PathBuf,
}

impl Record {
    /// The policy with all flags over it: `--data` are the samples to run.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        raw.override_with(&self.data.to_run()?);
        raw.settings()
    }
}
