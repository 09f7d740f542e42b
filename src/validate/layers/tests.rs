//! Layers of small models, and what is said of them.

use super::runs::Runs;
use super::*;
use crate::exec::Tract;
use crate::ir::build::{self, Builder, int};
use crate::tensor::{DataType, Tensor};

mod bodies;
mod branches;
mod grids;

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
    let x = [Tensor::from_f32(vec![16, 8], &build::noise(128, 7))];
    let runs = Runs::new(&float, quantized, &executor, &x).expect("models that run");
    let sums = runs.look(&x, Some(&x)).expect("a run");
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
    assert!(cut_off.suspect.is_some_and(|found| found.cause == Cause::Weights), "{cut_off:?}");
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

/// A product whose last column is a two hundredth of the others, stored as integers with a step for each; a fault leaves none of it.
fn faint(fault: bool) -> LayerError {
    let mut w = build::noise(32, 1);
    w.iter_mut().skip(3).step_by(4).for_each(|v| *v *= 5e-3);
    let steps: [f32; 4] =
        std::array::from_fn(|c| w.iter().skip(c).step_by(4).fold(0f32, |m, v| m.max(v.abs())) / 127.0);
    let integers =
        w.iter().enumerate().map(|(k, v)| if fault && k % 4 == 3 { 0 } else { (v / steps[k % 4]).round() as i8 });
    let integers: Vec<u8> = integers.map(|q| q as u8).collect();
    let start = || Builder::new(13).input("x", &[16, 8]);
    let float = start().floats("w", &[8, 4], &w).node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[16, 4]);
    let q = Tensor::new(DataType::Int8, vec![8, 4], integers.into()).expect("integers");
    let quantized = start().constant("q", &q).floats("s", &[4], &steps);
    let quantized = quantized.node("DequantizeLinear", &["q", "s"], &["d"], vec![int("axis", 1)]);
    let quantized = quantized.node("MatMul", &["x", "d"], &["y"], vec![]).output("y", &[16, 4]);
    let found = of_models([&float.build(), &quantized.build()]);
    let [y] = &found[..] else { panic!("{found:?}") };
    y.clone()
}

/// What is said of two models that read x.
fn of_models([float, quantized]: [&Model; 2]) -> Vec<LayerError> {
    let executor = Tract::default();
    let x = [Tensor::from_f32(vec![16, 8], &build::noise(128, 7))];
    let level = Level::new([float, quantized], &executor, &x).expect("models that run");
    let seen = level.look(&x, Some(&x)).expect("a run");
    level.errors(&[&seen], "")
}

#[test]
fn a_fault_in_a_faint_channel_is_found() {
    let sound = faint(false);
    assert!(sound.alone_db.is_some() && !sound.is_suspect(), "{sound:?}");
    // It is 50 dB below all else, about as much as the noise, so that the whole tensor shows little of it.
    let bad = faint(true);
    assert!((bad.alone_db.expect("noise") - sound.alone_db.expect("noise")).abs() < 4.0, "{bad:?} {sound:?}");
    assert!(bad.suspect.is_some_and(|found| found.cause == Cause::Weights), "{bad:?}");
}

#[test]
fn a_grid_of_a_value_that_only_the_quantized_model_has_is_looked_at() {
    let float = net().node("MatMul", &["x", "w"], &["y"], vec![]).output("y", &[16, 4]).build();
    let with = |step: f32| {
        let zero = Tensor::new(DataType::Int8, vec![], vec![0u8].into()).expect("a zero point");
        let model = net().floats("one", &[], &[1.0]).floats("s", &[], &[step]).constant("z", &zero);
        let model = model.node("Mul", &["x", "one"], &["scaled"], vec![]);
        let model = model.node("QuantizeLinear", &["scaled", "s", "z"], &["q"], vec![]);
        let model = model.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        model.node("MatMul", &["d", "w"], &["y"], vec![]).output("y", &[16, 4]).build()
    };
    // Nothing is said of it where it is sound.
    let sound = of_models([&float, &with(1.0 / 127.0)]);
    assert_eq!(sound.iter().map(|layer| layer.value.as_str()).collect::<Vec<_>>(), ["y"]);
    let wide = of_models([&float, &with(4.0 / 127.0)]);
    let [grid, y] = &wide[..] else { panic!("{wide:?}") };
    assert_eq!((grid.value.as_str(), grid.suspect.map(|found| found.cause)), ("scaled", Some(Cause::Steps)));
    assert!(!y.is_suspect() && grid.only_quantized && grid.alone_db.is_none(), "{wide:?}");
}

