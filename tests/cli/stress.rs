//! `--stress`: crash tests.

use super::*;
use tare::ir::NewNode;

/// The names of the cases, and of those that failed.
fn cases(report: &serde_json::Value) -> (Vec<String>, Vec<String>) {
    let cases = report["stress"]["cases"].as_array().expect("a list").iter();
    let bad = |case: &&serde_json::Value| {
        let verdict = case["verdict"].as_str().expect("a verdict");
        case["counts"] == true && ["not_finite", "refused", "other_shape"].contains(&verdict)
    };
    let name = |case: &serde_json::Value| case["name"].as_str().expect("a name").to_owned();
    (cases.clone().map(name).collect(), cases.filter(bad).map(name).collect())
}

#[test]
fn a_conversion_is_put_to_the_test_the_same_each_time() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let run = |threads: &str, report: &str| {
        let flags =
            ["quantize", "-c", "policy.yaml", "-o", "q.onnx", "--stress", "--threads", threads, "--report", report];
        let printed = ends(&tare(folder, flags), 0).to_owned();
        (printed, json(folder.join(report)))
    };
    let (printed, one) = run("1", "one.json");
    assert!(printed.contains("crash tests, held against 16 samples, seed 1: 0 failed"), "{printed}");
    // Level 0 and level 255, less 0.286, over 0.353.
    assert!(printed.contains("-0.8102 to 2.0227, levels 0 and 255 as data.preprocess has them"), "{printed}");
    let (names, failed) = cases(&one["validation"]);
    for name in ["lowest", "highest", "zero", "noise", "above", "nan"] {
        assert!(names.iter().any(|other| other == name), "{name}: {names:?}");
    }
    assert_eq!(failed, [""; 0]);
    let saturated = one["validation"]["stress"]["cases"].as_array().expect("a list");
    assert!(saturated.iter().any(|case| case["saturated"][0]["share"].as_f64().is_some_and(|share| share > 0.5)));
    assert_eq!(run("3", "three.json").1["validation"]["stress"], one["validation"]["stress"]);

    // The key of the policy does the same, and the model is the same without.
    policy(folder, "");
    let with = std::fs::read_to_string(folder.join("policy.yaml")).expect("a policy");
    let with = with.replace("  preprocess:", "  stress: [noise, above]\n  preprocess:");
    std::fs::write(folder.join("with.yaml"), with).expect("a file");
    let before = read(folder.join("q.onnx"));
    ends(&tare(folder, ["quantize", "-q", "-c", "with.yaml", "-o", "q.onnx", "--report", "key.json"]), 0);
    assert_eq!(cases(&json(folder.join("key.json"))["validation"]).0, ["noise", "above"]);
    assert!(read(folder.join("q.onnx")) == before);

    // A model whose inputs are bytes is given numbers that bytes stand for, and none beyond them.
    let io =
        ["quantize", "-q", "-c", "policy.yaml", "-o", "u.onnx", "--io", "uint8", "--stress", "--report", "io.json"];
    ends(&tare(folder, io), 0);
    let (names, failed) = cases(&json(folder.join("io.json"))["validation"]);
    assert_eq!((names[..6].join(" "), failed.len()), ("lowest highest middle zero checkers noise".to_owned(), 0));
    assert!(!names.iter().any(|name| name == "nan" || name == "above"), "{names:?}");
}

#[test]
fn two_files_are_put_to_the_test_with_and_without_samples_and_by_name() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let model = model();
    let model = model.to_str().expect("a name");
    ends(&tare(folder, ["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx"]), 0);
    let flags = ["validate", model, "q.onnx", "--report", "out.json"];
    let run = |more: &[&str], code: i32| tare_text(folder, flags.iter().chain(more), code);
    let alone = run(&["--stress"], 0);
    assert!(alone.starts_with("validation   no samples, nothing but crash tests"), "{alone}");
    assert!(
        alone.contains("no samples to hold them against") && alone.contains("-1.0000 to 1.0000, a guess"),
        "{alone}"
    );
    // What was not measured is not met.
    run(&["--stress", "--min-sqnr", "1"], 1);
    run(&["-c", "policy.yaml", "--stress=noise,lowest"], 0);
    assert_eq!(cases(&json(folder.join("out.json"))).0, ["lowest", "noise"]);
    let unknown = tare(folder, flags.into_iter().chain(["--stress=black"]));
    let why = text(&unknown.stderr);
    assert!(
        unknown.status.code() == Some(2) && why.contains("no crash test \"black\"") && why.contains("lowest, "),
        "{why}"
    );
    let page = ["validate", model, "q.onnx", "-c", "policy.yaml", "--stress", "--report", "out.html", "-q"];
    ends(&tare(folder, page), 0);
    let page = String::from_utf8(read(folder.join("out.html"))).expect("UTF-8");
    assert!(page.contains("<section id=\"stress\"") && page.contains("every number the lowest: black"), "{page}");
}

fn tare_text<'a>(folder: &Path, args: impl Iterator<Item = &'a &'a str>, code: i32) -> String {
    ends(&tare(folder, args.copied()), code).to_owned()
}

/// The model with an operator more behind its output.
fn followed_by(op_type: &str, path: &Path) {
    let mut model = tare::file::load(&self::model()).expect("a model");
    let graph = &mut model.graph;
    let output = graph.outputs().next().expect("an output");
    let last = graph.value(output).producer().expect("a node");
    let made = graph.split_output(last, 0, "before");
    let new = NewNode { op_type, name: "behind", inputs: vec![Some(made)], ints: vec![] };
    let (behind, _) = graph.add_node(new, "behind");
    graph.take_over_output(behind, 0, output);
    tare::file::save(&model, path).expect("saved");
}

#[test]
fn a_model_that_falls_over_fails() {
    let folder = folder();
    let folder = folder.path();
    // Some scores of each picture lie below 0.
    followed_by("Abs", &folder.join("a.onnx"));
    followed_by("Sqrt", &folder.join("b.onnx"));
    let flags = ["validate", "a.onnx", "b.onnx", "--stress"];
    let printed = tare_text(folder, flags.iter().chain(&["--report", "out.json"]), 1);
    assert!(
        printed.contains("\n  FAILED     lowest (every number the lowest: black): NaN or infinite where"),
        "{printed}"
    );
    assert!(printed.contains("of 10 elements NaN or infinite, the float model 0"), "{printed}");
    let (_, failed) = cases(&json(folder.join("out.json")));
    assert!(failed.contains(&"lowest".to_owned()) && failed.contains(&"highest".to_owned()), "{failed:?}");
    tare_text(folder, flags.iter().chain(&["--report", "out.html"]), 1);
    let page = String::from_utf8(read(folder.join("out.html"))).expect("UTF-8");
    assert!(page.contains(">No, not as it is</h1>") && page.contains("Crash test lowest failed: "), "{page}");
    // What the float model does not stand either is no failure.
    tare_text(folder, ["validate", "b.onnx", "b.onnx", "--stress"].iter(), 0);
}
