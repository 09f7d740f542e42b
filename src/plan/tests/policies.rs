//! What rules of the policy do to a plan.

use super::*;

fn three() -> Builder {
    conv(conv(start(), "c", "d"), "d", "y").output("y", &[1, 4, 8, 8])
}

#[test]
fn a_node_kept_float_takes_only_itself_out() {
    let policy = "rules:\n  - match: { node: Conv_d }\n    quantize: false\n    reason: too fine\n";
    let (nodes, values) = listing_by(policy, three());
    assert_eq!(nodes[0], format!("Conv Conv_c: {WEIGHT} 0"));
    assert_eq!(nodes[1], "Conv Conv_d: float: too fine");
    assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["x:", "c:", "d:", "y:"]);
}

#[test]
fn a_value_kept_float_takes_the_nodes_around_it_out() {
    let policy = "rules:\n  - match: { value: d }\n    quantize: false\n    reason: too fine\n";
    let (nodes, values) = listing_by(policy, three());
    assert_eq!(nodes[1], "Conv Conv_d: float: \"d\" stays float: too fine");
    assert_eq!(nodes[2], "Conv Conv_y: float: \"d\" stays float: too fine");
    assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["x:", "c:"]);
}

#[test]
fn a_range_given_is_not_observed() {
    let policy = "rules:\n  - match: { value: d }\n    range: [-1, 6.5]\n";
    let (model, made) = planned(three(), &settings(policy));
    assert!(made.listing(&model.graph).contains("d: uint8 asymmetric, range [-1, 6.5] as stated\n"));
    assert!(made.observed().all(|v| v.name != "d"));
}

#[test]
fn types_and_calibrators_of_a_rule_reach_its_values_and_weights() {
    let policy = "rules:\n  - match: { node: Conv_d }\n    activations: { type: int8, symmetric: true, calibrator: minmax }\n    \
                  weights: { granularity: per_tensor }\n";
    let (nodes, values) = listing_by(policy, three());
    assert_eq!(nodes[1], "Conv Conv_d: integer, weight int8 symmetric per tensor");
    // Each layer reads its own type.
    assert!(values.contains(&"c: uint8 asymmetric, range by mse, also int8 symmetric".to_owned()), "{values:?}");
    assert!(values.contains(&"d: int8 symmetric, range by minmax, also uint8 asymmetric".to_owned()), "{values:?}");
    assert!(values.contains(&"y: uint8 asymmetric, range by mse".to_owned()));
}

#[test]
fn a_rule_that_matches_nothing_is_an_error() {
    let policy = settings("rules:\n  - match: { node: Conv_q }\n    quantize: false\n");
    let model = three().build();
    let error =
        plan(&model.graph, &policy, &OnnxRuntimeCpu, &[], &Known::default()).expect_err("no such node").to_string();
    assert!(error.starts_with("p.yaml:3:") && error.contains("Conv_"), "{error}");
}

#[test]
fn everything_kept_float_leaves_an_empty_plan() {
    let (nodes, values) = listing_by("rules:\n  - match: { op_type: Conv }\n    quantize: false\n", three());
    assert!(nodes.iter().all(|n| n.contains(": float: ")) && values.is_empty());
}

#[test]
fn each_node_has_its_own_mode() {
    let policy = "mode: weight-only\nweights: { type: int4 }\nrules:\n\
                  - { match: { node: Conv_c }, mode: float32 }\n\
                  - { match: { node: Conv_d }, mode: static, weights: { type: int8 } }\n\
                  - { match: { node: Conv_y }, quantize: true }\n";
    let (nodes, values) = listing_by(policy, three());
    assert_eq!(nodes[0], "Conv Conv_c: float: the policy's rule on line 5");
    assert_eq!(nodes[1], "Conv Conv_d: integer, weight int8 symmetric per channel on axis 0");
    assert_eq!(nodes[2], "Conv Conv_y: float, weight int4 symmetric per channel on axis 0");
    assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["c:", "d:"]);
}

#[test]
fn weights_that_a_nodes_own_mode_cannot_have_are_refused() {
    let policy =
        settings("mode: weight-only\nweights: { type: int4 }\nrules:\n- { match: { node: Conv_d }, mode: static }\n");
    let error = plan(&three().build().graph, &policy, &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("four bits")
        .to_string();
    assert!(error.starts_with("p.yaml:5:3: kernels for integer activations take weights of 8 bits"), "{error}");
    assert!(error.ends_with("(for node \"Conv_d\", after all rules)"), "{error}");
}