#[test]
fn what_a_clamp_behind_it_cuts_off_is_no_error_of_a_grid() {
    let float = net().node("MatMul", &["x", "w"], &["m"], vec![]).node("Relu", &["m"], &["r"], vec![]);
    let float = float.node("MatMul", &["r", "v"], &["y"], vec![]).noise("v", &[4, 4], 2).output("y", &[16, 4]).build();
    // The grid begins at 20 steps below zero, and ends a little above the largest of these products.
    let (x, w) = (build::noise(128, 7), build::noise(32, 1));
    let product = |k: usize| (0..8).map(|i| x[k / 4 * 8 + i] * w[i * 4 + k % 4]).sum::<f32>();
    let scale = (0..64).map(product).fold(0.0, f32::max) * 1.02 / 235.0;
    let quantized = |between: &str| {
        let zero = Tensor::new(DataType::Uint8, vec![], vec![20u8].into()).expect("a zero point");
        let net = net().noise("v", &[4, 4], 2).floats("s", &[], &[scale]).constant("z", &zero);
        let net = net.node("MatMul", &["x", "w"], &["m"], vec![]);
        let net = net.node("QuantizeLinear", &["m", "s", "z"], &["q"], vec![]);
        let net = net.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        let net = match between {
            "a rounding and a clamp" => net
                .node("TareRound", &["d"], &["half"], vec![int("rounds_to", i64::from(DataType::Float16.onnx()))])
                .node("Relu", &["half"], &["r"], vec![]),
            "a clamp" => net.node("Relu", &["d"], &["r"], vec![]),
            _ => net.node("Neg", &["d"], &["r"], vec![]),
        };
        let net = net.node("QuantizeLinear", &["r", "s", "z"], &["p"], vec![]);
        let net = net.node("DequantizeLinear", &["p", "s", "z"], &["e"], vec![]);
        net.node("MatMul", &["e", "v"], &["y"], vec![]).output("y", &[16, 4]).build()
    };
    let suspects = |between: &str| {
        let errors = of_models([&float, &quantized(between)]);
        errors.iter().any(|error| error.value == "m" && error.is_suspect())
    };
    assert!(!suspects("a clamp"));
    // What is rounded to 16 bits in between changes nothing.
    assert!(!suspects("a rounding and a clamp"));
    // Somebody else reads the numbers that the grid lacks.
    assert!(suspects("something else"));
}

#[test]
fn a_grid_is_judged_where_it_comes_from() {
    let float = net().ints("flat", &[-1]).node("MatMul", &["x", "w"], &["m"], vec![]);
    let float = float.node("Reshape", &["m", "flat"], &["moved"], vec![]).node("Neg", &["moved"], &["y"], vec![]);
    let float = float.output("y", &[64]).build();
    let quantized = |second: f32| {
        let zero = Tensor::new(DataType::Int8, vec![], vec![0u8].into()).expect("a zero point");
        let net = net().ints("flat", &[-1]).floats("s", &[], &[1.0]).floats("t", &[], &[second]).constant("z", &zero);
        let net = net.node("MatMul", &["x", "w"], &["m"], vec![]);
        let net = net.node("QuantizeLinear", &["m", "s", "z"], &["q"], vec![]);
        let net = net.node("DequantizeLinear", &["q", "s", "z"], &["d"], vec![]);
        let net = net.node("Reshape", &["d", "flat"], &["moved"], vec![]);
        let net = net.node("QuantizeLinear", &["moved", "t", "z"], &["p"], vec![]);
        let net = net.node("DequantizeLinear", &["p", "t", "z"], &["e"], vec![]);
        net.node("Neg", &["e"], &["y"], vec![]).output("y", &[64]).build()
    };
    let suspects = |second: f32| -> Vec<String> {
        let errors = of_models([&float, &quantized(second)]).into_iter().filter(LayerError::is_suspect);
        errors.map(|error| error.value).collect()
    };
    assert_eq!(suspects(1.0), ["m"]);
    assert_eq!(suspects(2.0), ["m", "moved"]);
}
