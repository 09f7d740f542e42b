//! HardSigmoid and HardSwish behind a layer become what integer kernels can do.

use super::*;
use crate::ir::build::{float, int};
use crate::patterns::tests::spelled;

/// A Conv of 3 to 4 channels that makes `c`, and two scalars.
fn conv(opset: i64) -> Builder {
    Builder::new(opset).input("x", &[2, 3, 5, 5]).noise("w", &[4, 3, 2, 2], 1).noise("b", &[4], 2).node(
        "Conv",
        &["x", "w", "b"],
        &["c"],
        vec![],
    )
}

/// The Conv, `lines`, and the output `y`.
fn conv_then(lines: &[&str]) -> Model {
    spelled(conv(14).output("y", &[2, 4, 4, 4]), lines).build()
}

/// The input is made ten times larger, so that both ends of the clamps are met.
fn wide(mut model: Model) -> Model {
    let weight = model.graph.find("w").expect("the weight");
    let tensor = model.graph.constant(weight).expect("sound").expect("a constant");
    let numbers: Vec<f32> = tensor.to_f32().expect("numbers").iter().map(|v| v * 10.0).collect();
    model.graph.replace_constant(weight, &Tensor::from_f32(tensor.shape().to_vec(), &numbers));
    model
}

const LOWERED_SWISH: [&str; 5] = ["Conv", "Clip", "Add", "Clip", "Mul"];

#[test]
fn hard_sigmoid_leaves_a_clip_behind_the_layer() {
    for lines in [
        &["a = Add c 3", "k = Clip a 0 6", "y = Div k 6"][..],
        &["a = Mul c 0.2", "b2 = Add a 0.5", "y = Clip b2 0 1"],
        &["y = HardSigmoid c"],
        &["y = HardSigmoid c alpha=0.16666667 beta=0.5"],
    ] {
        assert_eq!(operators(&prepared(&wide(conv_then(lines)))), ["Conv", "Clip"], "{lines:?}");
    }
}

#[test]
fn hard_swish_leaves_clips_a_sum_and_a_product() {
    for lines in [
        &["a = Add c 3", "k = Clip a 0 6", "m = Mul c k", "y = Div m 6"][..],
        &["a = Add c 3", "k = Clip a 0 6", "d = Div k 6", "y = Mul d c"],
        &["h = HardSigmoid c alpha=0.16666667 beta=0.5", "y = Mul c h"],
        &["y = HardSwish c"],
    ] {
        assert_eq!(operators(&prepared(&wide(conv_then(lines)))), LOWERED_SWISH, "{lines:?}");
    }
}

#[test]
fn the_product_is_exactly_zero_where_hard_swish_is() {
    let model = wide(conv_then(&["y = HardSwish c"]));
    let ready = prepared(&model);
    let inputs = feeds(&model);
    let (wanted, found) = (run(&model, &inputs), run(&ready, &inputs));
    let (wanted, found) = (wanted[0].to_f32().expect("numbers"), found[0].to_f32().expect("numbers"));
    assert!(wanted.contains(&0.0));
    assert!(wanted.iter().zip(found.iter()).all(|(w, f)| *w != 0.0 || *f == 0.0));
}

#[test]
fn what_stands_between_layer_and_activation_goes_first() {
    // PP-LCNet has a number to multiply with and one to add, before the activation and behind it.
    let lines = [
        "e = Mul c 0.7",
        "d = Add e 0.3",
        "a = Add d 3",
        "k = Clip a 0 6",
        "m = Mul d k",
        "s = Div m 6",
        "g = Mul s 0.4",
        "y = Add g 0.1",
    ];
    let ready = prepared(&wide(conv_then(&lines)));
    assert_eq!(operators(&ready), [&LOWERED_SWISH[..], &["Add"]].concat());
    let normalized = conv(13).noise("beta", &[4], 4).noise("mean", &[4], 5).floats("one", &[4], &[0.5, 1.0, 1.5, 2.0]);
    let normalized = normalized.node("BatchNormalization", &["c", "one", "beta", "mean", "one"], &["d"], vec![]);
    let lines = ["a = Add d 3", "k = Clip a 0 6", "m = Mul d k", "y = Div m 6"];
    let ready = prepared(&wide(spelled(normalized.output("y", &[2, 4, 4, 4]), &lines).build()));
    assert_eq!(operators(&ready), LOWERED_SWISH);
}

#[test]
fn only_a_positive_number_goes_through_hard_swish() {
    for (factor, left) in [("0.05", &[][..]), ("30", &[]), ("-2", &["Mul"]), ("0", &["Mul"]), ("0.000001", &["Mul"])] {
        let line = format!("y = Mul {factor} s");
        let model = wide(conv_then(&["s = HardSwish c", &line]));
        let ready = if factor == "0" { prepare_twice(&model).0 } else { prepared(&model) };
        assert_eq!(operators(&ready), [&LOWERED_SWISH[..], left].concat(), "{factor}");
    }
    // Read by somebody else, the HardSwish itself is needed.
    let both = wide(conv_then(&["s = HardSwish c", "g = Mul s 0.5", "y = Add g s"]));
    assert_eq!(operators(&prepared(&both)), [&LOWERED_SWISH[..], &["Mul", "Add"]].concat());
}

