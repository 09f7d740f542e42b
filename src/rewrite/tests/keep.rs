//! Models in 16 bits that stay so.

use super::*;
use crate::ir::build::body;
use crate::ops;
use crate::prepare::prepare_noting;
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::quant::{GridType, HalfType, KnownGrids, Params};
use crate::rewrite::keep_halves;

/// A model with its constants, inputs and outputs in 16 bits.
fn in_half(builder: Builder, kind: HalfType) -> Model {
    let mut model = builder.build();
    let graph = &mut model.graph;
    for value in graph.value_ids() {
        if graph.element_type(value) != Some(DataType::Float32) {
            continue;
        }
        if let Some(tensor) = graph.constant(value).expect("a tensor") {
            graph.replace_constant(value, &kind.tensor(&tensor).expect("float32"));
        }
        graph.set_element_type(value, kind.dtype());
    }
    model
}

fn kept(model: Model, policy: &str) -> Made {
    kept_knowing(model, policy, &Known::default())
}

/// The model as it is written, where what stays float stays in 16 bits.
fn kept_knowing(model: Model, policy: &str, known: &Known) -> Made {
    let (mut ready, settings) = (model.clone(), settings(policy));
    let bodies = settings.reaches_bodies();
    let options = Options { for_integers: settings.calibrates(), bodies, opset: 21, ..Options::default() };
    let (_, noted) = prepare_noting(&mut ready, &Tract::default(), &options).expect("a model that can be prepared");
    let mut made = plan(&ready.graph, &settings, &OnnxRuntimeCpu, &[], known).expect("a plan");
    made.scale_in(noted.kinds.halves().next().expect("numbers of 16 bits"));
    let resolved = resolve(&made, &pretended(&made)).expect("a grid for each value");
    insert_qdq(&mut ready, &made, &resolved).expect("a quantized model");
    keep_halves(&mut ready, &noted.kinds).expect("a model in 16 bits");
    ready.graph.verify().expect("a sound graph");
    check_types(&ready.graph);
    Made { original: model, model: ready, plan: made, resolved }
}

/// Every node reads numbers of one floating-point type.
fn check_types(graph: &Graph) {
    let mut types: Vec<_> = graph.value_ids().map(|v| graph.element_type(v)).collect();
    for id in graph.topological().expect("no circle") {
        let node = graph.node(id);
        ops::follow_type(graph, id, &mut types);
        let Some(row) = ops::half(node).or_else(|| ops::half_quantizer(node)) else { continue };
        let read: Vec<_> = row.reads(node).into_iter().filter_map(|slot| node.input(slot)).collect();
        let mut read: Vec<_> = read.into_iter().filter_map(|v| types[v.index()]).collect();
        read.dedup();
        assert!(read.len() < 2, "{} {} reads {read:?}", node.op_type(), graph.label(id));
    }
}

fn rows() -> Builder {
    Builder::new(17).input("x", &[2, 4])
}

fn matmul(builder: Builder, x: &str, y: &str) -> Builder {
    let w = format!("{y}_w");
    builder.noise(&w, &[4, 4], 1).node("MatMul", &[x, &w], &[y], vec![])
}

fn conv(builder: Builder, x: &str, y: &str) -> Builder {
    let (w, b) = (format!("{y}_w"), format!("{y}_b"));
    let builder = builder.noise(&w, &[4, 4, 1, 1], 2).noise(&b, &[4], 3);
    builder.node("Conv", &[x, &w, &b], &[y], vec![])
}

impl Made {
    /// The types of the scales of all Q/DQ, each once.
    fn scales(&self) -> Vec<DataType> {
        let graph = self.graph();
        let quantizers = graph.node_ids().filter(|&id| ops::half_quantizer(graph.node(id)).is_some());
        let mut all: Vec<_> = quantizers
            .filter_map(|id| graph.element_type(self.input(id, ops::half_quantizer(graph.node(id))?.scales()?)))
            .collect();
        all.sort_unstable_by_key(|dtype| dtype.onnx());
        all.dedup();
        all
    }
}

#[test]
fn what_is_known_of_a_model_before_it_is_widened() {
    let net = matmul(rows(), "x", "a").node("Cast", &["a"], &["b"], vec![int("to", 1)]);
    let net = net.node("Tanh", &["b"], &["c"], vec![]).node("Cast", &["c"], &["y"], vec![int("to", 10)]);
    let mut model = in_half(net.output("y", &[2, 4]), HalfType::Float16);
    let kinds = prepare_noting(&mut model, &Tract::default(), &Options::default()).expect("a model").1.kinds;
    let half = Some(Some(HalfType::Float16));
    assert_eq!(["x", "a", "a_w", "y"].map(|name| kinds.of_value(name)), [half; 4]);
    assert_eq!((["b", "c"].map(|name| kinds.of_value(name)), kinds.of_value("z")), ([Some(None); 2], None));
    assert_eq!(kinds.halves().collect::<Vec<_>>(), [HalfType::Float16]);
    // What only comes in and goes out in 16 bits.
    let net = rows().node("Cast", &["x"], &["a"], vec![int("to", 1)]).node("Tanh", &["a"], &["b"], vec![]);
    let net = net.node("Cast", &["b"], &["y"], vec![int("to", 10)]).output("y", &[2, 4]);
    let mut model = in_half(net, HalfType::Float16);
    let kinds = prepare_noting(&mut model, &Tract::default(), &Options::default()).expect("a model").1.kinds;
    assert_eq!((kinds.halves().count(), kinds.of_value("x")), (0, half));
}

