//! ONNX Runtime 1.31.1 does not load int8 activations at opset 21 where what moves them is read in float, unless the pair that
//! it would write behind the movement is there.

use super::*;
use crate::ir::build::ints;

/// A Conv, what moves its output to float readers, one behind the other, and that output.
fn moved(opset: i64, policy: &str) -> Made {
    let pool = vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let net = Builder::new(opset).input("x", &[1, 4, 8, 8]).noise("w", &[4, 4, 3, 3], 1);
    let net = net.node("Conv", &["x", "w"], &["c"], vec![ints("pads", &[1, 1, 1, 1])]);
    let net = net.node("MaxPool", &["c"], &["p"], pool).node("Transpose", &["p"], &["t"], vec![]);
    let net = net.node("Exp", &["t"], &["y"], vec![]).node("Abs", &["p"], &["z"], vec![]);
    quantized_by(policy, net.output("y", &[4, 4, 4, 1]).output("z", &[1, 4, 4, 4]).output("t", &[4, 4, 4, 1]))
}

#[test]
fn what_moves_int8_and_is_read_in_float_has_the_pair_that_the_runtime_would_write() {
    let made = moved(21, "activations: { type: int8 }\n");
    for op_type in ["MaxPool", "Transpose"] {
        let id = made.the(op_type);
        let graph = made.graph();
        let readers: Vec<_> = graph.value(graph.node(id).output(0).expect("an output")).readers().collect();
        let [(reader, _)] = readers.as_slice() else { panic!("{op_type} has {} readers", readers.len()) };
        assert!(graph.node(*reader).is("QuantizeLinear"), "{op_type}");
        // The same initializers: the numbers are on that grid already.
        let before = graph.value(made.input(id, 0)).producer().expect("a pair");
        assert_eq!(graph.node(*reader).inputs()[1..], graph.node(before).inputs()[1..]);
    }
    made.producer(made.value("t"), "DequantizeLinear");
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn there_is_none_where_the_runtime_does_without() {
    // The Conv's input and output.
    for (opset, policy) in [(17, "activations: { type: int8 }\n"), (21, ""), (21, "activations: { type: int16 }\n")] {
        assert_eq!(moved(opset, policy).count("QuantizeLinear"), 2, "opset {opset}, {policy}");
    }
}
