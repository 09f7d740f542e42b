//! Loads models and saves them again, unchanged: `cargo run --example roundtrip -- LIST`, where every line of LIST is
//! `input.onnx<TAB>output.onnx`. Failures go to stderr, one line each; any failure makes the exit code 1.
//!
//! `tests/runtimes/roundtrip.py` uses it to compare thousands of models in one process.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(list), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: roundtrip LIST, a file with lines of input.onnx<TAB>output.onnx");
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
        if let Err(message) = roundtrip(line) {
            eprintln!("{message}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Loads and saves what one line of the list names.
fn roundtrip(line: &str) -> Result<(), String> {
    let (input, output) = line.split_once('\t').ok_or_else(|| format!("{line}: no tab between input and output"))?;
    let saved = tare::file::load(Path::new(input)).and_then(|model| tare::file::save(&model, Path::new(output)));
    // The input's name leads the line even where the message names another file, so that a script can match them up.
    saved.map_err(|error| format!("{input}: {error}"))
}
