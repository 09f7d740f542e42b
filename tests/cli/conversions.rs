//! `quantize` and `calibrate`.

use super::*;

/// Every policy that the repository shows, on fewer calibration samples.
#[test]
fn every_policy_of_the_repository_keeps_its_thresholds() {
    let mut policies: Vec<_> =
        std::fs::read_dir(repository("configs")).expect("a folder").map(|e| e.expect("a file").path()).collect();
    policies.sort();
    assert!(policies.len() >= 6);
    for policy in policies {
        let folder = folder();
        let config = policy.to_str().expect("a name");
        // Not all need samples to calibrate.
        let samples = if text(&read(policy.clone())).contains("calibration:") { 40 } else { 0 };
        let flags = ["quantize", "-c", config, "-o", "out.onnx", "--report", "out.json"];
        let some = ["--samples", "40"];
        let output = tare(folder.path(), flags.iter().chain(&some[..if samples > 0 { 2 } else { 0 }]));
        let printed = ends(&output, 0);
        assert!(printed.contains("SQNR") && printed.contains("out.onnx"), "{printed}");
        let report = json(folder.path().join("out.json"));
        assert_eq!(report["calibration"]["samples"], samples, "{config}");
        assert_eq!(report["missed"].as_array().map(Vec::len), Some(0), "{config}");
        assert_eq!(report["output"]["bytes"], read(folder.path().join("out.onnx")).len());
    }
}

#[test]
fn the_number_of_threads_changes_no_byte_of_model_or_report() {
    let results: Vec<_> = ["1", "2", "5"]
        .map(|threads| {
            let folder = folder();
            let config = policy(folder.path(), "repairs: { rounding: learned }\n");
            let config = config.file_name().and_then(|n| n.to_str()).expect("a name");
            let flags = ["quantize", "-c", config, "-o", "out.onnx", "--report", "out.json", "--threads", threads];
            ends(&tare(folder.path(), flags), 0);
            (read(folder.path().join("out.onnx")), read(folder.path().join("out.json")))
        })
        .into();
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn saved_statistics_give_the_same_bytes_as_calibrating_again() {
    let folder = folder();
    for more in
        ["", "activations: { calibrator: entropy }\n", "activations: { type: int8, calibrator: moving_average }\n"]
    {
        let config = policy(folder.path(), more);
        let config = config.to_str().expect("a name");
        ends(&tare(folder.path(), ["quantize", "-c", config, "-o", "direct.onnx", "-q"]), 0);
        ends(&tare(folder.path(), ["calibrate", "-c", config, "-o", "ranges.json"]), 0);
        ends(&tare(folder.path(), ["quantize", "-c", config, "--ranges", "ranges.json", "-o", "saved.onnx", "-q"]), 0);
        assert!(read(folder.path().join("direct.onnx")) == read(folder.path().join("saved.onnx")), "{more}");
    }
}

#[test]
fn without_validation_samples_some_are_held_back() {
    let folder = folder();
    let data = repository("calibration/fashion/calibration");
    let (model, data) = (model(), data.to_str().expect("a name").to_owned());
    let model = model.to_str().expect("a name");
    let flags = ["quantize", model, "--data", &data, "--samples", "10", "--mean", "0.286", "--std", "0.353"];
    let output = tare(folder.path(), flags.into_iter().chain(["-o", "out.onnx", "--report", "out.json"]));
    ends(&output, 0);
    let report = json(folder.path().join("out.json"));
    assert_eq!((&report["calibration"]["samples"], &report["validation"]["samples"]), (&10.into(), &50.into()));
}

#[test]
fn without_validation_the_same_model_is_made_of_all_samples() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let config = config.to_str().expect("a name");
    ends(&tare(folder.path(), ["quantize", "-q", "-c", config, "-o", "validated.onnx"]), 0);
    let flags = ["quantize", "-c", config, "--no-validation", "-o", "out.onnx", "--report", "out.json"];
    assert!(ends(&tare(folder.path(), flags), 0).contains("validation is switched off"));
    let report = json(folder.path().join("out.json"));
    assert_eq!(report["validation"], serde_json::Value::Null);
    assert_eq!(report["not_validated"], "validation is switched off");
    assert!(read(folder.path().join("validated.onnx")) == read(folder.path().join("out.onnx")));
}

