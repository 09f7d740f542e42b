//! Joins of values with unlike ranges.

use super::*;

/// Boxes and scores in one tensor, which a layer reads, and where `read` says so, the caller.
fn head(op_type: &str, read: bool) -> Builder {
    let net = conv(conv(Builder::new(13).input("x", &[1, 4, 8, 8]), "x", "boxes"), "x", "scores");
    let attributes = if op_type == "Concat" { vec![int("axis", 1)] } else { vec![] };
    let channels = if op_type == "Concat" { 8 } else { 4 };
    let net = net.node(op_type, &["boxes", "scores"], &["j"], attributes).noise("v", &[4, channels, 1, 1], 9);
    let net = net.node("Conv", &["j", "v"], &["y"], vec![]).output("y", &[1, 4, 8, 8]);
    if read { net.output("j", &[1, channels as i64, 8, 8]) } else { net }
}

/// The line of the join, planned anew where boxes reach as far as `boxes` and scores as far as `scores`.
fn join(builder: Builder, boxes: f32, scores: f32, policy: &str) -> String {
    let settings = settings(policy);
    let (model, made) = planned(builder, &settings);
    let range = |v| match model.graph.value(v).name() {
        "boxes" => Some((0.0, boxes)),
        "scores" => Some((-scores / 2.0, scores / 2.0)),
        _ => None,
    };
    let kept = unlike_joins(&model.graph, &made, range);
    let again = plan(&model.graph, &settings, &OnnxRuntimeCpu, &kept, &Known::default()).expect("a plan");
    // Kept in float, they are no joins of integers any more.
    assert!(unlike_joins(&model.graph, &again, range).is_empty() || !policy.is_empty());
    let text = again.listing(&model.graph);
    text.lines().find(|l| l.contains("_j: ")).expect("the join").to_owned()
}

#[test]
fn boxes_and_scores_that_somebody_reads_in_float_are_joined_in_float() {
    for op_type in ["Concat", "Add"] {
        for (boxes, factor) in [(64.0, 64), (640.0, 640)] {
            let why = format!("its inputs' ranges differ by a factor of {factor}: one grid would lose the narrower");
            assert_eq!(join(head(op_type, true), boxes, 1.0, ""), format!("{op_type} {op_type}_j: float: {why}"));
        }
        assert!(join(head(op_type, true), 1.0, 100.0, "").contains("factor of 100"));
    }
}

#[test]
fn like_ranges_are_joined_on_integers() {
    for (boxes, scores) in [(63.0, 1.0), (1.0, 1.0), (1.0, 63.0), (100.0, 0.0)] {
        assert_eq!(join(head("Concat", true), boxes, scores, ""), "Concat Concat_j: integer", "{boxes} and {scores}");
    }
}

#[test]
fn a_join_that_only_integers_read_has_no_choice() {
    for op_type in ["Concat", "Add"] {
        assert_eq!(join(head(op_type, false), 640.0, 1.0, ""), format!("{op_type} {op_type}_j: integer"));
    }
}

#[test]
fn a_policy_that_insists_joins_on_integers() {
    let policy = "rules:\n  - match: { node: Concat_j }\n    quantize: true\n";
    assert_eq!(join(head("Concat", true), 640.0, 1.0, policy), "Concat Concat_j: integer");
}

#[test]
fn other_arithmetic_of_unlike_values_is_no_join() {
    assert_eq!(join(head("Mul", true), 640.0, 1.0, ""), "Mul Mul_j: integer");
}

/// Operator, inputs, outputs and attributes of a node.
type Line<'a> = (&'a str, &'a [&'a str], &'a [&'a str], Vec<crate::proto::AttributeProto>);

/// What somebody reads in float of boxes and scores in one tensor, past the movements `lines`, which a layer reads the last of.
fn moved(lines: &[Line<'_>], y: (&str, &[i64])) -> Builder {
    let net = head("Concat", false).ints("shape", &[1, 512]).noise("u", &[8, 3], 8);
    let net = lines.iter().fold(net, |net, (op_type, x, y, a)| net.node(op_type, x, y, a.clone()));
    net.output(y.0, y.1)
}

/// The lines of all nodes that stay float, planned anew with boxes far larger than scores.
fn floats(builder: Builder, policy: &str) -> Vec<String> {
    let settings = settings(policy);
    let (model, made) = planned(builder, &settings);
    let range = |v| Some((0.0, if model.graph.value(v).name() == "boxes" { 640.0 } else { 1.0 }));
    let kept = unlike_joins(&model.graph, &made, range);
    let again = plan(&model.graph, &settings, &OnnxRuntimeCpu, &kept, &Known::default()).expect("a plan");
    let line = |n: &NodePlan| match &n.placement {
        Placement::Float { reason } => Some(format!("{}: {reason}", n.name)),
        _ => None,
    };
    again.nodes.iter().filter_map(line).collect()
}

const JOIN: &str = "Concat_j: its inputs' ranges differ by a factor of 640: one grid would lose the narrower";
const MOVES: &str = "it moves what a join of unlike ranges makes, which somebody reads in float";

#[test]
fn a_join_that_is_read_in_float_past_movements_stays_float_with_them() {
    let perm = vec![ints("perm", &[0, 2, 3, 1])];
    let layer: (&str, &[&str], &[&str], Vec<_>) = ("MatMul", &["t", "u"], &["z"], vec![]);
    // The caller reads what was transposed, and so does a layer.
    let net = moved(&[("Transpose", &["j"], &["t"], perm.clone()), layer.clone()], ("t", &[1, 8, 8, 8]));
    assert_eq!(floats(net.output("z", &[1, 8, 8, 3]), ""), [JOIN, &format!("Transpose_t: {MOVES}")]);
    // Only the layer reads it: there is one grid.
    let net = moved(&[("Transpose", &["j"], &["t"], perm.clone()), layer.clone()], ("z", &[1, 8, 8, 3]));
    assert!(floats(net, "").is_empty());
    // Two movements, and an operator in float behind them.
    let parts = ("Split", &["t"][..], &["a", "b"][..], vec![int("axis", 1)]);
    let lines = [("Transpose", &["j"][..], &["t"][..], perm), layer, parts, ("Softmax", &["b"], &["s"], vec![])];
    let net = moved(&lines, ("s", &[1, 4, 8, 8])).noise("o", &[8, 2], 7).node("MatMul", &["a", "o"], &["k"], vec![]);
    let found = floats(net.output("k", &[1, 4, 8, 2]).output("z", &[1, 8, 8, 3]), "");
    assert_eq!(found[..3], [JOIN.to_owned(), format!("Transpose_t: {MOVES}"), format!("Split_a: {MOVES}")]);
}

#[test]
fn a_stated_range_of_a_join_holds_for_what_moves_it() {
    let lines = [
        ("Transpose", &["j"][..], &["t"][..], vec![ints("perm", &[0, 2, 3, 1])]),
        ("MatMul", &["t", "u"], &["z"], vec![]),
    ];
    let net = moved(&lines, ("t", &[1, 8, 8, 8])).output("z", &[1, 8, 8, 3]);
    let policy = "rules:\n  - match: { value: j }\n    range: [0, 640]\n";
    assert!(floats(net, policy).is_empty());
}
