//! Large graphs.

use super::*;
use std::time::{Duration, Instant};

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

/// How long planning and rewriting take: the least of three, because other programs run as well.
fn time(model: &Model, policy: &str) -> Duration {
    let settings = settings(policy);
    let once = || {
        let mut model = model.clone();
        let start = Instant::now();
        let made = plan(&model.graph, &settings, &OnnxRuntimeCpu).expect("a plan");
        let resolved = resolve(&made, &pretended(&made)).expect("grids");
        insert_qdq(&mut model, &made, &resolved).expect("a quantized model");
        start.elapsed()
    };
    (0..3).map(|_| once()).min().expect("three times")
}

/// Regression test of defect 13: rewriting was quadratic in the number of nodes.
#[test]
fn d13_twice_the_layers_take_twice_the_time() {
    // Relus go with the first policy and stay with the second.
    for policy in ["", "activations: { type: int8, symmetric: true }\n"] {
        let (half, whole) = (time(&chain(2500), policy), time(&chain(5000), policy));
        assert!(whole.as_secs_f64() < 3.5 * half.as_secs_f64(), "{policy}: {half:?} and {whole:?}");
    }
}

#[test]
fn d13_twice_the_movements_take_twice_the_time() {
    let (half, whole) = (time(&moves(2500), ""), time(&moves(5000), ""));
    assert!(whole.as_secs_f64() < 3.5 * half.as_secs_f64(), "{half:?} and {whole:?}");
}

#[test]
fn every_node_of_a_long_chain_is_rewritten() {
    let made = quantized_with(chain(500), "", |_, plan| pretended(plan));
    assert_eq!((made.count("Conv"), made.count("QuantizeLinear"), made.count("DequantizeLinear")), (500, 501, 1001));
}
