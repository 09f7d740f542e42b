//! Tests of the tract executor: exact quantization, observed values, errors instead of panics.

mod around;
mod hostile;
mod linear;
mod lstm;
mod mended;
mod raw;

use super::*;
use crate::error::Error;
use crate::exec::Session;
use crate::ir::Model;
use crate::ir::build::{self, Builder};
use crate::tensor::{DataType, Tensor};
use std::sync::Arc;

fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let tract = Tract::default();
    let session = Session::new(&tract, model, vec![]).expect("a session");
    session.run(inputs, &mut |_, _, _| {}).expect("runs")
}

/// What running says when it fails, which must be an engine's error.
fn failure(model: &Model, inputs: &[Tensor]) -> String {
    let tract = Tract::default();
    let session = Session::new(&tract, model, vec![]).expect("a session");
    match session.run(inputs, &mut |_, _, _| {}) {
        Err(Error::Engine(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn row(values: &[f32]) -> Tensor {
    Tensor::from_f32(vec![1, values.len()], values)
}

/// x -> MatMul -> h -> Relu -> r -> Neg -> y, of a varying number of rows.
fn layers() -> Builder {
    Builder::new(13)
        .input("x", &[-1, 3])
        .noise("w", &[3, 4], 1)
        .node("MatMul", &["x", "w"], &["h"], vec![])
        .node("Relu", &["h"], &["r"], vec![])
        .node("Neg", &["r"], &["y"], vec![])
        .output("y", &[-1, 4])
}

#[test]
fn observed_values_are_those_that_the_model_computes() {
    let everything = layers().output("h", &[-1, 4]).output("r", &[-1, 4]).build();
    let x = Tensor::from_f32(vec![5, 3], &build::noise(15, 2));
    let expected = run(&everything, std::slice::from_ref(&x));
    let tract = Tract::default();
    let observed = ["r", "y", "h", "x"].map(str::to_owned).to_vec();
    let session = Session::new(&tract, &layers().build(), observed).expect("a session");
    let mut seen: Vec<Option<Tensor>> = vec![None; 4];
    let keep = &mut |which: usize, shape: &[usize], values: &[f32]| {
        let before = seen[which].replace(Tensor::from_f32(shape.to_vec(), values));
        assert_eq!(before, None, "told of {which} twice");
    };
    let outputs = session.run(std::slice::from_ref(&x), keep).expect("runs");
    assert_eq!(outputs, expected[..1]);
    let order = [&expected[2], &expected[0], &expected[1], &x].map(|t| Some(t.clone()));
    assert_eq!(seen, order);
}

#[test]
fn observed_values_that_are_constant_are_shown_in_every_run() {
    let model = Builder::new(15).input("x", &[-1, 2]).floats("half", &[], &[0.5]).ints("many", &[5, 2]);
    // One of few elements, one of many, and one behind both, none of which needs more of x than its type.
    let model = model.node("CastLike", &["half", "x"], &["few"], vec![]);
    let model = model.node("Expand", &["few", "many"], &["spread"], vec![]);
    let model = model.node("Shape", &["x"], &["s"], vec![]).node("Cast", &["s"], &["size"], vec![build::int("to", 1)]);
    let model = model.node("Mul", &["x", "few"], &["y"], vec![]).output("y", &[-1, 2]).output("spread", &[5, 2]);
    let tract = Tract::default();
    let observed = ["few", "spread", "size", "y"].map(str::to_owned).to_vec();
    let session = Session::new(&tract, &model.build(), observed).expect("a session");
    for rows in [1, 1, 3] {
        let mut seen: Vec<Vec<(Vec<usize>, Vec<f32>)>> = vec![vec![]; 4];
        let keep = &mut |which: usize, shape: &[usize], values: &[f32]| {
            seen[which].push((shape.to_vec(), values.to_vec()));
        };
        session.run(&[Tensor::from_f32(vec![rows, 2], &vec![3.0; rows * 2])], keep).expect("runs");
        let expected = [
            (vec![], vec![0.5]),
            (vec![5, 2], vec![0.5; 10]),
            (vec![2], vec![rows as f32, 2.0]),
            (vec![rows, 2], vec![1.5; rows * 2]),
        ];
        assert_eq!(seen, expected.map(|e| vec![e]));
    }
}

#[test]
fn an_observed_value_that_is_not_there_is_named() {
    let tract = Tract::default();
    let text = Session::new(&tract, &layers().build(), vec!["nobody".to_owned()]).err().map(|e| e.to_string());
    assert!(text.as_ref().is_some_and(|t| t.contains("\"nobody\"")), "{text:?}");
}

#[test]
fn a_session_keeps_one_program_for_each_shape() {
    let tract = Tract::default();
    let session = Session::new(&tract, &layers().build(), vec![]).expect("a session");
    let program =
        |rows: usize| session.program(&[Tensor::from_f32(vec![rows, 3], &vec![0.5; rows * 3])]).expect("compiles");
    let (one, two) = (program(1), program(2));
    assert!(Arc::ptr_eq(&one, &program(1)) && Arc::ptr_eq(&two, &program(2)) && !Arc::ptr_eq(&one, &two));
}

#[test]
fn a_session_does_not_mix_up_element_types_of_one_shape() {
    let model = Builder::new(13).input("x", &[2]).node("Neg", &["x"], &["y"], vec![]).output("y", &[2]).build();
    let tract = Tract::default();
    let session = Session::new(&tract, &model, vec![]).expect("a session");
    let floats = Tensor::from_f32(vec![2], &[1.0, -2.0]);
    let integers = Tensor::from_i32(vec![2], &[1, -2]);
    let run = |input: &Tensor| session.run(std::slice::from_ref(input), &mut |_, _, _| {}).expect("runs")[0].clone();
    assert_eq!(run(&floats), Tensor::from_f32(vec![2], &[-1.0, 2.0]));
    assert_eq!(run(&integers), Tensor::from_i32(vec![2], &[-1, 2]));
}

#[test]
fn many_threads_run_one_session() {
    let tract = Tract::default();
    let session = Session::new(&tract, &layers().build(), vec![]).expect("a session");
    let x = |rows: usize| Tensor::from_f32(vec![rows, 3], &build::noise(rows * 3, rows as u32));
    let outputs: Vec<_> = std::thread::scope(|scope| {
        let session = &session;
        let start = |i: usize| (i % 3 + 1, scope.spawn(move || session.run(&[x(i % 3 + 1)], &mut |_, _, _| {})));
        let threads: Vec<_> = (0..8).map(start).collect();
        threads.into_iter().map(|(rows, t)| (rows, t.join().expect("no panic").expect("runs"))).collect()
    });
    for (rows, output) in outputs {
        assert_eq!(output, run(&layers().build(), &[x(rows)]));
    }
}

#[test]
fn an_operator_that_tract_lacks_is_named() {
    let model = Builder::new(13).input("x", &[1, 2]).node("Frobnicate", &["x"], &["y"], vec![]).output("y", &[1, 2]);
    let text = failure(&model.build(), &[row(&[1.0, 2.0])]);
    assert!(text.contains("Frobnicate"), "{text}");
}

#[test]
fn a_malformed_model_is_an_error_not_a_panic() {
    let base = |dims: &[i64]| Builder::new(13).input("x", dims).output("y", &[-1]);
    let flat = row(&[1.0, 2.0]);
    let image = Tensor::from_f32(vec![1, 1, 2, 2], &[0.0; 4]);
    let conv = |shape: &[usize]| base(&[1, 1, 2, 2]).noise("w", shape, 1).node("Conv", &["x", "w"], &["y"], vec![]);
    let cases = [
        (conv(&[3, 3]), &image),
        (conv(&[1]), &image),
        (conv(&[1, 9, 1, 1]), &image),
        (base(&[1, 2]).noise("w", &[5, 7], 1).node("MatMul", &["x", "w"], &["y"], vec![]), &flat),
        (base(&[1, 2]).ints("s", &[3, 3]).node("Reshape", &["x", "s"], &["y"], vec![]), &flat),
        (base(&[1, 2]).node("Add", &["x"], &["y"], vec![]), &flat),
        (base(&[1, 2]).node("Transpose", &["x"], &["y"], vec![build::ints("perm", &[7, 9])]), &flat),
        (base(&[1, 2]).node("Concat", &["x", "x"], &["y"], vec![build::int("axis", 40)]), &flat),
    ];
    for (model, input) in cases {
        let model = model.build();
        let text = failure(&model, std::slice::from_ref(input));
        assert!(text.starts_with("tract ") && text.contains("cannot run"), "{text}");
        assert!(!text.contains("without saying why"), "{text}");
    }
}

#[test]
fn inputs_that_do_not_fit_are_an_error() {
    let model = layers().build();
    let x = row(&[1.0, 2.0, 3.0]);
    for inputs in [vec![row(&[1.0])], vec![], vec![x.clone(), x]] {
        failure(&model, &inputs);
    }
}

#[test]
fn bytes_that_are_no_model_are_an_error() {
    let tract = Tract::default();
    for bytes in [&b"text"[..], b"", &[0xff; 9]] {
        assert!(matches!(tract.compile(bytes.to_vec(), &[], &[]), Err(Error::Engine(_))), "{bytes:?}");
    }
}

#[test]
fn types_are_told_with_dimensions_that_vary() {
    let tract = Tract::default();
    let bytes = crate::file::to_bytes(&layers().build()).expect("bytes");
    let x = TensorType { dtype: DataType::Float32, dims: vec![None, Some(3)] };
    let types = tract.types(&bytes, &[x]).expect("types");
    for name in ["h", "r", "y"] {
        assert_eq!(types[name], TensorType { dtype: DataType::Float32, dims: vec![None, Some(4)] }, "{name}");
    }
}

#[test]
fn types_behind_an_unknown_operator_do_not_hide_the_others() {
    let model = layers().node("Frobnicate", &["r"], &["f"], vec![]).output("f", &[-1]).build();
    let bytes = crate::file::to_bytes(&model).expect("bytes");
    let x = TensorType { dtype: DataType::Float32, dims: vec![Some(2), Some(3)] };
    let types = Tract::default().types(&bytes, &[x]).expect("types");
    assert_eq!(types["y"].dims, [Some(2), Some(4)]);
}

#[test]
fn an_operator_that_tract_refuses_to_read_does_not_hide_the_types_of_others() {
    let model = layers().node("Attention", &["r", "r", "r"], &["f"], vec![build::float("softcap", 2.0)]);
    let bytes = crate::file::to_bytes(&model.output("f", &[-1, 7]).build()).expect("bytes");
    let x = TensorType { dtype: DataType::Float32, dims: vec![Some(2), Some(3)] };
    let types = Tract::default().types(&bytes, &[x]).expect("types");
    assert_eq!(types["y"].dims, [Some(2), Some(4)]);
    // What nobody can tell is what the model states.
    assert_eq!(types["f"].dims, [None, Some(7)]);
}

#[test]
fn inputs_have_dimensions_of_one_name_in_common() {
    let model = Builder::new(13).input("a", &[-1, 3]).input("b", &[-1, 3]).node("Add", &["a", "b"], &["s"], vec![]);
    let model = model.node("Transpose", &["s"], &["y"], vec![]).output("y", &[3, -1]).build();
    let bytes = crate::file::to_bytes(&model).expect("bytes");
    let ty = TensorType { dtype: DataType::Float32, dims: vec![None, Some(3)] };
    let types = Tract::default().types(&bytes, &[ty.clone(), ty.clone()]).expect("types");
    assert_eq!(types["s"], ty);
    assert_eq!(types["y"].dims, [Some(3), None]);
}
