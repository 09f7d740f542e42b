//! What multiplies and shifts channels goes into the layer before it.

use super::*;
use crate::ir::build::int;

/// A BatchNormalization from `x` to `y`, with statistics of its own.
fn batch_norm(builder: Builder, x: &str, y: &str, channels: usize) -> Builder {
    let name = |what: &str| format!("{y}_{what}");
    let variance: Vec<f32> = noise(channels, 14).iter().map(|v| v.abs() + 0.1).collect();
    builder
        .noise(&name("gamma"), &[channels], 11)
        .noise(&name("beta"), &[channels], 12)
        .noise(&name("mean"), &[channels], 13)
        .floats(&name("variance"), &[channels], &variance)
        .node(
            "BatchNormalization",
            &[x, &name("gamma"), &name("beta"), &name("mean"), &name("variance")],
            &[y],
            vec![crate::ir::build::float("epsilon", 0.01)],
        )
}

/// A Conv of 3 to 4 channels that makes `c`.
fn conv() -> Builder {
    Builder::new(13).input("x", &[2, 3, 5, 5]).noise("w", &[4, 3, 2, 2], 1).noise("b", &[4], 2).node(
        "Conv",
        &["x", "w", "b"],
        &["c"],
        vec![],
    )
}

/// A Conv followed by `op_type` with the constant `k` of shape `dims`; numbers stay clear of zero.
fn conv_then(op_type: &str, inputs: [&str; 2], dims: &[usize]) -> Model {
    let numbers: Vec<f32> = noise(dims.iter().product(), 5).iter().map(|v| v + 1.5).collect();
    conv().floats("k", dims, &numbers).output("y", &[2, 4, 4, 4]).node(op_type, &inputs, &["y"], vec![]).build()
}

#[test]
fn batch_normalization_goes_into_conv_with_and_without_bias() {
    let with = batch_norm(conv(), "c", "y", 4).output("y", &[2, 4, 4, 4]).build();
    assert_eq!(operators(&prepared(&with)), ["Conv"]);
    let without = Builder::new(13).input("x", &[2, 3, 5, 5]).noise("w", &[4, 3, 2, 2], 1).node(
        "Conv",
        &["x", "w"],
        &["c"],
        vec![],
    );
    let without = batch_norm(without, "c", "y", 4).output("y", &[2, 4, 4, 4]).build();
    assert_eq!(operators(&prepared(&without)), ["Conv"]);
}

#[test]
fn batch_normalization_goes_into_depthwise_conv() {
    let model = Builder::new(13).input("x", &[2, 4, 5, 5]).noise("w", &[4, 1, 2, 2], 1).node(
        "Conv",
        &["x", "w"],
        &["c"],
        vec![int("group", 4)],
    );
    let model = batch_norm(model, "c", "y", 4).output("y", &[2, 4, 4, 4]).build();
    assert_eq!(operators(&prepared(&model)), ["Conv"]);
}

#[test]
fn batch_normalization_goes_into_conv_transpose_of_any_group() {
    for group in [1, 2] {
        let model = Builder::new(13)
            .input("x", &[2, 4, 3, 3])
            .noise("w", &[4, 3, 2, 2], 1)
            .noise("b", &[3 * group], 2)
            .node("ConvTranspose", &["x", "w", "b"], &["c"], vec![int("group", group as i64)]);
        let model = batch_norm(model, "c", "y", 3 * group).output("y", &[2, 3 * group as i64, 4, 4]).build();
        assert_eq!(operators(&prepared(&model)), ["ConvTranspose"], "group {group}");
    }
}

#[test]
fn batch_normalization_goes_into_gemm_either_way_round() {
    for (transposed, shape) in [(0, [3, 5]), (1, [5, 3])] {
        let model = Builder::new(13).input("x", &[2, 3]).noise("w", &shape, 1).noise("b", &[1, 5], 2).node(
            "Gemm",
            &["x", "w", "b"],
            &["c"],
            vec![int("transB", transposed)],
        );
        let model = batch_norm(model, "c", "y", 5).output("y", &[2, 5]).build();
        assert_eq!(operators(&prepared(&model)), ["Gemm"], "transB {transposed}");
    }
}

fn matmul(x: &[i64]) -> Builder {
    Builder::new(13).input("x", x).noise("w", &[3, 4], 1).node("MatMul", &["x", "w"], &["c"], vec![])
}

#[test]
fn batch_normalization_after_a_matrix_leaves_matmul_and_a_bias() {
    let model = batch_norm(matmul(&[2, 3]), "c", "y", 4).output("y", &[2, 4]).build();
    assert_eq!(operators(&prepared(&model)), ["MatMul", "Add"]);
}

#[test]
fn batch_normalization_after_a_product_of_higher_rank_becomes_a_convolution() {
    // No value of this one states its type: that it is a matrix follows from the input.
    let inner = batch_norm(matmul(&[2, 3]), "c", "d", 4).output("y", &[2, 4]).node("Relu", &["d"], &["y"], vec![]);
    assert_eq!(operators(&prepared(&inner.build())), ["MatMul", "Add", "Relu"]);
    // The channels lie on axis 1, which is as long as the columns of the weight.
    let higher = batch_norm(matmul(&[2, 4, 3]), "c", "y", 4).output("y", &[2, 4, 4]).build();
    assert_eq!(operators(&prepared(&higher)), ["MatMul", "Conv"]);
    assert!(refusals(&higher, "fold-affine")[0].contains("MatMul"));
}

