//! Opsets 7 to 12 become 13: axes, sizes and Softmax.

use super::*;
use crate::exec::{Executor, Program, Types};
use crate::ir::build::{float, int, ints};
use crate::tensor::TensorType;

#[test]
fn axes_and_splits_become_inputs() {
    for opset in [7, 11, 12] {
        let model = Builder::new(opset)
            .input("x", &[2, 1, 6])
            .output("s", &[2])
            .output("u", &[1, 2, 1, 1, 6])
            .output("a", &[2, 1, 2])
            .output("b", &[2, 1, 4])
            .node("Squeeze", &["x"], &["q"], vec![ints("axes", &[1])])
            .node("ReduceSum", &["q"], &["s"], vec![ints("axes", &[-1]), int("keepdims", 0)])
            .node("Unsqueeze", &["x"], &["u"], vec![ints("axes", &[0, 3])])
            .node("Split", &["x"], &["a", "b"], vec![int("axis", 2), ints("split", &[2, 4])])
            .build();
        let ready = prepared(&model);
        assert_eq!(ready.opset(""), Some(13));
        for (op_type, attribute) in
            [("Squeeze", "axes"), ("Unsqueeze", "axes"), ("ReduceSum", "axes"), ("Split", "split")]
        {
            let node = find(&ready, op_type);
            assert!(node.input(1).is_some_and(|v| ready.graph.is_constant(v)) && !node.attributes().has(attribute));
        }
    }
}

#[test]
fn attributes_that_were_left_out_stay_out() {
    let model = Builder::new(11)
        .input("x", &[2, 4])
        .output("s", &[1, 1])
        .output("a", &[2, 2])
        .output("b", &[2, 2])
        .node("ReduceSum", &["x"], &["s"], vec![])
        .node("Split", &["x"], &["a", "b"], vec![int("axis", 1)])
        .build();
    let ready = prepared(&model);
    assert_eq!((find(&ready, "ReduceSum").input(1), find(&ready, "Split").input(1)), (None, None));
}

#[test]
fn a_dropout_with_a_ratio_vanishes() {
    for opset in [11, 12] {
        let model = Builder::new(opset)
            .input("x", &[2, 4])
            .output("y", &[2, 4])
            .node("Dropout", &["x"], &["d"], if opset == 11 { vec![float("ratio", 0.5)] } else { vec![] })
            .node("Neg", &["d"], &["y"], vec![])
            .build();
        assert_eq!(operators(&prepared(&model)), ["Neg"]);
    }
}

/// tract, but it cannot tell any type.
pub(super) struct Blind(pub(super) Tract);

impl Executor for Blind {
    fn name(&self) -> String {
        self.0.name()
    }

    fn compile(
        &self,
        model: Vec<u8>,
        inputs: &[TensorType],
        observed: &[String],
    ) -> crate::error::Result<Box<dyn Program>> {
        self.0.compile(model, inputs, observed)
    }

    fn types(&self, _: &[u8], _: &[TensorType]) -> crate::error::Result<Types> {
        Err(crate::error::Error::Engine("cannot tell".to_owned()))
    }
}

/// A Softmax of opset 11 between two nodes, so that nothing states its rank.
fn softmax(op_type: &str, dims: &[i64], axis: Option<i64>) -> Model {
    let builder = Builder::new(11).input("x", dims).output("y", dims).node("Neg", &["x"], &["a"], vec![]);
    softmax_behind(builder, op_type, axis)
}

/// The same behind an Expand that changes nothing, whose rank only an engine can tell.
fn softmax_of_hidden_rank(op_type: &str, dims: &[i64], axis: Option<i64>) -> Model {
    let builder = Builder::new(11).input("x", dims).output("y", dims).ints("one", &[1]);
    let builder = builder.node("Neg", &["x"], &["n"], vec![]).node("Expand", &["n", "one"], &["a"], vec![]);
    softmax_behind(builder, op_type, axis)
}

fn softmax_behind(builder: Builder, op_type: &str, axis: Option<i64>) -> Model {
    let axis = axis.map(|a| int("axis", a)).into_iter().collect();
    builder.node(op_type, &["a"], &["b"], axis).node("Neg", &["b"], &["y"], vec![]).build()
}

/// The definition of opset 11: all axes from `axis` on are one, and each row of that matrix sums to one.
fn flattened(x: &Tensor, axis: usize, log: bool) -> Vec<f32> {
    let columns: usize = x.shape()[axis..].iter().product();
    let rows = x.to_f32().expect("numbers");
    let row = |row: &[f32]| {
        let sum: f64 = row.iter().map(|v| f64::from(-v).exp()).sum();
        row.iter()
            .map(|v| f64::from(-v).exp() / sum)
            .map(|p| -(if log { p.ln() } else { p }) as f32)
            .collect::<Vec<_>>()
    };
    rows.chunks(columns).flat_map(row).collect()
}

