//! `diff`.

use super::*;

#[test]
fn what_differs_between_two_conversions_is_said_and_ends_with_1() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let quantize = |out: &str, flags: &[&str]| {
        let args = ["quantize", "-q", "-c", "policy.yaml", "--no-validation", "-o", out];
        ends(&tare(folder, args.iter().chain(flags)), 0);
    };
    quantize("a.onnx", &[]);
    quantize("b.onnx", &["--calibrator", "minmax"]);
    quantize("c.onnx", &["--format", "qoperator"]);
    let diff = |a: &str, b: &str, code: i32| {
        let output = tare(folder, ["diff", a, b, "--report", "diff.json"]);
        (ends(&output, code).to_owned(), json(folder.join("diff.json")))
    };
    let (printed, told) = diff("a.onnx", "a.onnx", 0);
    assert!(printed.starts_with("no difference"), "{printed}");
    assert!(
        told["grids"].as_array().is_some_and(Vec::is_empty) && told["compared"]["grids"].as_u64() > Some(10),
        "{told}"
    );

    let (printed, told) = diff("a.onnx", "b.onnx", 1);
    assert!(printed.contains("\ngrids        ") && printed.contains("scale x "), "{printed}");
    assert!(printed.lines().count() < 60, "{printed}");
    let ratios: Vec<f64> = told["grids"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|g| g["scale_ratio"].as_f64().expect("a number").ln().abs())
        .collect();
    assert!(!ratios.is_empty() && ratios.is_sorted_by(|a, b| a >= b), "{ratios:?}");
    assert_eq!((&told["removed"], &told["added"]), (&serde_json::json!([]), &serde_json::json!([])));

    // The same grids and integers in another form.
    let (printed, told) = diff("a.onnx", "c.onnx", 1);
    assert!(printed.contains("Conv -> QLinearConv"), "{printed}");
    for key in ["grids", "one_sided", "constants", "notes"] {
        assert_eq!(told[key], serde_json::json!([]), "{key}");
    }
    let model = model();
    let (printed, told) = diff(model.to_str().expect("a name"), "a.onnx", 1);
    assert!(printed.contains("\none-sided    ") && printed.contains(": float -> uint8"), "{printed}");
    assert!(told["one_sided"].as_array().is_some_and(|all| all.len() > 20), "{told}");
    // Nothing printed, the code still tells.
    assert_eq!(ends(&tare(folder, ["diff", "-q", "a.onnx", "b.onnx"]), 1), "");

    std::fs::write(folder.join("bad.onnx"), b"no model").expect("a file");
    for (args, why) in [
        (vec!["diff", "a.onnx", "none.onnx"], "none.onnx"),
        (vec!["diff", "bad.onnx", "a.onnx"], "is not an ONNX model"),
        (vec!["diff", "a.onnx", "b.onnx", "--report", "b.onnx"], "b.onnx: a report ends in"),
        (
            vec!["diff", "a.onnx", "b.onnx", "--report", "d.html"],
            "d.html: is to be a page, and a difference is written as JSON",
        ),
    ] {
        let output = tare(folder, &args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
    }
}
