//! `quantize --budget` and `--write-policy`.

use super::*;

const FLAGS: [&str; 7] = ["quantize", "-c", "policy.yaml", "-o", "out.onnx", "--report", "out.json"];

/// The policy of the example with 40 samples behind it and `more`, in `folder`.
fn searching(folder: &Path, more: &str) {
    let path = policy(folder, more);
    let text = std::fs::read_to_string(&path).expect("a policy");
    std::fs::write(path, text.replace("samples: 20", "samples: 40")).expect("written");
}

#[test]
fn what_a_search_finds_is_kept_and_its_policy_gives_the_same_bytes_without_searching() {
    for (goal, types) in [("sqnr_db", "float32"), ("sqnr_db", "[int16, float32]"), ("sqnr_db", "float16")] {
        let folder = folder();
        let folder = folder.path();
        searching(folder, "");
        ends(&tare(folder, FLAGS.into_iter().chain(["--no-default-limits"])), 0);
        let plain = json(folder.join("out.json"));
        assert!(plain.get("budget").is_none());
        let before = plain["validation"]["outputs"][0]["sqnr_db"].as_f64().expect("a ratio");
        // More than everything on integers keeps.
        let wanted = (before + 4.0).round();
        let more = format!("# mine\nbudget:\n  {goal}: {wanted}\n  types: {types}\nthresholds: none   # kept\n");
        searching(folder, &more);
        let printed = tare(folder, FLAGS.into_iter().chain(["--write-policy", "found.yaml"]));
        let printed = text(&printed.stdout).to_owned();
        assert!(printed.contains(&format!("budget       {goal} {wanted}: ")), "{printed}");
        let report = json(folder.join("out.json"));
        let budget = &report["budget"];
        assert!(budget["found"]["meets"] == true, "{budget}");
        assert!(budget["found"]["sqnr_db"].as_f64().is_none_or(|found| found >= wanted), "{budget}");
        let chosen = budget["chosen"].as_array().expect("a list").len();
        assert!(chosen > 0 && chosen < budget["candidates"].as_u64().expect("a number") as usize + 1, "{budget}");
        assert!(budget["front"].as_array().is_some_and(|front| !front.is_empty()));
        // None of the samples that were searched on is among those that check.
        let searched = budget["samples"].as_u64().expect("a number");
        assert_eq!(searched + report["validation"]["samples"].as_u64().expect("a number"), 40);
        let found = std::fs::read_to_string(folder.join("found.yaml")).expect("a policy");
        assert!(found.contains("# mine") && found.contains("# kept") && !found.contains("budget:"), "{found}");
        assert_eq!(found.matches("the budget asks for it").count(), chosen, "{found}");
        let again = ["quantize", "-q", "-c", "found.yaml", "-o", "again.onnx"];
        ends(&tare(folder, again), 0);
        assert!(read(folder.join("out.onnx")) == read(folder.join("again.onnx")), "{types}");
    }
}

#[test]
fn a_size_is_kept_with_weights_of_four_bits_and_what_cannot_be_kept_is_an_error() {
    let folder = folder();
    let folder = folder.path();
    searching(folder, "");
    ends(&tare(folder, FLAGS.into_iter().chain(["--no-default-limits"])), 0);
    let before = json(folder.join("out.json"))["output"]["bytes"].as_u64().expect("a size");
    std::fs::remove_file(folder.join("out.onnx")).expect("removed");
    let wanted = format!("size_mb={}", before as f64 * 0.9 / 1e6);
    let flags = ["--budget", &wanted, "--no-default-limits", "--write-policy", "found.yaml"];
    ends(&tare(folder, FLAGS.into_iter().chain(flags)), 0);
    let size = read(folder.join("out.onnx")).len() as f64;
    assert!(size <= before as f64 * 0.9, "{size} of {before}");
    ends(&tare(folder, ["quantize", "-q", "-c", "found.yaml", "-o", "again.onnx", "--no-default-limits"]), 0);
    assert!(read(folder.join("out.onnx")) == read(folder.join("again.onnx")));
    std::fs::remove_file(folder.join("out.onnx")).expect("removed");
    for (budget, why) in [
        ("size_mb=0.001", "the budget of size_mb 0.001 cannot be kept: with all"),
        ("top1_drop=2", "must be from 0 to 1; found 2"),
        ("speed=2", "expected top1_drop=SHARE, sqnr_db=DECIBELS or size_mb=MEGABYTES"),
    ] {
        let said = tare(folder, FLAGS.into_iter().chain(["--budget", budget]));
        ends(&said, 2);
        assert!(text(&said.stderr).contains(why), "{}", text(&said.stderr));
        assert!(!folder.join("out.onnx").exists());
    }
}

#[test]
fn first_guesses_are_kept_where_there_are_classes() {
    let folder = folder();
    let folder = folder.path();
    searching(folder, "budget: { top1_drop: 0.2 }\n");
    let with = |labels: &str, met: &str| {
        let path = folder.join("policy.yaml");
        let policy = std::fs::read_to_string(&path).expect("a policy");
        std::fs::write(&path, policy.replace("samples: 40", &format!("samples: 40{labels}"))).expect("written");
        let printed = tare(folder, FLAGS);
        let printed = ends(&printed, 0);
        assert!(printed.contains("budget       top1_drop 0.2: ") && printed.contains(met), "{printed}");
    };
    // Without labels it is the float model's guesses that count.
    with("", "met          top1_agreement");
    with(
        &format!(", labels: {}", repository("calibration/fashion/test_labels.csv").display()),
        "met          top1_drop",
    );
    let saved = ["calibrate", "-q", "-c", "policy.yaml", "-o", "s.ranges"];
    ends(&tare(folder, saved), 0);
    ends(&tare(folder, FLAGS.into_iter().chain(["--ranges", "s.ranges"])), 0);
    ends(&tare(folder, FLAGS.into_iter().chain(["--lock=a.lock"])), 0);
    let locked = tare(folder, FLAGS.into_iter().chain(["--locked", "a.lock"]));
    ends(&locked, 2);
    assert!(text(&locked.stderr).contains("a lock says all types already"), "{}", text(&locked.stderr));
}
