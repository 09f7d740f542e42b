//! Layers of small models, and what is said of them.

use super::*;
use crate::exec::Tract;
use crate::ir::build::{self, Builder, int};
use crate::tensor::{DataType, Tensor, TensorType};

mod branches;

fn net() -> Builder {
    Builder::new(13).input("x", &[16, 8]).noise("w", &[8, 4], 1)
}

/// A product with `w`, which is float32 and goes through a pair with the steps `scales`, one or one for each column.
fn paired(scales: &[f32]) -> Model {
    let shape = if scales.len() > 1 { vec![scales.len()] } else { vec![] };
    let zero = Tensor::new(DataType::Int8, shape.clone(), vec![0u8; scales.len()].into()).expect("zero points");
    let net = net().floats("s", &shape, scales).constant("z", &zero);
    let net = net.node("QuantizeLinear", &["w", "s", "z"], &["q"], vec![int("axis", 1)]);
    let net = net.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![int("axis", 1)]);
    net.node("MatMul", &["x", "d"], &["y"], vec![]).output("y", &[16, 4]).build()
}

#[test]
fn the_grid_of_an_integer_output_is_that_of_what_makes_it() {
    let zero = Tensor::new(DataType::Uint8, vec![], vec![128u8].into()).expect("a zero point");
    let model = net().floats("s", &[], &[0.25]).constant("z", &zero).node("MatMul", &["x", "w"], &["m"], vec![]);
    let model = model.node("QuantizeLinear", &["m", "s", "z"], &["y"], vec![]);
    let mut model = model.output("y", &[16, 4]).build();
    let output = model.graph.find("y").expect("an output");
    model.graph.set_element_type(output, DataType::Uint8);
    model.set_metadata("tare.io.y", r#"{"scale":0.25,"zero_point":128}"#);
    let said = of_product(&model);
    // Nothing but the rounding of the output is wrong, and it is as large as its step says.
    assert!(said.alone_db.is_some() && said.alone_db == said.accumulated_db, "{said:?}");
    assert!(said.grid_excess_db.is_some() && said.weights_excess_db.is_some_and(|db| db < 0.1), "{said:?}");
}

/// What is said of `y`.
fn of_product(quantized: &Model) -> LayerError {
    let float = net().node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[16, 4]).build();
    let executor = Tract::default();
    let types = [TensorType { dtype: DataType::Float32, dims: vec![Some(16), Some(8)] }];
    let runs = Runs::new(&float, quantized, &executor, &types).expect("models that run");
    let x = Tensor::from_f32(vec![16, 8], &build::noise(128, 7));
    let sums = runs.look(&[x]).expect("a run");
    let at = runs.places().iter().position(|place| place.name == "y").expect("both have it");
    LayerError::of(&runs.places()[at], &[&sums[at]], None)
}

#[test]
fn a_weight_behind_a_pair_is_rounded_as_a_stored_one_is() {
    let most = build::noise(32, 1).iter().fold(0f32, |most, v| most.max(v.abs()));
    let step = most / 127.0;
    let sound = of_product(&paired(&[step]));
    assert!(sound.alone_db.is_some_and(|db| (30.0..60.0).contains(&db)) && !sound.is_suspect(), "{sound:?}");
    let cut_off = of_product(&paired(&[step / 8.0]));
    assert!(cut_off.is_suspect() && cut_off.cause() == "its weights or bias", "{cut_off:?}");
    // With a step for each column, one of which is wrong.
    let sound = of_product(&paired(&[step; 4]));
    assert!(sound.alone_db.is_some() && !sound.is_suspect(), "{sound:?}");
    let column = of_product(&paired(&[step, step, step / 16.0, step]));
    assert!(column.is_suspect(), "{column:?}");
}

#[test]
fn a_constant_that_is_read_as_it_is_too_stays_so() {
    let zero = Tensor::new(DataType::Int8, vec![], vec![0u8].into()).expect("a zero point");
    let model = net().floats("s", &[], &[0.001]).constant("z", &zero);
    let model = model.node("QuantizeLinear", &["w", "s", "z"], &["q"], vec![]);
    let model = model.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
    let model = model.node("MatMul", &["x", "d"], &["other"], vec![]).output("other", &[16, 4]);
    let model = model.node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[16, 4]).build();
    assert_eq!(of_product(&model).alone_db, None);
}
