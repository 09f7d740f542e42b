//! What rules of the policy do to a plan.

use super::*;
use crate::ir::build::body;
use crate::tensor::{DataType, Tensor};

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
    assert_eq!(nodes[2], "Conv Conv_y: float, weight int4 asymmetric in blocks of 4 along axis 1");
    assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["c:", "d:"]);
}

#[test]
fn weights_that_a_nodes_own_mode_cannot_have_are_refused() {
    let policy =
        settings("mode: weight-only\nweights: { type: int2 }\nrules:\n- { match: { node: Conv_d }, mode: static }\n");
    let error = plan(&three().build().graph, &policy, &OnnxRuntimeCpu, &[], &Known::default())
        .expect_err("two bits")
        .to_string();
    assert!(error.starts_with("p.yaml:5:3: kernels for integer activations take weights of 4 or 8 bits"), "{error}");
    assert!(error.ends_with("(for node \"Conv_d\", after all rules)"), "{error}");
}

/// What rules state for nothing.
fn idle(policy: &str, builder: Builder) -> Vec<(usize, String, String)> {
    let (_, made) = planned(builder, &settings(policy));
    made.idle().into_iter().map(|idle| (idle.line, idle.name.clone(), idle.reason.clone())).collect()
}

fn failure(policy: &str, builder: Builder) -> String {
    let model = builder.build();
    let made = plan(&model.graph, &settings(policy), &OnnxRuntimeCpu, &[], &Known::default());
    made.expect_err("a policy that does not fit").to_string()
}

#[test]
fn a_grid_stated_of_a_value_without_one_is_told() {
    // A Gemm whose output nobody reads as integers gives floats.
    let net = || {
        let net = Builder::new(13).input("x", &[2, 4]).noise("w", &[4, 4], 1).noise("v", &[4, 4], 2);
        let net = net.node("Gemm", &["x", "w"], &["a"], vec![]).node("Gemm", &["a", "v"], &["logits"], vec![]);
        net.output("logits", &[2, 4])
    };
    let why = "no integer node reads it, and what makes it may give floats".to_owned();
    let scale = "rules:\n  - match: { value: logits }\n    scale: 0.0625\n    zero_point: 128\n";
    assert_eq!(idle(scale, net()), [(3, "logits".to_owned(), why.clone())]);
    let range = "rules:\n  - match: { value: \"*\" }\n    range: [-1, 1]\n";
    let of_range = idle(range, net());
    assert!(of_range.contains(&(3, "logits".to_owned(), why)), "{of_range:?}");
    assert!(of_range.iter().all(|(_, name, _)| name != "x" && name != "a"), "these have grids: {of_range:?}");
    let (model, made) = planned(net(), &settings(scale));
    assert!(made.listing(&model.graph).contains("# rules without effect\nline 3, logits: no integer node"));
    assert!(idle(&scale.replace("logits", "a"), net()).is_empty());
    // An output that is to be an integer has the grid.
    assert!(idle(&format!("io: {{ outputs: uint8 }}\n{scale}"), net()).is_empty());
    let beyond = failure(&scale.replace("128", "300"), net());
    assert_eq!(
        beyond,
        "p.yaml:3:5: value \"logits\": has by a rule of the policy the zero point 300; that of uint8 lies from 0 to 255"
    );
}

#[test]
fn a_zero_point_in_a_body_is_told_with_the_line_of_its_rule() {
    let branch = |made: &str| {
        let net = Builder::new(13).node("Relu", &["x"], &[made], vec![]).output(made, &[2]);
        net.proto().graph.expect("a graph")
    };
    let bodies = vec![body("then_branch", branch("t")), body("else_branch", branch("e"))];
    let cond = Tensor::new(DataType::Bool, vec![], bytes::Bytes::from_static(&[1])).expect("a bool");
    let net = Builder::new(13).input("x", &[2]).constant("c", &cond).node("If", &["c"], &["y"], bodies);
    let rules = "rules:\n  - match: { op_type: Relu }\n    mode: dynamic\n  - match: { value: e }\n    scale: 1\n    \
                 zero_point: -1\n";
    let error = failure(rules, net.output("y", &[2]));
    assert!(error.starts_with("p.yaml:5:5: value \"e\": has by a rule of the policy the zero point -1"), "{error}");
}

