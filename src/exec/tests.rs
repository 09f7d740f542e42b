//! Tests of sessions: what is run, how many programs are kept, what is said of what cannot be run.

mod quiet;

use super::session::MAX_PROGRAMS;
use super::*;
use crate::ir::build::{self, Builder};
use crate::tensor::DataType;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Compiles nothing, and counts how often it is asked to.
#[derive(Default)]
struct Counting {
    compiled: AtomicUsize,
    any_shape: bool,
}

struct Nothing;

impl Program for Nothing {
    fn run(&self, _: &[Tensor], _: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        Ok(vec![])
    }
}

impl Executor for Counting {
    fn name(&self) -> String {
        "nothing".to_owned()
    }

    fn compile(&self, _: Vec<u8>, _: &[TensorType], _: &[String]) -> Result<Box<dyn Program>> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Nothing))
    }

    fn types(&self, _: &[u8], _: &[TensorType]) -> Result<Types> {
        Ok(Types::new())
    }

    fn takes_any_shape(&self) -> bool {
        self.any_shape
    }
}

fn rows(count: usize) -> Tensor {
    Tensor::from_f32(vec![count, 2], &build::noise(2 * count, count as u32))
}

#[test]
fn the_programs_used_last_are_kept() {
    let engine = Counting::default();
    let model = Builder::new(13).input("x", &[-1, 2]).node("Neg", &["x"], &["y"], vec![]).output("y", &[-1, 2]);
    let session = Session::new(&engine, &model.build(), vec![]).expect("a session");
    let compiled_for = |count: usize| {
        let before = engine.compiled.load(Ordering::Relaxed);
        session.program(&[rows(count)]).expect("a program");
        engine.compiled.load(Ordering::Relaxed) - before
    };
    assert!((1..=MAX_PROGRAMS).all(|count| compiled_for(count) == 1));
    assert_eq!(compiled_for(1), 0);
    // One more drives out the one that was not used for longest, which is 2 now.
    assert_eq!(compiled_for(MAX_PROGRAMS + 1), 1);
    assert_eq!(compiled_for(1), 0);
    assert_eq!(compiled_for(2), 1);
}

#[test]
fn one_program_is_enough_where_it_takes_any_shape() {
    let engine = Counting { any_shape: true, ..Counting::default() };
    let model = Builder::new(13).input("x", &[-1, 2]).node("Neg", &["x"], &["y"], vec![]).output("y", &[-1, 2]);
    let session = Session::new(&engine, &model.build(), vec![]).expect("a session");
    for count in [1, 2, 1, 3] {
        session.program(&[rows(count)]).expect("a program");
    }
    assert_eq!(engine.compiled.load(Ordering::Relaxed), 1);
}

/// x -> Neg -> a -> Frobnicate -> b -> Neg -> c, and a -> Relu -> d; outputs c and d.
fn with_unknown() -> Model {
    let model = Builder::new(13).input("x", &[-1, 2]).node("Neg", &["x"], &["a"], vec![]);
    let model = model.node("Frobnicate", &["a"], &["b"], vec![]).node("Neg", &["b"], &["c"], vec![]);
    model.node("Relu", &["a"], &["d"], vec![]).output("c", &[-1, 2]).output("d", &[-1, 2]).build()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn observed_values_do_not_need_the_rest_of_the_model() {
    let tract = Tract::default();
    let session = Session::observing(&tract, &with_unknown(), names(&["d", "a"])).expect("a session");
    let mut seen = vec![Vec::new(); 2];
    let x = Tensor::from_f32(vec![1, 2], &[3.0, -4.0]);
    let outputs = session.run(&[x], &mut |which, _, values| seen[which].extend_from_slice(values)).expect("runs");
    assert_eq!(outputs, []);
    assert_eq!(seen, [[0.0, 4.0], [-3.0, 4.0]]);
}

#[test]
fn what_stands_in_the_way_is_named_with_a_way_round() {
    let tract = Tract::default();
    let session = Session::observing(&tract, &with_unknown(), names(&["a", "c", "b"])).expect("a session");
    let text = session.run(&[rows(1)], &mut |_, _, _| {}).expect_err("unknown").to_string();
    let start = "value \"c\" depends (as 1 more do) on Frobnicate \"Frobnicate_b\", which tract 0.23.9 cannot run";
    assert!(
        text.starts_with(start) && text.contains("match: {value: c}") && text.contains("quantize: false"),
        "{text}"
    );
    let session = Session::new(&tract, &with_unknown(), vec![]).expect("a session");
    let text = session.run(&[rows(1)], &mut |_, _, _| {}).expect_err("unknown").to_string();
    assert_eq!(text, "tract 0.23.9 cannot run Frobnicate \"Frobnicate_b\": it has no operator Frobnicate");
}

#[test]
fn what_a_body_reads_is_part_of_what_its_node_needs() {
    let branch = |name: &str| {
        let model = Builder::new(13).node(name, &["hidden"], &["inner"], vec![]).output("inner", &[-1, 2]);
        model.proto().graph.expect("a graph")
    };
    let bodies = vec![build::body("then_branch", branch("Neg")), build::body("else_branch", branch("Relu"))];
    let truth = Tensor::new(DataType::Bool, vec![], vec![1].into()).expect("a byte");
    let model = Builder::new(13).input("x", &[-1, 2]).input("unused", &[1]).constant("true", &truth);
    let model =
        model.floats("k", &[1], &[2.0]).floats("other", &[1], &[0.0]).node("Mul", &["x", "k"], &["hidden"], vec![]);
    let model = model.node("If", &["true"], &["y"], bodies).node("Frobnicate", &["y", "other"], &["z"], vec![]);
    let model = model.output("z", &[-1, 2]).build();
    let part = model.part(&[model.graph.find("y").expect("y")], false).expect("a part");
    part.graph.verify().expect("a sound graph");
    let op_types: Vec<_> = part.graph.node_ids().map(|id| part.graph.node(id).op_type().to_owned()).collect();
    assert_eq!(op_types, ["Mul", "If"]);
    assert_eq!(part.graph.inputs().count(), 2);
    assert_eq!(part.graph.outputs().count(), 0);
    assert!(part.graph.find("other").is_none() && part.graph.find("k").is_some());
    let tract = Tract::default();
    let session = Session::observing(&tract, &model, names(&["y"])).expect("a session");
    let mut seen = vec![];
    let inputs = [Tensor::from_f32(vec![1, 2], &[1.0, 5.0]), Tensor::from_f32(vec![1], &[0.0])];
    session.run(&inputs, &mut |_, _, values| seen.extend_from_slice(values)).expect("runs");
    assert_eq!(seen, [-2.0, -10.0]);
}
