//! Errors: exit code 2, one line that says what is wrong and where, nothing written.

use super::*;
use std::io::Write;

/// Everything in and below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// That a command fails in one line that holds each of `words`, and leaves `folder` as it was.
fn fails(folder: &Path, args: &[&str], words: &[&str]) {
    let before = files(folder);
    let output = tare(folder, args);
    assert_eq!(ends(&output, 2), "", "{args:?}");
    let error = text(&output.stderr);
    assert!(error.starts_with("error: ") && error.trim_end().lines().count() == 1, "{args:?}: {error}");
    for word in words {
        assert!(error.contains(word), "{args:?}: {word:?} is not in {error}");
    }
    assert_eq!(files(folder), before, "{args:?} left something behind");
}

/// That `quantize` fails with the policy `more` and the flags `flags`.
fn quantize_fails(folder: &Path, more: &str, flags: &[&str], words: &[&str]) {
    policy(folder, more);
    let args = ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--report", "out.json"];
    fails(folder, &[&args, flags].concat(), words);
}

#[test]
fn a_missing_or_damaged_model_is_named() {
    let folder = folder();
    let folder = folder.path();
    let whole = read(model());
    std::fs::write(folder.join("half.onnx"), &whole[..whole.len() / 2]).expect("a file");
    std::fs::write(folder.join("empty.onnx"), b"").expect("a file");
    std::fs::write(folder.join("text.onnx"), b"this is not a model").expect("a file");
    for name in ["missing.onnx", "half.onnx", "empty.onnx", "text.onnx"] {
        quantize_fails(folder, "", &[name], &[name]);
        for command in ["inspect", "plan"] {
            fails(folder, &[command, name], &[name]);
        }
        fails(folder, &["validate", "-c", "policy.yaml", name, name], &[name]);
        fails(folder, &["calibrate", "-c", "policy.yaml", name, "-o", "ranges.json"], &[name]);
    }
}

#[test]
fn a_wrong_key_or_word_of_the_policy_has_a_place_and_a_remedy() {
    let folder = folder();
    quantize_fails(folder.path(), "activation: { type: int8 }\n", &[], &["policy.yaml:7:1", "activations"]);
    quantize_fails(folder.path(), "activations: { tipe: int8 }\n", &[], &["policy.yaml:7:16", "type"]);
    quantize_fails(folder.path(), "activations: { calibrator: entropi }\n", &[], &["policy.yaml:7:", "entropy"]);
    let rule = "rules:\n  - match: { node: stem.konv }\n    quantize: false\n";
    quantize_fails(folder.path(), rule, &[], &["policy.yaml:8:", "stem.conv"]);
    fails(folder.path(), &["plan", "-c", "missing.yaml"], &["missing.yaml"]);
}

#[test]
fn what_of_the_policy_does_not_fit_the_model_has_a_place() {
    let folder = folder();
    let folder = folder.path();
    quantize_fails(folder, "validation: { task: yolo }\n", &[], &["policy.yaml:7:21: ", "the task yolo reads"]);
    let unknown = "validation:\n  task:\n    nothing: classify\n";
    quantize_fails(folder, unknown, &[], &["policy.yaml:9:5: ", "\"nothing\""]);
    let outliers = "mode: dynamic\nactivations: { outlier_threshold: 6 }\n";
    policy(folder, outliers);
    let text = std::fs::read_to_string(folder.join("policy.yaml")).expect("a policy");
    let start = text.find("data:").expect("samples");
    let end = text.find("mode:").expect("a mode");
    let without = format!("{}{}", &text[..start], &text[end..]);
    std::fs::write(folder.join("policy.yaml"), &without).expect("written");
    let line = 1 + without.lines().position(|line| line.contains("outlier")).expect("a line");
    let place = format!("policy.yaml:{line}:35: ");
    fails(folder, &["quantize", "-c", "policy.yaml", "-o", "out.onnx"], &[&place, "name some with --data"]);
    let rule = "mode: dynamic\nrules:\n  - match: { op_type: Gemm }\n    activations: { outlier_threshold: 6 }\n";
    std::fs::write(folder.join("policy.yaml"), format!("{}{rule}", &text[..start])).expect("written");
    fails(folder, &["quantize", "-c", "policy.yaml", "-o", "out.onnx"], &["policy.yaml:", ":5: ", "--data"]);
    // Crash tests are known once the model was converted.
    policy(folder, "");
    let text = std::fs::read_to_string(folder.join("policy.yaml")).expect("a policy");
    let stress = text.replace("data:\n", "data:\n  stress: [noise, nosie]\n");
    std::fs::write(folder.join("policy.yaml"), &stress).expect("written");
    let line = 1 + stress.lines().position(|line| line.contains("nosie")).expect("a line");
    let model = model();
    let args = ["validate", model.to_str().expect("a name"), model.to_str().expect("a name"), "-c", "policy.yaml"];
    fails(folder, &args, &[&format!("policy.yaml:{line}:19: "), "no crash test \"nosie\""]);
    let flag = tare(folder, args.into_iter().chain(["--stress=nosie"]));
    assert!(!text_of(&flag).contains("policy.yaml"), "what a flag says is no line's fault");
}

