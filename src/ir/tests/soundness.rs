//! Broken graphs that `verify` finds, and tensors that are not what they say.

use super::super::build::{self, Builder};
use super::super::graph::Use;
use super::*;
use crate::proto::TensorProto;
use crate::tensor::{DataType, Tensor};

fn graph() -> Graph {
    let branch = build::body("then_branch", body_graph(&["a", "a"], "t"));
    Builder::new(13)
        .input("x", &[1])
        .node("Relu", &["x"], &["a"], vec![])
        .node("Neg", &["a"], &["y"], vec![])
        .node("If", &["x"], &["z"], vec![branch])
        .output("y", &[1])
        .output("a", &[1])
        .build()
        .graph
}

fn a(graph: &mut Graph) -> &mut Value {
    let id = value(graph, "a");
    &mut graph.values[id.index()]
}

/// Breaks the sound graph; `verify` must name what is broken.
fn broken(name: &str, damage: impl FnOnce(&mut Graph)) {
    let mut graph = graph();
    graph.verify().expect("sound before");
    damage(&mut graph);
    let text = graph.verify().expect_err("broken").to_string();
    assert!(text.contains(&format!("{name:?}")), "{text}");
}

#[test]
fn verify_finds_a_use_that_does_not_read() {
    for surplus in [
        Use::Input { node: NodeId(1), slot: 1 },
        Use::Input { node: NodeId(9), slot: 0 },
        Use::Body { node: NodeId(1) },
        Use::Output { index: 0 },
        Use::Output { index: 9 },
    ] {
        broken("a", |g| a(g).uses.push(surplus));
    }
}

#[test]
fn verify_finds_a_use_that_is_not_listed() {
    let forget = |g: &mut Graph, which: fn(&Use) -> bool| a(g).uses.retain(|u| !which(u));
    broken("Neg_y", |g| forget(g, |u| matches!(u, Use::Input { .. })));
    broken("If_z", |g| forget(g, |u| matches!(u, Use::Body { .. })));
    broken("a", |g| forget(g, |u| matches!(u, Use::Output { .. })));
}

#[test]
fn verify_finds_a_value_and_a_node_that_disagree_about_who_makes_it() {
    broken("a", |g| a(g).source = Source::Node { node: NodeId(1), slot: 0 });
    broken("a", |g| a(g).source = Source::Nowhere);
    broken("Relu_a", |g| a(g).source = Source::Input);
}

#[test]
fn verify_finds_two_values_of_one_name() {
    broken("x", |g| a(g).name = "x".to_owned());
}

#[test]
fn verify_finds_a_circle() {
    let mut graph = graph();
    let (relu, y) = (maker(&graph, "a"), value(&graph, "y"));
    graph.set_input(relu, 0, Some(y));
    assert!(graph.verify().expect_err("a circle").to_string().contains("depends on itself"));
}

#[test]
fn typed_fields_are_read_as_the_bytes_they_stand_for() {
    let proto = |dtype: DataType, count: i64| TensorProto {
        data_type: Some(dtype.onnx()),
        dims: vec![count],
        ..TensorProto::default()
    };
    let ints = |dtype, count, values: &[i32]| TensorProto { int32_data: values.to_vec(), ..proto(dtype, count) };
    let cases: [(TensorProto, &[u8]); 8] = [
        (TensorProto { float_data: vec![1.0], ..proto(DataType::Float32, 1) }, &[0, 0, 0x80, 0x3f]),
        (TensorProto { uint64_data: vec![7], ..proto(DataType::Uint32, 1) }, &[7, 0, 0, 0]),
        (TensorProto { int64_data: vec![-2], ..proto(DataType::Int64, 1) }, &[254, 255, 255, 255, 255, 255, 255, 255]),
        (TensorProto { float_data: vec![0.0, 1.0], ..proto(DataType::Complex64, 1) }, &[0, 0, 0, 0, 0, 0, 0x80, 0x3f]),
        (ints(DataType::Int8, 2, &[-1, 127]), &[255, 127]),
        (ints(DataType::Bool, 2, &[1, 0]), &[1, 0]),
        (ints(DataType::Float16, 1, &[0x3c00]), &[0, 0x3c]),
        (ints(DataType::Int4, 3, &[0x21, 0x03]), &[0x21, 0x03]),
    ];
    for (message, bytes) in cases {
        assert_eq!(tensor_from_proto(&message).expect("a tensor").bytes().as_ref(), bytes, "{message:?}");
    }
}

#[test]
fn a_malformed_tensor_is_an_error() {
    let good = tensor_to_proto("w", &Tensor::from_f32(vec![2], &[1.0, 2.0]));
    assert!(tensor_from_proto(&good).is_ok());
    let bad = [
        TensorProto { dims: vec![3], ..good.clone() },
        TensorProto { dims: vec![-2], ..good.clone() },
        TensorProto { dims: vec![i64::MAX, i64::MAX], ..good.clone() },
        TensorProto { data_type: Some(0), ..good.clone() },
        TensorProto { data_type: Some(99), ..good.clone() },
        TensorProto { data_type: Some(8), ..good.clone() },
        TensorProto { raw_data: None, ..good.clone() },
        TensorProto { segment: Some(Default::default()), ..good.clone() },
    ];
    for message in bad {
        assert!(tensor_from_proto(&message).is_err(), "{message:?}");
    }
}

#[test]
fn an_empty_tensor_needs_no_bytes() {
    let message = TensorProto { data_type: Some(1), dims: vec![0, 5], ..TensorProto::default() };
    assert_eq!(tensor_from_proto(&message).expect("a tensor").shape(), [0, 5]);
}
