//! Mode `dynamic`: integers on grids that each run finds anew, and bodies.

use super::*;
use crate::ir::build::{body, ints};
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};

fn dynamic(weights: &str, net: Builder) -> Made {
    quantized_by(&format!("mode: dynamic\nweights: {{ {weights} }}\n"), net)
}

/// A layer of each kind: two that read the same, and one without an integer form.
fn layers() -> Builder {
    let net = Builder::new(13).input("x", &[1, 5, 6, 6]).noise("wc", &[7, 5, 3, 3], 1).noise("bc", &[7], 9);
    let net = net.node("Conv", &["x", "wc", "bc"], &["c"], vec![]).node("Relu", &["c"], &["r"], vec![]);
    let net = net.noise("wt", &[7, 3, 2, 2], 2).node("ConvTranspose", &["r", "wt"], &["t"], vec![]);
    let net = net.ints("flat", &[3, 25]).node("Reshape", &["t", "flat"], &["f"], vec![]);
    let net = net.noise("wg", &[10, 25], 3).noise("bg", &[10], 4);
    let net = net.node("Gemm", &["f", "wg", "bg"], &["g"], vec![int("transB", 1)]);
    let net = net.noise("wm", &[25, 10], 5).node("MatMul", &["f", "wm"], &["m"], vec![]);
    net.node("Add", &["g", "m"], &["y"], vec![]).output("y", &[3, 10])
}

#[test]
fn every_type_and_granularity_is_as_near_as_its_steps() {
    for dtype in ["int8", "uint8"] {
        for rest in ["granularity: per_tensor", "granularity: per_tensor, symmetric: false", "range: minmax"] {
            let made = dynamic(&format!("type: {dtype}, {rest}"), layers());
            assert!(made.sqnr() > 33.0, "{dtype}, {rest}: {} dB", made.sqnr());
            let counts = ["DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DequantizeLinear"];
            // What two layers read is quantized once; the transposed convolution computes in float.
            assert_eq!(counts.map(|op| made.count(op)), [2, 1, 2, 1], "{:?}", made.operators());
            assert_eq!(["Conv", "Gemm", "MatMul"].map(|op| made.count(op)), [0; 3]);
        }
    }
}

#[test]
fn what_runtimes_make_one_node_of_stands_in_their_order() {
    let made = dynamic("type: int8", layers());
    let product = made.named("MatMul_m");
    let output = made.graph().node(product).output(0).expect("an output");
    let [Use::Input { node: cast, slot: 0 }] = made.graph().value(output).uses() else { panic!("not one reader") };
    assert!(made.graph().node(*cast).is("Cast"));
    let float = made.graph().node(*cast).output(0).expect("an output");
    let [Use::Input { node: scaled, slot: 0 }] = made.graph().value(float).uses() else { panic!("not one reader") };
    let scale = made.producer(made.input(*scaled, 1), "Mul");
    let quantize = made.producer(made.input(product, 0), "DynamicQuantizeLinear");
    assert_eq!(made.graph().node(quantize).output(1), made.graph().node(scale).input(0));
    assert_eq!(made.graph().node(quantize).output(2), made.graph().node(product).input(2));
    // The zero point of symmetric int8 weights is left out; that of uint8 is one number.
    assert_eq!(made.graph().node(product).input(3), None);
    let made = dynamic("type: uint8", layers());
    let zero = made.input(made.named("Conv_c"), 3);
    let zero = made.graph().constant(zero).expect("a tensor").expect("a constant");
    assert_eq!((zero.shape(), zero.bytes().as_ref()), (&[][..], &[128][..]));
}

