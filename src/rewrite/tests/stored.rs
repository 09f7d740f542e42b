//! Mode `weight-only`: weights as integers, everything else as it was.

use super::*;

/// A net with a layer of each kind that has weights, none of whose sizes is a multiple of the blocks.
fn layers() -> Builder {
    let net = Builder::new(21).input("x", &[1, 5, 6, 6]).noise("wc", &[7, 5, 3, 3], 1).noise("wt", &[7, 3, 2, 2], 2);
    let net = net.node("Conv", &["x", "wc"], &["c"], vec![]).node("Relu", &["c"], &["r"], vec![]);
    let net = net.node("ConvTranspose", &["r", "wt"], &["t"], vec![]).ints("flat", &[1, 3, -1]);
    let net = net.node("Reshape", &["t", "flat"], &["f"], vec![]).noise("wm", &[25, 10], 3).noise("w3", &[1, 10, 9], 4);
    let net = net.node("MatMul", &["f", "wm"], &["m"], vec![]).node("MatMul", &["m", "w3"], &["n"], vec![]);
    let net = net.ints("row", &[3, 9]).node("Reshape", &["n", "row"], &["g"], vec![]).noise("wg", &[6, 9], 5);
    net.node("Gemm", &["g", "wg"], &["y"], vec![int("transB", 1)]).output("y", &[3, 6])
}

fn stored(weights: &str) -> Made {
    quantized_by(&format!("mode: weight-only\nweights: {{ {weights} }}\n"), layers())
}

#[test]
fn every_type_and_granularity_is_as_near_as_its_steps() {
    // What the roundings of five layers in a row leave, in dB.
    for (dtype, symmetric, bound) in [
        ("int8", true, 38.0),
        ("uint8", false, 38.0),
        ("int4", true, 12.0),
        ("int4", false, 12.0),
        ("uint4", false, 12.0),
    ] {
        for granularity in ["per_tensor", "per_channel", "per_block, block_size: 4", "per_block"] {
            for range in ["minmax", "least_error", "hqq"] {
                if range == "hqq" && (symmetric || granularity == "per_tensor") {
                    continue;
                }
                let text = format!("type: {dtype}, symmetric: {symmetric}, granularity: {granularity}, range: {range}");
                let made = stored(&text);
                assert!(made.sqnr() > bound, "{text}: {} dB", made.sqnr());
                let found = made.operators();
                assert_eq!(found.iter().filter(|op| **op == "DequantizeLinear").count(), 5, "{text}: {found:?}");
                assert!(!found.contains(&"QuantizeLinear"), "{text}: {found:?}");
            }
        }
    }
}

#[test]
fn blocks_lie_along_what_is_summed_over() {
    let made = stored("type: int4, granularity: per_block, block_size: 4");
    let shapes =
        [("Conv_c", 1, [7, 2, 3, 3].as_slice()), ("ConvTranspose_t", 0, &[2, 3, 2, 2]), ("MatMul_m", 0, &[7, 10])];
    for (label, axis, scales) in shapes.into_iter().chain([("MatMul_n", 0, &[3, 9][..]), ("Gemm_y", 1, &[6, 3])]) {
        let node = made.named(label);
        let [integers, found, zeros] = made.constant(node, 1);
        assert_eq!((integers.dtype(), zeros.dtype()), (DataType::Int4, DataType::Int4));
        assert_eq!((found.shape(), zeros.shape()), (scales, scales), "{label}");
        let dequantize = made.graph().node(made.producer(made.input(node, 1), "DequantizeLinear"));
        assert_eq!(
            (dequantize.attributes().int("axis"), dequantize.attributes().int("block_size")),
            (Some(axis), Some(4))
        );
    }
}

#[test]
fn blocks_longer_than_any_axis_take_all_of_it() {
    let made = stored("type: int4, granularity: per_block, block_size: 18446744073709551615");
    let dequantize = made.producer(made.input(made.named("MatMul_m"), 1), "DequantizeLinear");
    assert_eq!(made.graph().node(dequantize).attributes().int("block_size"), Some(25));
}

#[test]
fn what_the_policy_keeps_and_what_is_not_constant_stays() {
    let net = Builder::new(21).input("x", &[1, 4]).input("v", &[4, 3]).noise("w", &[4, 4], 1);
    let net = net.node("MatMul", &["x", "w"], &["a"], vec![]).node("MatMul", &["a", "v"], &["y"], vec![]);
    let policy = "mode: weight-only\nrules: [{ match: { node: MatMul_a }, quantize: false, reason: first }]\n";
    let made = quantized_by(policy, net.output("y", &[1, 3]));
    let listing = made.plan.listing(made.graph());
    assert!(
        listing.contains("MatMul_a: float: first") && listing.contains("MatMul_y: float: its weight is not a constant")
    );
    assert_eq!(made.operators(), ["MatMul", "MatMul"]);
}

#[test]
fn a_shared_weight_is_stored_once_and_stays_where_it_is_an_output() {
    let net = Builder::new(21).input("x", &[1, 4]).noise("w", &[4, 4], 1).node("MatMul", &["x", "w"], &["a"], vec![]);
    let net = net.node("MatMul", &["a", "w"], &["b"], vec![]).node("Identity", &["w"], &["o"], vec![]);
    let made = quantized_by("mode: weight-only\n", net.output("b", &[1, 4]).output("o", &[4, 4]));
    let found = made.operators();
    assert_eq!(found.iter().filter(|op| **op == "DequantizeLinear").count(), 1, "{found:?}");
}