#[test]
fn a_missed_threshold_is_exit_code_1_with_the_model_and_report_written() {
    let folder = folder();
    let config = policy(folder.path(), "thresholds: { sqnr_db: 90 }\n");
    let config = config.to_str().expect("a name");
    let output = tare(folder.path(), ["quantize", "-c", config, "-o", "out.onnx", "--report", "out.json"]);
    assert!(ends(&output, 1).contains("sqnr_db"));
    assert_eq!(json(folder.path().join("out.json"))["missed"][0]["threshold"], "sqnr_db");
    assert!(!read(folder.path().join("out.onnx")).is_empty());
}

#[test]
fn limits_that_are_usual_are_told_and_can_be_switched_off() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let config = config.to_str().expect("a name");
    let flags = ["quantize", "-c", config, "-o", "out.onnx", "--report", "out.json", "--junit", "out.xml"];
    let printed = ends(&tare(folder.path(), flags), 0).to_owned();
    assert!(printed.contains("met          top1_") && printed.contains(", as is usual"), "{printed}");
    let check = &json(folder.path().join("out.json"))["checks"][0];
    assert_eq!((&check["limit_of"], &check["outcome"]), (&"field".into(), &"met".into()), "{check}");
    let whole = String::from_utf8(read(folder.path().join("out.xml"))).expect("UTF-8");
    assert!(whole.contains("name=\"out.onnx\"") && whole.contains("classname=\"tare.limit\" name=\"top1_"), "{whole}");
    assert!(whole.contains("classname=\"tare.output\" name=\"logits\"") && whole.contains("failures=\"0\""), "{whole}");
    let printed = ends(&tare(folder.path(), flags.into_iter().chain(["--no-default-limits"])), 0).to_owned();
    assert!(!printed.contains("as is usual"), "{printed}");

    // One bias in the place of all, and every guess is the same.
    let model = model();
    let model = model.to_str().expect("a name");
    let flags =
        ["quantize", "-q", "-c", config, "--no-validation", "--calibrator", "percentile", "--percentile", "50.1"];
    ends(&tare(folder.path(), flags.into_iter().chain(["-o", "bad.onnx"])), 0);
    let flags = ["validate", model, "bad.onnx", "-c", config, "--junit", "bad.xml"];
    let printed = ends(&tare(folder.path(), flags), 1).to_owned();
    assert!(printed.contains("missed       top1_"), "{printed}");
    let whole = String::from_utf8(read(folder.path().join("bad.xml"))).expect("UTF-8");
    assert!(whole.contains("failures=\"1\"") && whole.contains("<failure type=\"tare.limit\""), "{whole}");
    ends(&tare(folder.path(), flags.into_iter().chain(["--no-default-limits"])), 0);
    ends(&tare(folder.path(), ["validate", model, "bad.onnx", "-c", config, "--junit", "bad.onnx"]), 2);
    ends(&tare(folder.path(), ["validate", model, "bad.onnx", "-c", config, "--task", "nets"]), 2);
    ends(&tare(folder.path(), ["validate", model, "bad.onnx", "-c", config, "--task", "yolo"]), 2);
    let flags = ["validate", model, "bad.onnx", "-c", config, "--task", "logits=embed", "--min-neighbours", "1.0"];
    let printed = ends(&tare(folder.path(), flags), 1).to_owned();
    assert!(
        printed.contains("  embedding  logits: nearest neighbour") && printed.contains("missed       neighbours"),
        "{printed}"
    );
}

#[test]
fn quiet_prints_nothing() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let output = tare(folder.path(), ["quantize", "-q", "-c", config.to_str().expect("a name"), "-o", "out.onnx"]);
    assert_eq!(ends(&output, 0), "");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn folders_of_the_output_are_made() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let output = tare(folder.path(), ["quantize", "-q", "-c", config.to_str().expect("a name"), "-o", "a/b/out.onnx"]);
    ends(&output, 0);
    assert!(folder.path().join("a/b/out.onnx").is_file());
}