#[test]
fn constants_per_channel_go_into_conv() {
    for dims in [&[4, 1, 1][..], &[1, 4, 1, 1], &[1], &[]] {
        for (op_type, inputs) in [
            ("Mul", ["c", "k"]),
            ("Mul", ["k", "c"]),
            ("Add", ["c", "k"]),
            ("Add", ["k", "c"]),
            ("Sub", ["c", "k"]),
            ("Div", ["c", "k"]),
        ] {
            assert_eq!(
                operators(&prepared(&conv_then(op_type, inputs, dims))),
                ["Conv"],
                "{op_type} {inputs:?} {dims:?}"
            );
        }
    }
}

/// By hand: tract 0.23.9 itself gets a constant less a convolution wrong.
#[test]
fn a_conv_taken_from_a_constant_changes_its_sign() {
    let model = conv_then("Sub", ["k", "c"], &[4, 1, 1]);
    let (ready, _) = prepare_twice(&model);
    assert_eq!(operators(&ready), ["Conv"]);
    let inputs = feeds(&model);
    let alone = run(&conv().output("c", &[2, 4, 4, 4]).build(), &inputs);
    let k: Vec<f32> = noise(4, 5).iter().map(|v| v + 1.5).collect();
    let wanted: Vec<f32> =
        alone[0].to_f32().expect("numbers").iter().enumerate().map(|(i, v)| k[i / 16 % 4] - v).collect();
    assert_near(&wanted, &run(&ready, &inputs)[0].to_f32().expect("numbers"));
}

#[test]
fn constants_that_are_not_one_per_channel_stay_behind_conv() {
    // The last axis is as long as there are channels; a batch of constants; a division by the layer.
    for (op_type, inputs, dims) in [
        ("Mul", ["c", "k"], &[4][..]),
        ("Add", ["c", "k"], &[4, 1]),
        ("Mul", ["c", "k"], &[2, 1, 1, 1]),
        ("Add", ["c", "k"], &[4, 4, 4]),
        ("Div", ["k", "c"], &[1]),
    ] {
        assert_eq!(operators(&prepared(&conv_then(op_type, inputs, dims))), ["Conv", op_type], "{inputs:?} {dims:?}");
    }
}

#[test]
fn a_constant_that_adds_an_axis_stays() {
    let model =
        conv().noise("k", &[1, 1, 4, 1, 1], 5).output("y", &[1, 2, 4, 4, 4]).node("Mul", &["c", "k"], &["y"], vec![]);
    assert_eq!(operators(&prepared(&model.build())), ["Conv", "Mul"]);
}

#[test]
fn chains_of_factors_and_shifts_all_go() {
    let model = batch_norm(conv(), "c", "d", 4)
        .noise("k", &[4, 1, 1], 5)
        .noise("l", &[1, 4, 1, 1], 6)
        .output("y", &[2, 4, 4, 4])
        .node("Mul", &["d", "k"], &["e"], vec![])
        .node("Add", &["l", "e"], &["y"], vec![]);
    assert_eq!(operators(&prepared(&model.build())), ["Conv"]);
}

#[test]
fn matmul_takes_factors_but_no_shift() {
    for (op_type, left) in [("Mul", &["MatMul"][..]), ("Add", &["MatMul", "Add"])] {
        let model =
            matmul(&[2, 6, 3]).noise("k", &[4], 5).output("y", &[2, 6, 4]).node(op_type, &["c", "k"], &["y"], vec![]);
        assert_eq!(operators(&prepared(&model.build())), left);
    }
}

#[test]
fn nothing_goes_into_a_layer_that_somebody_else_reads() {
    let reader = batch_norm(conv(), "c", "y", 4).output("y", &[2, 4, 4, 4]).output("z", &[2, 4, 4, 4]);
    let reader = reader.node("Relu", &["c"], &["z"], vec![]).build();
    assert_eq!(operators(&prepared(&reader)).iter().filter(|op| **op == "Conv").count(), 2);
    let output = batch_norm(conv(), "c", "y", 4).output("y", &[2, 4, 4, 4]).output("c", &[2, 4, 4, 4]).build();
    assert_eq!(operators(&prepared(&output)), ["Conv", "Conv"]);
    let both = conv().output("y", &[2, 4, 4, 4]).node("Mul", &["c", "c"], &["y"], vec![]).build();
    assert_eq!(operators(&prepared(&both)), ["Conv", "Mul"]);
}

#[test]
fn a_shared_weight_and_bias_stay_for_the_other_reader() {
    let model = batch_norm(conv(), "c", "y", 4).output("y", &[2, 4, 4, 4]).output("z", &[2, 4, 4, 4]);
    let model = model.node("Conv", &["x", "w", "b"], &["z"], vec![]).build();
    let ready = prepared(&model);
    assert_eq!(operators(&ready), ["Conv", "Conv"]);
    let other = ready.graph.find("z").and_then(|z| ready.graph.value(z).producer()).expect("the other Conv");
    let names: Vec<_> =
        ready.graph.node(other).inputs().iter().flatten().map(|&v| ready.graph.value(v).name()).collect();
    assert_eq!(names, ["x", "w", "b"]);
}

#[test]
fn an_infinite_factor_stays() {
    let model =
        conv().floats("k", &[], &[0.0]).output("y", &[2, 4, 4, 4]).node("Div", &["c", "k"], &["y"], vec![]).build();
    assert_eq!(operators(&prepare_twice(&model).0), ["Conv", "Div"]);
}
