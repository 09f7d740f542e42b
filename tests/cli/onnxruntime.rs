//! ONNX Runtime as an engine and as a reference. What needs its library is skipped, with a word, where there is none.

use super::*;

/// Whether the program finds ONNX Runtime on this machine.
pub fn is_there(folder: &Path) -> bool {
    policy(folder, "");
    let output = tare(folder, ["calibrate", "-c", "policy.yaml", "-o", "probe.json", "--engine", "onnxruntime"]);
    let found = output.status.success();
    if !found {
        let error = text(&output.stderr);
        assert!(error.contains("no ONNX Runtime") && std::env::var_os("ORT_DYLIB_PATH").is_none(), "{error}");
        println!("skipped: no ONNX Runtime found ({})", error.trim_end());
    }
    found
}

#[test]
fn without_its_library_the_message_says_how_to_get_it() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    let (at, model) = (folder.join("nowhere"), model());
    let (at, model) = (at.to_str().expect("Unicode"), model.to_str().expect("Unicode"));
    let quantize = ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--onnxruntime", at];
    let calibrate = ["calibrate", "-c", "policy.yaml", "-o", "ranges.json", "--onnxruntime", at];
    let validate = ["validate", model, model, "-c", "policy.yaml", "--onnxruntime", at];
    let (engine, reference) = (["--engine", "onnxruntime"], ["--reference", "onnxruntime"]);
    for args in [
        [&quantize[..], &engine].concat(),
        [&quantize[..], &reference].concat(),
        [&calibrate[..], &engine].concat(),
        [&validate[..], &engine].concat(),
        [&validate[..], &reference].concat(),
    ] {
        let output = tare(folder, &args);
        assert_eq!(ends(&output, 2), "", "{args:?}");
        let error = text(&output.stderr);
        for word in [at, "no such file or folder", "pip install onnxruntime"] {
            assert!(error.contains(word), "{args:?}: {error}");
        }
    }
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 1, "something was left behind");
}

#[test]
fn the_library_is_not_asked_for_where_nothing_needs_it() {
    let folder = folder();
    policy(folder.path(), "");
    let args = ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--onnxruntime", "nowhere"];
    ends(&tare(folder.path(), args), 0);
}

#[test]
fn what_is_no_library_is_refused() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    std::fs::write(folder.join("libonnxruntime.so"), "this is no library").expect("a file");
    for named in ["libonnxruntime.so", "."] {
        let args =
            ["calibrate", "-c", "policy.yaml", "-o", "r.json", "--engine", "onnxruntime", "--onnxruntime", named];
        let output = tare(folder, args);
        assert_eq!(ends(&output, 2), "");
        let error = text(&output.stderr);
        assert!(error.contains("libonnxruntime.so: cannot be loaded"), "{error}");
    }
}

#[test]
fn both_engines_calibrate_to_the_same_grids() {
    let folder = folder();
    let folder = folder.path();
    if !is_there(folder) {
        return;
    }
    let quantize = |engine: &str, out: &str, more: &[&str]| {
        let report = format!("{out}.json");
        let args = ["quantize", "-c", "policy.yaml", "-o", out, "--report", &report, "--engine", engine];
        ends(&tare(folder, [&args[..], more].concat()), 0);
        json(folder.join(report))
    };
    let (own, other) = (quantize("tract", "a.onnx", &[]), quantize("onnxruntime", "b.onnx", &[]));
    assert!(own["calibration"]["engine"].is_null());
    let engine = other["calibration"]["engine"].as_str().expect("a name");
    assert!(engine.starts_with("ONNX Runtime 1."), "{engine}");
    assert_eq!(other["validation"]["engine"], engine);
    assert_ne!(own["policy_sha256"], other["policy_sha256"]);
    let sqnr = |report: &serde_json::Value| report["validation"]["outputs"][0]["sqnr_db"].as_f64().expect("a number");
    assert!((sqnr(&own) - sqnr(&other)).abs() < 1.0, "{} and {}", sqnr(&own), sqnr(&other));
    // The same bytes again, and from saved statistics, which say what made them.
    assert_eq!(other["output"]["sha256"], quantize("onnxruntime", "c.onnx", &["--threads", "3"])["output"]["sha256"]);
    let calibrate = ["calibrate", "-c", "policy.yaml", "-o", "ranges.json", "--engine", "onnxruntime"];
    ends(&tare(folder, calibrate), 0);
    assert_eq!(json(folder.join("ranges.json"))["engine"], engine);
    let from_saved = quantize("onnxruntime", "d.onnx", &["--ranges", "ranges.json"]);
    assert_eq!(from_saved["output"]["sha256"], other["output"]["sha256"]);
    assert_eq!(from_saved["calibration"]["engine"], engine);
}

