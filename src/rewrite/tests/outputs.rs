//! Graph outputs, and what bodies read, keep their names. `Made::check` compares names, order and types for every net.

use super::*;
use crate::ir::build::body;

#[test]
fn an_output_that_is_also_read_inside_passes_through_its_pair() {
    let made = quantized(conv(start(), "c", "y").output("c", &[1, 4, 8, 8]).output("y", &[1, 4, 8, 8]));
    let dequantize = made.producer(made.value("c"), "DequantizeLinear");
    assert_eq!(made.input(made.named("Conv_y"), 0), made.value("c"));
    let quantize = made.producer(made.input(dequantize, 0), "QuantizeLinear");
    made.producer(made.input(quantize, 0), "Conv");
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn an_output_of_a_relu_keeps_its_name() {
    let net = start().node("Relu", &["c"], &["r"], vec![]).output("r", &[1, 4, 8, 8]);
    let made = quantized(net);
    made.producer(made.value("r"), "DequantizeLinear");
    assert_eq!(made.count("Relu"), 0);
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
    let signed = quantized_by(
        "activations: { type: int8, symmetric: true }\n",
        start().node("Relu", &["c"], &["r"], vec![]).output("r", &[1, 4, 8, 8]),
    );
    assert_eq!(signed.count("Relu"), 1);
}

#[test]
fn an_output_between_a_conv_and_its_relu_is_not_clamped() {
    let net = start().node("Relu", &["c"], &["r"], vec![]).output("c", &[1, 4, 8, 8]);
    let made = quantized(conv(net, "r", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(made.count("Relu"), 1);
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

#[test]
fn a_value_that_two_outputs_and_a_movement_name_stays_each() {
    let net =
        start().ints("shape", &[1, 256]).noise("w", &[256, 4], 3).node("Reshape", &["c", "shape"], &["f"], vec![]);
    let net = net.node("Gemm", &["f", "w"], &["y"], vec![]);
    let made = quantized(net.output("y", &[1, 4]).output("f", &[1, 256]).output("c", &[1, 4, 8, 8]));
    assert!(made.sqnr() > 30.0, "{}", made.sqnr());
}

/// Not run: tract fails at an input that is an output.
#[test]
fn an_input_that_is_also_an_output_stays() {
    let net = start().output("c", &[1, 4, 8, 8]).output("x", &[1, 4, 8, 8]);
    let made = quantized_with(net.build(), "", |_, plan| pretended(plan));
    assert_eq!(made.graph().inputs().collect::<Vec<_>>(), made.graph().outputs().skip(1).collect::<Vec<_>>());
}

/// An If whose branches read `c`, `r` or nothing of the graph around them.
fn branching(captured: &str) -> Builder {
    let branch = |op_type: &str, y: &str| {
        let mut graph = Builder::new(13).node(op_type, &[captured], &[y], vec![]).proto().graph.expect("a graph");
        let output = Builder::new(13).output(y, &[1, 4, 8, 8]).proto().graph.expect("a graph").output;
        graph.output = output;
        graph
    };
    let condition = Tensor::new(DataType::Bool, vec![], bytes::Bytes::from_static(&[1])).expect("a bool");
    let net = start().constant("condition", &condition).node("Relu", &["c"], &["r"], vec![]);
    let branches = vec![body("then_branch", branch("Neg", "then_out")), body("else_branch", branch("Abs", "else_out"))];
    let net = conv(net, "r", "y").node("If", &["condition"], &["z"], branches);
    net.output("y", &[1, 4, 8, 8]).output("z", &[1, 4, 8, 8])
}

#[test]
fn what_a_body_reads_keeps_its_name_and_passes_through_its_pair() {
    let made = quantized_with(branching("r").build(), "", |_, plan| pretended(plan));
    let r = made.value("r");
    made.producer(r, "DequantizeLinear");
    assert!(made.graph().value(r).is_captured());
    assert_eq!(made.input(made.named("Conv_y"), 0), r);
}

#[test]
fn a_relu_whose_input_a_body_reads_is_not_taken_into_the_conv() {
    let made = quantized_with(branching("c").build(), "", |_, plan| pretended(plan));
    assert_eq!(made.count("Relu"), 1);
    // Nothing integer reads it but the body, and it still goes by its name.
    assert!(made.graph().value(made.value("c")).is_captured());
}

#[test]
fn an_output_of_a_float_node_stays_float() {
    let net = conv(start(), "c", "d").node("Exp", &["d"], &["e"], vec![]);
    let made = quantized(conv(net, "e", "y").output("e", &[1, 4, 8, 8]).output("y", &[1, 4, 8, 8]));
    made.producer(made.value("e"), "Exp");
}
