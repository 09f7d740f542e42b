//! Each verb does what it says and leaves a sound graph.

use super::super::build::{self, Builder};
use super::*;
use crate::tensor::Tensor;

/// x -> Relu -> y, where y is a graph output, is read by a Neg, and by the body of an If.
fn read_everywhere() -> Model {
    let branch = |name| build::body(name, body_graph(&["y", "x"], name));
    Builder::new(13)
        .input("c", &[])
        .input("x", &[1])
        .node("Relu", &["x"], &["y"], vec![])
        .node("Neg", &["y"], &["n"], vec![])
        .node("If", &["c"], &["z"], vec![branch("then_branch"), branch("else_branch")])
        .output("n", &[1])
        .output("y", &[1])
        .output("z", &[1])
        .build()
}

fn hint(name: &str, doc: &str) -> ValueInfoProto {
    ValueInfoProto { doc_string: Some(doc.to_owned()), ..named(name) }
}

fn one() -> Tensor {
    Tensor::from_f32(vec![1], &[1.0])
}

fn abs<'a>(input: ValueId) -> NewNode<'a> {
    NewNode { op_type: "Abs", name: "Abs", inputs: vec![Some(input)], ints: vec![] }
}

#[test]
fn fresh_names_avoid_every_name_of_the_graph_and_of_its_bodies() {
    let mut body = body_graph(&["x", "x"], "body_output");
    body.input = vec![named("body_input")];
    body.node.push(NodeProto {
        attribute: vec![build::body("body", body_graph(&["x", "x"], "deep"))],
        ..raw_node("Loop", &["", ""], &["loop_output"])
    });
    let mut proto = Builder::new(13)
        .input("x", &[1])
        .floats("w", &[1], &[1.0])
        .node("Loop", &["", ""], &["y"], vec![build::body("body", body)])
        .output("y", &[1])
        .proto();
    graph_of(&mut proto).value_info = vec![named("stale")];
    let mut graph = Model::from_proto(proto).expect("valid").graph;
    for taken in ["x", "w", "y", "Loop_y", "stale", "body_input", "body_output", "loop_output", "deep"] {
        assert_eq!(graph.fresh_name(taken), format!("{taken}_1"));
    }
    assert_eq!(graph.fresh_name("free"), "free");
}

#[test]
fn fresh_names_count_on_and_step_over_what_is_taken() {
    let mut model = Builder::new(13).input("s", &[1]).input("s_2", &[1]).output("s", &[1]).build();
    let names: Vec<_> = (0..3)
        .map(|_| {
            let id = model.graph.add_initializer("s", &one());
            model.graph.value(id).name().to_owned()
        })
        .collect();
    assert_eq!(names, ["s_1", "s_3", "s_4"]);
    let (node, output) = model.graph.add_node(abs(value(&model.graph, "s")), "Abs");
    assert_eq!((model.graph.node(node).name(), model.graph.value(output).name()), ("Abs", "Abs_1"));
    model.graph.verify().expect("sound");
}

#[test]
fn hand_over_name_moves_graph_outputs_and_what_bodies_read() {
    let mut model = read_everywhere();
    let graph = &mut model.graph;
    let (y, if_node) = (value(graph, "y"), maker(graph, "z"));
    let (_, after) = graph.add_node(abs(y), "y_abs");
    graph.hand_over_name(y, after, "y_float");
    graph.verify().expect("sound");
    assert_eq!((graph.value(y).name(), graph.value(after).name()), ("y_float", "y"));
    assert_eq!((graph.find("y"), graph.find("y_float"), graph.find("y_abs")), (Some(after), Some(y), None));
    assert_eq!(graph.outputs().nth(1), Some(after));
    assert!(graph.node(if_node).captured().contains(&after) && !graph.value(y).is_captured());
    let nodes = saved(&model).node;
    let flow: Vec<_> = nodes.iter().map(|n| (n.op_type(), n.input[0].as_str(), n.output[0].as_str())).collect();
    assert_eq!(flow, [("Relu", "x", "y_float"), ("Neg", "y_float", "n"), ("Abs", "y_float", "y"), ("If", "c", "z")]);
    let outputs: Vec<_> = saved(&model).output.iter().map(|o| o.name().to_owned()).collect();
    assert_eq!(outputs, ["n", "y", "z"]);
}

