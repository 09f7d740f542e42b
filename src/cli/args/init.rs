//! `tare init`.

use super::groups::Samples;
use clap::Args;
use std::path::PathBuf;
use tare::error::{Error, Result};
use tare::policy::Overrides;

#[derive(Args)]
pub struct Init {
    /// The float model.
    pub model: PathBuf,
    #[command(flatten)]
    pub set: Samples,
    /// Samples to validate on, the ones that labels are of.
    #[arg(long, value_name = "PATH", requires = "data")]
    pub validation: Option<PathBuf>,
    /// Where the policy goes; without it, to standard output.
    #[arg(short, long, value_name = "POLICY")]
    pub output: Option<PathBuf>,
    /// Write over a policy that is there already.
    #[arg(long)]
    pub force: bool,
}

impl Init {
    /// The flags as keys of a policy.
    pub fn overrides(&self) -> Result<Overrides> {
        if self.set.labels.is_some() && self.validation.is_none() {
            return Err(Error::other("--labels are those of the samples that validate: name these with --validation"));
        }
        let (model, validation) = (Some(self.model.clone()), self.validation.clone());
        Ok(Overrides { model, validation, ..self.set.overrides()? })
    }
}
