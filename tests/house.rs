//! The floors of the house: which room may import which. Reads the sources as text, so that it holds for code that does
//! not compile on this machine, too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The rooms from the bottom up. A file imports its own room and rooms that stand before it, so there is no circle.
const ROOMS: &[&str] = &[
    "error",
    "chance",
    "threads",
    "vectors",
    "heap",
    "mapped",
    "tensor",
    "progress",
    "proto",
    "quant",
    "encodings",
    "ir",
    "qoperators",
    "file",
    "dequantize",
    "exec",
    "inputs",
    "ops",
    "patterns",
    "pass",
    "prepare",
    "target",
    "policy",
    "plan",
    "calibrate",
    "tune",
    "resolve",
    "rewrite",
    "lock",
    "validate",
    "sensitivity",
    "budget",
    "diff",
    "report",
    "bench",
    "advise",
    "pipeline",
    "cli",
    "lib",
    "main",
];

/// Words that belong to a few places, with these places (a folder ends in a slash) and why.
const HOMES: &[(&[&str], &[&str], &str)] = &[
    (
        &["prost::", "crate::proto"],
        // `tensor_proto.rs` derives one small message of its own: `inputs` stands beside the model, not on top of it.
        // `message.rs` reads tract's own messages, which tract itself would copy before.
        &["file/", "ir/", "proto.rs", "inputs/tensor_proto.rs", "exec/tract/message.rs"],
        "protobuf messages are met in `file` and `ir`; give `ir` a function that answers the question in plain types",
    ),
    (&["tract_onnx", "tract_core", "tract_hir"], &["exec/tract/"], "tract is met behind `exec::Executor` only"),
    (&["ort::", "libloading::"], &["exec/onnxruntime/"], "ONNX Runtime is met behind `exec::Executor` only"),
    (
        &["clap::", "indicatif::", "println!", "print!", "eprintln!", "eprint!", "process::exit"],
        &["cli/", "main.rs"],
        "the library never prints and never exits: return a value or an `Error`, or call `progress`",
    ),
    (&["todo!", "unimplemented!", "dbg!"], &[], "finish it, or return an `Error` that says what is missing"),
];

/// Tests may reach up: what they import is in no shipped binary, and a test of a lower room may read best with an upper one.
fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part.starts_with("tests_") || part == "tests.rs")
        || path == "ir/build.rs"
}

