//! Casts, constants and types of nodes in 16 bits.

use super::*;
use crate::ir::build::{body, text};
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};

/// A model with its nodes in 16 bits where the policy and the plan have them so.
fn halved(builder: Builder, policy: &str) -> Made {
    let (original, settings) = (builder.build(), settings(policy));
    let mut model = original.clone();
    let bodies = settings.reaches_bodies();
    let options = Options { for_integers: false, bodies, halves: settings.halves().collect(), ..Options::default() };
    prepare(&mut model, &Tract::default(), &options).expect("a model that can be prepared");
    let plan = plan(&model.graph, &settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    insert_qdq(&mut model, &plan, &Resolved::default()).expect("a model in 16 bits");
    model.graph.verify().expect("a sound graph");
    Made { original, model, plan, resolved: Resolved::default() }
}

fn matmul(builder: Builder, x: &str, y: &str) -> Builder {
    let w = format!("{y}_w");
    builder.noise(&w, &[4, 4], 1).node("MatMul", &[x, &w], &[y], vec![])
}

fn rows() -> Builder {
    Builder::new(17).input("x", &[2, 4])
}

impl Made {
    pub(super) fn dtype(&self, name: &str) -> Option<DataType> {
        self.graph().element_type(self.value(name))
    }
}

#[test]
fn one_cast_in_and_one_out_and_constants_in_place() {
    let net = matmul(matmul(rows(), "x", "a"), "x", "b").node("Add", &["a", "b"], &["y"], vec![]);
    let made = halved(net.output("y", &[2, 4]), "mode: float16\n");
    assert_eq!(made.operators(), ["Cast", "MatMul", "MatMul", "Add", "Cast"]);
    assert_eq!((made.dtype("x"), made.dtype("y")), (Some(DataType::Float32), Some(DataType::Float32)));
    let weight = made.input(made.named("MatMul_a"), 1);
    let stored = made.graph().constant(weight).expect("a tensor").expect("a constant");
    assert_eq!(stored.dtype(), DataType::Float16);
    let before = made.original.graph.constant(made.original.graph.find("a_w").expect("a weight")).expect("a tensor");
    let before = before.expect("a constant").to_f32().expect("numbers").into_owned();
    for (a, b) in before.iter().zip(stored.to_f32().expect("numbers").iter()) {
        assert!((a - b).abs() <= a.abs() / 2048.0, "{a} {b}");
    }
    assert!(made.graph().find("a_w").is_none_or(|w| !made.graph().is_constant(w)), "the float32 weight is still there");
}

#[test]
fn inputs_and_outputs_become_half_where_asked() {
    let policy = "mode: float16\nhalf: { keep_io: false }\nrules: [{ match: { node: Tanh_z }, quantize: false }]\n";
    let net = matmul(rows(), "x", "y").node("Tanh", &["y"], &["z"], vec![]).output("y", &[2, 4]).output("z", &[2, 4]);
    let made = halved(net, policy);
    assert_eq!(["x", "y", "z"].map(|v| made.dtype(v)), [Some(DataType::Float16); 3]);
    assert_eq!(made.operators(), ["MatMul", "Cast", "Tanh", "Cast"]);
}

#[test]
fn a_weight_of_two_types_is_stored_in_both() {
    let net = rows().noise("w", &[4, 4], 1).node("MatMul", &["x", "w"], &["a"], vec![]);
    let net = net.node("MatMul", &["a", "w"], &["y"], vec![]).output("y", &[2, 4]);
    let made = halved(net, "mode: float16\nrules: [{ match: { node: MatMul_a }, mode: float32 }]\n");
    let dtype = |node: &str| made.graph().element_type(made.input(made.named(node), 1));
    assert_eq!((dtype("MatMul_a"), dtype("MatMul_y")), (Some(DataType::Float32), Some(DataType::Float16)));
}

#[test]
fn what_leaves_the_range_is_cut_off_before_it_is_cast() {
    let net = matmul(rows(), "x", "a").floats("c", &[], &[-1e5]).node("Mul", &["a", "c"], &["b"], vec![]);
    let made = halved(matmul(net, "b", "y").output("y", &[2, 4]), "mode: float16\n");
    let cast = made.producer(made.input(made.named("MatMul_y"), 0), "Cast");
    let clip = made.producer(made.input(cast, 0), "Clip");
    let bound = made.graph().constant(made.input(clip, 2)).expect("a tensor").expect("a constant");
    assert_eq!(bound.first_f32(), Some(65504.0));
}

#[test]
fn attributes_state_the_type_and_what_is_no_number_stays() {
    let net = rows()
        .node("Shape", &["x"], &["shape"], vec![])
        .node("ConstantOfShape", &["shape"], &["zeros"], vec![])
        .node("Add", &["x", "zeros"], &["a"], vec![])
        .floats("roi", &[0], &[])
        .floats("scales", &[2], &[1.0, 2.0])
        .node("Resize", &["a", "roi", "scales"], &["y"], vec![text("mode", "nearest")])
        .output("y", &[2, 8]);
    let made = halved(net, "mode: float16\n");
    let zeros = made.graph().node(made.the("ConstantOfShape")).attributes().tensor("value").expect("a tensor");
    assert_eq!(zeros.map(|t| t.dtype()), Some(DataType::Float16));
    let scales = made.input(made.the("Resize"), 2);
    assert_eq!(made.graph().element_type(scales), Some(DataType::Float32));
    // The shape of the input is that of its Cast.
    assert_eq!(made.count("Cast"), 2);
}

#[test]
fn bodies_read_float32() {
    let inner = NodeProto {
        op_type: Some("Neg".to_owned()),
        input: vec!["a".to_owned()],
        output: vec!["n".to_owned()],
        ..NodeProto::default()
    };
    let output = ValueInfoProto { name: Some("n".to_owned()), ..ValueInfoProto::default() };
    let branch = |name: &str| {
        let name = Some(name.to_owned());
        GraphProto { name, node: vec![inner.clone()], output: vec![output.clone()], ..GraphProto::default() }
    };
    let truth = Tensor::new(DataType::Bool, vec![1], bytes::Bytes::from_static(&[1])).expect("a bool");
    let net = matmul(rows(), "x", "a").constant("truth", &truth);
    let bodies = vec![body("then_branch", branch("t")), body("else_branch", branch("e"))];
    let net = net.node("If", &["truth"], &["y"], bodies).output("y", &[2, 4]);
    let made = halved(net, "mode: float16\n");
    let reason = made.plan.nodes.iter().find(|n| n.op_type == "If").map(|n| n.placement.clone());
    assert!(
        matches!(reason, Some(Placement::Float { reason }) if reason == "it hands on what its bodies give, in float32")
    );
    made.producer(made.value("a"), "Cast");
    assert!(made.graph().value(made.value("a")).is_captured());
}

#[test]
fn bodies_read_a_cast_of_inputs_and_outputs_in_16_bits() {
    let inner = |input: &str| NodeProto {
        op_type: Some("Neg".to_owned()),
        input: vec![input.to_owned()],
        output: vec!["n".to_owned()],
        ..NodeProto::default()
    };
    let output = ValueInfoProto { name: Some("n".to_owned()), ..ValueInfoProto::default() };
    let branch = |name: &str, input: &str| {
        let (name, node, output) = (Some(name.to_owned()), vec![inner(input)], vec![output.clone()]);
        GraphProto { name, node, output, ..GraphProto::default() }
    };
    let truth = Tensor::new(DataType::Bool, vec![1], bytes::Bytes::from_static(&[1])).expect("a bool");
    let bodies = vec![body("then_branch", branch("t", "state")), body("else_branch", branch("e", "a"))];
    let net = matmul(rows().input("state", &[2, 4]), "x", "a").constant("truth", &truth);
    let net = net.node("Tanh", &["state"], &["h"], vec![]).node("If", &["truth"], &["y"], bodies);
    let net = net.output("y", &[2, 4]).output("a", &[2, 4]).output("h", &[2, 4]);
    let policy = "mode: float16\nhalf: { keep_io: false }\nrules: [{ match: { node: Tanh_h }, quantize: false }]\n";
    let made = halved(net, policy);
    assert_eq!(["x", "state", "y", "a", "h"].map(|v| made.dtype(v)), [Some(DataType::Float16); 5]);
    let reads = |index: usize| {
        let inside = made.graph().body(made.the("If"), index).expect("a body");
        let node = inside.node_ids().next().expect("a node");
        inside.value(inside.node(node).input(0).expect("an input")).name().to_owned()
    };
    for (index, border) in [(0, "state"), (1, "a")] {
        let cast = made.producer(made.value(&reads(index)), "Cast");
        assert_eq!(made.graph().node(cast).attributes().int("to"), Some(1));
        assert_eq!(made.input(cast, 0), made.value(border), "body {index}");
    }
}

#[test]
fn inputs_and_outputs_become_half_where_bodies_alone_compute_in_it() {
    let branch = |name: &str| {
        let inner = matmul(Builder::new(17), "x", "m").proto().graph.expect("a graph");
        let output = vec![ValueInfoProto { name: Some("m".to_owned()), ..ValueInfoProto::default() }];
        body(name, GraphProto { name: Some(name.to_owned()), output, ..inner })
    };
    let truth = Tensor::new(DataType::Bool, vec![1], bytes::Bytes::from_static(&[1])).expect("a bool");
    let bodies = vec![branch("then_branch"), branch("else_branch")];
    let net = rows().constant("truth", &truth).node("If", &["truth"], &["y"], bodies).output("y", &[2, 4]);
    let made = halved(net, "mode: float16\nhalf: { keep_io: false }\n");
    assert_eq!(["x", "y"].map(|v| made.dtype(v)), [Some(DataType::Float16); 2]);
    assert_eq!(made.operators(), ["Cast", "If", "Cast"]);
}

#[test]
fn integers_and_half_stand_side_by_side() {
    let net = matmul(matmul(rows(), "x", "a"), "a", "y").output("y", &[2, 4]);
    let (original, settings) = (net.build(), settings("rules: [{ match: { node: MatMul_y }, mode: float16 }]\n"));
    let mut model = original.clone();
    prepare(&mut model, &Tract::default(), &Options::default()).expect("a model that can be prepared");
    let plan = plan(&model.graph, &settings, &OnnxRuntimeCpu, &[], &Known::default()).expect("a plan");
    let resolved = resolve(&plan, &pretended(&plan)).expect("a grid for each value");
    insert_qdq(&mut model, &plan, &resolved).expect("a quantized model");
    let made = Made { original, model, plan, resolved };
    made.graph().verify().expect("a sound graph");
    made.producer(made.input(made.named("MatMul_a"), 0), "DequantizeLinear");
    let read = made.producer(made.input(made.named("MatMul_y"), 0), "Cast");
    assert_eq!(made.graph().element_type(made.input(made.named("MatMul_y"), 1)), Some(DataType::Float16));
    assert_eq!(made.graph().node(read).attributes().int("to"), Some(10));
}
