//! Tests of the executor over ONNX Runtime. Those that run models need its library, and say so where there is none.

use super::*;
use crate::exec::{Session, Timer, Timing};
use crate::ir::build::{self, Builder};
use crate::tensor::{DataType, Tensor};

/// ONNX Runtime, if this machine has it where the program looks.
pub(crate) fn runtime() -> Option<OnnxRuntime> {
    // Whoever says where it is means these tests to run.
    let stated = std::env::var_os("ORT_DYLIB_PATH").is_some();
    let skip = |why: &crate::error::Error| {
        assert!(!stated, "{why}");
        println!("skipped: no ONNX Runtime found ({why})");
    };
    OnnxRuntime::load(None).inspect_err(skip).ok()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// x -> Neg -> a -> Relu -> y
fn two_steps() -> crate::ir::Model {
    let model = Builder::new(13).input("x", &[-1, 2]).node("Neg", &["x"], &["a"], vec![]);
    model.node("Relu", &["a"], &["y"], vec![]).output("y", &[-1, 2]).build()
}

#[test]
fn it_runs_and_shows_what_is_observed_at_both_levels() {
    for level in [Level::DisableAll, Level::Default] {
        let Some(engine) = runtime() else { return };
        let engine = engine.at(level);
        // An input, an inner value and an output.
        let session = Session::new(&engine, &two_steps(), names(&["a", "y", "x"])).expect("a session");
        let mut seen = vec![(Vec::new(), Vec::new()); 3];
        let x = Tensor::from_f32(vec![1, 2], &[3.0, -4.0]);
        let outputs = session.run(&[x], &mut |which, shape, values| seen[which] = (shape.to_vec(), values.to_vec()));
        assert_eq!(outputs.expect("runs"), [Tensor::from_f32(vec![1, 2], &[0.0, 4.0])]);
        let of = |values: &[f32]| (vec![1, 2], values.to_vec());
        assert_eq!(seen, [of(&[-3.0, 4.0]), of(&[0.0, 4.0]), of(&[3.0, -4.0])]);
    }
}

#[test]
fn without_outputs_it_shows_observed_values_alone() {
    let Some(engine) = runtime() else { return };
    let session = Session::observing(&engine, &two_steps(), names(&["x", "a"])).expect("a session");
    let mut seen = vec![Vec::new(); 2];
    let x = Tensor::from_f32(vec![1, 2], &[3.0, -4.0]);
    let outputs = session.run(&[x], &mut |which, _, values| seen[which] = values.to_vec()).expect("runs");
    assert_eq!((outputs, seen), (vec![], vec![vec![3.0, -4.0], vec![-3.0, 4.0]]));
}

#[test]
fn one_program_serves_all_shapes_and_threads() {
    let Some(engine) = runtime() else { return };
    let session = Session::new(&engine, &two_steps(), vec![]).expect("a session");
    let rows = |count: usize| Tensor::from_f32(vec![count, 2], &build::noise(2 * count, count as u32));
    let program = |count| session.program(&[rows(count)]).expect("a program");
    assert!(std::sync::Arc::ptr_eq(&program(1), &program(7)));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let session = &session;
            scope.spawn(move || {
                for count in (1..20).map(|count| count + thread) {
                    let outputs = session.run(&[rows(count)], &mut |_, _, _| {}).expect("runs");
                    let wanted: Vec<f32> =
                        build::noise(2 * count, count as u32).iter().map(|v| (-v).max(0.0)).collect();
                    assert_eq!(outputs, [Tensor::from_f32(vec![count, 2], &wanted)]);
                }
            });
        }
    });
}

#[test]
fn a_tensor_may_be_empty() {
    let Some(engine) = runtime() else { return };
    let session = Session::new(&engine, &two_steps(), vec![]).expect("a session");
    let empty = Tensor::from_f32(vec![0, 2], &[]);
    let outputs = session.run(std::slice::from_ref(&empty), &mut |_, _, _| {}).expect("runs");
    assert_eq!(outputs, [empty]);
}

#[test]
fn tensors_of_all_types_pass_through() {
    let Some(engine) = runtime() else { return };
    use DataType::*;
    let all = [Float32, Float64, Float16, Bfloat16, Uint8, Int8, Uint16, Int16, Uint32, Int32, Uint64, Int64, Bool];
    for dtype in all {
        let model = Builder::new(13).input("x", &[2, 3]).node("Identity", &["x"], &["y"], vec![]);
        let mut model = model.output("y", &[2, 3]).build();
        for value in ["x", "y"].map(|name| model.graph.find(name).expect("a value")) {
            model.graph.set_element_type(value, dtype);
        }
        let bytes: Vec<u8> = (0..6 * dtype.bits().expect("bits") / 8).map(|i| (i % 2) as u8).collect();
        let x = Tensor::new(dtype, vec![2, 3], bytes.into()).expect("a tensor");
        let session = Session::new(&engine, &model, vec![]).expect("a session");
        let outputs = session.run(std::slice::from_ref(&x), &mut |_, _, _| {}).expect("runs");
        assert_eq!(outputs, [x], "{dtype}");
    }
}

