//! The order of nodes, and messages that are no graph.

use super::super::build::{self, Builder};
use super::*;
use crate::tensor::Tensor;

/// `count` Relu nodes one after the other, from v0 to v`count`.
fn chain(count: usize) -> ModelProto {
    let mut proto = Builder::new(13).input("v0", &[1]).output(&format!("v{count}"), &[1]).proto();
    let node = |i: usize| raw_node("Relu", &[&format!("v{i}")], &[&format!("v{}", i + 1)]);
    graph_of(&mut proto).node = (0..count).map(node).collect();
    proto
}

#[test]
fn nodes_keep_the_order_of_the_file() {
    let model = Builder::new(13)
        .input("x", &[1])
        .node("Relu", &["x"], &["c"], vec![])
        .node("Relu", &["x"], &["a"], vec![])
        .node("Relu", &["c"], &["b"], vec![])
        .node("Add", &["a", "b"], &["y"], vec![])
        .output("y", &[1])
        .build();
    assert_eq!(saved_order(&model), ["c", "a", "b", "y"]);
}

#[test]
fn a_node_before_its_producers_is_moved_behind_them() {
    let model = Builder::new(13)
        .input("x", &[1])
        .node("Relu", &["b"], &["y"], vec![])
        .node("Relu", &["x"], &["a"], vec![])
        .node("Relu", &["a"], &["b"], vec![])
        .output("y", &[1])
        .build();
    assert_eq!(saved_order(&model), ["a", "b", "y"]);
}

#[test]
fn an_inserted_node_comes_just_before_its_first_reader() {
    let mut model = Builder::new(13)
        .input("x", &[1])
        .node("Relu", &["x"], &["a"], vec![])
        .node("Neg", &["x"], &["b"], vec![])
        .node("Add", &["a", "b"], &["c"], vec![])
        .node("Mul", &["a", "c"], &["y"], vec![])
        .output("y", &[1])
        .build();
    let a = value(&model.graph, "a");
    let new = NewNode { op_type: "Abs", name: "Abs_a", inputs: vec![Some(a)], ints: vec![] };
    let (_, between) = model.graph.add_node(new, "between");
    for reader in ["c", "y"] {
        model.graph.set_input(maker(&model.graph, reader), 0, Some(between));
    }
    assert_eq!(saved_order(&model), ["a", "b", "between", "c", "y"]);
}

#[test]
fn what_a_body_reads_is_made_before_it() {
    let branch = |output| build::body(output, body_graph(&["late", "x"], output));
    let model = Builder::new(13)
        .input("c", &[])
        .input("x", &[1])
        .node("If", &["c"], &["y"], vec![branch("then_branch"), branch("else_branch")])
        .node("Relu", &["x"], &["late"], vec![])
        .output("y", &[1])
        .build();
    assert_eq!(saved_order(&model), ["late", "y"]);
    assert!(model.graph.value(value(&model.graph, "late")).is_captured());
}

#[test]
fn a_name_that_a_body_makes_itself_is_not_captured() {
    let mut shadowing = body_graph(&["i", "x"], "out");
    shadowing.input = vec![named("i")];
    shadowing.node.push(NodeProto {
        attribute: vec![build::body("body", body_graph(&["out", "w"], "deep"))],
        ..raw_node("Loop", &["", "", "i"], &["again"])
    });
    let model = Builder::new(13)
        .input("c", &[])
        .input("x", &[1])
        .floats("w", &[1], &[1.0])
        .node("Relu", &["x"], &["out"], vec![])
        .node("Loop", &["", "c"], &["y"], vec![build::body("body", shadowing)])
        .output("y", &[1])
        .build();
    let node = model.graph.node(maker(&model.graph, "y"));
    let captured: Vec<_> = node.captured().iter().map(|&v| model.graph.value(v).name()).collect();
    assert_eq!(captured, ["x", "w"]);
}

