//! Functions of the model's own are put in the place of their calls.

use super::*;
use crate::ir::build::{body, float, int, ints};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto,
};

const OWN: &str = "own";

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

fn node(op_type: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let op_type = Some(op_type.to_owned());
    NodeProto { op_type, input: texts(inputs), output: texts(outputs), attribute, ..NodeProto::default() }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto { domain: Some(OWN.to_owned()), ..node(name, inputs, outputs, attribute) }
}

/// The attribute `name`, which is what the call says of `of`.
fn reference(name: &str, of: &str) -> AttributeProto {
    let r#type = Some(AttributeType::Float as i32);
    let (name, ref_attr_name) = (Some(name.to_owned()), Some(of.to_owned()));
    AttributeProto { name, ref_attr_name, r#type, ..AttributeProto::default() }
}

fn import(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }
}

fn function(opset: i64, name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<NodeProto>) -> FunctionProto {
    FunctionProto {
        name: Some(name.to_owned()),
        domain: Some(OWN.to_owned()),
        input: texts(inputs),
        output: texts(outputs),
        node: nodes,
        opset_import: vec![import("", opset), import(OWN, 1)],
        ..FunctionProto::default()
    }
}

/// A model from x to y of these nodes.
fn model(opset: i64, nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> Model {
    let mut proto: ModelProto = Builder::new(opset).input("x", &[2, 3]).output("y", &[2, 3]).proto();
    proto.ir_version = Some(10);
    proto.graph.as_mut().expect("a graph").node = nodes;
    proto.opset_import.push(import(OWN, 1));
    proto.functions = functions;
    Model::from_proto(proto).expect("a model")
}

/// The prepared model, and what it makes of noise.
fn computed(model: &Model) -> (Model, Vec<f32>, Vec<f32>) {
    let (ready, _) = prepare_twice(model);
    let inputs = feeds(model);
    let found = run(&ready, &inputs)[0].to_f32().expect("numbers").into_owned();
    (ready, inputs[0].to_f32().expect("numbers").into_owned(), found)
}

fn mapped(x: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    x.iter().copied().map(f).collect()
}

/// LeakyRelu with a slope that the call may choose, then Neg.
fn leaky(opset: i64) -> FunctionProto {
    let nodes =
        vec![node("LeakyRelu", &["a"], &["b"], vec![reference("alpha", "slope")]), node("Neg", &["b"], &["c"], vec![])];
    FunctionProto { attribute_proto: vec![float("slope", 0.5)], ..function(opset, "Leaky", &["a"], &["c"], nodes) }
}

fn leaked(slope: f32) -> impl Fn(f32) -> f32 {
    move |x| -if x < 0.0 { slope * x } else { x }
}

#[test]
fn a_call_is_replaced_by_what_the_function_does() {
    let nodes = vec![
        call("Leaky", &["x"], &["m"], vec![float("slope", 0.25)]),
        call("Leaky", &["m"], &["b"], vec![]),
        node("Neg", &["b"], &["y"], vec![]),
    ];
    let (ready, x, found) = computed(&model(17, nodes, vec![leaky(17)]));
    assert_eq!(operators(&ready), ["LeakyRelu", "Neg", "LeakyRelu", "Neg", "Neg"]);
    assert!(!ready.has_functions());
    assert_near(&mapped(&x, |x| -leaked(0.5)(leaked(0.25)(x))), &found);
}

#[test]
fn an_attribute_that_neither_the_call_nor_the_function_states_is_left_out() {
    let plain = FunctionProto { attribute_proto: vec![], attribute: texts(&["slope"]), ..leaky(17) };
    let (ready, x, found) = computed(&model(17, vec![call("Leaky", &["x"], &["y"], vec![])], vec![plain]));
    assert!(find(&ready, "LeakyRelu").attributes().names().next().is_none());
    assert_near(&mapped(&x, leaked(0.01)), &found);
}

#[test]
fn functions_that_call_functions_vanish_too() {
    let outer = function(
        17,
        "Outer",
        &["a"],
        &["c"],
        vec![call("Leaky", &["a"], &["b"], vec![reference("slope", "s")]), call("Leaky", &["b"], &["c"], vec![])],
    );
    let nodes = vec![call("Outer", &["x"], &["y"], vec![float("s", 0.125)])];
    let (ready, x, found) = computed(&model(17, nodes, vec![outer, leaky(17)]));
    assert!(!ready.has_functions());
    assert_near(&mapped(&x, |x| leaked(0.5)(leaked(0.125)(x))), &found);
}

#[test]
fn overloads_are_told_apart() {
    let overload = |name: &str, op_type| FunctionProto {
        overload: Some(name.to_owned()),
        ..function(17, "F", &["a"], &["b"], vec![node(op_type, &["a"], &["b"], vec![])])
    };
    let called = NodeProto { overload: Some("two".to_owned()), ..call("F", &["x"], &["y"], vec![]) };
    let (ready, ..) = computed(&model(17, vec![called], vec![overload("one", "Abs"), overload("two", "Neg")]));
    assert_eq!(operators(&ready), ["Neg"]);
}

#[test]
fn inputs_handed_through_and_outputs_given_twice_keep_their_names() {
    let nodes = vec![node("Neg", &["a"], &["n"], vec![])];
    let hands = function(17, "Hands", &["a", "unused"], &["a", "n", "n"], nodes);
    let nodes = vec![
        call("Hands", &["x"], &["same", "one", "two"], vec![]),
        node("Mul", &["one", "two"], &["m"], vec![]),
        node("Sub", &["m", "same"], &["y"], vec![]),
    ];
    let (_, x, found) = computed(&model(17, nodes, vec![hands]));
    assert_near(&mapped(&x, |x| x * x - x), &found);
}

#[test]
fn a_graph_output_that_a_call_makes_keeps_its_name() {
    let (ready, ..) = computed(&model(17, vec![call("Leaky", &["x"], &["y"], vec![])], vec![leaky(17)]));
    let graph = &ready.graph;
    assert_eq!(graph.outputs().map(|v| graph.value(v).name()).collect::<Vec<_>>(), ["y"]);
}

#[test]
fn an_input_left_out_is_left_out_inside() {
    let nodes = vec![node("Clip", &["a", "low", "high"], &["b"], vec![])];
    let bounds = function(17, "Bounds", &["a", "low", "high"], &["b"], nodes);
    let constant = NodeProto { attribute: vec![float("value_float", 0.25)], ..node("Constant", &[], &["h"], vec![]) };
    let nodes = vec![constant, call("Bounds", &["x", "", "h"], &["y"], vec![])];
    let (ready, x, found) = computed(&model(17, nodes, vec![bounds]));
    assert_eq!(find(&ready, "Clip").input(1), None);
    assert_near(&mapped(&x, |x| x.min(0.25)), &found);
}

#[test]
fn a_call_that_does_not_fit_is_an_error() {
    let wide = model(17, vec![call("Leaky", &["x", "x"], &["y"], vec![])], vec![leaky(17)]);
    let broken = function(17, "Leaky", &["a"], &["b"], vec![node("Neg", &["nowhere"], &["b"], vec![])]);
    let open = function(17, "Leaky", &["a"], &["b"], vec![]);
    for (error, words) in [
        (refusal(&wide), "2 inputs"),
        (refusal(&model(17, vec![call("Leaky", &["x"], &["y"], vec![])], vec![broken])), "\"nowhere\""),
        (refusal(&model(17, vec![call("Leaky", &["x"], &["y"], vec![])], vec![open])), "\"b\""),
    ] {
        assert!(error.contains("\"y\" (Leaky)") && error.contains(words), "{error}");
    }
}

/// An If whose bodies read what is around them, and use one name for two things.
fn choose(opset: i64) -> FunctionProto {
    let branch = |op_type: &str, flip: &str| GraphProto {
        name: Some(op_type.to_owned()),
        node: vec![
            node(op_type, &["n"], &["t"], vec![]),
            NodeProto { attribute: vec![reference("alpha", "slope")], ..node("LeakyRelu", &["t"], &["r"], vec![]) },
            node(flip, &["r"], &["o"], vec![]),
        ],
        output: vec![ValueInfoProto { name: Some("o".to_owned()), ..ValueInfoProto::default() }],
        ..GraphProto::default()
    };
    let branches = vec![body("then_branch", branch("Abs", "Neg")), body("else_branch", branch("Identity", "Abs"))];
    let nodes = vec![
        node("Neg", &["a"], &["n"], vec![]),
        node("ReduceMax", &["n"], &["top"], vec![int("keepdims", 0)]),
        node("Greater", &["top", "top"], &["flag"], vec![]),
        node("If", &["flag"], &["c"], branches),
    ];
    function(opset, "Choose", &["a"], &["c"], nodes)
}

#[test]
fn bodies_of_a_function_get_names_of_their_own_each_time() {
    // t is a name of the graph here, and of a body there.
    let first = call("Choose", &["x"], &["t"], vec![float("slope", 0.5)]);
    let alone = vec![first.clone(), node("Neg", &["t"], &["y"], vec![])];
    let (_, x, found) = computed(&model(17, alone, vec![choose(17)]));
    assert_near(&mapped(&x, |x| if x > 0.0 { -0.5 * x } else { x }), &found);

    let second = call("Choose", &["t"], &["y"], vec![float("slope", 0.25)]);
    let (ready, _) = prepare_twice(&model(17, vec![first, second], vec![choose(17)]));
    let graph = ready.to_proto().expect("a message").graph.expect("a graph");
    let bodies = graph.node.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref());
    let mut names: Vec<_> = bodies.flat_map(|b| &b.node).flat_map(|n| n.output.clone()).collect();
    // Two calls of two bodies of three nodes.
    assert_eq!(names.len(), 12);
    names.extend(graph.node.iter().flat_map(|n| n.output.clone()));
    names.sort();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn a_function_that_calls_itself_is_left_alone() {
    let round = |name: &str, other: &str| function(17, name, &["a"], &["b"], vec![call(other, &["a"], &["b"], vec![])]);
    let model = model(17, vec![call("P", &["x"], &["y"], vec![])], vec![round("P", "Q"), round("Q", "P")]);
    assert_eq!(refusals(&model, "inline-functions"), ["the function it calls calls itself"]);
    assert_eq!(prepare_twice(&model).0.to_proto().expect("a message").functions.len(), 2);
}

#[test]
fn functions_that_double_forever_are_left_alone() {
    let name = |level: usize| format!("F{level}");
    let twice = |level: usize| {
        let inner = name(level + 1);
        let nodes = vec![call(&inner, &["a"], &["m"], vec![]), call(&inner, &["m"], &["b"], vec![])];
        function(17, &name(level), &["a"], &["b"], nodes)
    };
    let mut functions: Vec<_> = (0..40).map(twice).collect();
    functions.push(function(17, &name(40), &["a"], &["b"], vec![node("Neg", &["a"], &["b"], vec![])]));
    let why = refusals(&model(17, vec![call("F0", &["x"], &["y"], vec![])], functions), "inline-functions");
    assert!(why.len() == 1 && why[0].contains("nodes"), "{why:?}");
}

#[test]
fn a_function_of_a_later_opset_is_left_alone() {
    let model = model(17, vec![call("Leaky", &["x"], &["y"], vec![])], vec![leaky(18)]);
    let why = refusals(&model, "inline-functions");
    assert!(why[0].contains("own.Leaky") && why[0].contains("18") && why[0].contains("17"), "{why:?}");
    assert!(prepare_twice(&model).0.has_functions());
}

/// Clip as it was written before 11, by an attribute of its own.
fn clipped(opset: i64) -> FunctionProto {
    let nodes = vec![
        node("Constant", &[], &["zero"], vec![crate::ir::build::tensor("value", &Tensor::from_f32(vec![], &[0.0]))]),
        node("Add", &["zero", "a"], &["s"], vec![]),
        node("Clip", &["s"], &["b"], vec![float("max", 0.25)]),
    ];
    function(opset, "Clipped", &["a"], &["b"], nodes)
}

#[test]
fn functions_of_old_opsets_are_upgraded_with_the_model() {
    for (opset, own) in [(9, 9), (12, 9), (13, 13), (9, 13)] {
        let definition = if own == 13 { leaky(13) } else { clipped(own) };
        let nodes = vec![call(definition.name(), &["x"], &["y"], vec![])];
        let (ready, x, found) = computed(&model(opset, nodes, vec![definition]));
        assert!(!ready.has_functions() && ready.opset("") == Some(13), "{opset} and {own}");
        let wanted = if own == 13 { mapped(&x, leaked(0.5)) } else { mapped(&x, |x| x.min(0.25)) };
        assert_near(&wanted, &found);
    }
}

/// An If, one of whose bodies calls a function.
fn called_in_a_body(opset: i64, definition: FunctionProto) -> Model {
    let output = |name: &str| vec![ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }];
    let then = GraphProto {
        name: Some("then".to_owned()),
        node: vec![call(definition.name(), &["x"], &["t"], vec![])],
        output: output("t"),
        ..GraphProto::default()
    };
    let otherwise = GraphProto {
        name: Some("else".to_owned()),
        node: vec![node("Neg", &["x"], &["e"], vec![])],
        output: output("e"),
        ..GraphProto::default()
    };
    let flag = Tensor::new(crate::tensor::DataType::Bool, vec![], vec![1].into()).expect("a bool");
    let nodes = vec![
        node("Constant", &[], &["flag"], vec![crate::ir::build::tensor("value", &flag)]),
        node("If", &["flag"], &["y"], vec![body("then_branch", then), body("else_branch", otherwise)]),
        call("Leaky", &["x"], &["unread"], vec![]),
    ];
    model(opset, nodes, vec![definition, leaky(opset), clipped(opset)])
}

