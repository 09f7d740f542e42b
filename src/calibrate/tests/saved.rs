//! Statistics on disk.

use super::*;
use crate::quant::ChannelAxis;
use serde_json::{Value, json};

fn calibration() -> Calibration {
    let of_seed = |seed: u32| of_samples([bell(100, seed).as_slice(), bell(50, seed + 1).as_slice()]);
    let channels = |axis, shapes: &[&[usize]]| {
        let mut statistics = Statistics::by_channel(Some(axis));
        shapes.iter().for_each(|shape| assert!(statistics.add_shaped(shape, &bell(24, 5))));
        statistics
    };
    let values = [
        ("x".to_owned(), of_seed(1)),
        ("y/out".to_owned(), of_seed(9)),
        ("never".to_owned(), Statistics::default()),
        ("second".to_owned(), channels(ChannelAxis::Second, &[&[2, 4, 3], &[1, 4, 6]])),
        ("last".to_owned(), channels(ChannelAxis::Last, &[&[3, 8]])),
        ("none".to_owned(), channels(ChannelAxis::Last, &[])),
        ("unlike".to_owned(), channels(ChannelAxis::Last, &[&[3, 8], &[4, 6]])),
    ];
    Calibration { model: "ab12".to_owned(), samples: 2, values: values.into() }
}

/// Writes a text and loads it as statistics.
fn load(text: &str) -> crate::error::Result<Calibration> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ranges.json");
    std::fs::write(&path, text).expect("a file");
    Calibration::load(&path)
}

#[test]
fn what_was_saved_loads_again_equal_and_gives_the_same_text() {
    let calibration = calibration();
    let text = calibration.to_json().expect("a text");
    let loaded = load(&text).expect("statistics");
    assert_eq!(loaded, calibration);
    assert_eq!(loaded.to_json().expect("a text"), text);
    assert_eq!(loaded.digest().expect("a digest"), calibration.digest().expect("a digest"));
}

#[test]
fn extreme_numbers_survive() {
    let values = [("x".to_owned(), of(&[f32::MAX, f32::MIN, 1e-45, -1e-45, f32::MIN_POSITIVE, 0.1]))];
    let calibration = Calibration { values: values.into(), ..calibration() };
    assert_eq!(load(&calibration.to_json().expect("a text")).expect("statistics"), calibration);
}

#[test]
fn damaged_statistics_are_refused_by_value() {
    let text = calibration().to_json().expect("a text");
    let damages: [(&str, Value); 9] = [
        ("min", json!(9.0)),
        ("max", json!(-9.0)),
        ("max", json!(1e300)),
        ("lows", json!([1, 2, 3])),
        ("highs", json!([i64::MAX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("lows", json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i64::MIN])),
        ("bin_width_log2", json!(200)),
        ("bins", json!([[5000, 1]])),
        ("bins", json!([[1, u64::MAX], [2, 1]])),
    ];
    let channels = [
        ("axis", json!(0)),
        ("min", json!([-1.0, -1.0])),
        ("min", json!(null)),
        ("max", json!([1.0, 1.0, 1.0, -1.0])),
        ("min", json!([-1.0, 0.5, -1.0, -1.0])),
    ];
    let damages = damages.map(|(key, damage)| ("x", format!("/{key}"), damage)).into_iter();
    let channels = channels.map(|(key, damage)| ("second", format!("/channels/{key}"), damage));
    for (value, key, damage) in damages.chain(channels) {
        let mut stored: Value = serde_json::from_str(&text).expect("JSON");
        *stored["values"][value].pointer_mut(&key).expect("a place") = damage.clone();
        let error = load(&stored.to_string()).map(|_| ()).expect_err(&key).to_string();
        assert!(error.contains("ranges.json") && error.contains("calibr"), "{key} {damage}: {error}");
    }
}

#[test]
fn files_that_hold_something_else_are_refused() {
    let text = calibration().to_json().expect("a text");
    let other_version = text.replacen("\"version\":2", "\"version\":3", 1);
    let other_format = text.replacen("tare-statistics", "other", 1);
    let more_keys = text.replacen("{\"format\"", "{\"more\":1,\"format\"", 1);
    for wrong in ["", "{}", "[1]", "not JSON", &text[..text.len() / 2], &other_version, &other_format, &more_keys] {
        let error = load(wrong).map(|_| ()).expect_err("no statistics").to_string();
        assert!(error.contains("ranges.json: "), "{error}");
    }
    let older = calibration().to_json().expect("a text").replacen("\"version\":2", "\"version\":1", 1);
    let error = load(&older).map(|_| ()).expect_err("an older format").to_string();
    assert!(error.contains("version 1; calibrate again"), "{error}");
    let missing = Calibration::load(std::path::Path::new("/nowhere/ranges.json")).expect_err("no file").to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}