#[test]
fn scales_lie_along_the_channels() {
    let made = dynamic("type: int8", layers());
    let shape = |label: &str| {
        let product = made.named(label);
        let cast = made.graph().value(made.graph().node(product).output(0).expect("one")).uses()[0];
        let Use::Input { node: cast, .. } = cast else { panic!("no reader") };
        let Use::Input { node, .. } = made.graph().value(made.graph().node(cast).output(0).expect("one")).uses()[0]
        else {
            panic!("no reader")
        };
        let scale = made.input(made.producer(made.input(node, 1), "Mul"), 1);
        made.graph().constant(scale).expect("a tensor").expect("a constant").shape().to_vec()
    };
    assert_eq!((shape("Conv_c"), shape("Gemm_g"), shape("MatMul_m")), (vec![7, 1, 1], vec![10], vec![10]));
}

#[test]
fn tables_and_recurrent_weights_are_stored() {
    let net = || {
        let net = Builder::new(14).input("x", &[3, 1, 4]).noise("w", &[1, 20, 4], 1).noise("r", &[1, 20, 5], 2);
        let net = net.node("LSTM", &["x", "w", "r"], &["s", "h"], vec![int("hidden_size", 5)]);
        net.ints("flat", &[1, 5]).node("Reshape", &["h", "flat"], &["y"], vec![]).output("y", &[1, 5])
    };
    for mode in ["dynamic", "weight-only"] {
        let made = quantized_by(&format!("mode: {mode}\n"), net());
        let lstm = made.the("LSTM");
        for slot in [1, 2] {
            let [integers, scales, _] = made.constant(lstm, slot);
            assert_eq!((integers.dtype(), scales.shape()), (DataType::Int8, &[20][..]), "{mode}");
        }
        assert!(made.sqnr() > 30.0, "{mode}: {} dB", made.sqnr());
    }
}

#[test]
fn a_signal_stays_float_unless_a_rule_insists() {
    let net = || {
        let net = Builder::new(13).input("x", &[1, 3, 16]).noise("w", &[4, 3, 3], 1);
        net.node("Conv", &["x", "w"], &["y"], vec![]).output("y", &[1, 4, 14])
    };
    let made = dynamic("type: int8", net());
    assert_eq!(made.operators(), ["Conv"]);
    assert!(made.plan.listing(made.graph()).contains("Conv_y: float: it slides along a signal"));
    let made = quantized_by("mode: dynamic\nrules: [{ match: { op_type: Conv }, quantize: true }]\n", net());
    assert_eq!((made.count("ConvInteger"), made.count("Conv")), (1, 0));
    assert!(made.sqnr() > 30.0, "{} dB", made.sqnr());
}

#[test]
fn a_static_layer_behind_a_dynamic_one_reads_through_a_pair() {
    let net = conv(start(), "c", "y").output("y", &[1, 4, 8, 8]);
    let policy = "activations: { calibrator: minmax }\nrules: [{ match: { node: Conv_c }, mode: dynamic }]\n";
    let made = quantized_by(policy, net);
    let counts = ["ConvInteger", "Conv", "QuantizeLinear", "DynamicQuantizeLinear"];
    assert_eq!(counts.map(|op| made.count(op)), [1, 1, 2, 1], "{:?}", made.operators());
    made.activation(made.the("Conv"), 0);
    assert!(made.sqnr() > 30.0, "{} dB", made.sqnr());
}

/// An If whose branches multiply `x` by a constant of the graph around, and by one that they compute.
fn branches() -> Builder {
    branches_of(6)
}

pub fn branches_of(size: usize) -> Builder {
    let turn = NodeProto { attribute: vec![ints("perm", &[1, 0])], ..node("Transpose", &["w"], "turned") };
    choice(size, vec![node("MatMul", &["x", "w"], "a")], vec![turn, node("MatMul", &["x", "turned"], "b")])
}

