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
    let again = plan(&model.graph, &settings, &OnnxRuntimeCpu, &kept).expect("a plan");
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
