//! `bench`. No test looks at how long anything took.

use super::*;
use serde_json::Value;

/// The command, told of no ONNX Runtime but at a place where there is none.
fn without_runtime(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
    command.args(args).current_dir(folder).env("ORT_DYLIB_PATH", "no-such-library");
    command.output().expect("the command runs")
}

/// The example and what `quantize` makes of it, as `a.onnx` and `b.onnx`.
fn models(folder: &Path) {
    policy(folder, "");
    std::fs::copy(model(), folder.join("a.onnx")).expect("a copy");
    ends(&tare(folder, ["quantize", "-q", "-c", "policy.yaml", "--no-validation", "-o", "b.onnx"]), 0);
}

fn check_spread(spread: &Value) {
    let number = |name: &str| spread[name].as_f64().unwrap_or_else(|| panic!("{name} is missing in {spread}"));
    let order = ["min", "p10", "median", "p90", "max"].map(number);
    assert!(order.is_sorted() && order[0] > 0.0, "{spread}");
    let interval = [0, 1].map(|end| spread["median_ci95"][end].as_f64().expect("an interval"));
    assert!(interval[0] <= order[2] && order[2] <= interval[1], "{spread}");
}

/// That all of a measurement is there.
fn check(measurement: &Value, models: usize, nodes: bool) {
    assert!(measurement["runs"].as_u64() > Some(0) && measurement["rounds"].as_u64() > Some(0), "{measurement}");
    let all = measurement["models"].as_array().expect("models");
    assert_eq!(all.len(), models);
    for model in all {
        assert_eq!(model["error"], Value::Null);
        for spread in ["latency_ms", "ratio", "load_ms", "first_run_ms"] {
            check_spread(&model[spread]);
        }
        if cfg!(target_os = "linux") {
            let memory = |name: &str| model["memory"][name].as_u64().expect("bytes");
            assert!(memory("peak_bytes") >= memory("before_bytes") && memory("before_bytes") > 0, "{model}");
        }
        assert_eq!(!model["profile"].is_null(), nodes, "{model}");
        if nodes {
            let profile = &model["profile"];
            for (list, sum) in ["operators", "nodes"].map(|list| (list, &profile["total_ms"])) {
                let list = profile[list].as_array().expect("a list");
                let ms: Vec<f64> = list.iter().map(|one| one["ms"].as_f64().expect("a time")).collect();
                assert!(ms.is_sorted_by(|a, b| a >= b) && ms.len() > 3, "{ms:?}");
                let (total, sum) = (ms.iter().sum::<f64>(), sum.as_f64().expect("a time"));
                assert!((total - sum).abs() < 1e-6 * sum, "{total} is not {sum}");
            }
        }
    }
    assert_eq!(all[0]["ratio"]["median"], 1.0);
}

#[test]
fn models_are_measured_side_by_side_without_onnx_runtime() {
    let folder = folder();
    let folder = folder.path();
    models(folder);
    let before = std::fs::read_dir(folder).expect("a folder").count();
    let args = ["bench", "a.onnx", "b.onnx", "--runs", "7", "--warmup", "1", "--nodes", "3", "--report", "out.json"];
    let output = without_runtime(folder, &args);
    let printed = ends(&output, 0);
    for word in [
        "models       a.onnx  506.6 kB\n             b.onnx  195.",
        "; N taken for a batch of 1\n             image float32[1,1,28,28]\n",
        "note         ONNX Runtime is not measured: no-such-library: ",
        "pip install onnxruntime",
        "1 thread; 7 rounds, 7 runs of each\n",
        "where the time goes, mean of one run: a.onnx | b.onnx\n",
        "\n  b.onnx: 3 of ",
    ] {
        assert!(printed.contains(word), "{word:?} is not in\n{printed}");
    }
    let told = json(folder.join("out.json"));
    assert_eq!(told["models"][1]["bytes"], std::fs::metadata(folder.join("b.onnx")).expect("a file").len());
    assert_eq!(told["models"][0]["inputs"], serde_json::json!(["image float32[1,1,28,28]"]));
    let measurements = told["measurements"].as_array().expect("a list");
    assert_eq!((measurements.len(), &measurements[0]["runs"]), (1, &7.into()));
    check(&measurements[0], 2, true);
    let operators = |model: usize| measurements[0]["models"][model]["profile"]["operators"].to_string();
    assert!(operators(0).contains("\"Conv\"") && !operators(0).contains("antizeLinear"), "{}", operators(0));
    // A pair is one step there, called after its end.
    assert!(operators(1).contains("\"DequantizeLinear\""), "{}", operators(1));
    // Nothing is left behind but the report.
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), before + 1);
}