/// An If whose branches multiply `x` by the same constant.
fn twins(size: usize) -> Builder {
    choice(
        size,
        vec![node("MatMul", &["x", "w"], "a")],
        vec![node("Neg", &["x"], "n"), node("MatMul", &["n", "w"], "b")],
    )
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: Some(format!("{op_type}_{output}")),
        op_type: Some(op_type.to_owned()),
        input: inputs.iter().map(|n| (*n).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// An If of two branches, which make `a` and `b` of `x` and a square matrix `w` of the graph around.
fn choice(size: usize, then: Vec<NodeProto>, otherwise: Vec<NodeProto>) -> Builder {
    let graph = |nodes: Vec<NodeProto>, output: &str| GraphProto {
        name: Some("body".to_owned()),
        node: nodes,
        output: vec![ValueInfoProto { name: Some(output.to_owned()), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let (then, otherwise) = (graph(then, "a"), graph(otherwise, "b"));
    let dims = [2, size as i64];
    let net = Builder::new(13).input("x", &dims).noise("w", &[size, size], 1);
    let flag = Tensor::new(DataType::Bool, vec![], vec![0].into()).expect("a bool");
    // Computed, so that no branch can be taken beforehand.
    let net = net.constant("zero", &flag).node("Shape", &["x"], &["s"], vec![]).ints("two", &dims);
    let net = net.node("Equal", &["s", "two"], &["same"], vec![]).ints("first", &[0]);
    let net = net.node("Cast", &["same"], &["counted"], vec![int("to", 7)]);
    let net = net.node("ReduceMax", &["counted"], &["any"], vec![int("keepdims", 0)]);
    let net = net.node("Cast", &["any"], &["flag"], vec![int("to", 9)]);
    let bodies = vec![body("then_branch", then), body("else_branch", otherwise)];
    net.node("If", &["flag"], &["y"], bodies).output("y", &dims)
}

#[test]
fn layers_in_bodies_run_on_integers_of_weights_from_around() {
    let made = dynamic("type: int8", branches());
    let graph = made.graph();
    let choice = made.the("If");
    for index in 0..2 {
        let inside = graph.body(choice, index).expect("a body");
        let count = |op: &str| inside.node_ids().filter(|&id| inside.node(id).is(op)).count();
        assert_eq!(["MatMulInteger", "DynamicQuantizeLinear", "MatMul", "Transpose"].map(count), [1, 1, 0, 0]);
    }
    // The weight that both read is no constant of the graph around any more.
    assert!(graph.find("w").is_none_or(|w| graph.value(w).uses().is_empty()));
    assert!(made.sqnr() > 35.0, "{} dB", made.sqnr());
    let listing = made.plan.listing(graph);
    assert_eq!(listing.matches("integer on grids of each run").count(), 2, "{listing}");
}

#[test]
fn rules_reach_into_bodies_and_static_layers_there_stay() {
    let policy = "mode: dynamic\nrules:\n- { match: { node: MatMul_a }, mode: weight-only }\n\
                  - { match: { node: MatMul_b }, mode: static }\n";
    let made = quantized_by(policy, branches());
    let listing = made.plan.listing(made.graph());
    assert!(listing.contains("MatMul_a: float, weight int8"), "{listing}");
    assert!(listing.contains("MatMul_b: float: it lies in a body, whose values are not observed"), "{listing}");
    assert!(made.sqnr() > 35.0);
}

#[test]
fn bodies_that_have_a_constant_alike_read_one_from_around() {
    let made = quantized_by("mode: weight-only\nweights: { granularity: per_tensor }\n", branches_of(40));
    let graph = made.graph();
    // Both branches multiply by the same matrix, the one as it is and the other turned: only one of them is as it was.
    let made_again = quantized_by("mode: weight-only\nweights: { granularity: per_tensor }\n", twins(40));
    let shared = |graph: &Graph| graph.value_ids().filter(|&v| graph.value(v).name().ends_with("_shared")).count();
    assert_eq!((shared(graph), shared(made_again.graph())), (0, 1));
    let inside = made_again.graph().body(made_again.the("If"), 1).expect("a body");
    let large = inside.value_ids().filter_map(|v| inside.constant(v).ok().flatten()).map(|t| t.bytes().len()).max();
    assert!(large.is_none_or(|bytes| bytes < 1024));
    assert!(made_again.sqnr() > 30.0, "{} dB", made_again.sqnr());
}