fn room(path: &str) -> &str {
    path.split('/').next().map_or(path, |first| first.trim_end_matches(".rs"))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The code without comments and the insides of strings.
fn without_comments(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let skip = match rest {
            r if r.starts_with("//") => r.find('\n').unwrap_or(r.len()),
            r if r.starts_with("/*") => r.find("*/").map_or(r.len(), |end| end + 2),
            // A quotation mark as a character is no string.
            r if r.starts_with("'\"'") => 3,
            r if r.starts_with("r#\"") && !kept.ends_with(is_word) => r.find("\"#").map_or(r.len(), |end| end + 2),
            r if r.starts_with('"') => end_of_string(r),
            _ => {
                kept.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[skip..];
    }
    kept
}

/// The length of the string literal that `code` starts with.
fn end_of_string(code: &str) -> usize {
    let mut escaped = true; // The opening quotation mark does not close.
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The positions after each `word` in `code` that is not the end of a longer word.
fn after<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(word).filter(|(at, _)| !code[..*at].ends_with(is_word)).map(|(at, _)| &code[at + word.len()..])
}

/// How many modules deep the file at `path` is: so many `super::` lead out of its room to the crate.
fn depth(path: &str) -> usize {
    path.split('/').filter(|part| *part != "mod.rs").count()
}

/// What follows each `crate::`, or as many `super::` as lead there from a module `depth` deep.
fn from_root(code: &str, depth: usize) -> impl Iterator<Item = &str> {
    let climbs = after(code, "super::").filter_map(move |rest| {
        let path = rest.trim_start_matches("super::");
        ((rest.len() - path.len()) / "super::".len() + 1 == depth).then_some(path)
    });
    after(code, "crate::").chain(climbs)
}

/// The rooms that a module `depth` deep imports.
fn imports(code: &str, depth: usize) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for path in from_root(code, depth) {
        let Some(group) = path.strip_prefix('{') else {
            found.insert(path.split(|c| !is_word(c)).next().unwrap_or(""));
            continue;
        };
        // The first words of `a::b, c::{d, e}`: what follows the brace, or a comma on its level.
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            if depth == 0 && matches!(c, ',' | '}') {
                found.insert(group[start..at].trim().split(|c| !is_word(c)).next().unwrap_or(""));
                start = at + 1;
            }
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.remove("");
    found
}

/// What is wrong with the file at `path` (below `src`).
fn faults(path: &str, code: &str) -> Vec<String> {
    let code = without_comments(code);
    let own = room(path);
    let floor = |name: &str| ROOMS.iter().position(|r| *r == name);
    let mut faults = Vec::new();
    match floor(own) {
        None => faults.push(format!("src/{path}: the room `{own}` has no floor; put it into ROOMS in tests/house.rs")),
        Some(own_floor) if !is_test(path) => faults.extend(imports(&code, depth(path)).into_iter().filter_map(|name| {
            let above = floor(name).filter(|&other| other > own_floor)?;
            Some(format!(
                "src/{path}: `{own}` (floor {own_floor}) imports `{name}` (floor {above}) above it; move what it needs down \
                 to a room both may use, or pass it in as an argument"
            ))
        })),
        Some(_) => {}
    }
    for (words, homes, reason) in HOMES {
        let at_home = homes.iter().any(|home| path == *home || home.ends_with('/') && path.starts_with(home));
        // Tests may build messages, and may print.
        if at_home || is_test(path) && !homes.is_empty() {
            continue;
        }
        let met = words
            .iter()
            .filter(|word| after(&code, word).any(|rest| !rest.starts_with(is_word) || word.ends_with(':')));
        faults.extend(met.map(|word| format!("src/{path}: `{word}` has no place here: {reason}")));
    }
    faults
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_file_reaches_above_its_floor_or_out_of_its_room() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files.sort();
    assert!(files.len() > 50, "the sources were not found");
    let mut all = Vec::new();
    for file in files {
        let name = file.strip_prefix(&src).expect("below src").to_string_lossy().replace('\\', "/");
        all.extend(faults(&name, &std::fs::read_to_string(&file).expect("a source file")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn an_import_from_above_is_found() {
    for code in [
        "use crate::pipeline::run;",
        "use crate::{error::Error, pipeline};",
        "use crate::{\n    error::{Error, Result},\n    pipeline::{self, run},\n};",
        "fn f() { crate::pipeline::run() }",
        "use super::super::pipeline::run;",
        "let text = \"a \\\" quote\"; let c = '\"'; use crate::pipeline;",
    ] {
        let faults = faults("ir/graph.rs", code);
        assert_eq!(faults.len(), 1, "{code}: {faults:?}");
        assert!(faults[0].contains("`ir` (floor ") && faults[0].contains(" imports `pipeline`"), "{}", faults[0]);
    }
}

#[test]
fn what_stands_below_or_beside_may_be_imported() {
    let code = "use crate::error::{Error, Result};\nuse crate::{tensor::Tensor, proto::{GraphProto, NodeProto}};\n\
                // use crate::pipeline;\n/* crate::report */ let s = \"crate::cli println!\"; use super::graph;";
    assert_eq!(faults("ir/graph.rs", code), Vec::<String>::new());
    let seen = imports(
        "use crate::{tensor::Tensor, proto::{GraphProto, NodeProto}};\nuse crate::error::Error; xcrate::cli",
        2,
    );
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["error", "proto", "tensor"]);
}

#[test]
fn each_kind_of_knowledge_is_kept_in_its_home() {
    let cases = [
        ("plan/mod.rs", "use prost::Message;"),
        ("plan/mod.rs", "fn f(_: &crate::proto::NodeProto) {}"),
        ("exec/mod.rs", "use tract_onnx::prelude::*;"),
        ("exec/tract/mod.rs", "use ort::session::Session;"),
        ("report/mod.rs", "println!(\"hello\");"),
        ("pipeline.rs", "use indicatif::ProgressBar;"),
        ("file/mod.rs", "std::process::exit(1)"),
        ("cli/mod.rs", "todo!()"),
        ("cli/tests.rs", "dbg!(x)"),
        ("attic/mod.rs", ""),
    ];
    for (path, code) in cases {
        assert!(!faults(path, code).is_empty(), "{path}: {code}");
    }
}

#[test]
fn at_home_the_same_words_are_allowed() {
    let cases = [
        ("file/mod.rs", "use prost::Message; use crate::proto::ModelProto;"),
        ("inputs/tensor_proto.rs", "use prost::Message;"),
        ("exec/tract/mod.rs", "use tract_onnx::prelude::*;"),
        ("exec/onnxruntime/mod.rs", "use ort::session::Session;"),
        ("cli/mod.rs", "println!(\"{}\", clap::crate_version!());"),
        ("main.rs", "eprintln!(\"no\");"),
        ("plan/mod.rs", "writeln!(f, \"todo!\") // dbg!"),
        ("plan/tests.rs", "use crate::pipeline; use prost::Message;"),
    ];
    for (path, code) in cases {
        assert_eq!(faults(path, code), Vec::<String>::new(), "{path}: {code}");
    }
}
