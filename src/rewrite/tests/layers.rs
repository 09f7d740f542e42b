//! Weights, and the axis that their channels lie on.

use super::*;
use crate::ir::build::{float, ints, tensor};

/// A ConvTranspose of two groups, whose weight and bias are multiplied by `factor` where `faint` says so: it is given the
/// place in a group.
fn grouped(faint: impl Fn(usize) -> f32) -> Builder {
    let weights: Vec<f32> = noise(4 * 3 * 4, 1).iter().enumerate().map(|(i, w)| w * faint(i / 4 % 3)).collect();
    Builder::new(13)
        .input("x", &[1, 4, 5, 5])
        .floats("w", &[4, 3, 2, 2], &weights)
        .noise("b", &[6], 2)
        .node("ConvTranspose", &["x", "w", "b"], &["y"], vec![int("group", 2)])
        .output("y", &[1, 6, 6, 6])
}

/// Regression test of defect 5: a grouped ConvTranspose with a bias crashed.
#[test]
fn d5_a_grouped_conv_transpose_with_a_bias_has_a_scale_for_each_place_in_a_group() {
    let made = quantized(grouped(|_| 1.0));
    let layer = made.the("ConvTranspose");
    let [weight, weights, _] = made.constant(layer, 1);
    assert_eq!((weight.dtype(), weights.shape()), (DataType::Int8, &[3][..]));
    let [bias, scales, _] = made.constant(layer, 2);
    assert_eq!((bias.dtype(), bias.shape(), scales.shape()), (DataType::Int32, &[6][..], &[6][..]));
    let (input, _) = made.activation(layer, 0);
    let (weights, scales) = (weights.to_f32().expect("scales"), scales.to_f32().expect("scales"));
    for (channel, scale) in scales.iter().enumerate() {
        assert_eq!(scale.to_bits(), (input * weights[channel % 3]).to_bits());
    }
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_faint_channel_of_each_group_keeps_its_weights_and_a_dead_one_its_bias() {
    let made = quantized(grouped(|place| if place == 1 { 1e-3 } else { 1.0 }));
    let scales = made.constant(made.the("ConvTranspose"), 1)[1].to_f32().expect("scales").into_owned();
    assert!(scales[1] < scales[0] * 0.01, "{scales:?}");
    let made = quantized(grouped(|place| if place == 1 { 0.0 } else { 1.0 }));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_conv_transpose_without_groups_has_a_scale_for_each_output_channel() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 5, 5])
        .noise("w", &[4, 3, 2, 2], 1)
        .noise("b", &[3], 2)
        .node("ConvTranspose", &["x", "w", "b"], &["y"], vec![])
        .output("y", &[1, 3, 6, 6]);
    let made = quantized(net);
    assert_eq!(made.constant(made.the("ConvTranspose"), 1)[1].shape(), [3]);
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

