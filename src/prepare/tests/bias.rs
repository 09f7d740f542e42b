//! A bias that integer kernels cannot take is added behind the layer.

use super::*;
use crate::ir::build::{float, int};

/// A convolution to `channels` channels with a bias that is a graph input.
fn with_computed_bias(op_type: &str, weight: &[usize], group: i64, channels: i64, rank: usize) -> Builder {
    let (mut x, mut y) = (vec![2, 4], vec![2, channels]);
    x.resize(rank, 3);
    // A ConvTranspose of two taps makes one position more, a Conv one less.
    y.resize(rank, if op_type == "Conv" { 2 } else { 4 });
    let net = Builder::new(13).input("x", &x).input("b", &[channels]).noise("w", weight, 1).output("y", &y);
    net.node(op_type, &["x", "w", "b"], &["y"], vec![int("group", group)])
}

#[test]
fn a_computed_bias_is_added_behind_a_convolution() {
    for (op_type, weight, group, channels) in [
        ("Conv", &[6, 4, 2][..], 1, 6),
        ("Conv", &[6, 4, 2, 2], 1, 6),
        ("Conv", &[6, 2, 2, 2], 2, 6),
        ("Conv", &[6, 4, 2, 2, 2], 1, 6),
        ("ConvTranspose", &[4, 3, 2, 2], 1, 3),
        ("ConvTranspose", &[4, 3, 2, 2], 2, 6),
    ] {
        let model = with_computed_bias(op_type, weight, group, channels, weight.len()).build();
        let ready = prepared(&model);
        let mut left = operators(&ready);
        left.sort_unstable();
        assert_eq!(left, ["Add", op_type, "Unsqueeze"], "{weight:?}, {group} groups");
        assert_eq!(find(&ready, op_type).input(2), None);
    }
}

#[test]
fn a_convolution_with_computed_weights_keeps_its_bias() {
    let net =
        Builder::new(13).input("x", &[2, 4, 3]).input("w", &[6, 4, 2]).noise("b", &[6], 2).output("y", &[2, 6, 2]);
    let model = net.node("Conv", &["x", "w", "b"], &["y"], vec![]).build();
    assert_eq!(operators(&prepared(&model)), ["Conv"]);
}

#[test]
fn a_constant_bias_for_each_channel_stays() {
    let net = Builder::new(13).input("x", &[2, 4, 3]).noise("w", &[4, 3, 2], 1).noise("b", &[6], 2);
    let net = net.node("ConvTranspose", &["x", "w", "b"], &["y"], vec![int("group", 2)]).output("y", &[2, 6, 4]);
    assert_eq!(operators(&prepared(&net.build())), ["ConvTranspose"]);
    for dims in [&[5][..], &[1, 5], &[1], &[], &[1, 1]] {
        assert_eq!(operators(&prepared(&gemm(Some(dims), 1.0, 1.0))), ["Gemm"], "{dims:?}");
        assert_eq!(operators(&prepared(&gemm(Some(dims), 0.5, 2.0))), ["Gemm"], "{dims:?}");
    }
}

/// A Gemm of `[3, 4]` and `[4, 5]`, with a constant bias of shape `bias` or one that is a graph input.
fn gemm(bias: Option<&[usize]>, alpha: f32, beta: f32) -> Model {
    let net = Builder::new(13).input("x", &[3, 4]).noise("w", &[4, 5], 1).output("y", &[3, 5]);
    let net = match bias {
        Some(dims) => net.noise("b", dims, 2),
        None => net.input("b", &[5]),
    };
    net.node("Gemm", &["x", "w", "b"], &["y"], vec![float("alpha", alpha), float("beta", beta)]).build()
}

#[test]
fn a_bias_that_differs_from_row_to_row_is_added_behind() {
    for dims in [&[3, 5][..], &[3, 1]] {
        for (alpha, beta) in [(1.0, 1.0), (0.5, -2.0)] {
            let ready = prepared(&gemm(Some(dims), alpha, beta));
            assert_eq!(operators(&ready), ["Gemm", "Add"], "{dims:?}");
            assert_eq!(find(&ready, "Gemm").inputs().len(), 2);
        }
    }
}

#[test]
fn a_computed_bias_is_added_behind_a_gemm_times_beta() {
    assert_eq!(operators(&prepared(&gemm(None, 1.0, 1.0))), ["Gemm", "Add"]);
    for (alpha, beta) in [(1.0, -2.0), (0.5, 0.25), (0.5, 0.0)] {
        let ready = prepared(&gemm(None, alpha, beta));
        let mut left = operators(&ready);
        left.sort_unstable();
        assert_eq!(left, ["Add", "Gemm", "Mul"], "beta {beta}");
        assert_eq!(find(&ready, "Gemm").attributes().float("beta").unwrap_or(1.0), 1.0);
    }
}

#[test]
fn layers_that_share_a_bias_all_get_it() {
    let net = Builder::new(13).input("x", &[3, 4]).noise("w", &[4, 4], 1).noise("b", &[3, 4], 2);
    let net = net.node("Gemm", &["x", "w", "b"], &["m"], vec![float("beta", 0.5)]);
    let net = net.node("Gemm", &["m", "w", "b"], &["y"], vec![]).output("y", &[3, 4]);
    assert_eq!(operators(&prepared(&net.build())), ["Gemm", "Add", "Gemm", "Add"]);
    // One bias for each channel of the first layer, and one for each row of the second.
    let net = Builder::new(13).input("x", &[2, 2, 3]).noise("w", &[3, 2, 2], 1).noise("v", &[3, 3, 1], 2);
    let net = net.input("b", &[3]).node("Conv", &["x", "w", "b"], &["c"], vec![]);
    let net = net.node("Conv", &["c", "v", "b"], &["y"], vec![]).output("y", &[2, 3, 2]);
    let ready = prepared(&net.build());
    assert_eq!(operators(&ready).iter().filter(|op| **op == "Add").count(), 2);
}

#[test]
fn the_type_of_what_the_layer_alone_makes_is_known() {
    // The depthwise convolution that the normalization becomes must know its rank.
    let model = with_computed_bias("Conv", &[3, 4, 2, 2], 1, 3, 4);
    let net = model.noise("scale", &[3], 1).floats("variance", &[3], &[0.5, 1.5, 0.1]).output("z", &[2, 3, 2, 2]);
    let net = net.node("BatchNormalization", &["y", "scale", "scale", "scale", "variance"], &["z"], vec![]);
    assert_eq!(operators(&prepared(&net.build())).iter().filter(|op| **op == "Conv").count(), 2);
}
