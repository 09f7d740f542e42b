//! Models that take the bytes of a camera: `io.fold_normalization`.

use super::*;

/// The example's own mean and std, for which 0 lies between two bytes.
const IO: &str = "strict: true\nio: { inputs: uint8, outputs: uint8, fold_normalization: true }\n";

#[test]
fn a_model_that_takes_bytes_is_as_good_as_one_that_takes_numbers() {
    let folder = folder();
    let config = policy(folder.path(), IO);
    let config = config.to_str().expect("a name");
    ends(
        &tare(
            folder.path(),
            ["quantize", "-c", config, "-o", "bytes.onnx", "--report", "bytes.json", "--samples", "200"],
        ),
        0,
    );
    let numbers = folder.path().join("numbers");
    std::fs::create_dir(&numbers).expect("a folder");
    let other = policy(&numbers, "strict: true\nio: { outputs: uint8 }\n");
    let other = other.to_str().expect("a name");
    ends(
        &tare(
            folder.path(),
            ["quantize", "-c", other, "-o", "numbers.onnx", "--report", "numbers.json", "--samples", "200"],
        ),
        0,
    );
    let sqnr = |name: &str| {
        json(folder.path().join(name))["validation"]["outputs"][0]["sqnr_db"].as_f64().expect("a number of dB")
    };
    let (bytes, numbers) = (sqnr("bytes.json"), sqnr("numbers.json"));
    assert!(bytes > numbers - 2.0, "{bytes:.1} dB from bytes, {numbers:.1} dB from numbers");
    // The float model reads numbers, the other one bytes: the file says what they are.
    let float = model();
    let again = ["validate", float.to_str().expect("a name"), "bytes.onnx", "-c", config, "--report", "again.json"];
    ends(&tare(folder.path(), again), 0);
    let again = json(folder.path().join("again.json"))["outputs"][0]["sqnr_db"].as_f64().expect("a number of dB");
    assert!((again - bytes).abs() < 1e-9, "{again} and {bytes}");
    let model = tare::file::load(&folder.path().join("bytes.onnx")).expect("a model");
    let input = model.graph.inputs().next().expect("an input");
    let said = model.metadata(&format!("tare.io.{}", model.graph.value(input).name())).expect("an entry");
    let said: serde_json::Value = serde_json::from_str(said).expect("JSON");
    let near = |key: &str, wanted: f64| (said[key][0].as_f64().expect("a number") - wanted).abs() < 1e-4 * wanted;
    assert!(near("scale", 1.0 / 255.0 / 0.353) && near("zero_point", 0.286 * 255.0), "{said}");
}

#[test]
fn statistics_of_numbers_are_none_of_bytes() {
    let folder = folder();
    policy(folder.path(), "");
    ends(&tare(folder.path(), ["calibrate", "-q", "-c", "policy.yaml", "--samples", "2", "-o", "ranges.json"]), 0);
    policy(folder.path(), IO);
    let output = tare(folder.path(), ["quantize", "-c", "policy.yaml", "--ranges", "ranges.json", "-o", "out.onnx"]);
    ends(&output, 2);
    assert!(text(&output.stderr).contains("or of another normalization"), "{}", text(&output.stderr));
    ends(&tare(folder.path(), ["calibrate", "-q", "-c", "policy.yaml", "-o", "ranges.json"]), 0);
    ends(
        &tare(folder.path(), ["quantize", "-q", "-c", "policy.yaml", "--ranges", "ranges.json", "-o", "saved.onnx"]),
        0,
    );
    ends(&tare(folder.path(), ["quantize", "-q", "-c", "policy.yaml", "-o", "direct.onnx"]), 0);
    assert!(read(folder.path().join("saved.onnx")) == read(folder.path().join("direct.onnx")));
}

#[test]
fn what_cannot_be_exact_is_refused_with_the_reason() {
    let folder = folder();
    let text_of = |more: &str| {
        let config = policy(folder.path(), more);
        let output = tare(folder.path(), ["plan", "-c", config.to_str().expect("a name")]);
        ends(&output, 2);
        text(&output.stderr).to_owned()
    };
    let shift = "rules: [{ match: { value: image }, range: [0, 1] }]\n";
    let error = text_of(&format!("{IO}{shift}"));
    let why =
        "value \"image\": has a range or scale by a rule of the policy, and io.fold_normalization gives it another";
    assert!(error.contains(&format!("policy.yaml:9:9: {why}")), "{error}");
    let config = policy(folder.path(), IO);
    let wrong = text(&read(&config)).replace("std: 0.353", "std: [0.2, 0.3, 0.4]");
    std::fs::write(&config, wrong).expect("a file");
    let output = tare(folder.path(), ["plan", "-c", config.to_str().expect("a name")]);
    ends(&output, 2);
    let error = text(&output.stderr);
    let why = "value \"image\": io.fold_normalization cannot be exact: mean and std are for 3 channels";
    assert!(error.contains(&format!("policy.yaml:8:58: {why}")), "{error}");
}