#[test]
fn weights_alone_need_no_casts() {
    for (kind, dtype) in [(HalfType::Float16, DataType::Float16), (HalfType::Bfloat16, DataType::Bfloat16)] {
        for weights in ["{ type: int8 }", "{ type: int4 }"] {
            let net = matmul(rows(), "x", "a").node("Relu", &["a"], &["y"], vec![]).output("y", &[2, 4]);
            let made = kept(in_half(net, kind), &format!("mode: weight-only\nweights: {weights}\n"));
            assert_eq!(made.operators(), ["DequantizeLinear", "MatMul", "Relu"], "{kind} {weights}");
            assert_eq!((made.dtype("x"), made.dtype("y"), made.scales()), (Some(dtype), Some(dtype), vec![dtype]));
        }
    }
}

#[test]
fn layers_on_integers_have_scales_of_16_bits_and_a_bias_behind_them() {
    let net = Builder::new(17).input("x", &[1, 4, 4, 4]);
    let net = conv(conv(net, "x", "a").node("Relu", &["a"], &["r"], vec![]), "r", "y").output("y", &[1, 4, 4, 4]);
    let made = kept(in_half(net, HalfType::Float16), "activations: { calibrator: minmax }\n");
    assert_eq!((made.count("Cast"), made.scales()), (0, vec![DataType::Float16]));
    assert!(made.operators().iter().all(|op| *op != "Relu"));
    // The runtime would make integers of a constant bias, in steps that float16 does not hold.
    assert_eq!(made.count("Add"), 2, "{:?}", made.operators());
    let order = made.graph().topological().expect("no circle");
    let add = order.into_iter().find(|&id| made.graph().node(id).is("Add")).expect("a bias");
    let spread = made.graph().stated_type(made.input(add, 1)).expect("a type");
    assert_eq!((spread.dtype, spread.dims), (DataType::Float16, vec![Some(4), Some(1), Some(1)]));
    made.producer(made.input(add, 0), "Conv");
    // An int8 weight is that of its rounded scale, and nothing of it is cut off.
    let layer = made.producer(made.input(add, 0), "Conv");
    let [integers, scale, _] = made.constant(layer, 1);
    let scales = scale.to_f32().expect("numbers").into_owned();
    let stored: Vec<_> = integers.to_i64().expect("integers").to_vec();
    let weight = made.original.graph.find("a_w").expect("a weight");
    let weight = made.original.graph.constant(weight).expect("a tensor").expect("a constant");
    for (i, (w, q)) in weight.to_f32().expect("numbers").iter().zip(stored).enumerate() {
        let s = scales[i / 4];
        assert!((w - q as f32 * s).abs() <= s / 2.0 || q.abs() == 127, "{w} {q} {s}");
    }
}

#[test]
fn a_product_with_a_bias_in_its_row_keeps_it() {
    let net = rows().noise("w", &[4, 4], 1).noise("b", &[4], 2).node("Gemm", &["x", "w", "b"], &["g"], vec![]);
    let net = matmul(net, "g", "y").output("y", &[2, 4]);
    let made = kept(in_half(net, HalfType::Float16), "activations: { calibrator: minmax }\n");
    let bias = made.graph().stated_type(made.input(made.the("Gemm"), 2)).expect("a type");
    assert_eq!((bias.dtype, bias.dims), (DataType::Float16, vec![Some(1), Some(4)]));
}

#[test]
fn sums_of_integers_are_scaled_in_float32() {
    let net = matmul(rows(), "x", "a").node("Softmax", &["a"], &["y"], vec![]).output("y", &[2, 4]);
    let made = kept(in_half(net, HalfType::Float16), "mode: dynamic\n");
    // 127 * 255 times the number of columns is beyond float16 before it is scaled.
    let product = made.producer(made.value("a"), "Mul");
    made.producer(made.input(product, 0), "Cast");
    let cast = made.producer(made.input(made.the("Softmax"), 0), "Cast");
    assert_eq!(made.graph().node(cast).attributes().int("to"), Some(10));
    let quantizer = made.producer(made.input(made.the("DynamicQuantizeLinear"), 0), "Cast");
    assert_eq!(made.graph().node(quantizer).attributes().int("to"), Some(1));
    assert_eq!((made.dtype("x"), made.dtype("y")), (Some(DataType::Float16), Some(DataType::Float16)));
}

