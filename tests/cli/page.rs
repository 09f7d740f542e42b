//! `--report` with an ending that asks for a page.

use super::*;

/// What lies in `folder` under a name that was written as a page.
fn page(folder: &TempDir, name: &str) -> String {
    let page = String::from_utf8(read(folder.path().join(name))).expect("UTF-8");
    assert!(page.starts_with("<!DOCTYPE html>\n") && page.ends_with("</html>\n"), "{page}");
    for word in ["<script", "http://", "https://"] {
        assert!(!page.contains(word), "{word}");
    }
    page
}

fn has_sections(page: &str, ids: &[&str]) {
    for id in ids {
        assert!(page.contains(&format!("<section id=\"{id}\"")), "{id}: {page}");
    }
}

#[test]
fn a_conversion_has_a_page_with_everything_that_is_the_same_each_time() {
    let folder = folder();
    let config = policy(folder.path(), "thresholds: { sqnr_db: 15 }\n");
    let config = config.to_str().expect("a name");
    let run = |threads: &str, report: &str| {
        let flags = ["quantize", "-c", config, "-o", "out.onnx", "--report", report, "--threads", threads];
        let printed = ends(&tare(folder.path(), flags), 0).to_owned();
        assert!(printed.contains(&format!("report       {report}")), "{printed}");
        page(&folder, report)
    };
    let whole = run("1", "one.html");
    let sections = ["verdict", "nodes", "outputs", "size", "layers", "ranges", "weights", "samples", "reproduce"];
    has_sections(&whole, &sections);
    // 20 samples are few, whatever they say.
    assert!(whole.contains(">Yes, after a look at the notes</h1>") && whole.contains("Only 20 samples"), "{whole}");
    assert!(whole.contains("SQNR of the worst output") && whole.contains("at least 15.0 dB"));
    assert_eq!(whole.matches("src=\"data:image/png;base64,").count(), 8);
    assert_eq!(whole.matches("aria-label=\"Histogram of").count(), 9);
    assert!(whole.contains("sqnr_db: 15") && whole.len() < 300_000, "{}", whole.len());
    assert_eq!(run("3", "three.HTM"), whole);

    // The model is the one that is made without a page.
    ends(&tare(folder.path(), ["quantize", "-q", "-c", config, "-o", "plain.onnx", "--report", "plain.json"]), 0);
    assert_eq!(read(folder.path().join("plain.onnx")), read(folder.path().join("out.onnx")));
}

#[test]
fn a_missed_limit_is_no_and_no_validation_is_not_known() {
    let folder = folder();
    let config = policy(folder.path(), "thresholds: { sqnr_db: 80 }\n");
    let config = config.to_str().expect("a name");
    let flags = ["quantize", "-q", "-c", config, "-o", "out.onnx", "--report"];
    ends(&tare(folder.path(), flags.into_iter().chain(["missed.html"])), 1);
    let missed = page(&folder, "missed.html");
    assert!(missed.contains(">No, not as it is</h1>") && missed.contains("wanted at least 80.0 dB"), "{missed}");
    policy(folder.path(), "");
    ends(&tare(folder.path(), flags.into_iter().chain(["blind.html", "--no-validation"])), 0);
    let blind = page(&folder, "blind.html");
    assert!(blind.contains(">Not known</h1>") && blind.contains("validation is switched off"), "{blind}");
    assert!(blind.contains("<section id=\"ranges\"") && !blind.contains("<section id=\"samples\""));
}

#[test]
fn a_comparison_has_a_page() {
    let folder = folder();
    let (config, model) = (policy(folder.path(), ""), model());
    let (config, model) = (config.to_str().expect("a name"), model.to_str().expect("a name"));
    ends(&tare(folder.path(), ["quantize", "-q", "-c", config, "-o", "out.onnx"]), 0);
    ends(&tare(folder.path(), ["validate", model, "out.onnx", "-c", config, "--report", "v.html"]), 0);
    let whole = page(&folder, "v.html");
    has_sections(&whole, &["verdict", "outputs", "size", "layers", "weights", "samples", "reproduce"]);
    assert!(whole.contains("class=\"accumulated\"") && !whole.contains("<section id=\"ranges\""));
    // What is the same needs no look at its layers.
    ends(&tare(folder.path(), ["validate", model, model, "-c", config, "--report", "same.html"]), 0);
    assert!(page(&folder, "same.html").contains("no difference"));
}

#[test]
fn a_model_that_is_kept_has_a_page() {
    let folder = folder();
    let (config, model) = (policy(folder.path(), ""), model());
    let (config, model) = (config.to_str().expect("a name"), model.to_str().expect("a name"));
    ends(&tare(folder.path(), ["quantize", "-q", model, "-c", config, "-o", "once.onnx"]), 0);
    let flags =
        ["quantize", "once.onnx", "-c", config, "--quantized-input", "keep", "-o", "kept.onnx", "--report", "k.html"];
    ends(&tare(folder.path(), flags), 0);
    assert!(page(&folder, "k.html").contains("was written as it is"));
}

#[test]
fn other_endings_are_refused_before_anything_is_run() {
    let folder = folder();
    let config = policy(folder.path(), "");
    let (config, model) = (config.to_str().expect("a name"), model());
    let model = model.to_str().expect("a name");
    for flags in [
        vec!["quantize", "-c", config, "-o", "out.onnx", "--report", "out.pdf"],
        vec!["validate", model, model, "-c", config, "--report", "out.pdf"],
    ] {
        let output = tare(folder.path(), flags);
        ends(&output, 2);
        let why = text(&output.stderr);
        assert!(why.contains("out.pdf") && why.contains(".html") && why.contains(".json"), "{why}");
    }
    assert!(!folder.path().join("out.onnx").exists() && !folder.path().join("out.pdf").exists());
}
