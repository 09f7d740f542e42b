//! Arguments, exit codes, progress bars and printing: the only place that talks to a terminal.
//!
//! Exit codes: 0 when all is well, 1 when validation failed (a limit was missed, an output is not finite, a crash test failed, a reference refuses the model or
//! disagrees) or two models differ, 2 for an error.

mod args;
mod commands;
mod logging;
mod progress;

use args::{Cli, Command, misplaced_value};
use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::process::ExitCode;
use tare::error::{Error, Result};

/// What a command found.
enum Verdict {
    Good,
    Failed,
    Different,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg)
                && error.kind() == ErrorKind::UnknownArgument
                && let Some(hint) = misplaced_value(&std::env::args_os().collect::<Vec<_>>(), unknown)
            {
                eprintln!("\nhint: {hint}");
            }
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    logging::init(&cli.output);
    // A defect of this program still ends in one line and the exit code of an error.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&cli)));
    let defect = |_| Err(Error::other("tare itself failed (a panic); run it again with -vv and report what it logs"));
    match outcome.unwrap_or_else(defect) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Failed | Verdict::Different) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<Verdict> {
    let output = &cli.output;
    match &cli.command {
        Command::Init(args) => commands::init(args, output),
        Command::Quantize(args) => commands::quantize(args, output),
        Command::Inspect(args) => commands::inspect(args),
        Command::Plan(args) => commands::plan(args),
        Command::Calibrate(args) => commands::calibrate(args, output),
        Command::Validate(args) => commands::validate(args, output),
        Command::Record(args) => commands::record(args, output),
        Command::Dequantize(args) => commands::dequantize(args, output),
        Command::Sensitivity(args) => commands::sensitivity(args, output),
        Command::Diff(args) => commands::diff(args, output),
        Command::Bench(args) => commands::bench(args, output),
        Command::BenchProcess(args) => commands::bench_process(args),
        Command::Schema => commands::schema(),
    }
}