#[test]
fn what_was_float32_stays_so() {
    let net = matmul(rows(), "x", "a").node("Cast", &["a"], &["b"], vec![int("to", 1)]);
    let net = net.node("Tanh", &["b"], &["c"], vec![]).node("Cast", &["c"], &["d"], vec![int("to", 10)]);
    let net = net.node("Relu", &["d"], &["y"], vec![]).output("y", &[2, 4]);
    let made = kept(in_half(net, HalfType::Float16), "mode: weight-only\n");
    assert_eq!(made.operators(), ["DequantizeLinear", "MatMul", "Cast", "Tanh", "Cast", "Relu"]);
    let tanh = made.the("Tanh");
    let before = made.producer(made.input(tanh, 0), "Cast");
    assert_eq!(made.graph().node(before).attributes().int("to"), Some(1));
}

#[test]
fn a_grid_whose_scale_is_no_number_of_16_bits_stays_as_it_is() {
    let net = matmul(rows(), "x", "a").node("Relu", &["a"], &["r"], vec![]);
    let net = matmul(net, "r", "y").output("y", &[2, 4]);
    let scale = 0.1f32;
    let params = Params { dtype: GridType::Uint8, scale, zero_point: 0 };
    let told = KnownGrids { activations: [("r".to_owned(), params)].into(), ..KnownGrids::default() };
    let known = Known { told, ..Known::default() };
    let made = kept_knowing(in_half(net, HalfType::Float16), "activations: { calibrator: minmax }\n", &known);
    assert_ne!(HalfType::Float16.round(scale), scale);
    let cast = made.producer(made.input(made.named("MatMul_y"), 0), "Cast");
    let dequantizer = made.producer(made.input(cast, 0), "DequantizeLinear");
    let stored = made.graph().constant(made.input(dequantizer, 1)).expect("a tensor").expect("a constant");
    assert_eq!(stored.to_f32().expect("numbers").as_ref(), [scale]);
}

#[test]
fn a_join_between_integers_has_scales_of_float32() {
    let net = Builder::new(17).input("x", &[1, 4, 4, 4]);
    let net = conv(conv(net, "x", "a"), "x", "b").node("Concat", &["a", "b"], &["j"], vec![int("axis", 1)]);
    let net = net.noise("w", &[4, 8, 1, 1], 5).node("Conv", &["j", "w"], &["y"], vec![]).output("y", &[1, 4, 4, 4]);
    let made = kept(in_half(net, HalfType::Float16), "activations: { calibrator: minmax }\n");
    let join = made.the("Concat");
    for slot in [0, 1] {
        let dequantizer = made.producer(made.input(join, slot), "DequantizeLinear");
        assert_eq!(made.graph().element_type(made.input(dequantizer, 1)), Some(DataType::Float32));
    }
    assert_eq!(made.count("Cast"), 0, "{:?}", made.operators());
    assert_eq!(made.scales(), [DataType::Float32, DataType::Float16]);
}

#[test]
fn bodies_hand_on_numbers_of_16_bits() {
    let inner = |op_type: &str| NodeProto {
        op_type: Some(op_type.to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["n".to_owned()],
        ..NodeProto::default()
    };
    let output = ValueInfoProto { name: Some("n".to_owned()), ..ValueInfoProto::default() };
    let branch = |name: &str, op_type: &str| GraphProto {
        name: Some(name.to_owned()),
        node: vec![inner(op_type)],
        output: vec![output.clone()],
        ..GraphProto::default()
    };
    let truth = Tensor::new(DataType::Bool, vec![1], bytes::Bytes::from_static(&[1])).expect("a bool");
    let bodies = vec![body("then_branch", branch("t", "Neg")), body("else_branch", branch("e", "Abs"))];
    let net = matmul(rows(), "x", "a").constant("truth", &truth).node("If", &["truth"], &["i"], bodies);
    let net = net.node("Relu", &["i"], &["y"], vec![]).output("y", &[2, 4]);
    let made = kept(in_half(net, HalfType::Float16), "mode: weight-only\n");
    assert_eq!(made.operators(), ["DequantizeLinear", "MatMul", "If", "Relu"]);
    let inside = made.graph().body(made.the("If"), 0).expect("a body");
    assert_eq!(inside.node_ids().count(), 1, "no Cast inside");
}

#[test]
fn operators_of_the_runtime_take_scales_of_float16() {
    let net = Builder::new(17).input("x", &[2, 32]).noise("w", &[32, 4], 1);
    let net = net.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[2, 4]);
    let policy = "mode: weight-only\nweights: { type: int4, form: contrib }\n";
    let made = kept(in_half(net, HalfType::Float16), policy);
    assert_eq!((made.operators(), made.scales()), (vec!["MatMulNBits"], vec![DataType::Float16]));
}