#[test]
fn one_model_on_samples_is_fine_and_quiet_is_quiet() {
    let folder = folder();
    let folder = folder.path();
    models(folder);
    let args = ["bench", "b.onnx", "-c", "policy.yaml", "--samples", "3", "--runs", "4", "--engine", "tract", "-q"];
    let output = without_runtime(folder, &[&args[..], &["--report", "out.json"]].concat());
    assert_eq!(ends(&output, 0), "");
    let told = json(folder.join("out.json"));
    assert_eq!((&told["models"][0]["samples"], &told["notes"]), (&3.into(), &serde_json::json!([])));
    assert!(told["inputs"].as_str().is_some_and(|text| text.starts_with("3 of 1000 pictures from ")), "{told}");
    check(&told["measurements"][0], 1, false);
}

#[test]
fn onnx_runtime_is_measured_on_several_threads_where_it_is() {
    let folder = folder();
    let folder = folder.path();
    if !onnxruntime::is_there(folder) {
        return;
    }
    models(folder);
    let before = std::fs::read_dir(folder).expect("a folder").count();
    let args = ["bench", "a.onnx", "b.onnx", "--threads", "2,1", "--runs", "4", "--nodes", "--report", "out.json"];
    ends(&tare(folder, args), 0);
    let told = json(folder.join("out.json"));
    let measurements = told["measurements"].as_array().expect("a list");
    let all: Vec<_> = measurements
        .iter()
        .map(|m| (m["engine"].as_str().expect("a name").split(' ').next(), m["threads"].as_u64()))
        .collect();
    assert_eq!(all, [(Some("tract"), Some(1)), (Some("ONNX"), Some(1)), (Some("ONNX"), Some(2))]);
    assert!(told["notes"].to_string().contains("runs a model on one thread: not measured on 2"), "{told}");
    for (measurement, nodes) in measurements.iter().zip([true, true, false]) {
        check(measurement, 2, nodes);
    }
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), before + 1);
}

#[test]
fn what_one_model_cannot_do_stops_neither_the_others_nor_the_command() {
    let folder = folder();
    let folder = folder.path();
    models(folder);
    // An operator that nobody has, called as long as the one that was there.
    let mut bytes = read(folder.join("a.onnx"));
    let found: Vec<usize> = (0..bytes.len() - 17).filter(|&at| &bytes[at..at + 17] == b"GlobalAveragePool").collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at..at + 17].copy_from_slice(b"GlobalAverageFool");
    }
    std::fs::write(folder.join("odd.onnx"), bytes).expect("a file");
    let run = |models: &[&str]| {
        let args = [&["bench"], models, &["--engine", "tract", "--runs", "3", "--report", "out.json"]].concat();
        without_runtime(folder, &args)
    };
    let output = run(&["a.onnx", "odd.onnx"]);
    let printed = ends(&output, 0);
    assert!(printed.contains("\n  odd.onnx: ") && printed.contains("GlobalAverageFool"), "{printed}");
    let told = json(folder.join("out.json"));
    let odd = &told["measurements"][0]["models"][1];
    assert!(odd["latency_ms"].is_null() && odd["error"].is_string(), "{odd}");
    let output = run(&["odd.onnx"]);
    ends(&output, 2);
    let error = text(&output.stderr);
    assert!(error.contains("nothing was measured") && error.contains("GlobalAverageFool"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn bad_input_is_an_error() {
    let folder = folder();
    let folder = folder.path();
    models(folder);
    std::fs::write(folder.join("bad.onnx"), b"no model").expect("a file");
    let before = std::fs::read_dir(folder).expect("a folder").count();
    for (args, why) in [
        (&["none.onnx"][..], "none.onnx: cannot be read"),
        (&["a.onnx", "bad.onnx"], "bad.onnx: is not an ONNX model"),
        (&[], "required"),
        (&["a.onnx", "--engine", "tensorrt"], "--engine: "),
        (&["a.onnx", "--engine", "onnxruntime"], "no-such-library: "),
        (&["a.onnx", "--onnxruntime", "nowhere"], "nowhere: "),
        (&["a.onnx", "--threads", "0"], "--threads: expected 1 to 1024, found 0"),
        (&["a.onnx", "--threads", "2", "--engine", "tract"], "runs a model on one thread"),
        (&["a.onnx", "--seconds", "0"], "--seconds: expected more than 0"),
        (&["a.onnx", "--runs", "0"], "--runs: expected 1 or more"),
        (&["a.onnx", "--runs", "2", "--seconds", "1"], "cannot be used with"),
        (&["a.onnx", "--dim", "width=3"], "no dimension is called width"),
        (&["a.onnx", "--data", "nothing.npz"], "nothing.npz"),
        (&["a.onnx", "--report", "a.onnx"], "is the model itself"),
    ] {
        let output = without_runtime(folder, &[&["bench"], args].concat());
        assert_eq!(ends(&output, 2), "", "{args:?}");
        assert!(text(&output.stderr).contains(why), "{args:?}: {}", text(&output.stderr));
    }
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), before);
}
