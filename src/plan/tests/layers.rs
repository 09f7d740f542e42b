//! Layers, the clamps behind them, and what moves their numbers.

use super::*;

#[test]
fn a_residual_block_is_integer_throughout() {
    let net = start()
        .floats("zero", &[], &[0.0])
        .floats("six", &[], &[6.0])
        .noise("dw", &[4, 1, 3, 3], 2)
        .node("Clip", &["c", "zero", "six"], &["r"], vec![])
        .node("Conv", &["r", "dw"], &["d"], vec![int("group", 4), ints("pads", &[1, 1, 1, 1])])
        .node("Relu", &["d"], &["e"], vec![]);
    let net = conv(conv(net, "e", "p").node("Add", &["p", "r"], &["a"], vec![]), "a", "y").output("y", &[1, 4, 8, 8]);
    let (nodes, values) = listing(net);
    assert_eq!(
        nodes,
        [
            "Conv Conv_c: integer, weight int8 symmetric per channel on axis 0",
            "Clip Clip_r: clamp [0, 6], vanishes into Conv_c if its grid ends within",
            "Conv Conv_d: integer, weight int8 symmetric per channel on axis 0",
            "Relu Relu_e: clamp [0, inf], vanishes into Conv_d if its grid ends within",
            "Conv Conv_p: integer, weight int8 symmetric per channel on axis 0",
            "Add Add_a: integer",
            "Conv Conv_y: integer, weight int8 symmetric per channel on axis 0",
        ]
    );
    // What lies between a layer and its clamp has no grid of its own.
    assert_eq!(values, ["x", "r", "e", "p", "a", "y"].map(|v| format!("{v}: uint8 asymmetric, range by mse")));
}

#[test]
fn every_layer_has_its_own_channel_axis_and_bias() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 4, 4])
        .noise("w", &[4, 4, 2, 2], 1)
        .noise("b", &[4], 2)
        .noise("m", &[100, 4], 3)
        .noise("t", &[4, 6], 4)
        .noise("n", &[6, 4], 5)
        .node("ConvTranspose", &["x", "w", "b"], &["c"], vec![])
        .node("Flatten", &["c"], &["f"], vec![])
        .node("Gemm", &["f", "m", "b"], &["g"], vec![])
        .node("MatMul", &["g", "t"], &["h"], vec![])
        .node("Gemm", &["h", "n"], &["y"], vec![int("transB", 0)])
        .output("y", &[1, 4]);
    let (nodes, values) = listing(net);
    assert_eq!(
        nodes,
        [
            format!("ConvTranspose ConvTranspose_c: {WEIGHT} 1, bias int32"),
            "Flatten Flatten_f: integer".to_owned(),
            format!("Gemm Gemm_g: {WEIGHT} 1, bias int32"),
            format!("MatMul MatMul_h: {WEIGHT} 1"),
            format!("Gemm Gemm_y: {WEIGHT} 1, float output"),
        ]
    );
    assert_eq!(values[2], "f: the grid of c");
    assert!(!values.iter().any(|v| v.starts_with("y:")));
}

#[test]
fn a_transposed_gemm_has_its_channels_on_axis_0() {
    let net = Builder::new(13)
        .input("x", &[1, 4])
        .noise("w", &[6, 4], 1)
        .node("Gemm", &["x", "w"], &["y"], vec![int("transB", 1)])
        .output("y", &[1, 6]);
    assert_eq!(listing(net).0, [format!("Gemm Gemm_y: {WEIGHT} 0, float output")]);
}

#[test]
fn a_transposed_convolution_makes_float_where_only_float_reads_it() {
    let net = |groups| {
        let net = Builder::new(13).input("x", &[1, 4, 4, 4]).noise("w", &[4, 2, 1, 1], 1);
        net.node("ConvTranspose", &["x", "w"], &["t"], vec![int("group", groups)])
    };
    for groups in [1, 2] {
        let (nodes, values) = listing(net(groups).node("Exp", &["t"], &["y"], vec![]).output("y", &[-1, -1, 4, 4]));
        assert_eq!(nodes[0], format!("ConvTranspose ConvTranspose_t: {WEIGHT} 1, float output"));
        assert_eq!(values.len(), 1, "{values:?}");
    }
    let (nodes, values) = listing(conv(net(2), "t", "y").output("y", &[1, 4, 4, 4]));
    assert_eq!(nodes[0], format!("ConvTranspose ConvTranspose_t: {WEIGHT} 1"));
    assert!(values.iter().any(|v| v.starts_with("t: uint8")), "{values:?}");
}

