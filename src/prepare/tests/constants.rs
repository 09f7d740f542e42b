//! Constants that exporters hide.

use super::*;
use crate::ir::build::{float, int, ints, tensor};

fn hidden() -> Builder {
    Builder::new(13).input("x", &[1, 2, 4, 4]).output("y", &[1, 3, 4, 4])
}

#[test]
fn a_weight_behind_a_chain_of_nodes_becomes_a_constant() {
    let numbers = Tensor::from_f32(vec![6], &noise(6, 1));
    let model = hidden()
        .ints("shape", &[1, 1, 2, 3])
        .node("Constant", &[], &["a"], vec![tensor("value", &numbers)])
        .node("Cast", &["a"], &["b"], vec![int("to", 11)])
        .node("Cast", &["b"], &["c"], vec![int("to", 1)])
        .node("Reshape", &["c", "shape"], &["d"], vec![])
        .node("Transpose", &["d"], &["e"], vec![ints("perm", &[3, 2, 0, 1])])
        .node("Identity", &["e"], &["w"], vec![])
        .node("Conv", &["x", "w"], &["y"], vec![])
        .build();
    let ready = prepared(&model);
    assert_eq!(operators(&ready), ["Conv"]);
    assert!(find(&ready, "Conv").input(1).is_some_and(|w| ready.graph.is_constant(w)));
}

#[test]
fn a_constant_cast_to_the_type_of_another_value_needs_no_more_than_that_type() {
    let model = Builder::new(15)
        .input("x", &[-1, 2])
        .output("y", &[-1, 2])
        .ints("k", &[3])
        .node("Neg", &["x"], &["n"], vec![])
        .node("CastLike", &["k", "x"], &["a"], vec![])
        // Of what a node makes the type is learned first.
        .node("CastLike", &["k", "n"], &["b"], vec![])
        .node("Mul", &["n", "a"], &["m"], vec![])
        .node("Add", &["m", "b"], &["y"], vec![])
        .build();
    let ready = prepared(&model);
    assert_eq!(operators(&ready), ["Neg", "Mul", "Add"]);
    let factor = find(&ready, "Mul").input(1).and_then(|v| ready.graph.constant(v).expect("a tensor"));
    assert_eq!(factor, Some(Tensor::from_f32(vec![1], &[3.0])));
}

#[test]
fn numbers_written_as_attributes_become_constants() {
    let model = Builder::new(13)
        .input("x", &[4])
        .output("y", &[4])
        .output("z", &[3])
        .node("Constant", &[], &["factor"], vec![float("value_float", 2.5)])
        .node("Constant", &[], &["index"], vec![ints("value_ints", &[1, 3, 0])])
        .node("Mul", &["x", "factor"], &["y"], vec![])
        .node("Gather", &["y", "index"], &["z"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Mul", "Gather"]);
}

#[test]
fn a_weight_computed_from_others_becomes_a_constant() {
    let model = hidden()
        .noise("v", &[3, 2, 1, 1], 1)
        .floats("k", &[], &[0.25])
        .node("Mul", &["v", "k"], &["a"], vec![])
        .node("Sqrt", &["k"], &["s"], vec![])
        .node("Div", &["a", "s"], &["w"], vec![])
        .node("Conv", &["x", "w"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Conv"]);
}

#[test]
fn a_folded_constant_stays_for_every_reader() {
    let model = Builder::new(13)
        .input("x", &[3])
        .output("y", &[3])
        .output("z", &[3])
        .noise("c", &[3], 1)
        .node("Neg", &["c"], &["k"], vec![])
        .node("Add", &["x", "k"], &["y"], vec![])
        .node("Mul", &["x", "k"], &["z"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Add", "Mul"]);
}

/// Were one of these computed, the test would run out of memory.
#[test]
fn constants_of_absurd_size_are_left_alone() {
    for dims in [&[1 << 20, 1 << 20][..], &[1 << 40, 1 << 40], &[i64::MAX], &[1 << 31]] {
        let whole = Builder::new(13)
            .input("x", &[1])
            .output("y", &[-1])
            .ints("dims", dims)
            .node("ConstantOfShape", &["dims"], &["c"], vec![])
            .node("Add", &["x", "c"], &["y"], vec![])
            .build();
        assert_eq!(operators(&prepare_twice(&whole).0), ["ConstantOfShape", "Add"], "{dims:?}");
        let expanded = Builder::new(13)
            .input("x", &[1])
            .output("y", &[-1])
            .ints("dims", dims)
            .floats("one", &[1], &[1.0])
            .node("Expand", &["one", "dims"], &["c"], vec![])
            .node("Add", &["x", "c"], &["y"], vec![])
            .build();
        assert_eq!(operators(&prepare_twice(&expanded).0), ["Expand", "Add"], "{dims:?}");
    }
}

#[test]
fn products_of_absurd_size_are_left_alone() {
    let model = Builder::new(13)
        .input("x", &[1])
        .output("y", &[-1, -1])
        .floats("row", &[1, 100_000], &vec![1.0; 100_000])
        .floats("column", &[100_000, 1], &vec![1.0; 100_000])
        .node("MatMul", &["column", "row"], &["m"], vec![])
        .node("Add", &["x", "m"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepare_twice(&model).0), ["MatMul", "Add"]);
}

#[test]
fn a_constant_expression_that_cannot_be_computed_is_refused_with_a_reason() {
    let model = Builder::new(13)
        .input("x", &[2])
        .output("y", &[2])
        .noise("a", &[3], 1)
        .noise("b", &[2], 2)
        .node("Mul", &["a", "b"], &["c"], vec![])
        .node("Add", &["x", "c"], &["y"], vec![])
        .build();
    let refused = refusals(&model, "fold-constants");
    // Once in each of the two runs of the pass.
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|why| !why.is_empty()));
}

#[test]
fn small_shapes_are_computed() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 3])
        .ints("dims", &[3])
        .node("ConstantOfShape", &["dims"], &["c"], vec![tensor("value", &Tensor::from_f32(vec![1], &[0.5]))])
        .node("Add", &["x", "c"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Add"]);
}
