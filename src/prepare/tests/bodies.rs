//! Bodies of older opsets are rewritten like the graph around them.

use super::*;
use crate::ir::build::{body, float, int, ints};
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};

fn named(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let (input, output) = (texts(inputs), texts(outputs));
    NodeProto { op_type: Some(op_type.to_owned()), input, output, attribute, ..NodeProto::default() }
}

fn graph(inputs: &[&str], nodes: Vec<NodeProto>, outputs: &[&str]) -> GraphProto {
    let infos = |names: &[&str]| names.iter().map(|n| named(n)).collect();
    let name = Some("body".to_owned());
    GraphProto { name, node: nodes, input: infos(inputs), output: infos(outputs), ..GraphProto::default() }
}

fn branches(then: GraphProto, otherwise: GraphProto) -> Vec<AttributeProto> {
    vec![body("then_branch", then), body("else_branch", otherwise)]
}

/// Body number `index` of the node that makes `output`, as it is saved.
fn saved_body(model: &Model, output: &str, index: usize) -> GraphProto {
    let graph = model.to_proto().expect("a message").graph.expect("a graph");
    let node = graph.node.into_iter().find(|n| n.output[0] == output).expect("the node");
    node.attribute.into_iter().filter_map(|a| a.g).nth(index).expect("a body")
}

fn ops(body: &GraphProto) -> Vec<&str> {
    body.node.iter().map(NodeProto::op_type).collect()
}

/// x -> Neg -> a, and an If whose bodies read a.
fn with_if(opset: i64, then: GraphProto, otherwise: GraphProto) -> Model {
    Builder::new(opset)
        .input("x", &[2, 3, 4])
        .output("y", &[2, 3, 4])
        .constant("flag", &Tensor::new(crate::tensor::DataType::Bool, vec![], vec![1].into()).expect("a bool"))
        .node("Neg", &["x"], &["a"], vec![])
        .node("If", &["flag"], &["y"], branches(then, otherwise))
        .build()
}

#[test]
fn operators_in_a_body_are_rewritten_and_read_what_they_read() {
    let then = graph(&[], vec![node("Clip", &["a"], &["t"], vec![float("min", -0.5), float("max", 0.5)])], &["t"]);
    let otherwise = graph(&[], vec![node("Abs", &["a"], &["e"], vec![])], &["e"]);
    let model = with_if(7, then, otherwise.clone());
    let ready = prepared(&model);
    let then = saved_body(&ready, "y", 0);
    // The element type is told by the graph around.
    assert_eq!(then.node[0].input, ["a", "t_min", "t_max"]);
    assert_eq!(then.initializer.iter().map(crate::proto::TensorProto::data_type).collect::<Vec<_>>(), [1, 1]);
    assert!(then.node[0].attribute.is_empty());
    assert_eq!(saved_body(&ready, "y", 1), otherwise, "a body with nothing to rewrite stays as it was");
    let a = ready.graph.find("a").expect("the captured value");
    assert!(ready.graph.value(a).is_captured());
}

#[test]
fn what_is_new_in_a_body_has_names_of_its_own() {
    let then = graph(
        &[],
        vec![
            node("Clip", &["a"], &["t"], vec![float("max", 0.5)]),
            node("Clip", &["t"], &["t_max_1"], vec![float("max", 0.25)]),
        ],
        &["t_max_1"],
    );
    let otherwise = graph(&[], vec![node("Clip", &["a"], &["e"], vec![float("max", 0.5)])], &["e"]);
    let mut proto = with_if(9, then, otherwise).to_proto().expect("a message");
    // Names that would be given are taken outside.
    let around = proto.graph.as_mut().expect("a graph");
    around.node[0].output[0] = "t_max".to_owned();
    around.node.push(node("Identity", &["t_max"], &["a"], vec![]));
    let ready = prepared(&Model::from_proto(proto).expect("a model"));
    let mut names: Vec<String> = Vec::new();
    for index in [0, 1] {
        names.extend(saved_body(&ready, "y", index).initializer.iter().map(|t| t.name().to_owned()));
    }
    assert_eq!(names.len(), 3);
    assert!(!names.iter().any(|name| name == "t_max" || name == "t_max_1"), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3);
}

