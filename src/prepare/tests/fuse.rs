//! What is spelled out becomes one operator, where the model's operator set has it.

use super::*;
use crate::patterns::tests::spelled;

/// `lines` from `x` to `y`, both of shape `[2, 3, 4]`, with constants for a normalization of the last axis.
fn model(opset: i64, lines: &[&str]) -> Model {
    let builder =
        Builder::new(opset).input("x", &[2, 3, 4]).output("y", &[2, 3, 4]).ints("last", &[-1]).ints("two", &[2]);
    let builder =
        builder.noise("scale", &[4], 1).noise("bias", &[4], 2).noise("wide", &[3, 4], 3).noise("one", &[1], 4);
    spelled(builder, lines).build()
}

/// Prepared without and with fusing.
fn both(model: &Model) -> (Vec<String>, Vec<String>) {
    let mut plain = model.clone();
    prepare(&mut plain, &Tract::default(), &Options { fuse_patterns: false, ..Options::default() })
        .expect("a model that can be prepared");
    let texts = |model: &Model| operators(model).into_iter().map(str::to_owned).collect();
    (texts(&plain), texts(&prepared(model)))
}

const HARD_SIGMOID: &[&str] = &["a = Add x 3", "c = Clip a 0 6", "y = Div c 6"];
const HARD_SWISH: &[&str] = &["a = Add x 3", "c = Clip a 0 6", "m = Mul x c", "y = Div m 6"];
const GELU: &[&str] = &["d = Div x 1.4142135", "e = Erf d", "a = Add e 1", "m = Mul x a", "y = Mul m 0.5"];
const GELU_TANH: &[&str] = &[
    "c = Pow x 3",
    "d = Mul c 0.044715",
    "s = Add x d",
    "k = Mul s 0.79788456",
    "t = Tanh k",
    "a = Add t 1",
    "h = Mul x 0.5",
    "y = Mul h a",
];
const MISH: &[&str] = &["p = Softplus x", "t = Tanh p", "y = Mul t x"];
const SILU: &[&str] = &["s = Sigmoid x", "y = Mul x s"];

/// The operator, its first opset, and what spells it out.
const OPERATORS: [(&str, i64, &[&str]); 5] = [
    ("HardSigmoid", 13, HARD_SIGMOID),
    ("HardSwish", 14, HARD_SWISH),
    ("Mish", 18, MISH),
    ("Gelu", 20, GELU),
    ("Gelu", 20, GELU_TANH),
];

#[test]
fn activations_become_one_operator_that_computes_the_same() {
    for (op_type, since, lines) in OPERATORS {
        let model = model(since, lines);
        let spelled = operators(&model);
        let (plain, fused) = both(&model);
        assert_eq!(plain, spelled, "{op_type}: not asked for");
        assert_eq!(fused, [op_type]);
    }
}

#[test]
fn older_operator_sets_keep_what_is_spelled_out() {
    for (op_type, since, lines) in &OPERATORS[1..] {
        let model = model(since - 1, lines);
        assert_eq!(operators(&prepared(&model)), operators(&model));
        let why = refusals(&model, "fuse-patterns").remove(0);
        assert_eq!(why, format!("ONNX has {op_type} since opset {since}, the model has {}", since - 1));
    }
}

const CENTRE_17: [&str; 4] = ["m = ReduceMean x axes=-1", "d = Sub x m", "q = Mul d d", "v = ReduceMean q axes=-1"];
const CENTRE_18: [&str; 4] = ["m = ReduceMean x last", "d = Sub x m", "q = Pow d 2", "v = ReduceMean q last"];
const ROOT: [&str; 3] = ["e = Add v 0.01", "r = Sqrt e", "n = Div d r"];

