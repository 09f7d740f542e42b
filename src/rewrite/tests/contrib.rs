//! Weights as operands of ONNX Runtime's own operators.

use super::*;
use crate::qoperators::MICROSOFT;

/// Matrices of each kind, a table, and a layer that none of these operators reads.
fn layers() -> Builder {
    let net = Builder::new(17).input("x", &[3, 40]).noise("wm", &[40, 24], 1).noise("wg", &[10, 24], 2);
    let net = net.node("MatMul", &["x", "wm"], &["m"], vec![]).noise("bg", &[10], 3).noise("wh", &[10, 36], 4);
    let net = net.node("Gemm", &["m", "wg", "bg"], &["g"], vec![int("transB", 1)]).noise("bh", &[3, 36], 5);
    let net = net.node("Gemm", &["g", "wh", "bh"], &["h"], vec![]).noise("table", &[7, 36], 6).ints("rows", &[3]);
    let net = net.ints("ids", &[6, 0, 2]).node("Gather", &["table", "ids"], &["t"], vec![]);
    let net = net.node("Add", &["h", "t"], &["s"], vec![]).ints("picture", &[1, 3, 6, 6]).noise("wc", &[2, 3, 3, 3], 7);
    let net = net.node("Reshape", &["s", "picture"], &["p"], vec![]);
    net.node("Conv", &["p", "wc"], &["y"], vec![]).output("y", &[1, 2, 4, 4])
}

fn stored(weights: &str) -> Made {
    let policy = format!("mode: weight-only\nweights: {{ granularity: per_block, form: contrib, {weights} }}\n");
    quantized_by(&policy, layers())
}

fn found(made: &Made, op_type: &str) -> usize {
    let own = |id: &NodeId| made.graph().node(*id).domain() == MICROSOFT && made.graph().node(*id).op_type() == op_type;
    made.graph().node_ids().filter(own).count()
}

#[test]
fn every_type_is_read_by_its_operator_and_as_near_as_its_steps() {
    for (weights, bound) in [
        ("type: int8, block_size: 16", 38.0),
        ("type: uint8, symmetric: false", 38.0),
        ("type: int4, block_size: 16", 13.0),
        ("type: uint4, symmetric: false, block_size: 64", 13.0),
        ("type: int2, block_size: 16", 0.0),
        ("type: nf4, block_size: 16", 13.0),
        ("type: fp4, block_size: 16", 10.0),
    ] {
        let made = stored(weights);
        let matrices = if weights.contains("f4") || weights.contains("p4") { "MatMulBnb4" } else { "MatMulNBits" };
        assert_eq!(found(&made, matrices), 3, "{weights}: {:?}", made.operators());
        assert!(made.sqnr() > bound, "{weights}: {} dB", made.sqnr());
        assert_eq!((made.model.opset(""), made.model.opset(MICROSOFT)), (Some(17), Some(1)));
        assert!(made.count("Conv") == 1 && made.count("DequantizeLinear") == 0, "{:?}", made.operators());
    }
}

#[test]
fn a_bias_of_the_outputs_is_an_input_and_another_is_added() {
    let made = stored("type: int4");
    let bias = made.named("Gemm_g");
    assert_eq!(made.graph().node(bias).inputs().len(), 6);
    let plain = made.named("Gemm_h");
    assert_eq!(made.graph().node(plain).inputs().len(), 3, "no zero points where all are in the middle");
}

#[test]
fn a_layer_that_no_such_operator_reads_says_so() {
    let made = stored("type: int4");
    let listing = made.plan.listing(made.graph());
    assert!(listing.contains("Conv_y: float: no operator of ONNX Runtime's own domain reads its weight"), "{listing}");
}
