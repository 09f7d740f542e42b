//! Rules: what they refuse, and what they say about a model.

use super::*;

const NODES: [(&str, &str, &[&str]); 6] = [
    ("/model/conv1/Conv", "Conv", &["c1"]),
    ("/model/relu1/Relu", "Relu", &["r1"]),
    ("/head/conv/Conv", "Conv", &["h1"]),
    ("/head/split", "Split", &["s1", "", "s2[0]"]),
    ("/head/fc", "Gemm", &["logits"]),
    ("", "Gemm", &["unnamed"]),
];
const VALUES: [&str; 8] = ["image", "c1", "r1", "h1", "s1", "s2[0]", "logits", "unnamed"];

fn rules(rules: &str) -> crate::error::Result<Matched> {
    let nodes: Vec<_> = NODES
        .iter()
        .map(|&(name, op_type, outputs)| NodeKey { name, op_type, outputs: outputs.to_vec(), inputs: vec![] })
        .collect();
    settings(&format!("version: 1\nrules:\n{rules}"))?.match_model(&nodes, &VALUES)
}

fn fails(text: &str, line: usize, column: usize, message: &str) {
    let error = rules(text).unwrap_err().to_string();
    assert_eq!(error, format!("dir/p.yaml:{line}:{column}: {message}"), "for {text}");
}

/// The nodes that a rule with these keys of `match` leaves in float.
fn float_nodes(selection: &str) -> Vec<usize> {
    let matched = rules(&format!("  - match: {{ {selection} }}\n    quantize: false")).unwrap();
    (0..NODES.len()).filter(|&i| !matched.nodes[i].quantize).collect()
}

fn float_values(selection: &str) -> Vec<&'static str> {
    let matched = rules(&format!("  - match: {{ {selection} }}\n    quantize: false")).unwrap();
    assert!(matched.nodes.iter().all(|node| node.quantize));
    (0..VALUES.len()).filter(|&i| !matched.values[i].quantize).map(|i| VALUES[i]).collect()
}

#[test]
fn patterns_pick_names() {
    assert_eq!(float_nodes("node: \"/head/*\""), [2, 3, 4]);
    assert_eq!(float_nodes("node: \"*/Conv\""), [0, 2]);
    assert_eq!(float_nodes("node: \"/conv[0-9]/\""), [0]);
    assert_eq!(float_nodes("node: \"/head/{fc,split}\""), [3, 4]);
    assert_eq!(float_nodes("op_type: Conv"), [0, 2]);
    assert_eq!(float_nodes("op_type: [Conv, Gemm]"), [0, 2, 4, 5]);
    assert_eq!(float_nodes("op_type: \"[CG]*\""), [0, 2, 4, 5]);
    assert_eq!(float_nodes("node: \"/head/*\", op_type: Conv"), [2]);
    assert_eq!(float_values("value: \"?1\""), ["c1", "r1", "h1", "s1"]);
    assert_eq!(float_values("value: \"s2[[]0]\""), ["s2[0]"]);
    assert_eq!(float_values("value: \"*1\", node: \"/head/*\""), ["h1", "s1"]);
    assert_eq!(float_values("value: \"*\", op_type: Gemm"), ["logits", "unnamed"]);
}

