//! Means that are known beforehand, and those that many numbers drawn from the same distributions have.

use super::*;
use crate::ir::build::{Builder, float, int, ints};
use crate::quant::Normal;
use std::collections::BTreeMap;

const CHANNELS: usize = 3;

fn normal(means: [f64; CHANNELS], deviations: [f64; CHANNELS]) -> Normal {
    Normal { means: means.to_vec(), deviations: deviations.to_vec() }
}

/// What a Conv that reads `read` reads in the mean, where `a` and `b` of four axes are known, and `nodes` stand between.
fn read_in_the_mean(nodes: impl Fn(Builder) -> Builder, read: &str) -> Option<Vec<f64>> {
    let shape = [1, CHANNELS as i64, 4, 4];
    let builder = Builder::new(17).input("x", &shape).input("z", &shape).noise("w", &[2, CHANNELS, 1, 1], 1);
    let builder = builder.node("Identity", &["x"], &["a"], vec![]).node("Identity", &["z"], &["b"], vec![]);
    let mut model = nodes(builder).node("Conv", &[read, "w"], &["y"], vec![]).output("y", &[1, 2, 4, 4]).build();
    // As they are once a model is prepared.
    let ty = model.graph.stated_type(model.graph.find("x").expect("an input")).expect("a type");
    for name in ["a", "b", "r", "g", "m"] {
        if let Some(value) = model.graph.find(name) {
            model.graph.learn_type(value, ty.clone());
        }
    }
    let known: BTreeMap<_, _> = [
        ("a".to_owned(), normal([0.0, 1.0, -1.0], [1.0, 2.0, 0.5])),
        ("b".to_owned(), normal([0.5, -0.25, 2.0], [0.5, 1.0, 0.25])),
    ]
    .into();
    let found = means(&model.graph, &known).expect("a graph");
    found.get(&model.graph.find(read).expect("a value")).map(|mean| mean.channels.clone())
}

fn near(found: Option<Vec<f64>>, expected: [f64; CHANNELS]) {
    let found = found.expect("known");
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3), "{found:?}");
}

#[test]
fn means_go_through_functions_sums_and_averages() {
    let relu = |builder: Builder| builder.node("Relu", &["a"], &["r"], vec![]);
    // m Phi(m / s) + s phi(m / s)
    let relus = [0.398_942_3, 1.395_593_1, 0.004_245_4];
    near(read_in_the_mean(relu, "a"), [0.0, 1.0, -1.0]);
    near(read_in_the_mean(relu, "r"), relus);
    let pooled = |builder: Builder| relu(builder).node("GlobalAveragePool", &["r"], &["g"], vec![]);
    near(read_in_the_mean(pooled, "g"), relus);
    let sum = |builder: Builder| relu(builder).node("Add", &["r", "b"], &["s"], vec![]);
    near(read_in_the_mean(sum, "s"), [0.898_942_3, 1.145_593_1, 2.004_245_4]);
    let leaky = |builder: Builder| builder.node("LeakyRelu", &["a"], &["l"], vec![float("alpha", 0.5)]);
    // x is the difference of what Relu makes of it and of its opposite.
    near(read_in_the_mean(leaky, "l"), [0.0, 1.0, -1.0].map(|m| m * 0.5).zip_with(relus.map(|r| r * 0.5)));
    let clip = |builder: Builder| {
        let bounds = builder.floats("low", &[], &[0.0]).floats("high", &[], &[1.0]);
        bounds.node("Clip", &["a", "low", "high"], &["c"], vec![])
    };
    // What Relu makes of x, but what it makes of x - 1.
    near(
        read_in_the_mean(clip, "c"),
        [0.398_942_3 - 0.083_315_5, 1.395_593_1 - 0.797_884_6, 0.004_245_4 - 0.000_003_6],
    );
    let gate =
        |builder: Builder| builder.node("Sigmoid", &["a"], &["g"], vec![]).node("Mul", &["a", "g"], &["s"], vec![]);
    // The mean of x / (1 + exp(-x)), where x is normal, summed in ten thousand steps.
    let silu = |mean: f64, deviation: f64| {
        let at = |step: i32| f64::from(step) / 1000.0;
        let share = |z: f64| (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() / 1000.0;
        let of = |x: f64| x / (1.0 + (-x).exp());
        (-8000..8000).map(|step| share(at(step)) * of(mean + deviation * at(step))).sum()
    };
    near(read_in_the_mean(gate, "s"), [silu(0.0, 1.0), silu(1.0, 2.0), silu(-1.0, 0.5)]);
    let affine = |builder: Builder| {
        let numbers = builder.floats("k", &[CHANNELS, 1, 1], &[2.0, -1.0, 3.0]).floats("one", &[1], &[1.0]);
        numbers.node("Mul", &["k", "a"], &["m"], vec![]).node("Sub", &["one", "m"], &["s"], vec![])
    };
    near(read_in_the_mean(affine, "s"), [1.0, 2.0, 4.0]);
}

trait ZipWith {
    fn zip_with(self, other: Self) -> Self;
}

impl ZipWith for [f64; CHANNELS] {
    fn zip_with(self, other: Self) -> Self {
        std::array::from_fn(|at| self[at] + other[at])
    }
}

#[test]
fn of_other_operators_nothing_is_known() {
    let pool = |builder: Builder| {
        builder.node("MaxPool", &["a"], &["m"], vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])])
    };
    assert_eq!(read_in_the_mean(pool, "m"), None);
    let product = |builder: Builder| builder.node("Mul", &["a", "b"], &["m"], vec![]);
    assert_eq!(read_in_the_mean(product, "m"), None);
    let along =
        |builder: Builder| builder.floats("k", &[4], &[1.0, 2.0, 3.0, 4.0]).node("Mul", &["a", "k"], &["m"], vec![]);
    assert_eq!(read_in_the_mean(along, "m"), None);
    assert_eq!(read_in_the_mean(|builder| builder, "x"), None);
    let average = |border: i64| {
        move |builder: Builder| {
            let attributes =
                vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1]), int("count_include_pad", border)];
            builder.node("AveragePool", &["a"], &["m"], attributes)
        }
    };
    assert_eq!(read_in_the_mean(average(1), "m"), None);
    near(read_in_the_mean(average(0), "m"), [0.0, 1.0, -1.0]);
}