#[test]
fn transposed_convolutions_and_gemm_take_them_too() {
    for group in [1, 2] {
        let builder = Builder::new(14).input("x", &[2, 4, 3, 3]).noise("w", &[4, 3, 2, 2], 1);
        let builder = builder.node("ConvTranspose", &["x", "w"], &["c"], vec![int("group", group)]);
        let model = spelled(builder.output("y", &[2, 3 * group, 4, 4]), &["y = HardSwish c"]).build();
        assert_eq!(
            operators(&prepared(&wide(model))),
            ["ConvTranspose", "Clip", "Add", "Clip", "Mul"],
            "group {group}"
        );
    }
    for transposed in [0, 1] {
        let shape = if transposed == 1 { [5, 3] } else { [3, 5] };
        let builder = Builder::new(14).input("x", &[2, 3]).noise("w", &shape, 1).noise("b", &[5], 2);
        let attributes = vec![int("transB", transposed), float("alpha", 0.5)];
        let builder = builder.node("Gemm", &["x", "w", "b"], &["c"], attributes).output("y", &[2, 5]);
        let model = spelled(builder, &["y = HardSigmoid c"]).build();
        assert_eq!(operators(&prepared(&wide(model))), ["Gemm", "Clip"]);
    }
}

#[test]
fn a_layer_without_bias_gets_one_only_for_a_shift() {
    let builder = || {
        let builder =
            Builder::new(14).input("x", &[2, 3, 5, 5]).noise("w", &[4, 3, 2, 2], 1).output("y", &[2, 4, 4, 4]);
        builder.node("Conv", &["x", "w"], &["c"], vec![])
    };
    let swish = prepared(&wide(spelled(builder(), &["y = HardSwish c"]).build()));
    assert_eq!(find(&swish, "Conv").input(2), None);
    let sigmoid = prepared(&wide(spelled(builder(), &["y = HardSigmoid c"]).build()));
    assert!(find(&sigmoid, "Conv").input(2).is_some());
}

#[test]
fn a_layer_that_somebody_else_reads_stays_as_it_was() {
    for lines in [
        &["s = HardSwish c", "y = Add s c"][..],
        &["a = Add c 3", "k = Clip a 0 6", "m = Mul c k", "s = Div m 6", "y = Add s c"],
        &["s = HardSigmoid c", "y = Add s c"],
    ] {
        let ready = prepared(&wide(conv_then(lines)));
        let wanted = if lines[0].contains("HardSigmoid") { "HardSigmoid" } else { "HardSwish" };
        assert_eq!(operators(&ready), ["Conv", wanted, "Add"], "{lines:?}");
    }
    let output = spelled(conv(14).output("y", &[2, 4, 4, 4]).output("c", &[2, 4, 4, 4]), &["y = HardSwish c"]).build();
    assert_eq!(operators(&prepared(&output)), ["Conv", "HardSwish"]);
}

#[test]
fn a_reader_that_no_output_needs_does_not_count() {
    let ready = prepared(&wide(conv_then(&["z = Abs c", "y = HardSwish c"])));
    assert_eq!(operators(&ready), LOWERED_SWISH);
}

#[test]
fn activations_of_anything_else_stay() {
    for (lines, left) in [
        (&["r = Relu c", "y = HardSwish r"][..], &["Conv", "Relu", "HardSwish"][..]),
        (&["r = Abs c", "y = HardSigmoid r"], &["Conv", "Abs", "HardSigmoid"]),
    ] {
        assert_eq!(operators(&prepared(&wide(conv_then(lines)))), left);
    }
    let computed = Builder::new(14).input("x", &[2, 3, 5, 5]).input("w", &[4, 3, 2, 2]).output("y", &[2, 4, 4, 4]);
    let computed = computed.node("Conv", &["x", "w"], &["c"], vec![]).node("HardSwish", &["c"], &["y"], vec![]).build();
    assert_eq!(operators(&prepared(&computed)), ["Conv", "HardSwish"]);
    assert!(refusals(&computed, "lower-hard-activations")[0].contains("no float32 constant"));
}

#[test]
fn a_weight_that_two_layers_share_is_scaled_for_one() {
    let builder = conv(14).output("y", &[2, 4, 4, 4]).output("z", &[2, 4, 4, 4]);
    let model = spelled(builder, &["y = HardSwish c", "z = Conv x w b"]).build();
    let ready = prepared(&wide(model));
    let z = ready.graph.find("z").and_then(|z| ready.graph.value(z).producer()).expect("the other Conv");
    let names: Vec<_> = ready.graph.node(z).inputs().iter().flatten().map(|&v| ready.graph.value(v).name()).collect();
    assert_eq!(names, ["x", "w", "b"]);
}

#[test]
fn they_are_lowered_whether_or_not_patterns_are_fused() {
    let model = wide(conv_then(&["a = Add c 3", "k = Clip a 0 6", "m = Mul c k", "y = Div m 6"]));
    let mut ready = model.clone();
    prepare(&mut ready, &Tract::default(), &Options { fuse_patterns: false, ..Options::default() })
        .expect("a model that can be prepared");
    assert_eq!(operators(&ready), LOWERED_SWISH);
    assert_computes_the_same(&model, &ready);
}

#[test]
fn the_scaled_output_has_a_name_of_its_own() {
    let ready = prepared(&wide(conv_then(&["y = HardSwish c"])));
    assert_eq!(ready.graph.find("c"), None, "what was called c is another tensor now");
}