#[test]
fn the_last_match_wins_key_by_key() {
    let matched = rules(
        "
  - match: { op_type: Conv }
    activations: { type: int8, symmetric: true }
    weights: { type: uint8 }
    reason: wide
  - match: { value: h1 }
    activations: { calibrator: percentile }
    range: [-1, 1]
  - match: { node: \"/head/*\" }
    activations: { symmetric: false, percentile: 99 }
    weights: { granularity: per_tensor }
  - match: { value: \"?1\" }
    range: [2, 3]
    reason: known
",
    )
    .unwrap();
    let (first, head) = (&matched.nodes[0], &matched.nodes[2]);
    assert_eq!((first.weights.scheme.dtype, first.weights.granularity), (GridType::Uint8, Granularity::PerChannel));
    assert_eq!((head.weights.scheme.dtype, head.weights.granularity), (GridType::Uint8, Granularity::PerTensor));
    assert_eq!((first.reason.as_deref(), matched.nodes[4].reason.as_deref()), (Some("wide"), None));
    assert_eq!(head.activations.calibrator, DEFAULT_CALIBRATOR, "a rule about a value says nothing about its node");
    let (c1, h1) = (&matched.values[1], &matched.values[3]);
    assert_eq!((c1.activations.scheme.to_string().as_str(), c1.range), ("int8 symmetric", Some((2.0, 3.0))));
    assert_eq!((h1.activations.scheme.to_string().as_str(), h1.range), ("int8 asymmetric", Some((2.0, 3.0))));
    assert_eq!(
        h1.activations.calibrator,
        Calibrator::Percentile(99.0),
        "one rule the calibrator, a later one the number"
    );
    assert_eq!((c1.reason.as_deref(), c1.quantize), (Some("known"), true));
    assert_eq!(matched.values[0].activations, ActivationSettings::default());
}

#[test]
fn a_reason_belongs_to_the_rule_that_decides() {
    let matched = rules(
        "
  - match: { op_type: [Conv, Gemm] }
    quantize: false
    reason: too fine
  - match: { node: \"*conv1*\" }
    quantize: true
  - match: { op_type: Gemm }
    weights: { type: uint8 }
    reason: unsigned
  - match: { op_type: Relu }
    quantize: false
",
    )
    .unwrap();
    let said: Vec<_> = matched.nodes.iter().map(|node| (node.quantize, node.reason.as_deref())).collect();
    let relu = (false, Some("the policy's rule on line 12"));
    let fine = (false, Some("too fine"));
    assert_eq!(said, [(true, None), relu, fine, (true, None), fine, fine]);
    assert!(matched.values.iter().all(|value| value.quantize && value.reason.is_none()));
}

#[test]
fn a_rule_that_matches_nothing_names_the_nearest() {
    fails(
        "  - match: { node: \"/haed/*\" }\n    quantize: false",
        3,
        20,
        "no node is called \"/haed/*\"; the nearest in the model: \"/head/fc\", \"/head/split\", \"/head/conv/Conv\"",
    );
    fails(
        "  - match: { op_type: [Conw] }\n    quantize: false",
        3,
        23,
        "no node runs \"Conw\"; the nearest in the model: \"Conv\", \"Gemm\", \"Relu\"",
    );
    fails(
        "  - match: { value: \"s2[0]\" }\n    range: [0, 6]",
        3,
        21,
        "no value is called \"s2[0]\" (in a glob, [ ] is one of several characters; write [[] for a bracket); \
         the nearest in the model: \"s2[0]\", \"s1\", \"c1\"",
    );
    fails(
        "  - match: { op_type: Relu, value: c1 }\n    quantize: false",
        3,
        5,
        "each key of match finds something, but nothing in the model matches all of them",
    );
    let empty = settings("version: 1\nrules:\n  - match: { node: a }\n    quantize: false").unwrap();
    let error = empty.match_model(&[], &[]).unwrap_err().to_string();
    assert_eq!(error, "dir/p.yaml:3:20: no node is called \"a\"; the model has no such names");
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let nothing = "the rule changes nothing; give mode, quantize, activations, weights, range or scale, or remove it";
    fails("  - match: { op_type: Conv }", 3, 5, nothing);
    fails("  - match: { op_type: Conv }\n    activations: {}\n    reason: r", 3, 5, nothing);
    fails(
        "  - match: {}\n    quantize: false",
        3,
        12,
        "match is empty; name a node, an op_type, a value, or the two values of between",
    );
    let no_operator = "op_type names no operator; name one, or remove the key";
    fails("  - match: { op_type: [] }\n    quantize: false", 3, 23, no_operator);
    fails("  - match: { node: \"/(/\" }\n    quantize: false", 3, 20, "\"/(/\" is no regex: unclosed group");
    fails(
        "  - match: { node: \"a[\" }\n    quantize: false",
        3,
        20,
        "\"a[\" is no glob: unclosed character class; missing ']'",
    );
    fails("  - match: { node: \"\" }\n    quantize: false", 3, 20, "a pattern has 1 to 1000 characters; found 0");
    fails(
        "  - match: { node: a }\n    range: [0, 6]",
        4,
        12,
        "a range is for one value; name it with match: { value: ... }",
    );
    fails("  - match: { value: a }\n    range: [6, 6]", 4, 12, "a range goes from low to high; found [6, 6]");
    fails("  - match: { value: a }\n    range: [0, 1e39]", 4, 12, "both ends of a range must be finite in float32");
    fails("  - match: { value: a }\n    range: [.nan, 1]", 4, 12, "both ends of a range must be finite in float32");
    let to_nodes = "weights belong to nodes; match a node or an op_type, without value";
    fails("  - match: { value: a }\n    weights: { type: int8 }", 4, 14, to_nodes);
    let alone = "percentile is only for calibrator: percentile; set that, or remove this";
    fails("  - match: { node: a }\n    activations: { percentile: 99 }", 4, 32, alone);
}

#[test]
fn asymmetric_weights_per_channel_are_refused_wherever_they_come_together() {
    let asymmetric =
        "per_channel weights are symmetric: runtimes need zero point 0; set granularity: per_tensor or symmetric: true";
    fails("  - match: { node: a }\n    weights: { granularity: per_channel, symmetric: false }", 4, 53, asymmetric);
    fails(
        "  - match: { op_type: Gemm }\n    weights: { granularity: per_tensor }\n\
         \x20 - match: { node: \"*c*\" }\n    weights: { symmetric: false }",
        5,
        5,
        &format!("{asymmetric} (for node \"/model/conv1/Conv\", after all rules)"),
    );
    let both = "  - match: { op_type: Gemm }\n    weights: { granularity: per_tensor }\n\
                \x20 - match: { op_type: Gemm }\n    weights: { symmetric: false }";
    assert!(rules(both).is_ok());
}

#[test]
fn patterns_that_would_compile_without_end_are_refused_in_time() {
    for text in ["{".repeat(1000), "{a,".repeat(333), "[a".repeat(500), "*".repeat(1001), "/(\\\\w{100}){100}/".into()]
    {
        assert!(rules(&format!("  - match: {{ node: \"{text}\" }}\n    quantize: false")).is_err(), "{text}");
    }
    let long = rules(&format!("  - match: {{ node: \"{}\" }}\n    quantize: false", "*?".repeat(500)));
    assert!(long.unwrap_err().to_string().starts_with("dir/p.yaml:3:20: no node is called "));
}
