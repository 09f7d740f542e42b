//! Bodies that are graphs for a while.

use super::super::build::{self, Builder};
use super::*;
use crate::error::Error;
use crate::proto::{SparseTensorProto, StringStringEntryProto, TensorProto};
use crate::tensor::Tensor;
use prost::Message;

/// An If whose bodies read x and y; one has everything that a graph can have beside nodes.
fn full() -> Model {
    let then = GraphProto {
        doc_string: Some("a body".to_owned()),
        initializer: vec![super::super::tensors::tensor_to_proto("c", &Tensor::from_f32(vec![1], &[1.0]))],
        value_info: vec![named("t"), named("stale")],
        node: vec![raw_node("Add", &["x", "c"], &["t"]), raw_node("Add", &["t", "y"], &["o"])],
        ..body_graph(&["x", "y"], "o")
    };
    let branches = vec![build::body("then_branch", then), build::body("else_branch", body_graph(&["x", "y"], "e"))];
    Builder::new(13)
        .input("flag", &[])
        .input("x", &[1])
        .input("y", &[1])
        .node("If", &["flag"], &["z"], branches)
        .output("z", &[1])
        .build()
}

#[test]
fn a_body_that_is_only_looked_at_stays_as_it_was() {
    let model = full();
    let mut edited = model.clone();
    let id = maker(&edited.graph, "z");
    assert_eq!(edited.graph.body_count(id), 2);
    for index in [0, 1] {
        let seen = edited.graph.edit_body(id, index, |body| {
            body.verify()?;
            let x = value(body, "x");
            assert!(body.value(x).source() == Source::Input);
            assert_eq!(body.inputs().count(), 0);
            Ok(body.node_ids().count())
        });
        assert_eq!(seen.expect("a body"), 2 - index);
    }
    assert_eq!(edited.to_proto().expect("a message"), model.to_proto().expect("a message"));
    edited.graph.verify().expect("a sound graph");
}

#[test]
fn bodies_can_be_made_to_read_something_else() {
    let mut graph = full().graph;
    let (id, x) = (maker(&graph, "z"), value(&graph, "x"));
    let new = NewNode { op_type: "Neg", name: "Neg", inputs: vec![Some(x)], ints: vec![] };
    let (_, other) = graph.add_node(new, "other");
    graph.redirect_captured(x, other);
    let captured: Vec<_> = graph.node(id).captured().iter().map(|&v| graph.value(v).name()).collect();
    assert_eq!(captured, ["other", "y"]);
    assert!(!graph.value(x).is_captured() && graph.value(other).is_captured());
    assert!(graph.body(id, 1).expect("a body").find("x").is_none());
    graph.verify().expect("a sound graph");
}

#[test]
fn what_people_alone_read_can_be_left_out() {
    let mut plain = full().to_proto().expect("a message");
    let sparse = SparseTensorProto {
        values: Some(tensor_to_proto("sparse", &Tensor::from_f32(vec![1], &[1.0]))),
        indices: Some(TensorProto { dims: vec![1], data_type: Some(7), int64_data: vec![0], ..TensorProto::default() }),
        dims: vec![1],
    };
    graph_of(&mut plain).sparse_initializer.push(sparse);
    let mut noted = plain.clone();
    let text = || Some("a trace".to_owned());
    let note = || vec![StringStringEntryProto { key: text(), value: text() }];
    noted.doc_string = text();
    noted.metadata_props = note();
    let outer = graph_of(&mut noted);
    (outer.doc_string, outer.metadata_props) = (text(), note());
    let stored = &mut outer.sparse_initializer[0];
    stored.values.as_mut().expect("numbers").doc_string = text();
    stored.indices.as_mut().expect("places").metadata_props = note();
    (outer.input[0].doc_string, outer.output[0].metadata_props) = (text(), note());
    let node = &mut outer.node[0];
    (node.doc_string, node.metadata_props) = (text(), note());
    let body = node.attribute[0].g.as_mut().expect("a body");
    (body.node[0].metadata_props, body.value_info[0].doc_string) = (note(), text());
    (body.initializer[0].doc_string, body.metadata_props) = (text(), note());
    let mut model = Model::from_proto(noted.clone()).expect("a model");
    let strippable = model.strippable_bytes().expect("bytes");
    model.strip();
    assert_eq!(model.strippable_bytes().expect("bytes"), 0);
    let left = model.to_proto().expect("a message").encoded_len() as u64;
    assert_eq!(strippable, noted.encoded_len() as u64 - left);
    let mut expected = plain;
    graph_of(&mut expected).node[0].attribute[0].g.as_mut().expect("a body").doc_string = None;
    expected.metadata_props = note();
    assert_eq!(model.to_proto().expect("a message"), expected);
}

