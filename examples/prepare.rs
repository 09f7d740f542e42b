//! Prepares models for planning and saves them, still float: `cargo run --example prepare -- LIST`, where every line of
//! LIST is `input.onnx<TAB>output.onnx`, or `input.onnx<TAB>output.onnx<TAB>21` to bring the model up to opset 21.
//! Failures go to stderr, one line each; any failure makes the exit code 1.
//!
//! `tests/runtimes/opsets.py` uses it to hold prepared models against the ones they were made from.

mod common;

use std::process::ExitCode;
use tare::error::Error;
use tare::exec::Tract;
use tare::prepare::Options;

fn main() -> ExitCode {
    common::each("prepare", |input, output, opset| {
        let mut options = Options::default();
        if let Some(opset) = opset {
            options.opset = opset.parse().map_err(|_| Error::other(format!("{opset:?} is no opset")))?;
        }
        let mut model = tare::file::load(input)?;
        tare::prepare::prepare(&mut model, &Tract::default(), &options)?;
        tare::file::save(&model, output)
    })
}
