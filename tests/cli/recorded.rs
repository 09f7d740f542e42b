//! `record`, and `validate` beside a recording.

use super::*;

#[test]
fn a_recording_of_either_model_is_told_and_compared() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let model = model();
    let model = model.to_str().expect("a name");
    let run = |args: &[&str], code: i32| {
        let output = tare(folder, args);
        ends(&output, code).to_owned()
    };
    run(&["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx", "--io", "int8"], 0);
    let printed =
        run(&["record", model, "-c", "policy.yaml", "--samples", "6", "-o", "float.npz", "--threads", "3"], 0);
    assert_eq!(printed, "inputs and outputs of 6 samples -> float.npz\n");
    run(&["record", "q.onnx", "-c", "policy.yaml", "--samples", "6", "-o", "sets", "-q"], 0);
    // The same again, whatever the threads.
    run(&["record", model, "-c", "policy.yaml", "--samples", "6", "-o", "again.npz", "--threads", "1", "-q"], 0);
    assert!(read(folder.join("float.npz")) == read(folder.join("again.npz")));
    for (reference, of, verdict) in [("float.npz", "float", "quantization"), ("sets", "quantized", "quantization")] {
        let flags = ["validate", model, "q.onnx", "--reference", reference, "--report", "out.json"];
        let printed = run(&flags, 0);
        let word = format!(
            "recorded     {reference}, inputs and outputs\n  output     logits: {verdict}; recorded of the {of} model"
        );
        assert!(printed.contains(&word), "{printed}");
        let told = json(folder.join("out.json"));
        assert_eq!((&told["samples"], &told["recorded"]["outputs"][0]["of"]), (&6.into(), &of.into()), "{told}");
    }
    let told = json(folder.join("out.json"));
    assert_eq!(told["recorded"]["outputs"][0]["recorded_to_own"]["identical"], true, "{told}");
    // The flag takes the place of the policy's samples, whose number stays.
    let flags = ["quantize", "-c", "policy.yaml", "-o", "r.onnx", "--reference", "float.npz"];
    let printed = run(&flags, 0);
    assert!(printed.contains("validation   6 samples") && printed.contains("recorded of the float model"), "{printed}");

    std::fs::create_dir(folder.join("samples")).expect("a folder");
    std::fs::copy(folder.join("float.npz"), folder.join("samples/one.npz")).expect("a copy");
    for (args, why) in [
        (vec!["validate", model, "q.onnx", "--reference", "none.npz"], "none.npz"),
        (vec!["validate", model, "q.onnx", "--reference", "float.npz", "--data", "sets"], "brings its own samples"),
        (vec!["record", model, "--data", "float.npz", "-o", "float.npz"], "is the file of samples itself"),
        (vec!["record", model, "--data", "float.npz", "-o", "sets"], "is there already"),
        (vec!["record", model, "--data", "float.npz", "-o", "out.txt"], "no place for a reference"),
        (vec!["record", model, "-o", "out.npz"], "no samples: name them with --data"),
        (vec!["record", model, "--data", "samples", "-o", "samples/one.npz"], "is a file in the folder of samples"),
    ] {
        let output = tare(folder, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = text(&output.stderr);
        assert!(error.contains(why) && error.lines().count() == 1, "{error}");
    }
    assert!(!folder.join("out.npz").exists() && !folder.join("out.txt").exists());
}

#[test]
fn none_of_the_samples_is_nothing_to_run() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let model = model();
    let model = model.to_str().expect("a name");
    for command in [vec!["record", model, "-o", "r.npz"], vec!["validate", model, model]] {
        let output = tare(folder, command.iter().chain(&["-c", "policy.yaml", "--samples", "0"]));
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(text(&output.stderr).contains("--samples 0 leaves nothing to run"), "{}", text(&output.stderr));
    }
    assert!(!folder.join("r.npz").exists());
}
