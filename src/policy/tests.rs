//! Reading and checking a policy: every class of error with its words and its place, defaults, overrides.

mod budget;
mod data;
mod modes;
mod ranges;
mod repairs;
mod rules;
mod schema;
mod text;

use super::*;
use crate::error::{Error, Result};
use crate::inputs::{Channels, Fit, Layout, OnBadFile};
use crate::quant::{GridType, Scheme};
use serde_json::json;
use std::path::{Path, PathBuf};

fn settings(text: &str) -> Result<Settings> {
    Raw::parse(text, Path::new("dir/p.yaml"))?.settings()
}

/// The error that `body`, from line 2 on, makes.
fn fails(body: &str, line: usize, column: usize, message: &str) {
    let error = settings(&format!("version: 1\n{body}")).map(|s| s.canonical()).unwrap_err().to_string();
    assert_eq!(error, format!("dir/p.yaml:{line}:{column}: {message}"), "for {body}");
}

const SAMPLE: &str = "\
version: 1
model: model.onnx
output: /out/model.int8.onnx
report: model.int8.json
mode: static
format: qdq
target: onnxruntime
data:
  calibration: { path: photos/, samples: 100, on_bad_file: skip }
  validation:  { path: test/, labels: test.csv, samples: 50, on_bad_file: stop }
  preprocess:
    size: [224, 192]
    fit: crop
    layout: nhwc
    channels: bgr
    scale: 0.00392156862745098
    mean: [0.485, 0.456, 0.406]
    std: 0.5