/// What a command said of its error.
fn text_of(output: &Output) -> String {
    text(&output.stderr).to_owned()
}

#[test]
fn a_lock_in_the_place_of_something_else_leads_to_its_flag() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    std::fs::write(folder.join("a.lock"), "{\n  \"format\": \"tare-lock\",\n  \"version\": 1\n}\n").expect("written");
    fails(folder, &["quantize", "a.lock", "-o", "q.onnx"], &["a.lock", "--locked FILE", "no ONNX model"]);
    fails(folder, &["quantize", "-c", "a.lock", "-o", "q.onnx"], &["a.lock", "--locked FILE", "no policy"]);
    let quantize = ["quantize", "-c", "policy.yaml", "-o", "q.onnx", "--lock", "a.lock"];
    fails(folder, &quantize, &["--lock=a.lock"]);
    // With a model there is no place left for another word.
    for (flag, value) in [("--lock", "b.lock"), ("--stress", "nan")] {
        let output = tare(folder, ["quantize", "m.onnx", "-o", "q.onnx", flag, value]);
        assert_eq!(ends(&output, 2), "");
        let hint = format!("hint: {flag} takes its value behind an equals sign: {flag}={value}");
        assert!(text_of(&output).contains(&hint), "{}", text_of(&output));
    }
    assert!(!text_of(&tare(folder, ["quantize", "--lock", "m.onnx", "--nonsense"])).contains("hint: --lock"));
}

#[test]
fn a_picture_that_cannot_be_read_is_named() {
    let folder = folder();
    let (folder, pictures) = (folder.path(), folder.path().join("pictures"));
    std::fs::create_dir(&pictures).expect("a folder");
    for i in 0..4 {
        let source = repository("calibration/fashion/test/00000_ankle-boot.png");
        let bytes = read(source);
        let end = if i == 2 { bytes.len() / 2 } else { bytes.len() };
        std::fs::write(pictures.join(format!("{i}.png")), &bytes[..end]).expect("a file");
    }
    quantize_fails(folder, "", &["--data", "pictures"], &["2.png"]);
    quantize_fails(folder, "", &["--validation", "pictures"], &["2.png"]);
    fails(folder, &["calibrate", "-c", "policy.yaml", "--data", "pictures", "-o", "ranges.json"], &["2.png"]);
}

/// A float32 array in numpy's format.
fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let dims: String = shape.iter().map(|d| format!("{d}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({dims}), }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
    bytes
}

#[test]
fn arrays_of_another_shape_are_refused() {
    let folder = folder();
    let folder = folder.path();
    let file = std::fs::File::create(folder.join("small.npz")).expect("a file");
    let mut archive = zip::ZipWriter::new(file);
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    archive.start_file("image.npy", stored).expect("an entry");
    archive.write_all(&npy(&[4, 1, 14, 14], &[0.5; 4 * 14 * 14])).expect("an array");
    archive.finish().expect("an archive");
    quantize_fails(folder, "", &["--data", "small.npz"], &["small.npz", "28"]);
    quantize_fails(folder, "", &["--validation", "small.npz"], &["small.npz", "28"]);
}

#[test]
fn samples_that_are_not_finite_are_named() {
    let folder = folder();
    let folder = folder.path();
    for (name, bad) in [("nan.npy", f32::NAN), ("infinite.npy", f32::INFINITY)] {
        let mut values = vec![0.5; 6 * 28 * 28];
        values[3 * 28 * 28 + 40] = bad;
        std::fs::write(folder.join(name), npy(&[6, 1, 28, 28], &values)).expect("a file");
        let sample = format!("{name}[3]");
        quantize_fails(folder, "", &["--data", name], &[&sample]);
        quantize_fails(folder, "", &["--validation", name], &[&sample]);
        fails(folder, &["calibrate", "-c", "policy.yaml", "--data", name, "-o", "ranges.json"], &[&sample]);
    }
}

#[test]
fn arrays_that_are_sound_are_taken() {
    let folder = folder();
    let values: Vec<f32> = (0..6 * 28 * 28).map(|i| (i % 97) as f32 / 97.0).collect();
    std::fs::write(folder.path().join("sound.npy"), npy(&[6, 1, 28, 28], &values)).expect("a file");
    let model = model();
    let args = ["quantize", model.to_str().expect("a name"), "--data", "sound.npy", "-o", "out.onnx"];
    ends(&tare(folder.path(), args), 0);
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_the_work() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("file"), b"in the way").expect("a file");
    policy(folder, "");
    fails(folder, &["quantize", "-c", "policy.yaml", "-o", "file/out.onnx"], &["file/out.onnx"]);
}