#[test]
fn normalizations_become_one_operator_that_computes_the_same() {
    let tail = ["g = Mul n scale", "y = Add g bias"];
    for (opset, centre) in [(17, CENTRE_17), (18, CENTRE_18)] {
        let (_, fused) = both(&model(opset, &[&centre[..], &ROOT, &tail].concat()));
        assert_eq!(fused, ["LayerNormalization"]);
    }
    let (_, fused) = both(&model(17, &[&CENTRE_17[..], &ROOT, &["y = Mul n scale"]].concat()));
    assert_eq!(fused, ["LayerNormalization"], "without a bias");
    // The rank is stated, so an axis may be counted from the front.
    let from_front = ["m = ReduceMean x axes=2", "d = Sub x m", "q = Mul d d", "v = ReduceMean q axes=2"];
    let (_, fused) = both(&model(17, &[&from_front[..], &ROOT, &tail].concat()));
    assert_eq!(fused, ["LayerNormalization"], "axis 2 of 3");
    let two_axes = ["m = ReduceMean x axes=-2,-1", "d = Sub x m", "q = Mul d d", "v = ReduceMean q axes=-1,-2"];
    let (_, other) = both(&model(17, &[&two_axes[..], &ROOT, &["y = Mul n wide"]].concat()));
    assert_eq!(other.len(), 8, "the axes are told in different orders");
    let two_axes = ["m = ReduceMean x axes=-2,-1", "d = Sub x m", "q = Mul d d", "v = ReduceMean q axes=-2,-1"];
    let (_, fused) = both(&model(17, &[&two_axes[..], &ROOT, &["y = Mul n wide"]].concat()));
    assert_eq!(fused, ["LayerNormalization"], "two axes");
    let rms =
        ["q = Pow x 2", "v = ReduceMean q last", "e = Add v 0.01", "r = Sqrt e", "n = Div x r", "y = Mul scale n"];
    let (_, fused) = both(&model(23, &rms));
    assert_eq!(fused, ["RMSNormalization"]);
}

#[test]
fn normalizations_that_the_operator_cannot_express_stay() {
    let first = ["m = ReduceMean x axes=1", "d = Sub x m", "q = Mul d d", "v = ReduceMean q axes=1"];
    for (lines, why) in [
        ([&first[..], &ROOT, &["y = Mul n wide"]].concat(), "the last axes"),
        ([&CENTRE_17[..], &ROOT, &["y = Mul n one"]].concat(), "no scale"),
        ([&CENTRE_17[..], &ROOT, &["y = Mul n wide"]].concat(), "the shape"),
        ([&CENTRE_17[..], &ROOT, &["g = Mul n scale", "y = Add g wide"]].concat(), "the shape"),
        ([&CENTRE_17[..], &ROOT[..2], &["y = Div d r"]].concat(), "no scale"),
    ] {
        let model = model(17, &lines);
        assert!(!operators(&prepared(&model)).contains(&"LayerNormalization"), "{lines:?}");
        let found = refusals(&model, "fuse-patterns");
        if why != "no scale" || !lines.last().is_some_and(|l| l.contains("one")) {
            assert!(found.iter().any(|w| w.contains(why)), "{found:?} instead of {why}");
        }
    }
}

#[test]
fn a_silu_stays_spelled_out_in_every_operator_set() {
    for opset in [13, 24, 25] {
        let model = model(opset, SILU);
        assert_eq!(operators(&prepared(&model)), ["Sigmoid", "Mul"]);
        assert_eq!(refusals(&model, "fuse-patterns"), ["its Sigmoid and its Mul have integer kernels, Swish has none"]);
    }
}

#[test]
fn an_alpha_of_swish_stays_spelled_out() {
    let lines = ["k = Mul x 1.702", "s = Sigmoid k", "y = Mul x s"];
    assert_eq!(operators(&prepared(&model(24, &lines))), ["Mul", "Sigmoid", "Mul"]);
}

#[test]
fn names_of_outputs_survive() {
    let ready = prepared(&model(14, HARD_SWISH));
    assert_eq!(ready.graph.outputs().map(|v| ready.graph.value(v).name()).collect::<Vec<_>>(), ["y"]);
}
