//! Loads models and saves them again, unchanged: `cargo run --example roundtrip -- LIST`, where every line of LIST is
//! `input.onnx<TAB>output.onnx`. Failures go to stderr, one line each; any failure makes the exit code 1.
//!
//! `tests/runtimes/roundtrip.py` uses it to compare thousands of models in one process.

mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    common::each("roundtrip", |input, output, _| tare::file::save(&tare::file::load(input)?, output))
}