#[test]
fn bodies_in_bodies_know_what_is_around_them() {
    let inner = graph(
        &[],
        vec![
            node("Clip", &["a"], &["i"], vec![float("max", 0.5)]),
            node("Unsqueeze", &["t"], &["u"], vec![ints("axes", &[0])]),
            node("Squeeze", &["u"], &["q"], vec![ints("axes", &[0])]),
            node("Add", &["i", "q"], &["s"], vec![]),
        ],
        &["s"],
    );
    let plain = |name: &str| graph(&[], vec![node("Abs", &["a"], &[name], vec![])], &[name]);
    let then = graph(
        &[],
        vec![
            node("Softmax", &["a"], &["t"], vec![int("axis", 2)]),
            node("If", &["flag"], &["o"], branches(inner, plain("e1"))),
        ],
        &["o"],
    );
    let ready = prepared(&with_if(8, then, plain("e2")));
    let then = saved_body(&ready, "y", 0);
    // The last axis is known to be one: nothing has to be reshaped.
    assert_eq!(ops(&then), ["Softmax", "If"]);
    let inner = then.node[1].attribute[0].g.clone().expect("a body");
    assert_eq!(ops(&inner), ["Clip", "Unsqueeze", "Squeeze", "Add"]);
    assert!(inner.node.iter().all(|n| n.attribute.is_empty()));
    assert_eq!(inner.node[0].input[0], "a");
    assert_eq!(inner.node[1].input[0], "t");
}

#[test]
fn a_loop_tells_its_body_the_types() {
    let step = graph(
        &["i", "go", "s"],
        vec![node("Identity", &["go"], &["on"], vec![]), node("Clip", &["s"], &["c"], vec![float("max", 0.5)])],
        &["on", "c"],
    );
    let model = Builder::new(9)
        .input("x", &[2, 3])
        .output("y", &[2, 3])
        .ints("n", &[2])
        .node("Loop", &["n", "", "x"], &["y"], vec![body("body", step)])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(saved_body(&ready, "y", 0).node[1].input, ["s", "", "c_max"]);
}

fn scan_of_eight(lengths: &str) -> Model {
    let step = graph(
        &["s", "r"],
        vec![node("Add", &["s", "r"], &["t"], vec![]), node("Clip", &["t"], &["o"], vec![float("max", 0.5)])],
        &["t", "o"],
    );
    let mut attributes = vec![body("body", step), int("num_scan_inputs", 1)];
    attributes.push(ints("directions", &[1]));
    Builder::new(8)
        .input("x", &[2, 5, 3])
        .input("start", &[2, 3])
        .ints("lengths", &[5, 5])
        .output("last", &[2, 3])
        .output("y", &[2, 5, 3])
        .node("Scan", &[lengths, "start", "x"], &["last", "y"], attributes)
        .build()
}

#[test]
fn a_scan_over_a_batch_becomes_a_scan_of_scans() {
    let (ready, _) = prepare_twice(&scan_of_eight(""));
    let scan = find(&ready, "Scan");
    assert_eq!((scan.inputs().len(), scan.attributes().int("num_scan_inputs")), (2, Some(2)));
    let outer = saved_body(&ready, "last", 0);
    let inner = &outer.node[0];
    assert_eq!((ops(&outer), outer.input.len(), outer.output.len()), (vec!["Scan"], 2, 2));
    assert_eq!(inner.input, outer.input.iter().map(|i| i.name().to_owned()).collect::<Vec<_>>());
    let attribute = |name: &str| inner.attribute.iter().find(|a| a.name() == name);
    assert_eq!(attribute("scan_input_directions").expect("directions").ints, [1]);
    assert_eq!(attribute("num_scan_inputs").expect("a number").i, Some(1));
    let step = attribute("body").and_then(|a| a.g.as_ref()).expect("a body");
    assert!(step.node[1].attribute.is_empty() && step.node[1].input.len() == 3);
}

#[test]
fn a_scan_with_lengths_is_an_error() {
    let error = refusal(&scan_of_eight("lengths"));
    assert!(error.contains("Scan_last") && error.contains("sequence length"), "{error}");
}

#[test]
fn an_error_in_a_body_names_its_node() {
    let then = graph(&[], vec![node("Slice", &["a"], &["t"], vec![])], &["t"]);
    let otherwise = graph(&[], vec![node("Abs", &["a"], &["e"], vec![])], &["e"]);
    let error = refusal(&with_if(9, then, otherwise));
    assert!(error.contains("\"t\" (Slice)"), "{error}");
}