#[test]
fn hand_over_name_takes_the_type_hint_along_and_never_states_it_twice() {
    let model = Builder::new(13).input("x", &[1]).node("Relu", &["x"], &["a"], vec![]);
    let mut proto = model.node("Neg", &["a"], &["b"], vec![]).output("b", &[1]).proto();
    graph_of(&mut proto).value_info = vec![hint("a", "of a"), hint("b", "of b")];
    let mut model = Model::from_proto(proto).expect("valid");
    let a = value(&model.graph, "a");
    let (_, first) = model.graph.add_node(abs(a), "first");
    let (_, second) = model.graph.add_node(abs(a), "second");
    model.graph.hand_over_name(a, first, "a_1");
    model.graph.hand_over_name(first, second, "a_2");
    model.graph.hand_over_name(second, first, "a_3");
    let hints: Vec<_> =
        saved(&model).value_info.iter().map(|i| (i.name().to_owned(), i.doc_string().to_owned())).collect();
    assert_eq!(hints.len(), 2, "{hints:?}");
    assert!(
        hints.contains(&("a".to_owned(), "of a".to_owned())) && hints.contains(&("b".to_owned(), "of b".to_owned()))
    );
}

#[test]
fn hand_over_name_renames_a_constant_in_its_message_too() {
    let mut model = Builder::new(13).floats("w", &[1], &[1.0]).output("w", &[1]).build();
    let w = value(&model.graph, "w");
    let (_, after) = model.graph.add_node(abs(w), "later");
    model.graph.hand_over_name(w, after, "w_float");
    assert_eq!(saved(&model).initializer[0].name(), "w_float");
    Model::from_proto(model.to_proto().expect("no circle")).expect("still a model");
}

#[test]
fn take_over_output_fuses_a_node_into_the_one_before() {
    let mut model = Builder::new(13)
        .input("x", &[1])
        .floats("b", &[1], &[1.0])
        .node("Conv", &["x"], &["c"], vec![])
        .node("Add", &["c", "b"], &["s"], vec![])
        .node("Relu", &["s"], &["y"], vec![])
        .output("y", &[1])
        .build();
    let graph = &mut model.graph;
    let (conv, add, s) = (maker(graph, "c"), maker(graph, "s"), value(graph, "s"));
    graph.take_over_output(conv, 0, s);
    graph.verify().expect("sound");
    assert!(graph.get_node(add).is_none());
    assert_eq!(graph.value(s).source(), Source::Node { node: conv, slot: 0 });
    assert_eq!(graph.value(value(graph, "c")).source(), Source::Nowhere);
    assert!(graph.value(value(graph, "b")).uses().is_empty());
    assert_eq!(saved_order(&model), ["s", "y"]);
}

#[test]
fn split_output_frees_a_value_for_a_node_behind() {
    let mut model = read_everywhere();
    let graph = &mut model.graph;
    let (relu, y) = (maker(graph, "y"), value(graph, "y"));
    let rows = graph.split_output(relu, 0, "rows");
    let (node, _) = graph.add_node(abs(rows), "later");
    graph.take_over_output(node, 0, y);
    graph.verify().expect("sound");
    assert_eq!(saved_order(&model), ["rows", "y", "n", "z"]);
}

#[test]
fn make_constant_keeps_name_and_readers_and_drops_the_node() {
    let mut model = read_everywhere();
    let (relu, y, x) = (maker(&model.graph, "y"), value(&model.graph, "y"), value(&model.graph, "x"));
    let uses = model.graph.value(y).uses().to_vec();
    model.graph.make_constant(y, &one());
    model.graph.verify().expect("sound");
    assert!(model.graph.get_node(relu).is_none() && model.graph.is_constant(y));
    assert_eq!(model.graph.value(y).uses(), uses);
    assert!(model.graph.value(x).readers().next().is_none());
    assert_eq!(model.graph.constant(y).expect("a tensor"), Some(one()));
    assert_eq!(saved(&model).initializer[0].name(), "y");
}

#[test]
fn make_constant_leaves_a_node_whose_other_output_is_read() {
    let model = Builder::new(13).input("x", &[2]).node("Split", &["x"], &["a", "b"], vec![]);
    let mut model = model.output("a", &[1]).output("b", &[1]).build();
    let a = value(&model.graph, "a");
    model.graph.make_constant(a, &one());
    model.graph.verify().expect("sound");
    assert_eq!(saved(&model).node[0].output, ["", "b"]);
}

