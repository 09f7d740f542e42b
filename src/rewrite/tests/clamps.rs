//! Relu and Clip behind layers.

use super::*;

const SIGNED: &str = "activations: { type: int8, symmetric: true, calibrator: minmax }\n";

fn rectified() -> Builder {
    conv(start().node("Relu", &["c"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 8, 8])
}

/// Regression test of defect 4: a Relu was removed although the grid held negatives.
#[test]
fn d4_a_relu_stays_where_the_grid_holds_negatives() {
    let made = quantized_by(SIGNED, rectified());
    let relu = made.the("Relu");
    // Both sides of it are quantized, on one grid.
    let (before, _) = made.activation(relu, 0);
    let (after, _) = made.activation(made.named("Conv_y"), 0);
    assert_eq!(before.to_bits(), after.to_bits());
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_relu_goes_where_the_grid_has_no_negatives() {
    let made = quantized(rectified());
    assert_eq!(made.count("Relu"), 0);
    assert_eq!(made.resolved.absorbed.len(), 1);
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

/// Regression test of defect 20: Q and DQ were put between Conv and Relu.
#[test]
fn d20_nothing_lies_between_a_conv_and_the_grid_of_its_relu() {
    let made = quantized(rectified());
    let second = made.named("Conv_y");
    let dequantize = made.producer(made.input(second, 0), "DequantizeLinear");
    let quantize = made.producer(made.input(dequantize, 0), "QuantizeLinear");
    made.producer(made.input(quantize, 0), "Conv");
    let (_, zero) = made.activation(second, 0);
    assert_eq!(zero.bytes()[..], [0], "half the grid is wasted on negatives");
}

#[test]
fn a_clip_stays_where_the_grid_ends_beyond_its_bounds() {
    // The calibrated range of the value after the Clip is given wider than the Clip.
    for (range, left) in [("[0, 6]", 0), ("[0, 7]", 1), ("[-1, 6]", 1)] {
        let net = start().floats("zero", &[], &[0.0]).floats("six", &[], &[6.0]);
        let net = conv(net.node("Clip", &["c", "zero", "six"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 8, 8]);
        let policy = format!("rules:\n  - match: {{ value: r }}\n    range: {range}\n");
        assert_eq!(quantized_by(&policy, net).count("Clip"), left, "{range}");
    }
}

#[test]
fn two_clamps_in_a_row_go_or_stay_together() {
    let net = |high: f32| {
        let net = start().floats("zero", &[], &[0.0]).floats("high", &[], &[high]).node("Relu", &["c"], &["r"], vec![]);
        conv(net.node("Clip", &["r", "zero", "high"], &["k"], vec![]), "k", "y").output("y", &[1, 4, 8, 8])
    };
    assert_eq!(quantized(net(0.5)).count("Relu"), 0);
    let stays = quantized_by("rules:\n  - match: { value: k }\n    range: [0, 9]\n", net(0.5));
    assert_eq!((stays.count("Relu"), stays.count("Clip")), (1, 1));
    assert!(quantized(net(0.5)).sqnr() > 30.0);
}