#[test]
fn a_value_of_16_bits_is_shown_as_float32() {
    let Some(engine) = runtime() else { return };
    let model = Builder::new(13).input("x", &[2]);
    let model = model.node("Cast", &["x"], &["half"], vec![build::int("to", 10)]);
    let model = model.node("Cast", &["half"], &["y"], vec![build::int("to", 1)]).output("y", &[2]).build();
    let session = Session::observing(&engine, &model, names(&["half"])).expect("a session");
    let mut seen = Vec::new();
    let x = Tensor::from_f32(vec![2], &[1.0, 1.0 + 1.0 / 4096.0]);
    session.run(&[x], &mut |_, _, values| seen = values.to_vec()).expect("runs");
    assert_eq!(seen, [1.0, 1.0]);
}

#[test]
fn what_it_refuses_is_an_error_with_its_words() {
    let Some(engine) = runtime() else { return };
    let model = Builder::new(13).input("x", &[2]).node("Frobnicate", &["x"], &["y"], vec![]).output("y", &[2]).build();
    let session = Session::new(&engine, &model, vec![]).expect("a session");
    let x = Tensor::from_f32(vec![2], &[1.0, 2.0]);
    let error = session.run(&[x], &mut |_, _, _| {}).expect_err("no such operator").to_string();
    for word in ["ONNX Runtime 1.", "cannot load it", "Frobnicate"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(!error.contains('\n'));
}

#[test]
fn what_fails_while_it_runs_is_an_error_and_the_next_run_works() {
    let Some(engine) = runtime() else { return };
    let session = Session::new(&engine, &two_steps(), vec![]).expect("a session");
    let run = |tensors: &[Tensor]| session.run(tensors, &mut |_, _, _| {});
    let error = run(&[Tensor::from_f32(vec![1, 3], &[0.0; 3])]).expect_err("another shape").to_string();
    assert!(error.contains("cannot run it"), "{error}");
    let good = Tensor::from_f32(vec![1, 2], &[-1.0, 1.0]);
    assert!(run(&[good.clone(), good.clone()]).expect_err("two inputs").to_string().contains("1 inputs"));
    assert_eq!(run(&[good]).expect("runs"), [Tensor::from_f32(vec![1, 2], &[1.0, 0.0])]);
}

#[test]
fn the_level_is_part_of_the_name_and_types_are_told() {
    let Some(engine) = runtime() else { return };
    assert_eq!(engine.name(), format!("ONNX Runtime {}", engine.version()));
    let bytes = crate::file::to_bytes(&two_steps()).expect("bytes");
    let input = crate::tensor::TensorType { dtype: DataType::Float32, dims: vec![Some(1), Some(2)] };
    assert_eq!(engine.types(&bytes, std::slice::from_ref(&input)).expect("types")["a"], input);
    assert!(engine.at(Level::DisableAll).name().ends_with("without graph optimizations"));
}

#[test]
fn runs_are_timed_on_any_number_of_threads_and_nodes_are_told() {
    let Some(engine) = runtime() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    crate::file::save(&two_steps(), &path).expect("written");
    let x = [Tensor::from_f32(vec![1, 2], &[3.0, -4.0])];
    for (threads, nodes) in [(1, true), (2, false)] {
        let mut loaded = engine.load(&path, &[], Timing { threads, nodes }).expect("loads").program;
        for _ in 0..3 {
            assert!(!loaded.run(&x).expect("runs").is_zero());
        }
        assert!(loaded.run(&[]).expect_err("no input").to_string().contains("1 inputs"));
        let told = loaded.nodes().expect("nodes");
        let mut operators: Vec<&str> = told.iter().map(|node| node.op_type.as_str()).collect();
        operators.sort_unstable();
        assert_eq!(operators, if nodes { vec!["Neg", "Relu"] } else { vec![] });
    }
    let missing = engine.load(&folder.path().join("none.onnx"), &[], Timing { threads: 1, nodes: false });
    let why = missing.err().expect("no file").to_string();
    assert!(why.contains("none.onnx") && why.contains("cannot load it"), "{why}");
}
