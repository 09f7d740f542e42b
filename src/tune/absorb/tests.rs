//! Where biases can be absorbed, and that the function stays the same where channels are as said.

use super::*;
use crate::exec::{Session, Tract};
use crate::ir::Model;
use crate::ir::build::{Builder, int, ints, noise};
use crate::tensor::Tensor;

const WIDE: usize = 4;
const SIDE: usize = 6;

/// A Conv with a high bias, `behind` it, and a Gemm that makes `y` of what is flattened there.
fn network(activation: &str, behind: impl Fn(Builder) -> Builder, (read, columns): (&str, usize)) -> Model {
    let builder = Builder::new(17)
        .input("x", &[1, 2, SIDE as i64, SIDE as i64])
        .noise("w0", &[WIDE, 2, 3, 3], 1)
        .floats("b0", &[WIDE], &[40.0, 0.1, 30.0, 20.0])
        .node("Conv", &["x", "w0", "b0"], &["c"], vec![])
        .floats("slope", &[1], &[0.3])
        .node(activation, if activation == "PRelu" { &["c", "slope"] } else { &["c"] }, &["r"], vec![]);
    behind(builder)
        .noise("wy", &[columns, 3], 8)
        .noise("by", &[3], 9)
        .node("Flatten", &[read], &["f"], vec![])
        .node("Gemm", &["f", "wy", "by"], &["y"], vec![])
        .output("y", &[1, 3])
        .build()
}

fn depthwise(builder: Builder) -> Builder {
    builder
        .noise("w1", &[WIDE, 1, 3, 3], 5)
        .noise("b1", &[WIDE], 6)
        .node("Conv", &["r", "w1", "b1"], &["d"], vec![int("group", WIDE as i64)])
        .node("Relu", &["d"], &["e"], vec![])
}

fn run(model: &Model, name: Option<&str>) -> Vec<f32> {
    let numbers: Vec<f32> = noise(2 * SIDE * SIDE, 77).iter().map(|x| x * 2.0).collect();
    let input = Tensor::from_f32(vec![1, 2, SIDE, SIDE], &numbers);
    let tract = Tract::default();
    let session = Session::new(&tract, model, name.map(str::to_owned).into_iter().collect()).expect("a session");
    let mut seen = Vec::new();
    let outputs = session.run(&[input], &mut |_, _, numbers| seen = numbers.to_vec()).expect("runs");
    if name.is_some() { seen } else { outputs[0].to_f32().expect("floats").to_vec() }
}

/// The ends of each channel of what is ahead of the Relu.
fn ends(model: &Model) -> Vec<(f32, f32)> {
    let made = run(model, Some("c"));
    let of = |channel: &[f32]| {
        (channel.iter().copied().fold(f32::MAX, f32::min), channel.iter().copied().fold(f32::MIN, f32::max))
    };
    made.chunks(made.len() / WIDE).map(of).collect()
}

#[test]
fn the_function_stays_the_same_where_channels_are_above() {
    let flat = |builder: Builder| builder;
    let pooled = |builder: Builder| {
        builder.node("MaxPool", &["r"], &["m"], vec![ints("kernel_shape", &[2, 2])]).node(
            "GlobalAveragePool",
            &["m"],
            &["g"],
            vec![],
        )
    };
    let positions = (SIDE - 2) * (SIDE - 2);
    for model in [
        network("Relu", flat, ("r", WIDE * positions)),
        network("PRelu", flat, ("r", WIDE * positions)),
        network("LeakyRelu", pooled, ("g", WIDE)),
        network("Relu", depthwise, ("e", WIDE * 4)),
    ] {
        let before = run(&model, None);
        let least = by_samples(&ends(&model));
        assert!(least[0] > 10.0 && least[1] == 0.0 && least[2] > 5.0 && least[3] > 0.0, "{least:?}");
        let mut changed = model.clone();
        let site = sites(&changed.graph).into_iter().find(|site| site.channels == WIDE).expect("a site");
        absorb(&mut changed.graph, &site, &least).expect("absorbed");
        let largest = before.iter().fold(0f32, |most, x| most.max(x.abs()));
        let after = run(&changed, None);
        assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-4 * largest), "{before:?} and {after:?}");
        // What lies between has other numbers, and another name.
        let graph = &changed.graph;
        assert!(graph.find("c").is_none() && graph.find("c_absorbed").is_some() && graph.find("r").is_none());
        let lowered = run(&changed, Some("c_absorbed"));
        let expected = run(&model, Some("c")).iter().enumerate().all(|(at, x)| {
            let channel = at / positions;
            (x - least[channel] - lowered[at]).abs() < 1e-4
        });
        assert!(expected);
    }
}

#[test]
fn a_border_an_output_or_another_reader_keeps_biases_as_they_are() {
    let count = |model: &Model| sites(&model.graph).iter().filter(|site| site.layer.index() == 0).count();
    let positions = (SIDE - 2) * (SIDE - 2);
    let plain = |builder: Builder| builder;
    assert_eq!(count(&network("Relu", plain, ("r", WIDE * positions))), 1);
    assert_eq!(count(&network("Tanh", plain, ("r", WIDE * positions))), 0);
    let padded = |builder: Builder| {
        builder.noise("w1", &[WIDE, 1, 3, 3], 5).node(
            "Conv",
            &["r", "w1"],
            &["d"],
            vec![int("group", WIDE as i64), ints("pads", &[1, 1, 1, 1])],
        )
    };
    assert_eq!(count(&network("Relu", padded, ("d", WIDE * positions))), 0);
    let summed = |builder: Builder| builder.node("Add", &["r", "c"], &["s"], vec![]);
    assert_eq!(count(&network("Relu", summed, ("s", WIDE * positions))), 0);
    let read_twice = |builder: Builder| {
        builder
            .node("Tanh", &["r"], &["t"], vec![])
            .node("MaxPool", &["r"], &["m"], vec![ints("kernel_shape", &[1, 1])])
            .output("t", &[1, WIDE as i64, 4, 4])
    };
    assert_eq!(count(&network("Relu", read_twice, ("m", WIDE * positions))), 0);
    let shown = |builder: Builder| builder.output("r", &[1, WIDE as i64, 4, 4]);
    assert_eq!(count(&network("Relu", shown, ("r", WIDE * positions))), 0);
    let edged = |builder: Builder| {
        builder.node("AveragePool", &["r"], &["m"], vec![ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1])])
    };
    assert_eq!(count(&network("Relu", edged, ("m", WIDE * positions))), 0);
    let mut scaled = network("Relu", plain, ("r", WIDE * positions)).to_proto().expect("a message");
    let graph = scaled.graph.as_mut().expect("a graph");
    let gemm = graph.node.iter_mut().find(|node| node.op_type() == "Gemm").expect("a Gemm");
    gemm.attribute.push(crate::ir::build::float("alpha", 0.5));
    assert_eq!(count(&Model::from_proto(scaled).expect("a model")), 0);
}

#[test]
fn channels_that_reach_down_count_for_nothing() {
    assert_eq!(by_samples(&[(8.0, 16.0), (-1.0, 5.0), (1.0, 5.0), (4.0, 4.0), (0.4, 16.0)]), [7.0, 0.0, 0.5, 4.0, 0.0]);
    assert_eq!(by_samples(&[(f32::NEG_INFINITY, f32::INFINITY), (f32::INFINITY, f32::NEG_INFINITY)]), [0.0, 0.0]);
    let normal = Normal { means: vec![10.0, 1.0, -3.0], deviations: vec![1.0, 1.0, 0.1] };
    assert_eq!(by_statistics(&normal), [7.0, 0.0, 0.0]);
}
