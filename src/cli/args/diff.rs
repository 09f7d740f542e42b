//! `tare diff`.

use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Diff {
    /// A model.
    pub a: PathBuf,
    /// Another one.
    pub b: PathBuf,
    /// Where all that differs goes, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}
