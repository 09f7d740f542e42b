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
        ("loud".to_owned(), loud()),
        ("silent".to_owned(), of_samples([[0.0; 3].as_slice(), &[]])),
    ];
    let pictures = [("x".to_owned(), (0.0078125, 127))].into();
    Calibration { model: "ab12".to_owned(), samples: 2, pictures, values: values.into(), ..Calibration::default() }
}

/// Samples of unlike energy, one of them with a loud position.
fn loud() -> Statistics {
    let mut statistics = Statistics::default().by_position(Some(ChannelAxis::Second));
    for scale in [1.0, 40.0, 0.0] {
        let mut values: Vec<f32> = noise(8 * 1024, 3).iter().map(|v| v * scale).collect();
        values.iter_mut().step_by(1024).for_each(|v| *v *= 50.0);
        assert!(statistics.add_shaped(&[1, 8, 1024], &values));
    }
    statistics
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
fn another_engine_than_tract_is_noted() {
    let own = calibration();
    let other = Calibration { engine: Some("ONNX Runtime 1.31.1".to_owned()), ..own.clone() };
    assert!(!own.to_json().expect("text").contains("engine"));
    assert_eq!(load(&other.to_json().expect("text")).expect("statistics"), other);
    assert_ne!(own.digest().expect("a digest"), other.digest().expect("a digest"));
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
    let damages: [(&str, Value); 7] = [
        ("min", json!(9.0)),
        ("max", json!(-9.0)),
        ("max", json!(1e300)),
        ("lows", json!([1, 2, 3])),
        ("highs", json!([i64::MAX, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("lows", json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i64::MIN])),
        ("bin_width_log2", json!(200)),
    ];
    let octaves = [
        json!({"zeros": 0, "bins": [[5000, 1]]}),
        json!({"zeros": 0, "bins": [[1, u64::MAX], [2, 1]]}),
        json!({"zeros": 0, "bins": []}),
        json!({"zeros": 5, "bins": [[1, 4]], "outliers": {"zeros": 6, "bins": []}}),
        json!({"zeros": 5, "bins": [[1, 4]], "outliers": {"zeros": 0, "bins": [[1, 5]]}}),
        json!({"zeros": 5, "bins": [[1, 4]], "outliers": {"zeros": 0, "bins": [[2, 1]]}}),
        json!({"zeros": u64::MAX, "bins": []}),
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
    for grid in [json!([0.0, 127]), json!([-1.0, 127]), json!([1.0, 256]), json!([1.0])] {
        let mut stored: Value = serde_json::from_str(&text).expect("JSON");
        stored["pictures"]["x"] = grid.clone();
        let error = load(&stored.to_string()).expect_err("damaged").to_string();
        assert!(error.contains("ranges.json"), "{grid}: {error}");
    }
    // Beside a sound one.
    let sound = json!({"zeros": 1, "bins": [[1, 4]]});
    let octaves = octaves.map(|damage| ("x", "/octaves".to_owned(), json!({"1": damage, "2": sound.clone()})));
    let positions = ("loud", "/positions".to_owned(), json!(0));
    for (value, key, damage) in damages.chain(channels).chain(octaves).chain([positions]) {
        let mut stored: Value = serde_json::from_str(&text).expect("JSON");
        *stored["values"][value].pointer_mut(&key).expect("a place") = damage.clone();
        let error = load(&stored.to_string()).map(|_| ()).expect_err(&key).to_string();
        assert!(error.contains("ranges.json") && error.contains("calibr"), "{key} {damage}: {error}");
    }
}

#[test]
fn files_that_hold_something_else_are_refused() {
    let text = calibration().to_json().expect("a text");
    let other_version = text.replacen("\"version\":3", "\"version\":4", 1);
    let other_format = text.replacen("tare-statistics", "other", 1);
    let more_keys = text.replacen("{\"format\"", "{\"more\":1,\"format\"", 1);
    for wrong in ["", "{}", "[1]", "not JSON", &text[..text.len() / 2], &other_version, &other_format, &more_keys] {
        let error = load(wrong).map(|_| ()).expect_err("no statistics").to_string();
        assert!(error.contains("ranges.json: "), "{error}");
    }
    // An older format has other keys, too.
    let older = calibration().to_json().expect("a text").replacen("\"version\":3", "\"version\":2", 1);
    let error = load(&older.replace("octaves", "bins")).map(|_| ()).expect_err("an older format").to_string();
    assert!(error.contains("version 2; calibrate again"), "{error}");
    let missing = Calibration::load(std::path::Path::new("/nowhere/ranges.json")).expect_err("no file").to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}
