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
        session.make_ready(&[rows(count)]).expect("a program");
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
        session.make_ready(&[rows(count)]).expect("a program");
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

/// Rows of a table by the input `ids`, which is one of numbers of this type, and what is made of them.
fn looked_up(table: &Tensor, ids: DataType, axis: i64) -> Model {
    let model = Builder::new(13).input("ids", &[-1, 2]).constant("table", table);
    let model = model.node("Gather", &["table", "ids"], &["rows"], vec![build::int("axis", axis)]);
    let mut model = model.node("Neg", &["rows"], &["y"], vec![]).output("y", &[-1]).build();
    let input = model.graph.find("ids").expect("an input");
    model.graph.set_element_type(input, ids);
    model
}

#[test]
fn rows_of_a_large_table_are_looked_up_without_the_engine() {
    const ROWS: usize = 1 << 10;
    let numbers = build::noise(ROWS * 512, 7);
    let tract = Tract::default();
    let run = |table: &Tensor, ids: &Tensor, axis| {
        let mut seen = Vec::new();
        let model = looked_up(table, ids.dtype(), axis);
        let session = Session::new(&tract, &model, names(&["rows"])).expect("a session");
        let outputs = session.run(std::slice::from_ref(ids), &mut |_, _, values| seen = values.to_vec());
        (session.looks_up(), seen, outputs)
    };
    let ids = [Tensor::from_i64(vec![2, 2], &[3, -1, 0, 3]), Tensor::from_i32(vec![1, 2], &[1023, -1024])];
    // A table that is just too small for it goes another way to the same numbers.
    for (shape, aside) in [(vec![ROWS, 16, 16], 1), (vec![ROWS, 255], 0)] {
        let row: usize = shape[1..].iter().product();
        let table = Tensor::from_f32(shape, &numbers[..ROWS * row]);
        for ids in &ids {
            let (lookups, seen, outputs) = run(&table, ids, 0);
            let places =
                ids.to_i64().expect("integers").iter().map(|&i| i.rem_euclid(ROWS as i64) as usize).collect::<Vec<_>>();
            let wanted: Vec<f32> = places.iter().flat_map(|&i| &numbers[i * row..][..row]).copied().collect();
            assert_eq!((lookups, &seen), (aside, &wanted));
            let negated: Vec<f32> = wanted.iter().map(|v| -v).collect();
            assert_eq!(outputs.expect("runs")[0].to_f32().expect("floats"), negated);
        }
    }
    let table = Tensor::from_f32(vec![512, ROWS], &numbers);
    assert_eq!(run(&table, &ids[0], 1).0, 0, "columns are no rows");
    let table = Tensor::from_f32(vec![ROWS, 512], &numbers);
    let wrong = Tensor::from_i64(vec![1, 2], &[0, 1024]);
    let said = run(&table, &wrong, 0).2.expect_err("no such row").to_string();
    let wanted =
        "in node \"Gather_rows\" (Gather): expected indices from -1024 to 1023, as its table has rows, found 1024";
    assert_eq!(said, wanted);
}
