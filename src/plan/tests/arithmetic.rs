//! Arithmetic is integer where integers come in and go out.

use super::*;

#[test]
fn silu_is_integer_with_a_fixed_grid_for_the_sigmoid() {
    let net = start().node("Sigmoid", &["c"], &["s"], vec![]).node("Mul", &["c", "s"], &["m"], vec![]);
    let (nodes, values) = listing(conv(net, "m", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(nodes[1..3], ["Sigmoid Sigmoid_s: integer", "Mul Mul_m: integer"]);
    assert!(values.contains(&"s: uint8 asymmetric, 1/256 a step".to_owned()), "{values:?}");
}

#[test]
fn a_graph_input_straight_into_arithmetic_stays_float() {
    let net =
        Builder::new(13).input("x", &[1, 4, 8, 8]).noise("k", &[8, 8], 1).node("Add", &["x", "k"], &["a"], vec![]);
    let (nodes, values) = listing(conv(net, "a", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(nodes[0], "Add Add_a: float: none of its inputs is quantized for another node");
    assert_eq!(values.iter().map(|v| &v[..2]).collect::<Vec<_>>(), ["a:", "y:"]);
}

#[test]
fn a_constant_operand_takes_the_type_of_activations() {
    let net = start().noise("k", &[8, 8], 1).node("Mul", &["c", "k"], &["m"], vec![]);
    let (nodes, _) = listing(conv(net, "m", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(nodes[1], "Mul Mul_m: integer, constant uint8 asymmetric per tensor");
}

#[test]
fn arithmetic_that_only_float_reads_stays_float() {
    let net = conv(start(), "x", "d");
    let net =
        net.node("Add", &["c", "d"], &["a"], vec![]).node("Exp", &["a"], &["y"], vec![]).output("y", &[1, 4, 8, 8]);
    let (nodes, values) = listing(net);
    assert_eq!(
        nodes[2..],
        [
            "Add Add_a: float: no integer node reads its output",
            "Exp Exp_y: float: onnxruntime has no integer kernel for it"
        ]
    );
    assert_eq!(values.len(), 3);
}

#[test]
fn a_matmul_of_two_activations_is_integer() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 6])
        .noise("q", &[6, 6], 1)
        .noise("k", &[6, 6], 2)
        .node("MatMul", &["x", "q"], &["a"], vec![])
        .node("MatMul", &["x", "k"], &["b"], vec![])
        .node("Transpose", &["b"], &["t"], vec![ints("perm", &[0, 2, 1])])
        .node("MatMul", &["a", "t"], &["s"], vec![])
        .node("Softmax", &["s"], &["p"], vec![])
        .node("MatMul", &["p", "b"], &["y"], vec![])
        .output("y", &[1, 4, 6]);
    let (nodes, values) = listing(net);
    assert_eq!(nodes[3], "MatMul MatMul_s: integer, float output");
    assert_eq!(nodes[4], "Softmax Softmax_p: float: Softmax needs more than eight bits in its input");
    assert_eq!(nodes[5], "MatMul MatMul_y: integer, float output");
    assert!(values.contains(&"p: uint8 asymmetric, 1/256 a step".to_owned()), "{values:?}");
}

#[test]
fn the_bias_of_a_matmul_lies_in_the_add_behind_it() {
    let net = Builder::new(13)
        .input("x", &[1, 4, 6])
        .noise("w", &[6, 5], 1)
        .noise("b", &[5], 2)
        .node("MatMul", &["x", "w"], &["m"], vec![])
        .node("Add", &["b", "m"], &["y"], vec![])
        .output("y", &[1, 4, 5]);
    let (nodes, values) = listing(net);
    assert_eq!(nodes[0], format!("MatMul MatMul_m: {WEIGHT} 1, bias int32, float output"));
    assert_eq!(nodes[1], "Add Add_y: float: no integer node reads its output");
    assert_eq!(values.len(), 1);
}