/// Regression test of defect 6: the channels of a constant of rank 3 were looked for on axis 1, which is summed over.
#[test]
fn d6_a_matmul_with_a_constant_of_rank_3_is_not_scaled_along_its_sum() {
    let net = Builder::new(13)
        .input("x", &[2, 5, 3])
        .noise("w", &[2, 3, 4], 1)
        .node("MatMul", &["x", "w"], &["y"], vec![])
        .output("y", &[2, 5, 4]);
    let made = quantized(net);
    let [weight, scale, _] = made.constant(made.the("MatMul"), 1);
    assert_eq!((weight.shape(), scale.shape()), (&[2, 3, 4][..], &[][..]));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

/// Regression test of defect 9: weights in a Constant node were taken for activations.
#[test]
fn d9_weights_in_a_constant_node_are_weights() {
    let numbers = Tensor::from_f32(vec![4, 4, 1, 1], &noise(16, 1));
    let net = Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .node("Constant", &[], &["w"], vec![tensor("value", &numbers)])
        .node("Conv", &["x", "w"], &["y"], vec![])
        .output("y", &[1, 4, 8, 8]);
    let made = quantized(net);
    let [weight, scale, _] = made.constant(made.the("Conv"), 1);
    assert_eq!((weight.dtype(), scale.shape()), (DataType::Int8, &[4][..]));
    assert_eq!(made.count("QuantizeLinear"), 2);
}

/// Regression test of defect 16: a bias of shape [1, N] crashed.
#[test]
fn d16_a_bias_of_one_row_becomes_a_vector_of_int32() {
    let net = Builder::new(13)
        .input("x", &[3, 6])
        .noise("w", &[6, 5], 1)
        .noise("b", &[1, 5], 2)
        .node("Gemm", &["x", "w", "b"], &["y"], vec![])
        .output("y", &[3, 5]);
    let made = quantized(net);
    let [bias, scale, _] = made.constant(made.the("Gemm"), 2);
    assert_eq!((bias.dtype(), bias.shape(), scale.shape()), (DataType::Int32, &[5][..], &[5][..]));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn d16_an_add_of_one_row_behind_a_matmul_computes_the_same() {
    let net = Builder::new(13)
        .input("x", &[3, 6])
        .noise("w", &[6, 5], 1)
        .noise("b", &[1, 5], 2)
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Add", &["m", "b"], &["y"], vec![])
        .output("y", &[3, 5]);
    assert!(quantized(net).sqnr() > 30.0);
}

/// Regression test of defect 17: alpha and beta were ignored.
#[test]
fn d17_alpha_and_beta_are_in_the_numbers() {
    let net = Builder::new(13)
        .input("x", &[3, 6])
        .noise("w", &[5, 6], 1)
        .noise("b", &[5], 2)
        .node("Gemm", &["x", "w", "b"], &["y"], vec![float("alpha", 0.25), float("beta", 4.0), int("transB", 1)])
        .output("y", &[3, 5]);
    let made = quantized(net);
    let attributes = made.graph().node(made.the("Gemm")).attributes();
    assert_eq!((attributes.float("alpha").unwrap_or(1.0), attributes.float("beta").unwrap_or(1.0)), (1.0, 1.0));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_constant_on_the_left_of_a_matmul_is_quantized_as_a_whole() {
    let net = Builder::new(13)
        .input("x", &[3, 6])
        .noise("k", &[4, 3], 1)
        .node("MatMul", &["k", "x"], &["y"], vec![])
        .output("y", &[4, 6]);
    let made = quantized(net);
    let [constant, scale, _] = made.constant(made.the("MatMul"), 0);
    assert_eq!((constant.dtype(), scale.shape()), (DataType::Uint8, &[][..]));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn the_bias_behind_a_matmul_is_int32_on_the_product_of_the_scales() {
    let net = Builder::new(13)
        .input("x", &[3, 6])
        .noise("w", &[6, 5], 1)
        .noise("b", &[5], 2)
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Add", &["m", "b"], &["y"], vec![])
        .output("y", &[3, 5]);
    let made = quantized(net);
    let (layer, add) = (made.the("MatMul"), made.the("Add"));
    let [bias, scales, _] = made.constant(add, 1);
    let (input, _) = made.activation(layer, 0);
    let [_, weights, _] = made.constant(layer, 1);
    assert_eq!(bias.dtype(), DataType::Int32);
    for (bias, weight) in scales.to_f32().expect("scales").iter().zip(weights.to_f32().expect("scales").iter()) {
        assert_eq!(bias.to_bits(), (input * weight).to_bits());
    }
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn the_condition_of_a_where_stays_as_it_is() {
    let net = conv(start(), "x", "d").floats("zero", &[], &[0.0]).node("Greater", &["x", "zero"], &["b"], vec![]);
    let net = net.node("Where", &["b", "c", "d"], &["v"], vec![]).floats("k", &[1], &[0.7]);
    let net = net.node("Where", &["b", "v", "k"], &["u"], vec![]);
    let made = quantized(conv(net, "u", "y").output("y", &[1, 4, 8, 8]));
    for node in ["Where_v", "Where_u"].map(|n| made.named(n)) {
        made.producer(made.input(node, 0), "Greater");
        made.activation(node, 1);
    }
    made.activation(made.named("Where_v"), 2);
    let [operand, scale, _] = made.constant(made.named("Where_u"), 2);
    assert_eq!((operand.dtype(), scale.shape()), (DataType::Uint8, &[][..]));
    assert!(made.sqnr() > 25.0, "{}", made.sqnr());
}

#[test]
fn a_transposed_convolution_that_the_caller_reads_has_no_grid() {
    let net = grouped(|_| 1.0).node("Relu", &["y"], &["z"], vec![]).output("z", &[1, 6, 6, 6]);
    let made = quantized(net);
    assert_eq!(made.count("QuantizeLinear"), 1);
    assert_eq!(made.graph().value(made.value("y")).producer(), Some(made.the("ConvTranspose")));
}

#[test]
fn movement_copies_the_grid_of_what_it_moves() {
    let net = start()
        .ints("shape", &[1, 4, 1, 16])
        .node("MaxPool", &["c"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .node("Reshape", &["p", "shape"], &["r"], vec![])
        .node("Transpose", &["r"], &["t"], vec![ints("perm", &[0, 1, 3, 2])]);
    let made = quantized(conv(net, "t", "y").output("y", &[1, 4, 16, 1]));
    let grid = |node: &str| {
        let dequantize = made.producer(made.input(made.named(node), 0), "DequantizeLinear");
        [made.input(dequantize, 1), made.input(dequantize, 2)]
    };
    // The same initializers all along.
    for node in ["Reshape_r", "Transpose_t", "Conv_y"] {
        assert_eq!(grid(node), grid("MaxPool_p"), "{node}");
    }
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}
