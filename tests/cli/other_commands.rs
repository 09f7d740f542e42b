//! `inspect`, `plan`, `schema`, `validate`, `dequantize`.

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
