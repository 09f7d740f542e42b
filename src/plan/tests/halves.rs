//! Which nodes compute in numbers of 16 bits.

use super::*;
use crate::plan::out_of_range;

const HALF: &str = "mode: float16\n";

fn matmul(builder: Builder, x: &str, y: &str) -> Builder {
    let w = format!("{y}_w");
    builder.noise(&w, &[4, 4], 1).node("MatMul", &[x, &w], &[y], vec![])
}

fn rows() -> Builder {
    Builder::new(17).input("x", &[2, 4])
}

fn nodes(policy: &str, builder: Builder) -> Vec<String> {
    listing_by(policy, builder).0
}

#[test]
fn everything_computes_in_half_and_nothing_is_observed() {
    let net = || matmul(rows(), "x", "a").node("Relu", &["a"], &["y"], vec![]).output("y", &[2, 4]);
    assert_eq!(nodes(HALF, net()), ["MatMul MatMul_a: float16", "Relu Relu_y: float16"]);
    assert_eq!(nodes("mode: bfloat16\n", net()), ["MatMul MatMul_a: bfloat16", "Relu Relu_y: bfloat16"]);
    assert!(planned(net(), &settings(HALF)).1.observed().next().is_none());
}

#[test]
fn constants_that_half_does_not_hold_keep_their_node() {
    let net = |constant: f32| {
        let bent = matmul(rows(), "x", "a").node("Tanh", &["a"], &["t"], vec![]).floats("c", &[], &[constant]);
        let scaled = bent.node("Mul", &["t", "c"], &["s"], vec![]).node("Sigmoid", &["s"], &["b"], vec![]);
        matmul(scaled, "b", "y").output("y", &[2, 4])
    };
    let kept = |constant: f32| nodes(HALF, net(constant))[2].clone();
    assert_eq!(kept(7e4), "Mul Mul_s: float: its constant \"c\" holds 7e4, and float16 ends at 6.5504e4");
    assert_eq!(kept(1e-9), "Mul Mul_s: float: its constant \"c\" is so small that float16 loses 100.0 % of it");
    assert_eq!(kept(0.1), "Mul Mul_s: float16");
    assert_eq!(nodes("mode: bfloat16\n", net(7e4))[2], "Mul Mul_s: bfloat16");
    // A bound beyond the range bounds nothing.
    let clip = matmul(rows(), "x", "a").floats("c", &[], &[f32::MAX]);
    let clip = clip.node("Clip", &["a", "", "c"], &["y"], vec![]).output("y", &[2, 4]);
    assert_eq!(nodes(HALF, clip)[1], "Clip Clip_y: float16");
}

#[test]
fn what_comes_from_beyond_the_range_is_cut_off() {
    let net = matmul(rows(), "x", "a").node("Tanh", &["a"], &["t"], vec![]);
    let net = net.floats("c", &[], &[-1e5]).node("Mul", &["t", "c"], &["b"], vec![]);
    let (_, made) = planned(matmul(net, "b", "y").output("y", &[2, 4]), &settings(HALF));
    let half = |name: &str| made.nodes.iter().find(|n| n.name == name).map(|n| n.placement.clone());
    assert!(matches!(half("MatMul_y"), Some(Placement::Half(node)) if node.cut_off == [0]));
    assert!(matches!(half("MatMul_a"), Some(Placement::Half(node)) if node.cut_off.is_empty()));
}

#[test]
fn risks_and_blocked_operators_stay_float32_unless_a_rule_insists() {
    let net = || {
        let net = matmul(rows(), "x", "a").ints("axes", &[1]).node("ReduceSum", &["a", "axes"], &["s"], vec![]);
        net.node("Tanh", &["s"], &["t"], vec![]).output("t", &[2, 1])
    };
    let blocked = "half: { block: Tanh }\n";
    let made = nodes(&format!("{HALF}{blocked}"), net());
    assert!(made[1].starts_with("ReduceSum ReduceSum_s: float: a sum of many numbers"), "{made:?}");
    assert_eq!(made[2], "Tanh Tanh_t: float: the policy blocks its operator");
    let insists = "rules:\n  - { match: { op_type: [ReduceSum, Tanh] }, quantize: true }\n";
    let made = nodes(&format!("{HALF}{blocked}{insists}"), net());
    assert_eq!(made[1..], ["ReduceSum ReduceSum_s: float16", "Tanh Tanh_t: float16"]);
    let forbids = "rules:\n  - { match: { node: MatMul_a }, quantize: false, reason: too fine }\n";
    assert_eq!(nodes(&format!("{HALF}{forbids}"), net())[0], "MatMul MatMul_a: float: too fine");
}