#[test]
fn a_reference_says_what_quantization_does_and_what_the_runtime() {
    let folder = folder();
    let folder = folder.path();
    if !is_there(folder) {
        return;
    }
    let args =
        ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--reference", "onnxruntime", "--report", "out.json"];
    let printed = tare(folder, args);
    let printed = ends(&printed, 0);
    for word in
        ["reference    ONNX Runtime 1.", "re-execution -> disable all", "float        -> default", ": quantization"]
    {
        assert!(printed.contains(word), "{printed}");
    }
    let told = &json(folder.join("out.json"))["validation"]["reference"];
    assert!(told["disable_all"]["refused"].is_null() && told["default"]["refused"].is_null(), "{told}");
    let verdict = told["outputs"][0]["verdict"].as_str().expect("a word");
    assert!(["quantization", "rounding"].contains(&verdict), "{told}");
    // The same of two files, and a model that it does not load: no runtime knows the operator.
    let (float, out) = (model(), folder.join("out.onnx"));
    let validate = ["validate", float.to_str().expect("Unicode"), out.to_str().expect("Unicode"), "-c", "policy.yaml"];
    let flags = ["--reference", "onnxruntime", "--report", "compared.json"];
    ends(&tare(folder, [&validate[..], &flags].concat()), 0);
    assert_eq!(&json(folder.join("compared.json"))["reference"], told);
}

#[test]
fn layers_say_where_the_runtime_differs() {
    let folder = folder();
    let folder = folder.path();
    if !is_there(folder) {
        return;
    }
    let float = model();
    let float = float.to_str().expect("Unicode");
    let validate = |name: &str, report: &str| {
        let args = ["validate", float, name, "-c", "policy.yaml", "--reference", "onnxruntime", "--layers", "--report"];
        text(&tare(folder, args.into_iter().chain([report])).stdout).to_owned()
    };
    for format in ["qdq", "qoperator"] {
        ends(&tare(folder, ["quantize", "-q", "-c", "policy.yaml", "-o", "q.onnx", "--format", format]), 0);
        let printed = validate("q.onnx", "r.json");
        assert!(printed.contains("  layers     ") && printed.contains("every layer alone "), "{printed}");
        let told = &json(folder.join("r.json"))["reference"]["layers"];
        let layers = told["layers"].as_array().expect("a list");
        assert!(layers.len() > 5 && told["refused"].as_array().is_some_and(Vec::is_empty), "{told}");
        for layer in layers {
            for level in ["disable_all", "default"] {
                assert!(layer["alone"][level]["steps"].as_u64().is_some_and(|steps| steps <= 1), "{layer}");
                assert!(layer["accumulated"][level]["share"].is_number(), "{layer}");
            }
        }
    }
    validate("q.onnx", "r.html");
    let page = read(folder.join("r.html"));
    let page = String::from_utf8_lossy(&page);
    for words in ["<h3>In ONNX Runtime 1.", "Every layer alone ", "QLinearConv", "All, from input to output"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    ends(&tare(folder, ["quantize", "-q", "-c", "policy.yaml", "-o", "dynamic.onnx", "--mode", "dynamic"]), 0);
    let printed = validate("dynamic.onnx", "r.json");
    assert!(printed.contains("  layers     no layer hands integers on"), "{printed}");
}

#[test]
fn a_model_that_the_runtime_refuses_is_a_failed_validation() {
    let folder = folder();
    let folder = folder.path();
    if !is_there(folder) {
        return;
    }
    // Convolutions of bfloat16 have no kernel there.
    let args = ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--mode", "bfloat16", "--reference", "onnxruntime"];
    let printed = tare(folder, args);
    let printed = ends(&printed, 1);
    for word in ["refused    at level default: ONNX Runtime 1.", "cannot load it", "refused by the runtime"] {
        assert!(printed.contains(word), "{printed}");
    }
    assert!(folder.join("out.onnx").exists());
}
