//! Every pass leaves what the graph computes as it was, says why it refused, and changes nothing when run again.

mod affine;
mod axes;
mod bias;
mod bodies;
mod constants;
mod dilated;
mod dims;
mod experimental;
mod factors;
mod functions;
mod fuse;
mod hard;
mod kernels;
mod later;
mod levels;
mod matmul;
mod normals;
mod older;
mod opset;
mod pads;
mod widen;

use super::*;
use crate::exec::{Session, Tract};
use crate::file;
use crate::ir::build::{Builder, noise};
use crate::tensor::Tensor;

/// A tensor of noise for each graph input.
fn feeds(model: &Model) -> Vec<Tensor> {
    let feed = |(i, value)| {
        let dims = model.graph.stated_type(value).expect("a typed input").dims;
        let shape: Vec<usize> = dims.into_iter().map(|d| d.unwrap_or(3)).collect();
        let numbers = noise(shape.iter().product(), 100 + i as u32);
        Tensor::from_f32(shape, &numbers)
    };
    model.graph.inputs().enumerate().map(feed).collect()
}

fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let executor = Tract::default();
    let session = Session::new(&executor, model, vec![]).expect("a model");
    session.run(inputs, &mut |_, _, _| {}).expect("a model that tract runs")
}

/// That two lists of numbers are alike, but for rounding.
fn assert_near(wanted: &[f32], found: &[f32]) {
    let largest = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(largest > 0.0 && wanted.len() == found.len(), "{} and {} numbers", wanted.len(), found.len());
    for (a, b) in wanted.iter().zip(found) {
        assert!((a - b).abs() <= largest * 1e-5, "{a} became {b}, largest {largest}");
    }
}

fn assert_computes_the_same(before: &Model, after: &Model) {
    let inputs = feeds(before);
    let (wanted, found) = (run(before, &inputs), run(after, &inputs));
    assert_eq!(wanted.len(), found.len());
    for (a, b) in wanted.iter().zip(&found) {
        assert_eq!(a.shape(), b.shape());
        assert_near(&a.to_f32().expect("numbers"), &b.to_f32().expect("numbers"));
    }
}

/// The prepared model and what each pass did. A second run must change nothing at all.
fn prepare_twice(model: &Model) -> (Model, Preparation) {
    let executor = Tract::default();
    let mut ready = model.clone();
    let done = prepare(&mut ready, &executor, &Options::default()).expect("a model that can be prepared");
    let bytes = file::to_bytes(&ready).expect("a message");
    for (pass, outcome) in prepare(&mut ready, &executor, &Options::default()).expect("a second run") {
        assert_eq!(outcome.changed, 0, "{pass} changes something again");
    }
    assert!(bytes == file::to_bytes(&ready).expect("a message"), "a second run changes the bytes");
    (ready, done)
}

/// The prepared model, checked to compute the same.
fn prepared(model: &Model) -> Model {
    let (ready, _) = prepare_twice(model);
    assert_computes_the_same(model, &ready);
    ready
}

/// Why `pass` left something alone.
fn refusals(model: &Model, pass: &str) -> Vec<String> {
    let (_, done) = prepare_twice(model);
    done.into_iter().filter(|(name, _)| *name == pass).flat_map(|(_, o)| o.refused).map(|(_, why)| why).collect()
}

/// Why a model cannot be prepared.
fn refusal(model: &Model) -> String {
    prepare(&mut model.clone(), &Tract::default(), &Options::default())
        .expect_err("a model that is refused")
        .to_string()
}

fn operators(model: &Model) -> Vec<&str> {
    let order = model.graph.topological().expect("no circle");
    order.into_iter().map(|id| model.graph.node(id).op_type()).collect()
}

fn find<'a>(model: &'a Model, op_type: &str) -> &'a crate::ir::Node {
    let id = model.graph.node_ids().find(|&id| model.graph.node(id).is(op_type));
    model.graph.node(id.expect("the operator"))
}

#[test]
fn identity_and_dropout_vanish_but_not_the_output_name() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 3])
        .node("Identity", &["x"], &["a"], vec![])
        .node("Dropout", &["a"], &["b"], vec![])
        .node("Relu", &["b"], &["c"], vec![])
        .node("Identity", &["c"], &["y"], vec![])
        .build();
    let ready = prepared(&model);
    assert_eq!(operators(&ready), ["Relu"]);
    assert_eq!(ready.graph.outputs().map(|v| ready.graph.value(v).name()).collect::<Vec<_>>(), ["y"]);
}

#[test]
fn a_dropout_in_training_and_one_with_a_mask_stay() {
    let training = Tensor::new(crate::tensor::DataType::Bool, vec![], bytes::Bytes::from_static(&[1])).expect("a bool");
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 3])
        .output("z", &[2, 3])
        .floats("ratio", &[], &[0.5])
        .constant("training", &training)
        .node("Dropout", &["x", "ratio", "training"], &["y"], vec![])
        .node("Dropout", &["x"], &["d", "mask"], vec![])
        .node("Cast", &["mask"], &["z"], vec![crate::ir::build::int("to", 1)])
        .build();
    assert_eq!(operators(&prepare_twice(&model).0), ["Dropout", "Dropout", "Cast"]);
}

#[test]
fn initializers_listed_as_inputs_become_constants() {
    let listed = Builder::new(13)
        .input("x", &[1, 2, 4, 4])
        .input("w", &[3, 2, 1, 1])
        .output("y", &[1, 3, 4, 4])
        .noise("w", &[3, 2, 1, 1], 1)
        .node("Conv", &["x", "w"], &["y"], vec![]);
    let mut proto = listed.proto();
    proto.ir_version = Some(3);
    let model = Model::from_proto(proto).expect("a model");
    let ready = prepared(&model);
    assert!(ready.ir_version() >= 4);
    let proto = ready.to_proto().expect("a message");
    assert_eq!(
        proto.graph.expect("a graph").input.iter().map(crate::proto::ValueInfoProto::name).collect::<Vec<_>>(),
        ["x"]
    );
}

#[test]
fn nodes_and_constants_that_no_output_needs_are_dropped() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 3])
        .noise("c", &[3], 1)
        .node("Add", &["x", "c"], &["unread"], vec![])
        .node("Relu", &["x"], &["y"], vec![])
        .build();
    let ready = prepared(&model);
    assert_eq!(operators(&ready), ["Relu"]);
    assert!(ready.to_proto().expect("a message").graph.expect("a graph").initializer.is_empty());
}