#[test]
fn a_hundred_thousand_nodes_in_a_row_take_no_stack_and_linear_time() {
    let count = 100_000;
    let mut proto = chain(count);
    // The last node first: the search for an order goes as deep as the chain is long.
    graph_of(&mut proto).node.reverse();
    let start = std::time::Instant::now();
    let mut model = Model::from_proto(proto).expect("a chain");
    model.graph.verify().expect("sound");
    assert!(saved(&model).node == graph_of(&mut chain(count)).node, "the chain is put in order");
    let dead = value(&model.graph, &format!("v{count}"));
    let first = value(&model.graph, "v1");
    model.graph.make_constant(dead, &Tensor::from_f32(vec![1], &[0.0]));
    model.graph.remove_unused();
    assert_eq!((model.graph.node_ids().count(), model.graph.value(first).source()), (0, Source::Nowhere));
    // Anything quadratic takes minutes here, what is linear takes a fraction of a second.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn a_value_with_many_readers_is_redirected_in_linear_time() {
    let count = 100_000;
    let mut proto = Builder::new(13).input("x", &[1]).input("z", &[1]).output("v0", &[1]).proto();
    graph_of(&mut proto).node = (0..count).map(|i| raw_node("Relu", &["x"], &[&format!("v{i}")])).collect();
    let mut model = Model::from_proto(proto).expect("a fan");
    let (x, z) = (value(&model.graph, "x"), value(&model.graph, "z"));
    let start = std::time::Instant::now();
    model.graph.redirect_readers(x, z);
    assert!(start.elapsed().as_millis() < 1500, "{:?}", start.elapsed());
    assert_eq!((model.graph.value(x).uses().len(), model.graph.value(z).readers().count()), (0, count));
    assert!((0..count).all(|i| model.graph.node(NodeId(i as u32)).inputs() == [Some(z)]));
}

#[test]
fn a_circle_is_refused_with_a_value_on_it() {
    let model = Builder::new(13).input("x", &[1]).output("b", &[1]);
    let model = model.node("Add", &["x", "b"], &["a"], vec![]).node("Relu", &["a"], &["b"], vec![]);
    let text = refusal(model.proto());
    assert!(text.contains("depends on itself") && (text.contains("\"a\"") || text.contains("\"b\"")), "{text}");
}

#[test]
fn a_circle_through_a_body_is_refused() {
    let branch = build::body("then_branch", body_graph(&["y", "y"], "b"));
    let model = Builder::new(13).input("c", &[]).node("If", &["c"], &["y"], vec![branch]).output("y", &[1]);
    assert_eq!(refusal(model.proto()), "value \"y\": depends on itself");
}

#[test]
fn a_value_made_twice_is_refused_by_name() {
    let base = || Builder::new(13).input("x", &[1]).floats("w", &[1], &[1.0]).output("x", &[1]);
    let twice = [
        (base().node("Relu", &["x"], &["a"], vec![]).node("Relu", &["x"], &["a"], vec![]), "a"),
        (base().node("Relu", &["x"], &["x"], vec![]), "x"),
        (base().node("Relu", &["x"], &["w"], vec![]), "w"),
        (base().floats("w", &[1], &[1.0]), "w"),
        (base().floats("x", &[1], &[1.0]).floats("x", &[1], &[1.0]), "x"),
        (base().input("x", &[1]), "x"),
        (base().node("Split", &["x"], &["p", "p"], vec![]), "p"),
    ];
    for (model, name) in twice {
        let text = refusal(model.proto());
        assert!(text.starts_with(&format!("value {name:?}: is made twice")), "{text}");
    }
}

#[test]
fn a_value_that_nothing_makes_is_refused_by_name() {
    let base = || Builder::new(13).input("x", &[1]);
    let read = refusal(base().node("Relu", &["nowhere"], &["y"], vec![]).output("y", &[1]).proto());
    assert!(read.contains("Relu_y") && read.contains("\"nowhere\""), "{read}");
    let output = refusal(base().output("nowhere", &[1]).proto());
    assert!(output.starts_with("value \"nowhere\""), "{output}");
}

#[test]
fn a_type_hint_does_not_make_a_value() {
    let mut proto = Builder::new(13).input("x", &[1]).output("hinted", &[1]).proto();
    graph_of(&mut proto).value_info = vec![named("hinted")];
    assert!(refusal(proto).contains("\"hinted\""));
}

#[test]
fn a_message_without_a_graph_is_no_model() {
    let proto = ModelProto { graph: None, ..Builder::new(13).proto() };
    assert!(refusal(proto).contains("no graph"));
}

#[test]
fn bodies_within_bodies_end_in_an_error_not_in_the_stack() {
    let mut graph = body_graph(&["x", "x"], "innermost");
    for depth in 0..1000 {
        let nested = NodeProto { attribute: vec![build::body("body", graph)], ..raw_node("Loop", &[], &["o"]) };
        graph = GraphProto { node: vec![nested], name: Some(format!("{depth}")), ..GraphProto::default() };
    }
    let model = Builder::new(13).input("x", &[1]).node("Loop", &[], &["y"], vec![build::body("body", graph)]);
    let text = refusal(model.output("y", &[1]).proto());
    assert!(text.contains("Loop_y") && text.contains("too deeply"), "{text}");
}
