//! Locks made by hand, and what they say of other models and policies.

use super::*;
use crate::lock::value::Grid;
use serde_json::json;

fn digests(sha256: &str) -> Digests {
    [("m.onnx".to_owned(), sha256.to_owned())].into()
}

fn lock() -> Lock {
    let grid = Grid { dtype: "uint8".to_owned(), scale: 0.1, zero_point: 7 };
    let channels = value::Channels { axis: 1, moments: Some((vec![0.1, -2.5e-7], 3.0)), largest: vec![255, 0] };
    let own = Value { grid: Some(grid), range: Some((-0.7, 24.8)), channels: Some(channels), ..Value::default() };
    let shared = Value { same_as: Some("a".to_owned()), outliers: vec![3, 9], ..Value::default() };
    let constant = Constant {
        dtype: "int8".to_owned(),
        axis: Some(0),
        scales: vec![0.3, 1e-7],
        zero_points: vec![],
        blocks: None,
    };
    Lock {
        format: FORMAT.to_owned(),
        version: VERSION,
        tool: "tare 0".to_owned(),
        model: digests("aa"),
        output: digests("bb"),
        policy: json!({ "weights": { "type": "int8", "symmetric": true }, "calibration": { "samples": 7 } }),
        policy_sha256: "cc".to_owned(),
        encodings_sha256: None,
        calibration: Calibrated { source: "data".to_owned(), samples: 7, ..Calibrated::default() },
        float: [("f".to_owned(), "it is \"odd\"".to_owned())].into(),
        equalized: [("e".to_owned(), vec![1, -2])].into(),
        absorbed: [("r".to_owned(), vec![0.1, 0.0])].into(),
        smoothed: [("s".to_owned(), vec![3, 0, -1])].into(),
        protected: [("p".to_owned(), vec![-1, 4])].into(),
        values: [("a".to_owned(), own), ("b\n".to_owned(), shared)].into(),
        refits: [("a".to_owned(), Refitted { gains: vec![1.0, 0.9], shifts: vec![0.0, -1e-3] })].into(),
        roundings: BTreeMap::new(),
        constants: [("w".to_owned(), constant)].into(),
    }
}

#[test]
fn a_lock_is_read_as_it_was_written_and_has_a_line_for_each_value() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("m.lock");
    let (lock, text) = (lock(), lock().to_json().expect("text"));
    std::fs::write(&path, &text).expect("written");
    assert_eq!(Lock::load(&path).expect("a lock"), lock);
    let line = text.lines().find(|line| line.contains("\"a\": ")).expect("a line");
    assert!(line.contains("\"scale\":0.1,\"zero_point\":7") && line.contains("[0.1,-2.5e-7],3.0"), "{line}");
    for (from, to, why) in [
        ("tare-lock", "tare-luck", "expected tare-lock version 1, found tare-luck version 1"),
        ("\"version\": 1", "\"version\": 2", "found tare-lock version 2"),
        ("\"values\"", "\"walues\"", "does not hold a lock of tare's"),
        ("\"zero_point\":7", "\"zero_point\":[]", "does not hold a lock of tare's"),
    ] {
        std::fs::write(&path, text.replace(from, to)).expect("written");
        let said = Lock::load(&path).expect_err("no lock").to_string();
        assert!(said.contains(why) && said.contains("m.lock"), "{said}");
    }
}

#[test]
fn what_changed_is_named() {
    let lock = lock();
    let same = json!({ "weights": { "type": "int8", "symmetric": true }, "calibration": null, "held_back": true });
    assert_eq!(lock.changed(&digests("aa"), &same, None), None);
    let said = lock.changed(&digests("ab"), &same, Some("dd")).expect("a change");
    assert!(
        said.contains("the model is m.onnx (ab), and was m.onnx (aa)") && said.contains("encodings are dd"),
        "{said}"
    );
    let other = json!({ "weights": { "type": "int4" }, "mode": "dynamic" });
    let said = lock.changed(&digests("aa"), &other, None).expect("a change");
    for what in [
        "mode of the policy is \"dynamic\", and was left out",
        "weights.type of the policy is \"int4\", and was \"int8\"",
        "weights.symmetric of the policy is left out, and was true",
    ] {
        assert!(said.contains(what), "{said}");
    }
    // A picture's normalization counts where it goes into the model.
    let folds =
        |mean: f64| json!({ "io": { "fold_normalization": true }, "calibration": { "preprocess": { "mean": mean } } });
    let lock = Lock { policy: folds(0.5), ..lock };
    assert_eq!(lock.changed(&digests("aa"), &folds(0.5), None), None);
    let said = lock.changed(&digests("aa"), &folds(0.25), None).expect("a change");
    assert!(said.contains("preprocess.mean of the policy is 0.25, and was 0.5"), "{said}");
}

#[test]
fn refits_that_fit_no_layer_are_refused() {
    let model = crate::ir::build::Builder::new(13).input("x", &[1]).node("Relu", &["x"], &["a"], vec![]).build();
    let refits = |name: &str, gains: Vec<f32>, shifts: Vec<f32>| {
        let lock = Lock { refits: [(name.to_owned(), Refitted { gains, shifts })].into(), ..lock() };
        lock.refits(&model.graph).map_err(|e| e.to_string())
    };
    assert_eq!(refits("a", vec![1.0], vec![0.5]).expect("a layer").len(), 1);
    assert!(refits("x", vec![1.0], vec![0.5]).is_err_and(|e| e.contains("by no node of the model")));
    for (gains, shifts) in [
        (vec![], vec![]),
        (vec![1.0], vec![]),
        (vec![0.0], vec![0.0]),
        (vec![1.0], vec![f32::NAN]),
        (vec![-1.0], vec![0.0]),
    ] {
        assert!(refits("a", gains, shifts).is_err_and(|e| e.contains("no gain and shift for each channel")));
    }
}
