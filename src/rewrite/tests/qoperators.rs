//! The operator form: operators on integers in the place of DequantizeLinear, float operator and QuantizeLinear.

use super::*;
use crate::ir::build::{float, ints};
use std::collections::BTreeMap;

/// The same net in both forms, and what has no operator on integers.
struct Both {
    qdq: Made,
    model: Model,
    kept: Vec<Kept>,
}

fn both_by(policy: &str, builder: Builder) -> Both {
    let qdq = quantized_by(policy, builder);
    let mut model = qdq.model.clone();
    let kept = to_qoperators(&mut model, &qdq.plan).expect("sound constants");
    model.graph.verify().expect("a sound graph");
    let both = Both { qdq, model, kept };
    both.check();
    both
}

fn both(builder: Builder) -> Both {
    both_by("activations: { calibrator: minmax }\n", builder)
}

impl Both {
    fn operators(&self) -> Vec<&str> {
        let order = self.model.graph.topological().expect("no circle");
        order.into_iter().map(|id| self.model.graph.node(id).op_type()).collect()
    }

    /// What holds for every model: it computes what its QDQ form computes, and was foreseen.
    fn check(&self) {
        let executor = Tract::default();
        for seed in 30..33 {
            let run = |model: &Model| {
                let session = Session::new(&executor, model, vec![]).expect("a model");
                session.run(&feeds(&self.qdq.original, seed), &mut |_, _, _| {}).expect("a model that tract runs")
            };
            for (qdq, made) in run(&self.qdq.model).iter().zip(run(&self.model)) {
                let (qdq, made) = (qdq.to_f32().expect("numbers"), made.to_f32().expect("numbers"));
                let largest = qdq.iter().fold(0f32, |most, v| most.max(v.abs()));
                let apart = qdq.iter().zip(made.iter()).filter(|(a, b)| (**a - **b).abs() > largest * 1e-6).count();
                assert!(apart * 50 <= qdq.len(), "{apart} of {} differ: {:?}", qdq.len(), self.operators());
            }
        }
        let mut original = self.qdq.original.clone();
        prepare(&mut original, &executor, &Options::default()).expect("a model that can be prepared");
        let (mut foreseen, mut found) = (BTreeMap::new(), BTreeMap::new());
        for (node, written) in forecast(&original.graph, &self.qdq.plan) {
            match written {
                Written::As(op_type) => *foreseen.entry(op_type).or_insert(0) += 1,
                Written::Moving => {}
                Written::Kept(why) => {
                    assert!(self.kept.iter().any(|k| k.node == node.name && k.reason == why), "{}: {why}", node.name);
                }
            }
        }
        for op_type in self.operators().into_iter().filter(|op| op.starts_with('Q') || op.ends_with("ToFloat")) {
            if !["QuantizeLinear", "QLinearSoftmax"].contains(&op_type) {
                *found.entry(op_type).or_insert(0) += 1;
            }
        }
        assert_eq!(foreseen, found);
    }
}

#[test]
fn a_layer_with_bias_is_one_operator_on_integers() {
    let made = both(conv(start(), "c", "y").output("y", &[1, 4, 8, 8]));
    assert_eq!(made.operators(), ["QuantizeLinear", "QLinearConv", "QLinearConv", "DequantizeLinear"]);
    assert_eq!(made.kept, []);
    let graph = &made.model.graph;
    let layers = graph.node_ids().filter(|&id| graph.node(id).is("QLinearConv"));
    for layer in layers {
        let stored = |slot| graph.constant(graph.node(layer).input(slot).expect("an input")).expect("a tensor");
        let [x, w, bias] = [1, 4, 8].map(|slot| stored(slot).expect("a constant"));
        assert_eq!((x.len(), w.shape(), bias.dtype(), bias.shape()), (1, &[4][..], DataType::Int32, &[4][..]));
    }
    assert_eq!(made.model.opset("com.microsoft"), None, "both are ONNX's own");
}

