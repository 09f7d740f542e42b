//! `init`, `inspect`, `plan`, `schema`, `validate`, `dequantize`.

use super::*;

#[test]
fn inspect_and_plan_say_the_same_each_time() {
    let folder = folder();
    let model = model();
    for (command, word) in [("inspect", "Conv"), ("plan", "Conv stem.conv: integer")] {
        let run = || tare(folder.path(), [command.as_ref(), model.as_os_str()]);
        let (first, second) = (run(), run());
        assert!(ends(&first, 0).contains(word), "{}", text(&first.stdout));
        assert_eq!(first.stdout, second.stdout);
    }
}

#[test]
fn plan_follows_the_policy() {
    let folder = folder();
    let more = "rules:\n  - match: { op_type: Gemm }\n    quantize: false\n    reason: too fine\n";
    let config = policy(folder.path(), more);
    let output = tare(folder.path(), ["plan", "-c", config.to_str().expect("a name")]);
    assert!(ends(&output, 0).contains("Gemm classifier: float: too fine\n"));
}

#[test]
fn integer_outputs_hold_all_that_was_seen_unless_a_rule_says_otherwise() {
    let folder = folder();
    let logits = |more: &str| {
        let config = policy(folder.path(), &format!("io: {{ outputs: uint8 }}\n{more}"));
        let output = tare(folder.path(), ["plan", "-c", config.to_str().expect("a name")]);
        ends(&output, 0).lines().find(|line| line.starts_with("logits: ")).expect("the output").to_owned()
    };
    assert!(logits("").contains("range by minmax"), "{}", logits(""));
    let rule = "rules:\n  - match: { value: logits }\n    activations: { calibrator: mse }\n";
    assert!(logits(rule).contains("range by mse"), "{}", logits(rule));
}