#[test]
fn what_moves_numbers_shares_their_grid() {
    let net = start()
        .ints("shape", &[1, 4, 1, 16])
        .node("MaxPool", &["c"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .node("Reshape", &["p", "shape"], &["r"], vec![])
        .node("Transpose", &["r"], &["t"], vec![ints("perm", &[0, 1, 3, 2])]);
    let (model, made) = planned(conv(net, "t", "y").output("y", &[1, 4, 16, 1]), &Settings::default());
    let id = |name: &str| model.graph.find(name).expect("the value");
    for moved in ["p", "r", "t"] {
        assert_eq!(made.root(id(moved)), id("c"), "{moved}");
    }
    // The last for its channels, not for its range.
    assert_eq!(made.observed().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["x", "c", "t", "y"]);
}

#[test]
fn nearest_resize_is_integer_and_linear_is_not() {
    for (mode, nodes_wanted) in [
        ("nearest", "Resize Resize_r: integer"),
        ("linear", "Resize Resize_r: float: linear interpolation has no integer kernel"),
    ] {
        let net = start().floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]).node(
            "Resize",
            &["c", "", "scales"],
            &["r"],
            vec![text("mode", mode), text("coordinate_transformation_mode", "asymmetric")],
        );
        let (nodes, values) = listing(conv(net, "r", "y").output("y", &[1, 4, 16, 16]));
        assert_eq!(nodes[1], nodes_wanted);
        let shared = values.contains(&"r: the grid of c".to_owned());
        assert_eq!(shared, mode == "nearest");
    }
}

#[test]
fn a_clamp_whose_input_somebody_else_reads_stays() {
    let net = conv(start().node("Relu", &["c"], &["r"], vec![]), "r", "a");
    let net = conv(net.node("Add", &["a", "c"], &["b"], vec![]), "b", "y").output("y", &[1, 4, 8, 8]);
    let (nodes, _) = listing(net);
    assert_eq!(nodes[1], "Relu Relu_r: float: it does not follow an integer node that only it reads");
}

#[test]
fn a_lookup_in_a_constant_table_reads_integers() {
    let net = Builder::new(13)
        .input("x", &[1, 3])
        .noise("table", &[9, 4], 1)
        .noise("w", &[4, 5], 2)
        .node("Cast", &["x"], &["i"], vec![int("to", 7)])
        .node("Gather", &["table", "i"], &["e"], vec![])
        .node("MatMul", &["e", "w"], &["y"], vec![])
        .output("y", &[1, 3, 5]);
    let (nodes, values) = listing(net);
    assert_eq!(nodes[1], "Gather Gather_e: integer, table int8 symmetric per channel on axis 1");
    assert_eq!(nodes[2], format!("MatMul MatMul_y: {WEIGHT} 1, float output"));
    assert_eq!(values, ["e: uint8 asymmetric, range by mse"]);
}

#[test]
fn weights_that_have_no_integers_leave_the_layer_in_float() {
    let net = Builder::new(13)
        .input("x", &[1, 1, 2, 2])
        .floats("w", &[1, 1, 1, 1], &[f32::NAN])
        .node("Conv", &["x", "w"], &["y"], vec![])
        .output("y", &[1, 1, 2, 2]);
    assert_eq!(listing(net).0, ["Conv Conv_y: float: a constant input holds NaN or infinity"]);
    let net = Builder::new(13)
        .input("x", &[1, 1, 2, 2])
        .input("w", &[1, 1, 1, 1])
        .node("Conv", &["x", "w"], &["y"], vec![])
        .output("y", &[1, 1, 2, 2]);
    assert_eq!(listing(net).0, ["Conv Conv_y: float: its weights are computed while the model runs"]);
}
