//! `--encodings` and `--write-encodings`.

use super::*;

/// The model quantized with samples, its encodings of `version` beside it as `e.json`, and the model turned back as `float.onnx`.
fn written(folder: &Path, version: &str, more: &str) {
    policy(folder, more);
    let flags =
        ["quantize", "-q", "-c", "policy.yaml", "--no-validation", "-o", "out.onnx", "--write-encodings", "e.json"];
    ends(&tare(folder, flags.into_iter().chain(["--encodings-version", version])), 0);
    ends(&tare(folder, ["dequantize", "-q", "out.onnx", "-o", "float.onnx"]), 0);
}

/// What a model file holds but for the digests of what it was made with.
fn content(path: PathBuf) -> (Vec<String>, Vec<(String, Vec<u8>)>) {
    let model = tare::file::load(&path).expect("a model");
    let graph = &model.graph;
    let order = graph.topological().expect("an order");
    let node = |id| {
        let names = |values: &[Option<tare::ir::ValueId>]| {
            values.iter().map(|v| v.map_or("", |v| graph.value(v).name()).to_owned()).collect::<Vec<_>>().join(",")
        };
        let node = graph.node(id);
        format!("{} {} {} {}", node.op_type(), node.name(), names(node.inputs()), names(node.outputs()))
    };
    let nodes = order.into_iter().map(node).collect();
    let mut constants: Vec<_> = graph
        .value_ids()
        .filter_map(|v| {
            Some((graph.value(v).name().to_owned(), graph.constant(v).expect("a tensor")?.bytes().to_vec()))
        })
        .collect();
    constants.sort();
    (nodes, constants)
}

#[test]
fn encodings_that_were_written_make_the_same_model_without_samples() {
    for (version, more) in [
        ("0.6.1", ""),
        ("1.0.0", "activations: { type: int8 }\n"),
        ("2.0.0", "weights: { granularity: per_tensor, symmetric: false }\n"),
    ] {
        let folder = folder();
        let folder = folder.path();
        written(folder, version, more);
        std::fs::write(folder.join("again.yaml"), format!("version: 1\ndata: {{ encodings: e.json }}\n{more}"))
            .expect("a file");
        let flags =
            ["quantize", "float.onnx", "-c", "again.yaml", "--no-validation", "-o", "again.onnx", "--report", "r.json"];
        let printed = tare(folder, flags);
        let printed = ends(&printed, 0);
        assert!(printed.contains("says all") && printed.contains(&format!("AIMET encodings {version}")), "{printed}");
        let report = json(folder.join("r.json"));
        assert_eq!(report["encodings"]["entries"], report["encodings"]["used"], "{version}");
        assert!(report.get("known_not_used").is_none() && report["calibration"]["samples"] == 0, "{version}");
        let (before, after) = (content(folder.join("out.onnx")), content(folder.join("again.onnx")));
        assert_eq!(before.0, after.0, "{version}");
        for (before, after) in before.1.iter().zip(&after.1) {
            assert!(before == after, "{version}: {} and {}", before.0, after.0);
        }
    }
}

#[test]
fn what_encodings_leave_out_is_calibrated_or_named() {
    let folder = folder();
    let folder = folder.path();
    written(folder, "1.0.0", "");
    let mut encodings = json(folder.join("e.json"));
    let entries = encodings["activation_encodings"].as_array_mut().expect("a list");
    let (first, all) = (entries.remove(0)["name"].clone(), entries.len());
    entries.push(serde_json::json!({"name": "nowhere", "dtype": "FLOAT", "bw": 16, "enc_type": "PER_TENSOR"}));
    std::fs::write(folder.join("part.json"), encodings.to_string()).expect("a file");
    let flags = [
        "quantize",
        "float.onnx",
        "--encodings",
        "part.json",
        "--no-validation",
        "-o",
        "part.onnx",
        "--report",
        "r.json",
    ];
    let output = tare(folder, flags);
    ends(&output, 2);
    let error = text(&output.stderr);
    assert!(error.contains("part.json: says nothing about 1 values") && error.contains(&first.to_string()), "{error}");
    assert!(error.contains("--data") && !folder.join("part.onnx").exists(), "{error}");
    let data = repository("calibration/fashion/calibration");
    let data = ["--data", data.to_str().expect("a name"), "--samples", "8", "--mean", "0.286", "--std", "0.353"];
    let output = tare(folder, flags.into_iter().chain(data));
    assert!(ends(&output, 0).contains("8 samples"));
    let report = json(folder.join("r.json"));
    let constants = encodings["param_encodings"].as_array().expect("a list").len();
    assert_eq!(report["encodings"]["used"], all + constants);
    assert_eq!(
        report["known_not_used"],
        serde_json::json!([
            {"name": "nowhere", "reason": "the prepared model has no such value or constant"}
        ])
    );
}

