//! Large graphs.

use super::*;

/// A chain of Convs and Relus.
fn chain(length: usize) -> Model {
    let mut net = Builder::new(13).input("v0", &[1, 1, 1, 1]);
    for i in 0..length {
        let [from, w, c, to] = [format!("v{i}"), format!("w{i}"), format!("c{i}"), format!("v{}", i + 1)];
        net = net.floats(&w, &[1, 1, 1, 1], &[0.5]).node("Conv", &[&from, &w], &[&c], vec![]);
        net = net.node("Relu", &[&c], &[&to], vec![]);
    }
    net.output(&format!("v{length}"), &[1, 1, 1, 1]).build()
}

/// A chain of Transposes between two Convs: one grid for all.
fn moves(length: usize) -> Model {
    let mut net = Builder::new(13).input("x", &[1, 1, 1, 1]).floats("w", &[1, 1, 1, 1], &[0.5]);
    net = net.node("Conv", &["x", "w"], &["v0"], vec![]);
    for i in 0..length {
        net = net.node("Transpose", &[&format!("v{i}")], &[&format!("v{}", i + 1)], vec![]);
    }
    net.node("Conv", &[&format!("v{length}"), "w"], &["y"], vec![]).output("y", &[1, 1, 1, 1]).build()
}

/// Regression test of defect 13, rewriting that is quadratic in the number of nodes: at this length it would take minutes.
#[test]
fn d13_a_chain_of_ten_thousand_layers_is_rewritten() {
    // Relus go with the first policy and stay with the second.
    for policy in ["", "activations: { type: int8, symmetric: true }\n"] {
        let made = quantized_with(chain(10_000), policy, |_, plan| pretended(plan));
        assert_eq!(made.count("Conv"), 10_000, "{policy}");
    }
}

#[test]
fn d13_ten_thousand_movements_share_one_grid() {
    let made = quantized_with(moves(10_000), "", |_, plan| pretended(plan));
    assert_eq!(made.count("QuantizeLinear"), 10_003);
}

#[test]
fn every_node_of_a_long_chain_is_rewritten() {
    let made = quantized_with(chain(500), "", |_, plan| pretended(plan));
    assert_eq!((made.count("Conv"), made.count("QuantizeLinear"), made.count("DequantizeLinear")), (500, 501, 1001));
}
