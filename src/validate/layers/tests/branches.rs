//! Branches of If in the place of their If.

use super::super::branches::take_branches;
use crate::exec::{Session, Tract};
use crate::ir::Model;
use crate::ir::build::{Builder, body, int};
use crate::proto::{GraphProto, NodeProto, ValueInfoProto};
use crate::tensor::Tensor;

/// A branch that multiplies by `w` and applies `op_type`.
fn branch(op_type: &str) -> GraphProto {
    let node = |op_type: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: Some(op_type.to_owned()),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let nodes = vec![node("MatMul", &["x", "w"], "m"), node(op_type, &["m"], "r")];
    let output = vec![ValueInfoProto { name: Some("r".to_owned()), ..ValueInfoProto::default() }];
    GraphProto { name: Some(op_type.to_owned()), node: nodes, output, ..GraphProto::default() }
}

/// Relu(x w) where the sum of x is positive, else -(x w).
fn net() -> Model {
    let branches = vec![body("then_branch", branch("Relu")), body("else_branch", branch("Neg"))];
    let net = Builder::new(13).input("x", &[2, 4]).noise("w", &[4, 3], 1).floats("zero", &[], &[0.0]);
    let net = net.node("ReduceSum", &["x"], &["sum"], vec![int("keepdims", 0)]);
    let net = net.node("Greater", &["sum", "zero"], &["positive"], vec![]);
    net.node("If", &["positive"], &["y"], branches).output("y", &[2, 3]).build()
}

fn sample(number: f32) -> Vec<Tensor> {
    vec![Tensor::from_f32(vec![2, 4], &[number; 8])]
}

fn taken(samples: &[Vec<Tensor>]) -> Option<[Model; 2]> {
    let model = net();
    take_branches([&model, &model], &Tract::default(), samples)
}

fn outputs(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let executor = Tract::default();
    let session = Session::new(&executor, model, vec![]).expect("a session");
    session.run(inputs, &mut |_, _, _| {}).expect("a run")
}

#[test]
fn the_branch_that_all_samples_take_is_part_of_the_graph() {
    for (number, op_type) in [(1.0, "Relu"), (-1.0, "Neg")] {
        let [float, quantized] = taken(&[sample(number), sample(2.0 * number)]).expect("a branch");
        for model in [float, quantized] {
            let order = model.graph.topological().expect("no circle");
            let op_types: Vec<&str> = order.iter().map(|&id| model.graph.node(id).op_type()).collect();
            assert_eq!(&op_types[2..], ["MatMul", op_type]);
            // It computes what the whole does.
            assert_eq!(outputs(&model, &sample(number)), outputs(&net(), &sample(number)));
        }
    }
}

#[test]
fn samples_that_differ_leave_it() {
    assert!(taken(&[sample(1.0), sample(-1.0)]).is_none());
    assert!(taken(&[]).is_none());
}