#[test]
fn channels_are_joined_and_their_positions_become_columns() {
    let shape = [1, CHANNELS as i64, 2, 2];
    let model = Builder::new(17)
        .input("x", &shape)
        .input("z", &shape)
        .node("Identity", &["x"], &["a"], vec![])
        .node("Identity", &["z"], &["b"], vec![])
        .node("Concat", &["a", "b"], &["c"], vec![int("axis", 1)])
        .node("Flatten", &["c"], &["f"], vec![])
        .noise("w", &[24, 5], 1)
        .node("Gemm", &["f", "w"], &["y"], vec![])
        .output("y", &[1, 5])
        .build();
    let known: BTreeMap<_, _> = [
        ("a".to_owned(), normal([1.0, 2.0, 3.0], [1.0; CHANNELS])),
        ("b".to_owned(), normal([4.0, 5.0, 6.0], [1.0; CHANNELS])),
    ]
    .into();
    let graph = &model.graph;
    let found = means(graph, &known).expect("a graph");
    let mean = &found[&graph.find("f").expect("a value")];
    assert!(mean.flattened && mean.channels.iter().zip(1..).all(|(mean, at)| (mean - f64::from(at)).abs() < 1e-9));
    let gemm = graph.node_ids().find(|&id| graph.node(id).is("Gemm")).expect("a Gemm");
    let form = crate::tune::equalize::lie(graph, gemm).expect("a layer");
    let weights: Vec<f32> = (0..120).map(|at| at as f32).collect();
    let by_hand =
        |output: usize| (0..24).map(|input| (input * 5 + output) as f64 * (input / 4 + 1) as f64).sum::<f64>();
    let made = made(form, &weights, mean, 1).expect("as many");
    assert!(made.iter().enumerate().all(|(output, made)| (made - by_hand(output)).abs() < 1e-6), "{made:?}");
}

#[test]
fn groups_have_nothing_to_do_with_each_other_and_steps_share_weights() {
    let mean = Mean { channels: vec![1.0, 10.0], flattened: false };
    let form = Form { outputs: 2, inputs: 2, groups: 2, taps: 2, inputs_first: false };
    assert_eq!(made(form, &[1.0, 2.0, 3.0, 4.0], &mean, 1), Some(vec![3.0, 70.0]));
    let form = Form { outputs: 1, inputs: 2, groups: 1, taps: 4, inputs_first: true };
    assert_eq!(made(form, &[1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], &mean, 4), Some(vec![21.0]));
    assert_eq!(made(form, &[1.0], &mean, 1), None);
    let wide = Form { outputs: 1, inputs: 4, groups: 1, taps: 1, inputs_first: true };
    assert_eq!(made(wide, &[1.0; 4], &mean, 1), None);
}
