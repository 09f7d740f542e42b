//! Prepares models for planning and saves them, still float: `cargo run --example prepare -- LIST`, where every line of
//! LIST is `input.onnx<TAB>output.onnx`. Failures go to stderr, one line each; any failure makes the exit code 1.
//!
//! `tests/runtimes/opsets.py` uses it to hold prepared models against the ones they were made from.

use std::path::Path;
use std::process::ExitCode;
use tare::exec::Tract;
use tare::prepare::Options;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(list), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: prepare LIST, a file with lines of input.onnx<TAB>output.onnx");
        return ExitCode::from(2);
    };
    let list = match std::fs::read_to_string(&list) {
        Ok(list) => list,
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&list).display());
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for line in list.lines().filter(|line| !line.is_empty()) {
        if let Err(message) = prepare(line) {
            eprintln!("{message}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prepares what one line of the list names.
fn prepare(line: &str) -> Result<(), String> {
    let (input, output) = line.split_once('\t').ok_or_else(|| format!("{line}: no tab between input and output"))?;
    let saved = tare::file::load(Path::new(input)).and_then(|mut model| {
        tare::prepare::prepare(&mut model, &Tract::default(), &Options::default())?;
        tare::file::save(&model, Path::new(output))
    });
    saved.map_err(|error| format!("{input}: {error}"))
}