#[test]
fn the_plan_knows_of_encodings() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("r.json"), "{\"image\": [-1.5, 2.5], \"nowhere\": [0, 1]}").expect("a file");
    let told = tare(folder, ["plan", model().to_str().expect("a name"), "--encodings", "r.json"]);
    let told = ends(&told, 0);
    assert!(
        told.lines().any(|line| line.starts_with("image: uint8") && line.contains("-1.5") && line.contains("2.5")),
        "{told}"
    );
    assert!(told.contains("nowhere: the prepared model has no such value"), "{told}");
}

#[test]
fn a_rule_comes_before_what_encodings_say_of_a_value() {
    let folder = folder();
    let folder = folder.path();
    written(folder, "1.0.0", "");
    let rules = "rules:\n  - match: { value: image }\n    activations: { type: uint16 }\n";
    policy(folder, rules);
    let output = tare(folder, ["plan", "-c", "policy.yaml", "float.onnx", "--encodings", "e.json"]);
    let plan = ends(&output, 0);
    let line = |start: &str| plan.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{plan}"));
    assert!(line("image: uint16").contains("as stated"), "{plan}");
    assert!(line("image: a rule of the policy gives it another type").contains("range"), "{plan}");
}

#[test]
fn bad_encodings_are_one_line_that_names_the_file() {
    let folder = folder();
    let folder = folder.path();
    let path = model();
    let path = path.to_str().expect("a name");
    let channel = "{\"bitwidth\": 8, \"offset\": 0, \"scale\": 1}";
    let weight = {
        written(folder, "1.0.0", "");
        let encodings = json(folder.join("e.json"));
        encodings["param_encodings"][0]["name"].as_str().expect("a name").to_owned()
    };
    let three = format!("{{\"param_encodings\": {{\"{weight}\": [{channel}, {channel}, {channel}]}}}}");
    for (model, content, words) in [
        (path, "", vec!["holds no encodings"]),
        (path, "{\"activation_encodings\": {\"x\": [", vec!["is not valid JSON"]),
        (path, "{\"x\": [2, 1]}", vec!["value \"x\"", "found 2 to 1"]),
        ("float.onnx", &three, vec![weight.as_str(), "has 3 known grids; expected"]),
    ] {
        std::fs::write(folder.join("bad.json"), content).expect("a file");
        for command in ["quantize", "plan"] {
            let flags = [command, model, "--encodings", "bad.json"];
            let out = ["--no-validation", "-o", "bad.onnx"];
            let output = tare(folder, flags.iter().chain(&out[..if command == "plan" { 0 } else { 3 }]));
            assert_eq!(ends(&output, 2), "", "{content}");
            let error = text(&output.stderr);
            assert!(
                error.trim_end().lines().count() == 1 && error.contains(if model == path { "bad.json" } else { model }),
                "{error}"
            );
            assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        }
    }
    let output = tare(folder, ["quantize", path, "--encodings", "none.json", "-o", "bad.onnx"]);
    ends(&output, 2);
    assert!(text(&output.stderr).contains("none.json: cannot be read"));
}

#[test]
fn encodings_that_cannot_be_written_leave_nothing_behind() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "mode: float32\nencodings_version: 2.0.0\nwrite_encodings: e.json\n");
    let output = tare(folder, ["quantize", "-c", "policy.yaml", "--no-validation", "-o", "out.onnx"]);
    ends(&output, 2);
    let error = text(&output.stderr);
    assert!(error.contains("e.json: cannot be written: nothing in the quantized model has a grid"), "{error}");
    assert!(!folder.join("out.onnx").exists() && !folder.join("e.json").exists());
    policy(folder, "encodings_version: 2.0.0\n");
    let output = tare(folder, ["quantize", "-c", "policy.yaml", "-o", "out.onnx"]);
    ends(&output, 2);
    assert!(text(&output.stderr).contains("encodings_version is that of the file that write_encodings names"));
}

#[test]
fn outputs_without_an_encoding_are_integers_of_the_type_that_is_wanted() {
    let folder = folder();
    let plain = policy(folder.path(), "");
    let plain = plain.to_str().expect("a name");
    let flags = ["quantize", "-c", plain, "-o", "first.onnx", "--write-encodings", "first.encodings", "-q"];
    ends(&tare(folder.path(), flags), 0);
    ends(&tare(folder.path(), ["dequantize", "first.onnx", "-o", "float.onnx", "-q"]), 0);
    let flags =
        ["quantize", "float.onnx", "-c", plain, "--encodings", "first.encodings", "--io", "int8", "--strict", "-o"];
    assert!(ends(&tare(folder.path(), flags.iter().chain(&["io.onnx"])), 0).contains("0 in float"));
}
