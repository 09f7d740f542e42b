//! `quantize --lock`, and `--locked`.

use super::*;

/// Ways to convert that take something from samples, each with flags and what stands in the policy.
const WAYS: [(&str, &[&str]); 9] = [
    ("", &[]),
    ("repairs: { refit: false }\n", &[]),
    ("repairs: { rounding: learned }\n", &[]),
    ("activations: { type: uint16, calibrator: minmax }\ncontrib: true\n", &[]),
    ("rules:\n  - match: { op_type: Gemm }\n    activations: { type: int16 }\ncontrib: true\n", &["--io", "uint8"]),
    ("weights: { granularity: per_tensor, type: uint8 }\n", &["--format", "qoperator"]),
    ("mode: float16\n", &[]),
    ("mode: dynamic\n", &[]),
    ("mode: dynamic\nactivations: { outlier_threshold: 2 }\n", &[]),
];

#[test]
fn a_lock_gives_the_same_bytes_without_samples() {
    for (more, flags) in WAYS {
        let folder = folder();
        let folder = folder.path();
        policy(folder, more);
        let run = |args: &[&str]| ends(&tare(folder, [args, flags].concat()), 0).to_owned();
        run(&["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx", "--lock", "--no-validation"]);
        // The same policy where there are no samples, and where none are named.
        let text = std::fs::read_to_string(folder.join("policy.yaml")).expect("a policy");
        let missing = text.replace("/calibration/, samples", "/nowhere/, samples").replace("/test/", "/nowhere/");
        let of_data = |line: &&str| {
            ["data:", "  calibration:", "  validation:", "  preprocess:"].iter().any(|key| line.starts_with(key))
        };
        let bare: Vec<&str> = text.lines().filter(|line| !of_data(line)).collect();
        for text in [missing, bare.join("\n")] {
            std::fs::write(folder.join("bare.yaml"), text).expect("written");
            let printed = run(&["quantize", "-c", "bare.yaml", "-o", "again.onnx", "--locked", "q.lock"]);
            assert!(printed.contains("q.lock"), "{printed}");
            assert!(read(folder.join("q.onnx")) == read(folder.join("again.onnx")), "{more}");
        }
    }
}

#[test]
fn a_lock_that_no_longer_fits_says_what_changed() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let flags = ["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx", "--lock=a.lock", "--no-validation"];
    ends(&tare(folder, flags), 0);
    let lock = std::fs::read_to_string(folder.join("a.lock")).expect("a lock");
    let calibration = &json(folder.join("a.lock"))["calibration"];
    assert_eq!(
        (calibration["samples"].as_u64(), calibration["data_sha256"].as_str().map(str::len)),
        (Some(16), Some(64))
    );
    let refused = |file: &str, more: &[&str], why: &str| {
        let flags = [&["quantize", "-c", "policy.yaml", "-o", "other.onnx", "--locked", file], more].concat();
        let output = tare(folder, flags);
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why) && said.lines().count() == 1, "{said}");
        assert!(said.contains(file) && !folder.join("other.onnx").exists(), "{said}");
    };
    refused("a.lock", &["--weights", "uint8"], "weights.type of the policy is \"uint8\", and was \"int8\"");
    let changed = |file: &str, from: &str, to: &str| {
        assert!(lock.contains(from), "{from}");
        std::fs::write(folder.join(file), lock.replacen(from, to, 1)).expect("written");
    };
    let first = lock.split("\"values\": {\n    \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a value");
    changed("value.lock", &format!("    \"{first}\": {{"), "    \"lost\": {");
    refused("value.lock", &[], "\"lost\": has a grid in the lock, and gets none now");
    changed("scale.lock", "\"type\":\"uint8\",\"scale\":", "\"type\":\"uint8\",\"scale\":1");
    refused("scale.lock", &[], "gives other bytes than it was written for");
    changed("grid.lock", "\"type\":\"uint8\",\"scale\":", "\"type\":\"uint8\",\"scale\":-");
    refused("grid.lock", &[], "expected a positive number");
    changed("tool.lock", "\"tool\": \"tare ", "\"tool\": \"tare 9.");
    // Another release may give the same bytes.
    let flags = ["quantize", "-q", "-c", "policy.yaml", "-o", "same.onnx", "--locked", "tool.lock"];
    ends(&tare(folder, flags), 0);
    let model = read(model());
    std::fs::write(folder.join("model.onnx"), [model.as_slice(), b"\x12\x00"].concat()).expect("written");
    refused("a.lock", &["model.onnx"], "the model is model.onnx (");
}