#[test]
fn shapes_positions_and_masks_are_not_rounded() {
    let net = matmul(rows(), "x", "a")
        .node("Shape", &["a"], &["shape"], vec![])
        .node("Cast", &["shape"], &["float"], vec![int("to", 1)])
        .floats("two", &[], &[2.0])
        .node("Mul", &["float", "two"], &["double"], vec![])
        .node("Sin", &["double"], &["sine"], vec![])
        .ints("axes", &[1])
        .node("ReduceMax", &["sine"], &["m"], vec![])
        .node("Add", &["a", "m"], &["y"], vec![])
        .output("y", &[2, 4]);
    let made = nodes(HALF, net);
    let why = "it is computed from shapes, positions or masks alone";
    for node in ["Cast Cast_float", "Mul Mul_double", "Sin Sin_sine"] {
        assert!(made.contains(&format!("{node}: float: {why}")), "{made:?}");
    }
    assert!(made.contains(&"Add Add_y: float16".to_owned()), "{made:?}");
}

#[test]
fn light_nodes_between_float32_stay_with_them() {
    let net = matmul(rows(), "x", "a")
        .ints("axes", &[1])
        .node("Mul", &["a", "a"], &["q"], vec![])
        .node("ReduceSum", &["q", "axes"], &["s"], vec![])
        .node("Sqrt", &["s"], &["r"], vec![])
        .node("Neg", &["r"], &["n"], vec![])
        .node("Exp", &["n"], &["e"], vec![])
        .node("Div", &["a", "e"], &["y"], vec![])
        .output("y", &[2, 4]);
    let made = nodes(HALF, net);
    assert_eq!(made[1], "Mul Mul_q: float: it makes squares for what stays in float32");
    assert_eq!(made[3], "Sqrt Sqrt_r: float: it goes on with what stays in float32");
    assert_eq!(made[4], "Neg Neg_n: float: it stands between nodes that stay in float32");
    assert_eq!(made[6], "Div Div_y: float16");
}

#[test]
fn samples_speak_against_numbers_that_half_does_not_hold() {
    let net = matmul(matmul(matmul(rows(), "x", "a"), "a", "b"), "b", "y").output("y", &[2, 4]);
    let policy = settings("mode: float16\ndata: { calibration: { path: samples } }\n");
    let (model, made) = planned(net, &policy);
    assert_eq!(made.observed().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["x", "a", "b", "y"]);
    let range = |name: &str| match name {
        "b" => Some((-4e4, 1.0)),
        "y" => Some((0.0, 1e-6)),
        _ => Some((-1.0, 1.0)),
    };
    let kept = out_of_range(&model.graph, &made, range);
    let anew =
        plan(&model.graph, &policy, &OnnxRuntimeCpu, &kept, &Known::default()).expect("a plan").listing(&model.graph);
    assert!(anew.contains("MatMul MatMul_a: float16\n"), "{anew}");
    let why = "\"b\" reaches 4e4 in the samples, and float16 ends at 6.5504e4";
    assert!(anew.contains(&format!("MatMul MatMul_b: float: {why}\n")), "{anew}");
    let tiny = out_of_range(&model.graph, &made, |name| (name == "y").then_some((0.0, 1e-6)));
    assert_eq!(tiny.len(), 1);
    assert!(tiny[0].1.starts_with("\"y\" stays below 1e-6 in the samples"), "{}", tiny[0].1);
}

#[test]
fn a_blocked_operator_that_is_not_there_is_an_error() {
    let model = matmul(rows(), "x", "y").output("y", &[2, 4]).build();
    let made = |block: &str| {
        let policy = settings(&format!("{HALF}half: {{ block: [{block}] }}\n"));
        plan(&model.graph, &policy, &OnnxRuntimeCpu, &[], &Known::default())
    };
    assert!(made("MatMul").is_ok());
    let why = "p.yaml:3:25: half.block: no node runs \"MatMull\"; the nearest in the model: \"MatMul\"; name one, or remove it";
    assert_eq!(made("MatMul, MatMull").expect_err("no such operator").to_string(), why);
}