#[test]
fn a_report_or_statistics_that_cannot_be_written_stop_everything() {
    let folder = folder();
    let folder = folder.path();
    std::fs::write(folder.join("file"), b"in the way").expect("a file");
    policy(folder, "");
    fails(
        folder,
        &["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--report", "file/out.json"],
        &["file/out.json"],
    );
    fails(folder, &["calibrate", "-c", "policy.yaml", "-o", "file/ranges.json"], &["file/ranges.json"]);
    let model = model();
    let model = model.to_str().expect("a name");
    fails(folder, &["validate", "-c", "policy.yaml", model, model, "--report", "file/out.json"], &["file/out.json"]);
}

#[test]
fn the_model_is_not_overwritten_by_its_own_conversion() {
    let folder = folder();
    let folder = folder.path();
    let bytes = read(model());
    std::fs::write(folder.join("model.onnx"), &bytes).expect("a file");
    policy(folder, "");
    for output in ["model.onnx", "./model.onnx"] {
        fails(folder, &["quantize", "-c", "policy.yaml", "model.onnx", "-o", output], &["is the model itself"]);
    }
    let convert = ["quantize", "-c", "policy.yaml", "model.onnx", "-o", "out.onnx"];
    std::fs::write(folder.join("e.json"), "{}").expect("a file");
    for (more, what) in [
        (vec!["--report", "model.onnx"], "is the model itself"),
        (vec!["--report", "policy.yaml"], "is the policy itself"),
        (vec!["--encodings", "e.json", "--write-encodings", "./e.json"], "is the file of encodings itself"),
        (vec!["--report", "out.onnx"], "two outputs"),
    ] {
        fails(folder, &[convert.as_slice(), &more].concat(), &[what]);
    }
    fails(folder, &["calibrate", "-c", "policy.yaml", "model.onnx", "-o", "model.onnx"], &["is the model itself"]);
    assert!(read(folder.join("model.onnx")) == bytes);
}

#[test]
fn what_is_missing_from_the_command_line_is_said() {
    let folder = folder();
    let folder = folder.path();
    let model = model();
    let model = model.to_str().expect("a name");
    fails(folder, &["quantize", "-o", "out.onnx"], &["no model"]);
    fails(folder, &["quantize", model], &["no output"]);
    fails(folder, &["quantize", model, "-o", "out.onnx"], &["no calibration samples"]);
    fails(folder, &["calibrate", model, "-o", "ranges.json"], &["no calibration samples"]);
    fails(folder, &["validate", model, model], &["no samples"]);
    fails(folder, &["quantize", model, "--data", "missing", "-o", "out.onnx"], &["missing"]);
}

#[test]
fn statistics_of_another_model_or_none_are_refused() {
    let folder = folder();
    let folder = folder.path();
    policy(folder, "");
    ends(&tare(folder, ["calibrate", "-q", "-c", "policy.yaml", "--samples", "2", "-o", "ranges.json"]), 0);
    let statistics = text(&read(folder.join("ranges.json"))).to_owned();
    let digest = json(folder.join("ranges.json"))["model"].as_str().expect("a digest").to_owned();
    std::fs::write(folder.join("other.json"), statistics.replace(&digest, "00")).expect("a file");
    std::fs::write(folder.join("half.json"), &statistics[..statistics.len() / 2]).expect("a file");
    quantize_fails(folder, "", &["--ranges", "other.json"], &["other.json", "another model"]);
    quantize_fails(folder, "", &["--ranges", "half.json"], &["half.json"]);
    quantize_fails(folder, "", &["--ranges", "missing.json"], &["missing.json"]);
}
