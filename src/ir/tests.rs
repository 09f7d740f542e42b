//! Tests of the graph: what is loaded is saved, and every verb keeps the graph's laws.

mod bodies;
mod edits;
mod loading;
mod round_trip;
mod soundness;

use super::*;
use crate::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

/// A node of a body, or one with no name of its own.
fn raw_node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    NodeProto {
        op_type: Some(op_type.to_owned()),
        input: texts(inputs),
        output: texts(outputs),
        ..NodeProto::default()
    }
}

fn named(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

/// A body that computes `output` from `inputs` by one node.
fn body_graph(inputs: &[&str], output: &str) -> GraphProto {
    GraphProto {
        name: Some("body".to_owned()),
        node: vec![raw_node("Add", inputs, &[output])],
        output: vec![named(output)],
        ..GraphProto::default()
    }
}

fn graph_of(proto: &mut ModelProto) -> &mut GraphProto {
    proto.graph.as_mut().expect("a graph")
}

fn value(graph: &Graph, name: &str) -> ValueId {
    graph.find(name).unwrap_or_else(|| panic!("no value {name}"))
}

/// The node that makes `output`.
fn maker(graph: &Graph, output: &str) -> NodeId {
    graph.value(value(graph, output)).producer().unwrap_or_else(|| panic!("nothing makes {output}"))
}

fn saved(model: &Model) -> GraphProto {
    model.to_proto().expect("no circle").graph.expect("a graph")
}

/// The first output of each node, in the order in which the file has them.
fn saved_order(model: &Model) -> Vec<String> {
    saved(model).node.into_iter().map(|n| n.output[0].clone()).collect()
}

fn refusal(proto: ModelProto) -> String {
    Model::from_proto(proto).expect_err("the model is wrong").to_string()
}