#[test]
fn a_range_of_what_shares_a_grid_is_told_with_the_line_of_its_rule() {
    let net = start().node("MaxPool", &["c"], &["m"], vec![ints("kernel_shape", &[2, 2])]);
    let net = conv(net, "m", "y").output("y", &[1, 4, 7, 7]);
    let error = failure(
        "rules:\n  - match: { value: x }\n    range: [0, 1]\n  - match: { value: m }\n    range: [0, 1]\n",
        net,
    );
    let why = "has a range by a rule of the policy, but shares the grid of \"c\"; state the range of that value";
    assert_eq!(error, format!("p.yaml:5:5: value \"m\": {why}"));
}

#[test]
fn a_range_ahead_of_a_clamp_is_told_where_to_go() {
    let net = conv(start().node("Relu", &["c"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 8, 8]);
    let found = idle("rules:\n  - match: { value: c }\n    range: [-1, 6]\n", net);
    let why = "the grid of its layer stands behind the clamp that follows; state it of \"r\"";
    assert_eq!(found, [(3, "c".to_owned(), why.to_owned())]);
}

#[test]
fn a_name_that_preparation_took_away_matches_nothing() {
    let ones = ["scale", "bias", "mean", "var"];
    let net = ones.iter().fold(start(), |net, name| net.floats(name, &[4], &[1.0; 4]));
    let net = net.node("BatchNormalization", &["c", "scale", "bias", "mean", "var"], &["n"], vec![]);
    let mut model = conv(net, "n", "y").output("y", &[1, 4, 8, 8]).build();
    prepare(&mut model, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    let made = |policy: &str| plan(&model.graph, &settings(policy), &OnnxRuntimeCpu, &[], &Known::default());
    for rest in ["range: [0, 1]", "quantize: false"] {
        let error = made(&format!("rules:\n  - match: {{ value: c }}\n    {rest}\n")).expect_err("gone").to_string();
        assert!(error.starts_with("p.yaml:3:21: no value is called \"c\"; the nearest in the model: "), "{error}");
    }
    let error = made("rules:\n  - match: { between: [c, y] }\n    quantize: false\n").expect_err("gone").to_string();
    assert!(error.starts_with("p.yaml:3:24: no value is called \"c\""), "{error}");
    assert!(made("rules:\n  - match: { value: n }\n    quantize: false\n").is_ok());
}

#[test]
fn two_values_without_a_way_between_them_are_told() {
    let error = failure("rules:\n  - match: { between: [d, c] }\n    quantize: false\n", three());
    let why = "no way leads from \"d\" to \"c\": name the value that comes first in the model first";
    assert_eq!(error, format!("p.yaml:3:24: {why}"));
}

#[test]
fn a_clamp_belongs_to_the_static_layer_before_it() {
    let net = || {
        let net = start().floats("zero", &[], &[0.0]).floats("six", &[], &[6.0]);
        let net = net.node("Clip", &["c", "zero", "six"], &["r"], vec![]);
        conv(net, "r", "y").output("y", &[1, 4, 8, 8])
    };
    let clamp = "Clip Clip_r: clamp [0, 6], vanishes into Conv_c if its grid ends within";
    for mode in ["float32", "weight-only", "dynamic", "float16"] {
        let policy = format!("mode: {mode}\nrules:\n  - {{ match: {{ op_type: Conv }}, mode: static }}\n");
        let (nodes, values) = listing_by(&policy, net());
        assert_eq!(nodes[1], clamp, "{mode}");
        assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["x:", "r:", "y:"], "{mode}");
        let own = format!("{policy}  - {{ match: {{ op_type: Clip }}, quantize: false }}\n");
        let (nodes, values) = listing_by(&own, net());
        assert!(!nodes[1].contains("vanishes"), "{mode}: {}", nodes[1]);
        assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["x:", "c:", "r:", "y:"], "{mode}");
    }
    // The type that the rule gives the layer's output goes to what stands in its place.
    let policy =
        "mode: float32\nrules:\n  - match: { node: Conv_c }\n    mode: static\n    activations: { type: int8 }\n";
    let alone = start().node("Relu", &["c"], &["r"], vec![]).output("r", &[1, 4, 8, 8]);
    assert!(listing_by(policy, alone).1.iter().any(|v| v.starts_with("r: int8")));
}

#[test]
fn what_a_reason_advises_works() {
    let policy = "mode: weight-only\nweights: { type: nf4, form: contrib, granularity: per_block }\n";
    let (nodes, _) = listing_by(policy, three());
    let (_, advice) = nodes[0].split_once("a rule with weights: ").expect("advice");
    let advice = advice.strip_suffix(" stores it").expect("advice");
    let rule = format!("{policy}rules:\n  - {{ match: {{ op_type: Conv }}, weights: {advice} }}\n");
    assert_eq!(listing_by(&rule, three()).0[0], "Conv Conv_c: float, weight int8 symmetric per channel on axis 0");
}