#[test]
fn a_constant_made_constant_is_stored_once() {
    let mut model = Builder::new(13).floats("w", &[1], &[0.0]).output("w", &[1]).build();
    let w = value(&model.graph, "w");
    model.graph.make_constant(w, &one());
    Model::from_proto(model.to_proto().expect("no circle")).expect("one definition");
    assert_eq!(model.graph.constant(w).expect("a tensor"), Some(one()));
}

#[test]
fn remove_unused_goes_back_along_dead_branches_only() {
    let branch = build::body("then_branch", body_graph(&["kept", "kept_weight"], "t"));
    let mut model = Builder::new(13)
        .input("x", &[1])
        .input("listed", &[1])
        .floats("listed", &[1], &[1.0])
        .floats("kept_weight", &[1], &[1.0])
        .floats("dead_weight", &[1], &[1.0])
        .node("Relu", &["x"], &["kept"], vec![])
        .node("Add", &["x", "dead_weight"], &["dead"], vec![])
        .node("Neg", &["dead"], &["deader"], vec![])
        .node("If", &["x"], &["y"], vec![branch])
        .output("y", &[1])
        .build();
    model.graph.remove_unused();
    model.graph.verify().expect("sound");
    assert_eq!(saved_order(&model), ["kept", "y"]);
    let names: Vec<_> = saved(&model).initializer.iter().map(|t| t.name().to_owned()).collect();
    assert_eq!(names, ["listed", "kept_weight"]);
    assert_eq!(saved(&model).input.len(), 2);
}

#[test]
fn set_input_adds_inputs_and_writes_none_left_out_at_the_end() {
    let mut model = read_everywhere();
    let (neg, x, y) = (maker(&model.graph, "n"), value(&model.graph, "x"), value(&model.graph, "y"));
    model.graph.set_input(neg, 3, Some(x));
    assert_eq!(model.graph.node(neg).inputs(), [Some(y), None, None, Some(x)]);
    model.graph.set_input(neg, 3, None);
    assert_eq!(model.graph.node(neg).inputs(), [Some(y)]);
    model.graph.set_input(neg, 0, None);
    assert!(model.graph.node(neg).inputs().is_empty());
    model.graph.verify().expect("sound");
    assert!(model.graph.value(y).readers().next().is_none());
}

#[test]
fn redirect_readers_leaves_what_goes_by_name() {
    let mut model = read_everywhere();
    let (x, y) = (value(&model.graph, "x"), value(&model.graph, "y"));
    model.graph.redirect_readers(y, x);
    model.graph.verify().expect("sound");
    assert_eq!(model.graph.node(maker(&model.graph, "n")).inputs(), [Some(x)]);
    assert!(model.graph.value(y).is_output() && model.graph.value(y).is_captured());
}

#[test]
fn a_node_is_removed_only_when_nothing_reads_it() {
    let mut model = read_everywhere();
    let (relu, y) = (maker(&model.graph, "y"), value(&model.graph, "y"));
    assert!(!model.graph.remove_if_unused(relu));
    let (node, _) = model.graph.add_node(abs(y), "unread");
    assert!(model.graph.remove_if_unused(node) && !model.graph.remove_if_unused(node));
    model.graph.verify().expect("sound");
}

#[test]
fn unlisted_defaults_are_plain_constants() {
    let model = Builder::new(7).input("w", &[1]).input("x", &[1]).floats("w", &[1], &[1.0]);
    let mut model = model.node("Add", &["x", "w"], &["y"], vec![]).output("y", &[1]).build();
    assert_eq!(model.graph.unlist_default_inputs(), 1);
    assert_eq!(model.graph.unlist_default_inputs(), 0);
    assert!(!model.graph.is_overridable(value(&model.graph, "w")));
    assert_eq!(saved(&model).input.iter().map(|i| i.name().to_owned()).collect::<Vec<_>>(), ["x"]);
}

#[test]
fn attributes_are_replaced_in_place() {
    let mut model = Builder::new(13)
        .input("x", &[1])
        .node("Any", &["x"], &["y"], vec![build::int("a", 1), build::float("b", 2.0)])
        .output("y", &[1])
        .build();
    let node = maker(&model.graph, "y");
    model.graph.set_text(node, "a", "words");
    model.graph.set_ints(node, "c", &[1, 2]);
    model.graph.remove_attribute(node, "b");
    let attributes = model.graph.node(node).attributes();
    assert_eq!(attributes.names().collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(
        (attributes.text("a"), attributes.int("a"), attributes.ints("c")),
        (Some("words"), None, Some(&[1, 2][..]))
    );
}