#[test]
fn the_schema_is_json_that_knows_the_keys() {
    let folder = folder();
    let output = tare(folder.path(), ["schema"]);
    let schema: serde_json::Value = serde_json::from_str(ends(&output, 0)).expect("JSON");
    for key in ["version", "model", "data", "activations", "weights", "rules", "thresholds"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn validate_ends_well_or_with_1_for_a_missed_threshold() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let (config, model) = (config.to_str().expect("a name"), model());
    let model = model.to_str().expect("a name");
    ends(&tare(folder.path(), ["quantize", "-q", "-c", config, "-o", "out.onnx"]), 0);
    let validate = |more: &[&str]| {
        let flags = ["validate", model, "out.onnx", "-c", config, "--report", "out.json"];
        tare(folder.path(), flags.iter().chain(more))
    };
    assert!(ends(&validate(&["--min-sqnr", "10", "--min-top1-agreement", "0.5"]), 0).contains("SQNR"));
    let report = json(folder.path().join("out.json"));
    assert_eq!((&report["samples"], &report["outputs"][0]["name"]), (&20.into(), &"logits".into()));
    assert!(ends(&validate(&["--min-sqnr", "90"]), 1).contains("sqnr_db"));
    // No labels: it cannot be measured, so it is not met.
    assert!(ends(&validate(&["--max-top1-drop", "1"]), 1).contains("top1_drop"));
    // A model is identical to itself.
    ends(&tare(folder.path(), ["validate", model, model, "-c", config, "--min-sqnr", "90"]), 0);
}

#[test]
fn help_is_no_error_and_an_unknown_flag_is() {
    let folder = folder();
    assert!(ends(&tare(folder.path(), ["--help"]), 0).contains("quantize"));
    ends(&tare(folder.path(), ["--version"]), 0);
    let output = tare(folder.path(), ["quantize", "--no-such-flag"]);
    ends(&output, 2);
    assert!(text(&output.stderr).starts_with("error:"));
}

#[test]
fn a_quantized_model_is_not_quantized_again_but_turned_back() {
    let folder = folder();
    let config = policy(folder.path(), "format: qoperator\n");
    let config = config.to_str().expect("a name");
    let listing = tare(folder.path(), ["plan", "-c", config]);
    assert!(ends(&listing, 0).contains("# operators\nConv stem.conv: QLinearConv\n"), "{}", text(&listing.stdout));
    ends(&tare(folder.path(), ["quantize", "-c", config, "-o", "int8.onnx", "-q"]), 0);
    let again = tare(folder.path(), ["quantize", "int8.onnx", "-c", config, "-o", "twice.onnx"]);
    assert_eq!(again.status.code(), Some(2));
    let why = text(&again.stderr);
    assert!(why.contains("is quantized already, node \"image_QuantizeLinear\""), "{why}");
    assert!(why.contains("tare dequantize"), "{why}");

    let back = tare(folder.path(), ["dequantize", "int8.onnx", "-o", "float.onnx"]);
    assert!(ends(&back, 0).contains("-> float.onnx"), "{}", text(&back.stdout));
    let original = model();
    let flags = ["validate", original.to_str().expect("a name"), "float.onnx", "-c", config, "--min-sqnr", "35"];
    assert!(ends(&tare(folder.path(), flags), 0).contains("SQNR"));
    for (arguments, why) in [
        (["dequantize", "float.onnx", "-o", "out.onnx"], "has nothing quantized in it"),
        (["dequantize", "int8.onnx", "-o", "int8.onnx"], "is the model itself"),
        (["dequantize", "none.onnx", "-o", "out.onnx"], "none.onnx"),
    ] {
        let output = tare(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}

#[test]
fn a_model_quantized_in_part_is_kept_or_completed() {
    let folder = folder();
    let rules = "rules:\n  - match: { node: stem.conv }\n    quantize: false\n  - match: { op_type: Gemm }\n    quantize: false\n";
    let (part, whole) = (policy(folder.path(), rules), folder.path().join("whole.yaml"));
    ends(&tare(folder.path(), ["quantize", "-c", part.to_str().expect("a name"), "-o", "part.onnx", "-q"]), 0);
    policy(folder.path(), "");
    std::fs::rename(part, &whole).expect("a file");
    let whole = whole.to_str().expect("a name");
    let quantize = |model: &str, what: &str, out: &str| {
        let flags = ["quantize", model, "-c", whole, "--quantized-input", what, "-o", out, "--report", "out.json"];
        let output = tare(folder.path(), flags);
        let printed = text(&output.stdout).to_owned();
        (output.status.code(), printed + text(&output.stderr), folder.path().join(out))
    };
    let (code, why, _) = quantize("part.onnx", "refuse", "none.onnx");
    assert!(code == Some(2) && why.contains("quantized_input: keep or complete"), "{why}");
    let inspected = tare(folder.path(), ["inspect", "part.onnx"]);
    let printed = ends(&inspected, 0);
    assert!(printed.contains("\nquantized    ") && printed.contains("--quantized-input complete"), "{printed}");
    assert!(printed.contains(" 0 in float"), "{printed}");

    let (code, printed, kept) = quantize("part.onnx", "keep", "kept.onnx");
    assert!(code == Some(0) && printed.contains("kept: the model is quantized already"), "{printed}");
    assert!(read(kept) == read(folder.path().join("part.onnx")));
    assert!(json(folder.path().join("out.json"))["validation"]["outputs"][0]["sqnr_db"].as_f64() > Some(20.0));

    let (code, printed, _) = quantize("part.onnx", "complete", "done.onnx");
    assert!(code == Some(0) && printed.contains("compared with the model turned back to float"), "{printed}");
    let report = json(folder.path().join("out.json"));
    assert_eq!(report["placement"]["float"].as_array().map(Vec::len), Some(0), "{report}");
    assert!(report["quantized_input"].as_str().is_some_and(|what| what.starts_with("completed: ")), "{report}");
    // What is whole has nothing to observe, so it needs no samples, and what comes out of it is the same.
    let (code, printed, again) = quantize("done.onnx", "complete", "again.onnx");
    assert!(code == Some(0) && printed.contains("none: there is nothing to observe"), "{printed}");
    let flags = ["validate", "done.onnx", "again.onnx", "-c", whole, "--min-sqnr", "200"];
    assert!(again.exists() && ends(&tare(folder.path(), flags), 0).contains("no difference"));
    // A float model is quantized as ever.
    let float = model();
    let (code, printed, _) = quantize(float.to_str().expect("a name"), "keep", "float.onnx");
    assert!(code == Some(0) && !printed.contains("kept"), "{printed}");
}

#[test]
fn dynamic_layers_stay_dynamic_whatever_completes_the_model() {
    let folder = folder();
    let rules = "mode: dynamic\nrules:\n  - match: { op_type: Gemm }\n    quantize: false\n";
    let config = policy(folder.path(), rules);
    ends(&tare(folder.path(), ["quantize", "-c", config.to_str().expect("a name"), "-o", "part.onnx", "-q"]), 0);
    let integers = |name: &str| {
        let graph = tare::file::load(&folder.path().join(name)).expect("a model").graph;
        graph.node_ids().filter(|&id| graph.node(id).op_type() == "ConvInteger").count()
    };
    assert!(integers("part.onnx") > 0);
    for mode in ["float16", "weight-only"] {
        let flags = ["quantize", "part.onnx", "--quantized-input", "complete", "--mode", mode, "-o", "done.onnx", "-q"];
        ends(&tare(folder.path(), flags), 0);
        assert_eq!(integers("done.onnx"), integers("part.onnx"), "{mode}");
    }
}

#[test]
fn integer_inputs_and_outputs_stay_as_they_are_when_a_model_is_completed() {
    let folder = folder();
    let written = policy(folder.path(), "io: { inputs: int8, outputs: int8 }\n");
    for format in ["qdq", "qoperator"] {
        let flags = ["quantize", "-c", written.to_str().expect("a name"), "--format", format, "-o", "first.onnx", "-q"];
        ends(&tare(folder.path(), flags), 0);
        let flags = ["--quantized-input", "complete", "--format", format, "--strict", "--no-validation"];
        let flags = ["quantize", "first.onnx", "-o", "again.onnx"].into_iter().chain(flags);
        assert!(ends(&tare(folder.path(), flags), 0).contains("0 in float"));
        let quantizers = |name: &str| {
            let model = read(folder.path().join(name));
            // The field of a node that holds its operator, of fourteen letters.
            model.windows(16).filter(|bytes| bytes == b"\x22\x0eQuantizeLinear").count()
        };
        assert_eq!(quantizers("first.onnx"), quantizers("again.onnx"), "{format}");
        // Float samples become the integers that stand for them.
        let data = repository("calibration/fashion/calibration");
        let data = data.to_str().expect("a name");
        let quantize = ["quantize", "first.onnx", "-o", "again.onnx", "--quantized-input", "complete", "--data", data];
        assert!(ends(&tare(folder.path(), quantize), 0).contains("SQNR"));
        let validate = ["validate", "first.onnx", "again.onnx", "--data", data];
        assert!(ends(&tare(folder.path(), validate), 0).contains("no difference"));
    }
}

#[test]
fn init_writes_a_policy_that_quantize_runs() {
    let folder = folder();
    let data = repository("calibration/fashion");
    let named = |name: &str| data.join(name).to_str().expect("a name").to_owned();
    let (model, samples) = (named("model.onnx"), named("calibration"));
    let (test, labels) = (named("test"), named("test_labels.csv"));
    let flags = ["init", &model, "--data", &samples, "--samples", "20", "--mean", "0.286", "--std", "0.353", "-o"];
    let labelled = ["some/p.yaml", "--validation", &test, "--labels", &labels];
    assert!(ends(&tare(folder.path(), flags.iter().chain(&labelled)), 0).contains("tare quantize -c some/p.yaml"));
    let output = tare(folder.path(), ["quantize", "-c", "some/p.yaml"]);
    assert!(ends(&output, 0).contains("top-1"), "{}", text(&output.stdout));
    assert!(!read(folder.path().join("some/model.int8.onnx")).is_empty());

    // Nothing is overwritten unasked.
    let before = read(folder.path().join("some/p.yaml"));
    let again = tare(folder.path(), ["init", &model, "-o", "some/p.yaml"]);
    assert_eq!((again.status.code(), before == read(folder.path().join("some/p.yaml"))), (Some(2), true));
    assert!(text(&again.stderr).contains("--force"), "{}", text(&again.stderr));
    ends(&tare(folder.path(), ["init", &model, "-q", "--force", "-o", "some/p.yaml"]), 0);
    assert!(text(&read(folder.path().join("some/p.yaml"))).contains("\nmode: weight-only\n"));
    ends(&tare(folder.path(), ["quantize", "-q", "-c", "some/p.yaml"]), 0);

    // Paths count from the policy's folder, wherever the command was run.
    std::fs::copy(&model, folder.path().join("here.onnx")).expect("a copy");
    ends(&tare(folder.path(), ["init", "here.onnx", "-o", "some/q.yaml"]), 0);
    assert!(text(&read(folder.path().join("some/q.yaml"))).contains("\nmodel: ../here.onnx\n"));
    ends(&tare(folder.path(), ["quantize", "-q", "-c", "some/q.yaml"]), 0);
    assert!(ends(&tare(folder.path(), ["init", "here.onnx"]), 0).contains("\nmodel: here.onnx\n"));

    std::fs::write(folder.path().join("bad.onnx"), b"not a model").expect("a file");
    for (arguments, why) in [
        (vec!["init", "none.onnx", "-o", "n.yaml"], "cannot be read"),
        (vec!["init", "bad.onnx", "-o", "n.yaml"], "is not an ONNX model"),
        (vec!["init", "here.onnx", "-o", "n.yaml", "--data", "none"], "none"),
        (vec!["init", "here.onnx", "-o", "n.yaml", "--data", &samples, "--labels", &labels], "--validation"),
        (vec!["init", "here.onnx", "-o", "here.onnx", "--force"], "is the model itself"),
    ] {
        let output = tare(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
        assert!(!folder.path().join("n.yaml").exists());
    }
}