#[test]
fn softmax_keeps_its_meaning_whether_or_not_its_rank_is_known() {
    let executors: [&dyn Executor; 2] = [&Tract::default(), &Blind(Tract::default())];
    for (dims, axis, counted) in [
        (&[2i64, 5][..], None, 1),
        (&[2, 3, 4], Some(2), 2),
        (&[2, 3, 4], Some(-1), 2),
        (&[2, 3, 4], None, 1),
        (&[2, 3, 4], Some(-2), 1),
        (&[2, 3, 4, 2], Some(2), 2),
        (&[2, 3, 4], Some(0), 0),
    ] {
        for op_type in ["Softmax", "LogSoftmax"] {
            for executor in executors {
                let model = softmax_of_hidden_rank(op_type, dims, axis);
                let mut ready = model.clone();
                prepare(&mut ready, executor, &Options::default()).expect("a model that can be prepared");
                let inputs = feeds(&model);
                let found = run(&ready, &inputs);
                assert_eq!(found[0].shape(), inputs[0].shape());
                let wanted = flattened(&inputs[0], counted, op_type == "LogSoftmax");
                assert_near(&wanted, &found[0].to_f32().expect("numbers"));
            }
        }
    }
}

#[test]
fn softmax_of_the_last_axis_needs_no_reshaping() {
    for (dims, axis) in [(&[2i64, 5][..], None), (&[2, 3, 4], Some(2)), (&[2, 3, 4], Some(-1))] {
        let (ready, _) = prepare_twice(&softmax("Softmax", dims, axis));
        assert_eq!(operators(&ready), ["Neg", "Softmax", "Neg"]);
        assert_eq!(find(&ready, "Softmax").attributes().int("axis"), Some(-1));
    }
    let (ready, _) = prepare_twice(&softmax("Softmax", &[2, 3, 4], None));
    assert!(operators(&ready).contains(&"Flatten"));
}

/// The engine tells no type here, so that the rank has to follow from those of the nodes' inputs.
#[test]
fn the_rank_of_products_and_sums_follows_from_their_inputs() {
    let steps: [(&str, &[&str]); 5] = [
        ("Mul", &["x", "factor"]),
        ("MatMul", &["x", "square"]),
        ("Transpose", &["x"]),
        ("ReduceMean", &["x"]),
        ("Sigmoid", &["x"]),
    ];
    for (op_type, inputs) in steps {
        let attributes = if op_type == "ReduceMean" { vec![ints("axes", &[1])] } else { vec![] };
        let builder = Builder::new(12)
            .input("x", &[2, 3, 4])
            .output("y", &[-1, -1, -1])
            .floats("factor", &[], &[0.5])
            .noise("square", &[4, 4], 1)
            .node(op_type, inputs, &["a"], attributes);
        let mut ready = softmax_behind(builder, "Softmax", Some(2));
        prepare(&mut ready, &Blind(Tract::default()), &Options::default()).expect("a model that can be prepared");
        assert_eq!(operators(&ready), [op_type, "Softmax", "Neg"]);
    }
    let dropped = Builder::new(12).input("x", &[2, 3, 4, 5]).output("y", &[-1, -1, -1]).node(
        "ReduceMean",
        &["x"],
        &["a"],
        vec![ints("axes", &[1]), int("keepdims", 0)],
    );
    let mut ready = softmax_behind(dropped, "Softmax", Some(2));
    prepare(&mut ready, &Blind(Tract::default()), &Options::default()).expect("a model that can be prepared");
    assert!(operators(&ready).contains(&"Flatten"), "an axis was dropped");
}

#[test]
fn a_softmax_that_is_a_graph_output_keeps_its_name() {
    let model = Builder::new(11)
        .input("x", &[2, 3, 4])
        .output("y", &[2, 3, 4])
        .node("Softmax", &["x"], &["y"], vec![int("axis", 1)])
        .build();
    let (ready, _) = prepare_twice(&model);
    assert_eq!(ready.graph.outputs().map(|v| ready.graph.value(v).name()).collect::<Vec<_>>(), ["y"]);
    let inputs = feeds(&model);
    let wanted: Vec<f32> = {
        let negated: Vec<f32> = inputs[0].to_f32().expect("numbers").iter().map(|v| -v).collect();
        flattened(&Tensor::from_f32(vec![2, 3, 4], &negated), 1, false).iter().map(|v| -v).collect()
    };
    assert_near(&wanted, &run(&ready, &inputs)[0].to_f32().expect("numbers"));
}

#[test]
fn a_later_opset_stays() {
    let model = Builder::new(17).input("x", &[2]).output("y", &[2]).node("Relu", &["x"], &["y"], vec![]).build();
    assert_eq!(prepared(&model).opset(""), Some(17));
}

#[test]
fn an_opset_that_is_not_understood_is_an_error_that_says_what_to_do() {
    for (opset, words) in [(6, "later opset"), (1, "later opset"), (26, "Export it again")] {
        let builder = Builder::new(opset).input("x", &[2]).output("y", &[2]);
        let mut model = builder.node("Relu", &["x"], &["y"], vec![]).build();
        let error =
            prepare(&mut model, &Tract::default(), &Options::default()).expect_err("an opset out of reach").to_string();
        for part in [&format!("opset {opset}"), "7 to 25", words] {
            assert!(error.contains(part), "{error}");
        }
    }
    for opset in [7, 25] {
        let builder = Builder::new(opset).input("x", &[2]).output("y", &[2]);
        let ready = prepared(&builder.node("Relu", &["x"], &["y"], vec![]).build());
        assert_eq!(ready.opset(""), Some(opset.max(13)));
    }
}