#[test]
fn stack_traces_can_be_left_out_alone() {
    let mut noted = full().to_proto().expect("a message");
    let entry = |key: &str| StringStringEntryProto { key: Some(key.to_owned()), value: Some("x".repeat(300)) };
    let (trace, other) = (|| entry("pkg.torch.onnx.stack_trace"), || entry("pkg.torch.onnx.fx_node"));
    noted.metadata_props = vec![trace()];
    let outer = graph_of(&mut noted);
    outer.doc_string = Some("said".to_owned());
    outer.node[0].metadata_props = vec![other(), trace()];
    outer.node[0].attribute[0].g.as_mut().expect("a body").node[0].metadata_props = vec![trace(), other()];
    let mut model = Model::from_proto(noted.clone()).expect("a model");
    assert!((600..700).contains(&model.strip_traces()));
    let outer = graph_of(&mut noted);
    outer.node[0].metadata_props = vec![other()];
    outer.node[0].attribute[0].g.as_mut().expect("a body").node[0].metadata_props = vec![other()];
    assert_eq!(model.to_proto().expect("a message"), noted);
    assert_eq!(model.strip_traces(), 0);
}

#[test]
fn what_a_body_no_longer_reads_is_no_longer_captured() {
    let mut graph = full().graph;
    let id = maker(&graph, "z");
    for index in [0, 1] {
        let y = value(&graph, "y");
        assert!(graph.value(y).is_captured());
        let edit = |body: &mut Graph| {
            let x = value(body, "x");
            let last = body.value(body.outputs().next().expect("an output")).producer().expect("a node");
            body.set_input(last, 1, Some(x));
            Ok(())
        };
        graph.edit_body(id, index, edit).expect("a body");
        graph.verify().expect("a sound graph");
    }
    let captured = graph.node(id).captured().iter().map(|&v| graph.value(v).name());
    assert_eq!(captured.collect::<Vec<_>>(), ["x"]);
    assert!(!graph.value(value(&graph, "y")).is_captured());
}

#[test]
fn names_given_in_a_body_are_new_to_all_graphs() {
    let mut graph = full().graph;
    let id = maker(&graph, "z");
    let one = Tensor::from_f32(vec![1], &[1.0]);
    let mut given = Vec::new();
    for index in [0, 1] {
        let add = |body: &mut Graph| {
            let names = ["x", "z", "c", "e", "new"].map(|stem| body.add_initializer(stem, &one));
            Ok(names.map(|v| body.value(v).name().to_owned()))
        };
        given.extend(graph.edit_body(id, index, add).expect("a body"));
    }
    assert_eq!(given[..5], ["x_1", "z_1", "c_1", "e_1", "new"]);
    assert_eq!(given[5..], ["x_2", "z_2", "c_2", "e_2", "new_1"]);
    assert_eq!(graph.fresh_name("new"), "new_2");
}

#[test]
fn an_error_while_editing_loses_no_names() {
    let mut model = full();
    let id = maker(&model.graph, "z");
    let failed = model.graph.edit_body(id, 0, |_| Err::<(), _>(Error::other("no")));
    assert_eq!(failed.expect_err("an error").to_string(), "no");
    assert_eq!(model.to_proto().expect("a message"), full().to_proto().expect("a message"));
    assert_eq!(model.graph.fresh_name("x"), "x_1");
    model.graph.verify().expect("a sound graph");
    let missing = model.graph.edit_body(id, 2, |_| Ok(())).expect_err("no such body").to_string();
    assert!(missing.contains("number 2"), "{missing}");
}

#[test]
fn a_node_becomes_the_body_of_another() {
    let mut graph = full().graph;
    let id = maker(&graph, "z");
    graph.nest(id, "body", &[Some(crate::tensor::DataType::Bool)]);
    graph.verify().expect("a sound graph");
    assert_eq!((graph.body_count(id), graph.node(id).inputs().len(), graph.node(id).captured().len()), (1, 1, 2));
    let inner = |body: &mut Graph| {
        let input = body.inputs().next().expect("an input");
        let node = body.node_ids().next().expect("a node");
        assert!(body.node(node).is("If") && body.node(node).input(0) == Some(input));
        assert_eq!(body.node(node).output(0), body.outputs().next());
        Ok(body.body_count(node))
    };
    assert_eq!(graph.edit_body(id, 0, inner).expect("a body"), 2);
}