#[test]
fn what_bodies_call_stays_and_is_upgraded_and_the_rest_goes() {
    let definition = FunctionProto { name: Some("Kept".to_owned()), ..clipped(9) };
    let (ready, _) = prepare_twice(&called_in_a_body(9, definition));
    let functions = ready.to_proto().expect("a message").functions;
    assert_eq!(functions.iter().map(FunctionProto::name).collect::<Vec<_>>(), ["Kept"]);
    let kept = &functions[0];
    assert_eq!(kept.opset_import[0].version(), 13);
    let clip = kept.node.iter().find(|n| n.op_type() == "Clip").expect("a Clip");
    assert!(clip.attribute.is_empty() && clip.input.len() == 3);
    let bound = kept.node.iter().find(|n| n.output[0] == clip.input[2]).expect("the bound");
    assert_eq!(bound.op_type(), "Constant");
}

#[test]
fn a_function_that_cannot_be_upgraded_is_an_error() {
    let nodes = vec![node("Clip", &["a"], &["b"], vec![reference("max", "most")])];
    let error = refusal(&called_in_a_body(9, function(9, "Most", &["a"], &["b"], nodes)));
    assert!(error.contains("own.Most") && error.contains("\"max\""), "{error}");
    let error =
        refusal(&called_in_a_body(9, function(5, "Old", &["a"], &["b"], vec![node("Neg", &["a"], &["b"], vec![])])));
    assert!(error.contains("own.Old") && error.contains("opset 5"), "{error}");
}

#[test]
fn functions_that_stay_go_where_the_model_goes() {
    let most = function(17, "Most", &["x"], &["y"], vec![node("ReduceMax", &["x"], &["y"], vec![ints("axes", &[1])])]);
    let mut ready = called_in_a_body(17, most);
    prepare(&mut ready, &Tract::default(), &Options { opset: 21, ..Options::default() }).expect("a model");
    let saved = &ready.to_proto().expect("a message").functions[0];
    assert_eq!(saved.opset_import[0].version(), 21);
    assert!(saved.node.iter().any(|n| n.op_type() == "ReduceMax" && n.input.len() == 2 && n.attribute.is_empty()));
}