activations: { type: int8, symmetric: true, calibrator: percentile, percentile: 99.9 }
weights: { type: uint8, symmetric: true, granularity: per_tensor, reduce_range: true }
rules:
  - match: { node: \"/head/*\", op_type: [Conv, Gemm] }
    quantize: false
    reason: boxes are too fine for eight bits
  - match: { op_type: Conv }
    activations: { calibrator: mse }
    weights: { granularity: per_channel }
  - match: { value: 345 }
    range: [1, 6]
thresholds: { top1_drop: 0.02, top1_agreement: 0.9, top5_agreement: , sqnr_db: 10, mse: , cosine: , max_abs: }
";

#[test]
fn validation_can_be_switched_off_but_not_with_thresholds() {
    let text = "version: 1\ndata: { calibration: { path: a }, validation: { samples: 0 } }\n";
    assert!(matches!(settings(text).unwrap().validation, Validation::Off));
    let why = settings(&format!("{text}thresholds: {{ mse: 1 }}")).unwrap_err().to_string();
    assert!(why.contains("3:") && why.contains("leave one of the two out"), "{why}");
    let mut raw = Raw::parse(text, Path::new("dir/p.yaml")).unwrap();
    raw.override_with(&Overrides { validation: Some("b".into()), ..Overrides::default() });
    assert_eq!(raw.settings().unwrap().validation.samples().map(|data| data.samples), Some(VALIDATION_SAMPLES));
}

#[test]
fn a_policy_with_every_key_is_read() {
    let s = settings(SAMPLE).unwrap();
    assert_eq!(s.model, Some(PathBuf::from("dir/model.onnx")));
    assert_eq!(s.output, Some(PathBuf::from("/out/model.int8.onnx")));
    let (calibration, validation) = (s.calibration.unwrap(), s.validation.samples().unwrap().clone());
    assert_eq!((calibration.samples, validation.samples), (100, 50));
    assert_eq!((calibration.source.on_bad_file, validation.source.on_bad_file), (OnBadFile::Skip, OnBadFile::Stop));
    assert_eq!(calibration.source.path, Path::new("dir/photos/"));
    assert_eq!(validation.source.labels, Some(PathBuf::from("dir/test.csv")));
    let p = calibration.source.preprocess;
    assert_eq!(
        (p.size, p.fit, p.layout, p.channels),
        (Some([224, 192]), Fit::Crop, Some(Layout::Nhwc), Some(Channels::Bgr))
    );
    assert_eq!((p.scale, p.mean, p.std), (Some(1.0 / 255.0), vec![0.485, 0.456, 0.406], vec![0.5]));
    assert_eq!(s.activations.scheme, Scheme::new(GridType::Int8, true));
    assert_eq!(s.activations.calibrator, Calibrator::Percentile(99.9));
    assert_eq!(s.weights.scheme, Scheme { reduce_range: true, ..Scheme::new(GridType::Uint8, true) });
    assert_eq!(s.weights.granularity, Granularity::PerTensor);
    assert_eq!((s.rules.len(), s.rules[2].range, s.rules[2].place.line), (3, Some((1.0, 6.0)), 28));
    assert_eq!((s.thresholds.top1_drop, s.thresholds.top5_agreement), (Some(0.02), None));
}

#[test]
fn tasks_and_limits_that_are_usual_are_the_policys_choice() {
    let text = "version: 1\nvalidation: { task: { a: yolo, b: segment-classes }, mask_above: 0.5, charset: c.txt }\n";
    let s = settings(&format!("{text}thresholds: none")).unwrap();
    assert_eq!(s.tasks.task.as_ref().and_then(|task| task.of("b")), Some(TaskName::SegmentClasses));
    assert_eq!((s.tasks.mask_above, s.tasks.charset.as_deref()), (0.5, Some(Path::new("dir/c.txt"))));
    assert!(s.files().contains(&("file of characters", Path::new("dir/c.txt"))));
    assert!(s.thresholds.defaults == Some(false) && !s.thresholds.is_any_stated());
    let one = settings("version: 1\nvalidation: { task: ctc }\nthresholds:").unwrap();
    assert_eq!((one.tasks.task, one.thresholds.defaults), (Some(OneOrEach::One(TaskName::Ctc)), None));
    // They do not change the model.
    assert_eq!(s.canonical(), settings("version: 1").unwrap().canonical());
    // Without validation, nothing is asked for that nobody stated.
    let off = "version: 1\ndata: { calibration: { path: a }, validation: { samples: 0 } }\nthresholds: none";
    assert!(settings(off).is_ok());
    let mut raw = Raw::parse("version: 1\nvalidation: { task: ctc }", Path::new("dir/p.yaml")).unwrap();
    let task = Some(OneOrEach::Each([("y".to_owned(), TaskName::Embed)].into()));
    raw.override_with(&Overrides {
        task,
        default_limits: Some(false),
        junit: Some("j.xml".into()),
        ..Overrides::default()
    });
    let over = raw.settings().unwrap();
    assert_eq!(over.tasks.task.and_then(|task| task.of("y")), Some(TaskName::Embed));
    assert_eq!((over.thresholds.defaults, over.junit), (Some(false), Some(PathBuf::from("j.xml"))));
}

#[test]
fn what_is_left_out_has_its_default() {
    let s = settings("version: 1\ndata: { calibration: { path: a }, validation: { path: b } }").unwrap();
    assert_eq!(s.activations, ActivationSettings::default());
    assert_eq!(s.activations.scheme.to_string(), "uint8 asymmetric");
    assert_eq!(s.activations.calibrator, DEFAULT_CALIBRATOR);
    assert_eq!(s.weights, WeightSettings::default());
    assert_eq!(
        (s.weights.scheme.to_string(), s.weights.granularity),
        ("int8 symmetric".to_owned(), Granularity::PerChannel)
    );
    assert_eq!(s.calibration.map(|c| c.samples), Some(CALIBRATION_SAMPLES));
    assert_eq!(s.validation.samples().map(|c| c.samples), Some(VALIDATION_SAMPLES));
    let number = settings("version: 1\nactivations: { calibrator: percentile }").unwrap();
    assert_eq!(number.activations.calibrator, Calibrator::Percentile(DEFAULT_PERCENTILE));
    assert_eq!((number.on_bad_value, number.dims.len(), number.keep_patterns), (OnBadValue::Stop, 0, false));
    // A policy without a file, as flags alone make it.
    assert_eq!(Raw::default().settings().unwrap().canonical(), settings("version: 1").unwrap().canonical());
}

#[test]
fn the_version_is_demanded() {
    let error = |text: &str| settings(text).unwrap_err().to_string();
    for text in ["", "# nothing\n", "model: a"] {
        assert_eq!(error(text), "dir/p.yaml:1:1: the version is missing; begin with `version: 1`");
    }
    assert_eq!(error("version: 2"), "dir/p.yaml:1:10: version 2 is not known; this tool reads version 1");
    assert_eq!(error("version: '1'"), "dir/p.yaml:1:10: version must be a whole number; found the quoted text \"1\"");
}

#[test]
fn unknown_keys_and_words_name_the_nearest() {
    fails(
        "activations:\n  calibratr: mse",
        3,
        3,
        "unknown key \"calibratr\"; did you mean \"calibrator\"? Known here: calibrator, type, symmetric, power_of_two, outlier_threshold, percentile",
    );
    fails(
        "weights: { x: 1 }",
        2,
        12,
        "unknown key \"x\". Known here: type, symmetric, granularity, form, block_size, range, avoid_saturation, reduce_range, power_of_two, bias",
    );
    fails(
        "weights: { type: uint9 }",
        2,
        18,
        "unknown value \"uint9\"; did you mean \"uint8\"? Known here: uint8, uint4, uint2, int8, int4, int2, float8e4m3fn, float8e5m2, nf4, fp4",
    );
    fails(
        "mode: fast",
        2,
        7,
        "unknown value \"fast\". Known here: static, dynamic, weight-only, float16, bfloat16, float32",
    );
    fails("target: tensorrt", 2, 9, "unknown value \"tensorrt\". Known here: onnxruntime");
    let long = settings(&format!("version: 1\n{}: 1", "k".repeat(1000))).unwrap_err().to_string();
    // The key is cut short; those that are known are all there.
    assert!(long.contains("kkk...\". Known here: version,") && long.len() < 400, "{long}");
    assert_eq!(word::<CalibratorName>("mse").unwrap(), CalibratorName::Mse);
    let error = word::<CalibratorName>("minimax").unwrap_err().to_string();
    assert!(error.starts_with("unknown value \"minimax\"; did you mean \"minmax\"? Known here: minmax, "), "{error}");
}

#[test]
fn a_value_of_the_wrong_type_names_its_key() {
    fails("weights: { symmetric: yes }", 2, 23, "symmetric must be true or false; found \"yes\"");
    fails(
        "weights: int8",
        2,
        10,
        "weights must be keys (avoid_saturation, bias, block_size, form, granularity, power_of_two, range, reduce_range, symmetric, type); found \"int8\"",
    );
    fails(
        "weights: { type: [int8] }",
        2,
        18,
        "type must be one of int8, uint8, int4, uint4, int2, uint2, float8e4m3fn, float8e5m2, nf4, fp4; found a list of 1",
    );
    fails("data: { calibration: { samples: -5 } }", 2, 33, "samples must be a whole number; found \"-5\"");
    fails("data: { preprocess: { size: 224 } }", 2, 29, "size must be a list of 2; found \"224\"");
    fails("data: { preprocess: { mean: [1, x, 3] } }", 2, 33, "mean[1] must be a number; found \"x\"");
    fails("data: { preprocess: { scale: infinity } }", 2, 30, "scale must be a number; found \"infinity\"");
    fails("model: { a: b }", 2, 8, "model must be a text; found keys");
    fails("rules: { a: b }", 2, 8, "rules must be a list; found keys");
    fails("rules:\n  - quantize: false", 3, 5, "the key \"match\" is missing");
    fails("data: { preprocess: { mean: x } }", 2, 29, "mean must be a number or a list; found \"x\"");
    fails("data: { preprocess: { size: [1, 2, 3] } }", 2, 29, "size must be a list of 2; found a list of 3");
    fails("rules:\n  - match: ~\n", 3, 12, "match must be keys (between, node, op_type, value); found nothing");
    fails(
        "rules:\n  - match:\n",
        3,
        10,
        "match is empty; name a node, an op_type, a value, or the two values of between",
    );
    fails(
        "rules: [a]",
        2,
        9,
        "rules[0] must be keys (activations, match, mode, quantize, range, reason, scale, weights, zero_point); found \"a\"",
    );
    let error = settings("- version: 1").unwrap_err().to_string();
    assert!(error.starts_with("dir/p.yaml:1:1: the policy must be keys (activations, "), "{error}");
}

#[test]
fn values_that_make_no_sense_are_refused() {
    fails("model: ''", 2, 8, "model is an empty path; name a file, or remove the key");
    fails("data: { calibration: { samples: 3 } }", 2, 22, "data.calibration has no path; say where the samples are");
    fails("data: { calibration: { path: a, samples: 0 } }", 2, 42, "samples must be at least 1; found 0");
    fails(
        "data: { preprocess: { size: [0, 9] } }",
        2,
        29,
        "size is height and width, each from 1 to 16384; found [0, 9]",
    );
    fails(
        "data: { preprocess: { size: [9, 16385] } }",
        2,
        29,
        "size is height and width, each from 1 to 16384; found [9, 16385]",
    );
    fails("data: { preprocess: { mean: [1, 2] } }", 2, 29, "mean is one number, or three for three channels; found 2");
    fails("data: { preprocess: { mean: .nan } }", 2, 29, "mean must be finite");
    fails("data: { preprocess: { std: [1, 0, 1] } }", 2, 28, "std divides, so it must be above 0");
    // Too small for float32, so zero there.
    fails("data: { preprocess: { std: 1e-60 } }", 2, 28, "std divides, so it must be above 0");
    fails("data: { preprocess: { scale: 0 } }", 2, 30, "scale must be a finite number other than 0");
    for (text, shown) in [("50", "50"), ("100.5", "100.5"), (".nan", "NaN")] {
        let message = format!("percentile must be above 50 and at most 100; found {shown}");
        fails(&format!("activations:\n  percentile: {text}"), 3, 15, &message);
    }
    let alone = "percentile is only for calibrator: percentile; set that, or remove this";
    fails("activations: { percentile: 99 }", 2, 28, alone);
    fails("activations: { calibrator: mse, percentile: 99 }", 2, 45, alone);
    let asymmetric =
        "per_channel weights are symmetric: runtimes need zero point 0; set granularity: per_tensor or symmetric: true";
    fails("weights: { symmetric: false }", 2, 23, asymmetric);
    assert!(settings("version: 1\nweights: { type: uint8 }").is_ok(), "zero point 128 for every channel");
    fails("thresholds: { mse: -1 }", 2, 20, "mse must be a finite number, 0 or above; found -1");
    fails("thresholds: { f1: 2 }", 2, 19, "f1 must be from 0 to 1; found 2");
    fails("validation: { mask_above: .inf }", 2, 27, "mask_above must be a finite number; found inf");
    fails("thresholds: { top1_agreement: 90 }", 2, 31, "top1_agreement must be from 0 to 1; found 90");
}

#[test]
fn flags_lie_over_the_policy() {
    let mut raw = Raw::parse(SAMPLE, Path::new("dir/p.yaml")).unwrap();
    raw.override_with(&Overrides {
        model: Some("other.onnx".into()),
        validation: Some("new/".into()),
        samples: Some(7),
        calibrator: Some(CalibratorName::Entropy),
        mean: Some(vec![0.5]),
        ..Overrides::default()
    });
    let s = raw.settings().unwrap();
    assert_eq!(s.model, Some(PathBuf::from("other.onnx")), "relative to the working directory");
    assert_eq!(s.activations.calibrator, Calibrator::Entropy, "and the policy's percentile is gone");
    let (calibration, validation) = (s.calibration.unwrap(), s.validation.samples().unwrap().clone());
    assert_eq!((calibration.samples, validation.samples), (7, 50));
    assert_eq!(calibration.source.preprocess.mean, [0.5]);
    assert_eq!((validation.source.path.as_path(), validation.source.labels), (Path::new("new/"), None));

    let mut raw = Raw::default();
    raw.override_with(&Overrides { percentile: Some(99.0), size: Some([8, 9]), ..Overrides::default() });
    assert_eq!(raw.settings().unwrap().activations.calibrator, Calibrator::Percentile(99.0));
}

#[test]
fn a_wrong_flag_blames_no_line() {
    let mut raw = Raw::parse(SAMPLE, Path::new("dir/p.yaml")).unwrap();
    raw.override_with(&Overrides { percentile: Some(5.0), ..Overrides::default() });
    let error = raw.settings().unwrap_err();
    assert!(matches!(error, Error::Other(_)));
    assert_eq!(error.to_string(), "percentile must be above 50 and at most 100; found 5");
}

#[test]
fn the_canonical_form_holds_what_decides_the_bytes() {
    let all = settings(SAMPLE).unwrap().canonical();
    let other = SAMPLE.replace("boxes are too fine", "no").replace("model.onnx", "m.onnx").replace("0.02", "0.5");
    assert_eq!(settings(&other).unwrap().canonical().to_string(), all.to_string());
    for (from, to) in [("99.9", "99.8"), ("samples: 100", "samples: 101"), ("crop", "stretch"), ("[1, 6]", "[1, 7]")] {
        assert_ne!(settings(&SAMPLE.replace(from, to)).unwrap().canonical(), all, "{from} to {to}");
    }
    let weights = json!({ "avoid_saturation": true, "granularity": "per_tensor", "range": "least_error", "reduce_range": true, "symmetric": true, "type": "uint8" });
    assert_eq!(all["weights"], weights);
    assert_eq!(all["rules"][2], json!({ "match": { "value": "345" }, "range": [1.0, 6.0] }));
}

#[test]
fn what_happens_before_quantization_is_read_and_counts() {
    let text = "version: 1\ndims: { batch: 1, \"x[2]\": 480 }\nprepare: { fuse_patterns: false }\n\
                data: { calibration: { path: a, on_bad_value: skip } }";
    let s = settings(text).unwrap();
    assert_eq!((s.dims["batch"], s.dims["x[2]"], s.keep_patterns), (1, 480, true));
    assert_eq!(s.on_bad_value, OnBadValue::Skip);
    for (from, to) in [("480", "320"), ("false", "true"), ("skip", "stop")] {
        let other = settings(&text.replace(from, to)).unwrap();
        assert_ne!(other.canonical(), s.canonical(), "{from} to {to}");
    }
    fails("dims: { batch: 0 }", 2, 7, "the dimension \"batch\" has size 0; it has to be 1 or more");
}

#[test]
fn every_example_policy_is_right() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        let settings = load(&path).and_then(|raw| raw.settings()).unwrap();
        // Names as in the example model.
        let nodes =
            [("stem.conv", "Conv", "c"), ("stem.relu6", "Clip", "stem.relu6.out"), ("classifier", "Gemm", "logits")];
        let nodes =
            nodes.map(|(name, op_type, output)| NodeKey { name, op_type, outputs: vec![output], inputs: vec![] });
        settings.match_model(&nodes, &["image", "c", "stem.relu6.out", "logits"]).unwrap();
    }
}