#[test]
fn each_operator_of_the_table_is_written() {
    let net = start()
        .node("Sigmoid", &["c"], &["s"], vec![])
        .node("Mul", &["c", "s"], &["m"], vec![])
        .node("LeakyRelu", &["m"], &["l"], vec![float("alpha", 0.2)])
        .node("AveragePool", &["l"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .noise("k", &[1, 4, 1, 1], 5)
        .node("Add", &["p", "k"], &["a"], vec![])
        .node("Concat", &["a", "p"], &["j"], vec![int("axis", 2)])
        .floats("zero", &[], &[0.0])
        .node("MaxPool", &["j"], &["n"], vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])])
        .node("Greater", &["n", "zero"], &["b"], vec![])
        .node("Where", &["b", "n", "j"], &["v"], vec![])
        .node("GlobalAveragePool", &["v"], &["g"], vec![])
        .node("Flatten", &["g"], &["f"], vec![])
        .noise("w", &[3, 4], 8)
        .noise("h", &[3], 9)
        .node("Gemm", &["f", "w", "h"], &["q"], vec![int("transB", 1)])
        .noise("u", &[3, 3], 10)
        .node("MatMul", &["q", "u"], &["t"], vec![])
        .noise("o", &[3, 2], 11)
        .noise("d", &[2], 12)
        .node("MatMul", &["t", "o"], &["r"], vec![])
        .node("Add", &["r", "d"], &["y"], vec![]);
    let made = both(net.output("y", &[1, 2]));
    let mut operators = made.operators();
    operators.sort_unstable();
    operators.dedup();
    let expected = [
        "DequantizeLinear",
        "Flatten",
        "Greater",
        "MatMulIntegerToFloat",
        "MaxPool",
        "QGemm",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMatMul",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearWhere",
        "QuantizeLinear",
    ];
    assert_eq!((operators.as_slice(), made.kept.as_slice()), (&expected[..], &[][..]));
    assert_eq!(made.model.opset("com.microsoft"), Some(1));
}

#[test]
fn a_softmax_between_integers_counts_its_axis_as_the_model_does() {
    let net = start().node("Softmax", &["c"], &["s"], vec![int("axis", 3)]);
    let made = both(conv(net, "s", "y").output("y", &[1, 4, 8, 8]));
    let graph = &made.model.graph;
    let softmax = graph.node_ids().find(|&id| graph.node(id).op_type() == "QLinearSoftmax").expect("a softmax");
    assert_eq!(graph.node(softmax).attributes().int("opset"), Some(13));
}

#[test]
fn zeros_that_are_padded_are_the_zero_point() {
    let net = start().ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1]).node("Pad", &["c", "pads"], &["p"], vec![]);
    let net = net.node("Transpose", &["p"], &["t"], vec![ints("perm", &[0, 1, 3, 2])]);
    let made = both(conv(net, "t", "y").output("y", &[1, 4, 10, 10]));
    let graph = &made.model.graph;
    let pad = graph.node_ids().find(|&id| graph.node(id).is("Pad")).expect("a pad");
    let producer = graph.value(graph.node(pad).input(0).expect("an input")).producer().expect("a layer");
    // The very constant of the layer before it.
    assert_eq!(graph.node(pad).input(2), graph.node(producer).input(7));
}

#[test]
fn what_has_no_operator_on_integers_keeps_its_pairs_and_is_named() {
    let net = start().noise("w", &[4, 4, 2, 2], 5).node("ConvTranspose", &["c", "w"], &["t"], vec![]);
    let made = both(conv(net, "t", "y").output("y", &[1, 4, 9, 9]));
    let reason = "there is no operator on integers for ConvTranspose".to_owned();
    let named = Kept { node: "ConvTranspose_t".to_owned(), op_type: "ConvTranspose".to_owned(), reason };
    assert_eq!(made.kept, [named]);
    assert_eq!(made.operators().iter().filter(|op| op.starts_with("QLinear")).count(), 2);
}

#[test]
fn types_that_no_kernel_takes_together_keep_their_pairs() {
    let net = || conv(start(), "c", "y").output("y", &[1, 4, 8, 8]);
    let made = both_by("activations: { type: int8 }\nweights: { type: uint8 }\n", net());
    assert_eq!(made.kept.len(), 2);
    assert!(made.kept[0].reason.contains("no kernel for int8 with uint8"), "{}", made.kept[0].reason);
    let one = "activations: { type: int8 }\n";
    assert_eq!(both_by(one, net()).kept, []);
    // Layers around a value of another type read and make that type.
    let rule = "rules: [{ match: { value: c }, activations: { type: int8 } }]\n";
    assert_eq!(both_by(rule, net()).kept, []);
}

#[test]
fn a_clamp_that_stays_computes_in_float_on_the_same_grid() {
    let net = start().node("Relu", &["c"], &["r"], vec![]);
    let symmetric = "activations: { symmetric: true }\n";
    let made = both_by(symmetric, conv(net, "r", "y").output("y", &[1, 4, 8, 8]));
    assert!(made.operators().contains(&"Relu"), "{:?}", made.operators());
}
