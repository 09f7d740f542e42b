//! Models in 16 bits as float32.

use super::*;
use crate::ir::build::{Builder, int, noise};
use crate::prepare::widen::Widen;
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};

fn half(dims: &[usize], values: &[f32]) -> Tensor {
    HalfType::Float16.tensor(&Tensor::from_f32(dims.to_vec(), values)).expect("numbers")
}

/// A float16 model with float16 input and output.
fn model() -> Model {
    let weight = half(&[4, 4], &noise(16, 3));
    let mut model = Builder::new(17)
        .input("x", &[2, 4])
        .constant("w", &weight)
        .node("MatMul", &["x", "w"], &["a"], vec![])
        .node("Cast", &["a"], &["b"], vec![int("to", 1)])
        .node("Tanh", &["b"], &["c"], vec![])
        .node("Cast", &["c"], &["d"], vec![int("to", 10)])
        .node("Relu", &["d"], &["y"], vec![])
        .output("y", &[2, 4])
        .build();
    for name in ["x", "y"] {
        let value = model.graph.find(name).expect("a value");
        model.graph.set_element_type(value, DataType::Float16);
    }
    model
}

fn operators(model: &Model) -> Vec<&str> {
    let order = model.graph.topological().expect("no circle");
    order.into_iter().map(|id| model.graph.node(id).op_type()).collect()
}

#[test]
fn everything_between_the_border_is_float32() {
    let mut made = model();
    let executor = Tract::default();
    pass::run(&Widen::new(&executor), &mut made).expect("a model that can be widened");
    let dtype = |name: &str| made.graph.element_type(made.graph.find(name).expect("a value"));
    assert_eq!(
        (dtype("x"), dtype("y"), dtype("w")),
        (Some(DataType::Float16), Some(DataType::Float16), Some(DataType::Float32))
    );
    assert_eq!(operators(&made), ["Cast", "MatMul", "Tanh", "Relu", "Cast"]);
    let again = pass::run(&Widen::new(&executor), &mut made).expect("a widened model");
    assert_eq!((operators(&made).len(), again.changed), (5, 0));
}

#[test]
fn a_model_without_halves_stays_as_it_is() {
    let mut model = Builder::new(17).input("x", &[2]).node("Relu", &["x"], &["y"], vec![]).output("y", &[2]).build();
    let outcome = pass::run(&Widen::new(&Tract::default()), &mut model).expect("any model");
    assert_eq!((outcome.changed, operators(&model)), (0, vec!["Relu"]));
}
