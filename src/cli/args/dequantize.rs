//! `tare dequantize`.

use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Dequantize {
    /// The quantized model.
    pub model: PathBuf,
    /// Where the float model goes.
    #[arg(short, long)]
    pub output: PathBuf,
}
