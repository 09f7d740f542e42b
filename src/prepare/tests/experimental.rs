//! Operators that were experiments before opset 10.

use super::*;
use crate::ir::build::{float, floats, int, ints};
use crate::proto::AttributeProto;

fn one(opset: i64, dims: &[i64], op_type: &str, attributes: Vec<AttributeProto>) -> Model {
    Builder::new(opset).input("x", dims).output("y", dims).node(op_type, &["x"], &["y"], attributes).build()
}

#[test]
fn experiments_become_arithmetic() {
    type Formula = fn(f32) -> f32;
    let factors = || vec![float("alpha", 1.5), float("beta", 0.5)];
    let cases: [(&str, Vec<AttributeProto>, Formula); 4] = [
        ("Affine", factors(), |x| 1.5 * x + 0.5),
        ("ParametricSoftplus", factors(), |x| 1.5 * (0.5 * x).exp().ln_1p()),
        ("ScaledTanh", factors(), |x| 1.5 * (0.5 * x).tanh()),
        ("Scale", vec![float("scale", 3.0)], |x| 3.0 * x),
    ];
    for (op_type, attributes, formula) in cases {
        let model = one(9, &[2, 5], op_type, attributes);
        let (ready, _) = prepare_twice(&model);
        let inputs = feeds(&model);
        let wanted: Vec<_> = inputs[0].to_f32().expect("numbers").iter().map(|x| formula(*x)).collect();
        assert_near(&wanted, &run(&ready, &inputs)[0].to_f32().expect("numbers"));
    }
}

#[test]
fn an_image_is_scaled_and_shifted_by_channel() {
    let model = one(7, &[1, 2, 3, 3], "ImageScaler", vec![float("scale", 2.0), floats("bias", &[1.0, -1.0])]);
    let (ready, _) = prepare_twice(&model);
    let inputs = feeds(&model);
    let x = inputs[0].to_f32().expect("numbers");
    let wanted: Vec<_> = x.iter().enumerate().map(|(i, x)| 2.0 * x + if i < 9 { 1.0 } else { -1.0 }).collect();
    assert_near(&wanted, &run(&ready, &inputs)[0].to_f32().expect("numbers"));
}

#[test]
fn an_image_is_cropped() {
    let crop = |attributes| {
        let builder = Builder::new(7).input("x", &[1, 1, 5, 5]).output("y", &[1, 1, -1, -1]);
        builder.node("Crop", &["x"], &["y"], attributes).build()
    };
    for (attributes, rows, columns) in [
        (vec![ints("border", &[1, 2, 0, 1])], 2..4, 1..5),
        (vec![ints("border", &[1, 2, 0, 0]), ints("scale", &[3, 2])], 2..5, 1..3),
    ] {
        let model = crop(attributes);
        let (ready, _) = prepare_twice(&model);
        let inputs = feeds(&model);
        let x = inputs[0].to_f32().expect("numbers");
        let wanted: Vec<_> = rows.flat_map(|r| columns.clone().map(move |c| r * 5 + c)).map(|i| x[i]).collect();
        assert_eq!(*run(&ready, &inputs)[0].to_f32().expect("numbers"), wanted);
    }
    let error = refusal(&crop(vec![ints("border", &[1, 2])]));
    assert!(error.contains("Crop_y") && error.contains("border"), "{error}");
}

#[test]
fn a_mean_is_taken_away_with_and_without_the_variance() {
    let normalize = |across, variance| {
        let attributes = vec![int("across_channels", across), int("normalize_variance", variance)];
        prepare_twice(&one(8, &[1, 2, 3, 3], "MeanVarianceNormalization", attributes)).0
    };
    let ready = normalize(1, 1);
    let attributes = find(&ready, "MeanVarianceNormalization").attributes();
    assert_eq!(attributes.names().collect::<Vec<_>>(), ["axes"]);
    assert_eq!(attributes.ints("axes"), Some(&[1, 2, 3][..]));
    let ready = normalize(0, 0);
    assert_eq!(operators(&ready), ["GlobalAveragePool", "Sub"]);
    assert!(find(&ready, "GlobalAveragePool").attributes().names().next().is_none());
}

#[test]
fn an_experiment_without_successor_is_an_error() {
    let error = refusal(&one(9, &[2, 5], "GRUUnit", vec![]));
    assert!(error.contains("GRUUnit_y") && error.contains("experimental"), "{error}");
    let error = refusal(&one(9, &[2, 5], "ScaledTanh", vec![float("alpha", 1.0)]));
    assert!(error.contains("alpha and beta"), "{error}");
}
