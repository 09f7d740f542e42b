//! The command as its users run it: what it writes, prints and exits with.

#[path = "cli/bad_values.rs"]
mod bad_values;
#[path = "cli/bench.rs"]
mod bench;
#[path = "cli/budget.rs"]
mod budget;
#[path = "cli/conversions.rs"]
mod conversions;
#[path = "cli/diff.rs"]
mod diff;
#[path = "cli/encodings.rs"]
mod encodings;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/layers.rs"]
mod layers;
#[path = "cli/levels.rs"]
mod levels;
#[path = "cli/lock.rs"]
mod lock;
#[path = "cli/onnxruntime.rs"]
mod onnxruntime;
#[path = "cli/other_commands.rs"]
mod other_commands;
#[path = "cli/page.rs"]
mod page;
#[path = "cli/recorded.rs"]
mod recorded;
#[path = "cli/sensitivity.rs"]
mod sensitivity;
#[path = "cli/stress.rs"]
mod stress;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn model() -> PathBuf {
    repository("calibration/fashion/model.onnx")
}

/// A folder that is gone after the test.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A policy like that of the example, with few samples and `more` behind it, in `folder`.
fn policy(folder: &Path, more: &str) -> PathBuf {
    let data = repository("calibration/fashion");
    let data = data.display();
    let text = format!(
        "version: 1\nmodel: {data}/model.onnx\ndata:\n  calibration: {{ path: {data}/calibration/, samples: 16 }}\n  \
         validation: {{ path: {data}/test/, samples: 20 }}\n  preprocess: {{ mean: 0.286, std: 0.353 }}\n{more}"
    );
    let path = folder.join("policy.yaml");
    std::fs::write(&path, text).expect("a file");
    path
}

/// Runs the command in `folder`.
fn tare<A: AsRef<std::ffi::OsStr>>(folder: &Path, args: impl IntoIterator<Item = A>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tare")).args(args).current_dir(folder).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// That the command ended as `code`; what it printed.
fn ends(output: &Output, code: i32) -> &str {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "printed:\n{out}\n{err}");
    out
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).expect("a file that was written")
}

fn json(path: impl AsRef<Path>) -> serde_json::Value {
    serde_json::from_slice(&read(path)).expect("JSON")
}
