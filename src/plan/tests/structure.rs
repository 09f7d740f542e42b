//! What a graph is made of decides about nodes that could be either.

use super::*;
use crate::patterns::tests::spelled;

const RESIDUAL: &str = "it feeds a normalization, which needs more than eight bits";

/// A sum of the input and a layer, read by a normalization, spelled out or not, and by a layer: integers would pay.
fn residual(whole: bool) -> Builder {
    let net = Builder::new(if whole { 17 } else { 13 }).input("x", &[1, 4, 6]).noise("w", &[6, 6], 1);
    let net = net.noise("scale", &[6], 2).noise("bias", &[6], 3).noise("v", &[6, 6], 4).noise("u", &[6, 6], 5);
    let net = spelled(net, &["m = MatMul x w", "r = Add x m", "z = MatMul r u"]).output("z", &[1, 4, 6]);
    let net = if whole {
        net.node("LayerNormalization", &["r", "scale", "bias"], &["n"], vec![int("axis", -1)])
    } else {
        let lines = [
            "mean = ReduceMean r axes=-1",
            "d = Sub r mean",
            "p = Pow d 2",
            "variance = ReduceMean p axes=-1",
            "e = Add variance 0.00001",
            "s = Sqrt e",
            "q = Div d s",
            "g = Mul q scale",
            "n = Add g bias",
        ];
        spelled(net, &lines)
    };
    net.node("MatMul", &["n", "v"], &["y"], vec![]).output("y", &[1, 4, 6])
}

#[test]
fn a_sum_before_a_normalization_stays_float() {
    for whole in [true, false] {
        let (nodes, values) = listing(residual(whole));
        assert!(nodes.contains(&format!("Add Add_r: float: {RESIDUAL}")), "{nodes:?}");
        // The layer that reads it still does so on a grid.
        assert!(values.iter().any(|v| v.starts_with("r: uint8")), "{values:?}");
    }
}

#[test]
fn a_sum_that_no_normalization_reads_is_integer() {
    let net = Builder::new(17).input("x", &[1, 4, 6]).noise("w", &[6, 6], 1);
    let net = spelled(net, &["m = MatMul x w", "r = Add x m", "y = MatMul r w"]).output("y", &[1, 4, 6]);
    assert_eq!(listing(net).0[1], "Add Add_r: integer");
}

#[test]
fn a_policy_that_insists_outweighs_what_was_found() {
    let policy = "rules:\n  - match: { node: Add_r }\n    quantize: true\n";
    assert!(listing_by(policy, residual(true)).0.contains(&"Add Add_r: integer".to_owned()));
    let policy = "rules:\n  - match: { op_type: [Add, Mul] }\n    quantize: true\n";
    let (nodes, _) = listing_by(policy, gelu());
    assert!(nodes.iter().any(|n| n.starts_with("Mul Mul_h: integer")), "{nodes:?}");
    assert!(nodes.iter().any(|n| n.starts_with("Erf ") && n.contains("part of a Gelu")), "{nodes:?}");
}

/// Gelu spelled out between two layers.
fn gelu() -> Builder {
    let net = Builder::new(13).input("x", &[1, 4, 6]).noise("w", &[6, 6], 1).noise("v", &[6, 6], 2);
    let lines = ["m = MatMul x w", "d = Div m 1.4142135", "f = Erf d", "o = Add f 1", "p = Mul m o", "h = Mul p 0.5"];
    spelled(net, &lines).node("MatMul", &["h", "v"], &["y"], vec![]).output("y", &[1, 4, 6])
}

#[test]
fn the_parts_of_a_gelu_stay_float() {
    let (nodes, values) = listing(gelu());
    let parts = nodes.iter().filter(|n| n.ends_with(": float: it is part of a Gelu, which is computed in float"));
    assert_eq!(parts.count(), 5, "{nodes:?}");
    assert_eq!(values, ["x", "h"].map(|v| format!("{v}: uint8 asymmetric, range by mse")));
}

/// Attention of `x` to itself, with a mask that the caller feeds as ones and zeros.
fn attention() -> Builder {
    let net = Builder::new(13).input("x", &[1, 4, 6]).input("ones", &[1, 1, 4]).noise("w", &[6, 6], 1);
    let net = net.noise("k", &[6, 6], 2).node("MatMul", &["x", "w"], &["q"], vec![]);
    let net = net.node("MatMul", &["x", "k"], &["l"], vec![]);
    let net = net.node("Transpose", &["l"], &["t"], vec![ints("perm", &[0, 2, 1])]);
    let lines = [
        "s = MatMul q t",
        "i = Sub 1 ones",
        "mask = Mul i -340000000000000000000000000000000000000",
        "a = Add s mask",
        "p = Softmax a axis=-1",
        "y = MatMul p l",
    ];
    spelled(net, &lines).output("y", &[1, 4, 6])
}

#[test]
fn what_makes_a_mask_and_what_it_is_added_to_stay_float() {
    let (nodes, values) = listing(attention());
    for node in ["Sub Sub_i", "Mul Mul_mask", "Add Add_a"] {
        assert!(nodes.contains(&format!("{node}: float: it makes an attention mask")), "{nodes:?}");
    }
    assert!(values.iter().all(|v| !v.starts_with("mask:") && !v.starts_with("a:")), "{values:?}");
    assert_eq!(nodes.iter().filter(|n| n.starts_with("MatMul ") && n.contains(": integer")).count(), 4, "{nodes:?}");
}

/// What the listing says of the structure.
fn structure(builder: Builder) -> Vec<String> {
    let (model, made) = planned(builder, &Settings::default());
    let text = made.listing(&model.graph);
    let lines = text.lines().skip_while(|l| *l != "# structure").skip(1);
    lines.take_while(|l| !l.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_listing_begins_with_what_was_found() {
    let transformer = |n, m| {
        format!("transformer: {n} attention, {m} normalizations; sums before a normalization and masks stay float")
    };
    assert_eq!(structure(attention()), [transformer(1, 0)]);
    assert_eq!(structure(residual(true)), [transformer(0, 1)]);
    assert_eq!(structure(residual(false)), [transformer(0, 1)]);
    let convolutional = "convolutional: 2 convolutions; sums and gates between them run on integers";
    let two = || conv(start(), "c", "y").output("y", &[1, 4, 8, 8]);
    assert_eq!(structure(two()), [convolutional]);
    let head = two().node("Concat", &["c", "y"], &["z"], vec![int("axis", 1)]).output("z", &[1, 8, 8, 8]);
    assert_eq!(structure(head), [convolutional, "head: 1 joins behind the last layers stay float"]);
    let layers =
        Builder::new(13).input("x", &[1, 4]).noise("w", &[4, 4], 1).node("MatMul", &["x", "w"], &["y"], vec![]);
    assert_eq!(structure(layers.output("y", &[1, 4])), ["layers: no convolution, no attention"]);
}
