//! The command line as written: what a run is told, one file for each command, and how its flags lie over the policy.

mod bench;
mod calibrate;
mod dequantize;
mod diff;
mod groups;
mod init;
mod parse;
mod quantize;
mod record;
mod sensitivity;
mod validate;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use bench::{Bench, BenchProcess};
pub use calibrate::Calibrate;
pub use dequantize::Dequantize;
pub use diff::Diff;
pub use groups::{Data, Model};
pub use init::Init;
pub use parse::misplaced_value;
pub use quantize::Quantize;
pub use record::Record;
pub use sensitivity::Sensitivity;
pub use validate::Validate;

/// Post-training quantization of ONNX models.
#[derive(Parser)]
#[command(name = "tare", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum Command {
    /// Write a first policy for a model: which mode, with what settings, and why; commented, and ready to be run.
    Init(Init),
    /// Convert a float model to one of integers, and validate it by running both.
    Quantize(Box<Quantize>),
    /// Audit a model: operators, sizes, what can be quantized, what stays float and why.
    Inspect(Model),
    /// List what would be done, without running anything.
    Plan(Model),
    /// Run calibration samples and save the statistics, so that `quantize --ranges` needs no data. Without samples of their own to
    /// validate on, every fifth is held back for that, as `quantize` does: both find the same ranges.
    Calibrate(Calibrate),
    /// Run two models on the same samples and measure the difference.
    Validate(Box<Validate>),
    /// Run a model on samples and save inputs and outputs, for `validate --reference`.
    Record(Record),
    /// Turn a quantized model back into a float one: Q/DQ pairs, operators on integers and dynamic quantization.
    Dequantize(Dequantize),
    /// Say what each layer costs: the damage when it alone is quantized, what is left when it alone is not, and why.
    Sensitivity(Box<Sensitivity>),
    /// Say what differs between two models: structure, grids, stored numbers. Exit code 1 where something does.
    Diff(Diff),
    /// Measure how fast models run, side by side: latency, load time, peak memory, and which nodes take the time.
    Bench(Box<Bench>),
    /// Run one model as `bench` says.
    #[command(hide = true)]
    BenchProcess(BenchProcess),
    /// Print the JSON Schema of the policy, for editors.
    Schema,
}

/// What every command prints.
#[derive(Args)]
pub struct Output {
    /// Print nothing but errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log what is done; twice for every decision.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look on standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}
