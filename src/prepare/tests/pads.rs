//! Pads go into the Conv behind them.

use super::*;
use crate::ir::build::{ints, text};

/// A Pad of `pads` with the value and mode given, then a Conv with pads of its own.
fn padded(pads: &[i64], value: Option<f32>, mode: &str) -> Builder {
    let builder = Builder::new(13).input("x", &[1, 2, 4, 4]).ints("pads", pads).noise("w", &[3, 2, 2, 2], 1);
    let builder = builder.floats("value", &[], &[value.unwrap_or(0.0)]);
    let inputs = if value.is_some() { &["x", "pads", "value"][..] } else { &["x", "pads"] };
    builder
        .node("Pad", inputs, &["p"], vec![text("mode", mode)])
        .node("Conv", &["p", "w"], &["y"], vec![ints("pads", &[1, 0, 0, 2])])
        .output("y", &[-1, 3, -1, -1])
}

#[test]
fn zeros_on_height_and_width_go() {
    for value in [None, Some(0.0)] {
        let ready = prepared(&padded(&[0, 0, 1, 2, 0, 0, 3, 4], value, "constant").build());
        assert_eq!(operators(&ready), ["Conv"]);
        assert_eq!(find(&ready, "Conv").attributes().ints("pads"), Some(&[2, 2, 3, 6][..]));
    }
}

#[test]
fn other_pads_stay_with_a_reason() {
    let spatial = [0, 0, 1, 1, 0, 0, 1, 1];
    for (pads, value, mode) in [
        (spatial, Some(1.0), "constant"),
        (spatial, None, "reflect"),
        (spatial, None, "edge"),
        ([1, 0, 0, 0, 0, 0, 0, 0], None, "constant"),
    ] {
        let model = padded(&pads, value, mode).build();
        assert_eq!(operators(&prepared(&model)), ["Pad", "Conv"], "{pads:?} {value:?} {mode}");
        assert_eq!(refusals(&model, "fold-pad").len(), 1);
    }
}

/// Not run: tract fails at negative pads.
#[test]
fn a_pad_that_cuts_stays() {
    let model = padded(&[0, 0, -1, 0, 0, 0, 0, 0], None, "constant").build();
    assert_eq!(operators(&prepare_twice(&model).0), ["Pad", "Conv"]);
}

#[test]
fn a_padded_channel_axis_stays() {
    let model = Builder::new(13)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 3, 4, 4])
        .ints("pads", &[0, 1, 0, 0, 0, 0, 0, 0])
        .noise("w", &[3, 3, 1, 1], 1)
        .node("Pad", &["x", "pads"], &["p"], vec![])
        .node("Conv", &["p", "w"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Pad", "Conv"]);
}

#[test]
fn a_pad_with_another_reader_stays() {
    let pads = [0, 0, 1, 1, 0, 0, 1, 1];
    let read =
        padded(&pads, None, "constant").output("z", &[-1, -1, -1, -1]).node("Relu", &["p"], &["z"], vec![]).build();
    assert_eq!(operators(&prepared(&read)).iter().filter(|op| **op == "Pad").count(), 1);
    let output = padded(&pads, None, "constant").output("p", &[-1, -1, -1, -1]).build();
    assert_eq!(operators(&prepared(&output)), ["Pad", "Conv"]);
}

#[test]
fn a_conv_that_chooses_its_own_pads_keeps_the_pad() {
    let model = Builder::new(13)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 3, 6, 6])
        .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
        .noise("w", &[3, 2, 3, 3], 1)
        .node("Pad", &["x", "pads"], &["p"], vec![])
        .node("Conv", &["p", "w"], &["y"], vec![text("auto_pad", "SAME_UPPER")])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Pad", "Conv"]);
}

#[test]
fn one_pad_behind_another_goes_in_one_run() {
    let model = Builder::new(13)
        .input("x", &[1, 2, 4, 4])
        .output("y", &[1, 3, 7, 6])
        .ints("rows", &[0, 0, 1, 0, 0, 0, 2, 0])
        .ints("columns", &[0, 0, 0, 1, 0, 0, 0, 1])
        .noise("w", &[3, 2, 1, 1], 1)
        .node("Pad", &["x", "rows"], &["p"], vec![])
        .node("Pad", &["p", "columns"], &["q"], vec![])
        .node("Conv", &["q", "w"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Conv"]);
}
