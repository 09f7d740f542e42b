//! Values that convolutions read, smoothed: behind normalizations, in either layout, by weights of any form.

use super::bench::Bench;
use super::*;
use crate::exec::{Session, Tract};
use crate::ir::build::noise;
use crate::tune::equalize::Form;

const CHANNELS: usize = 12;
const SIDE: usize = 8;
const PICTURE: [i64; 4] = [-1, CHANNELS as i64, SIDE as i64, SIDE as i64];

/// A picture, and for each of its channels a gain: two are many times as large as the others.
fn picture() -> Builder {
    let gains: Vec<f32> = (0..CHANNELS).map(|c| if c % 7 == 3 { 80.0 } else { 1.0 }).collect();
    let zeros = [0f32; CHANNELS];
    Builder::new(21).input("x", &PICTURE).floats("gains", &[CHANNELS], &gains).floats("zeros", &[CHANNELS], &zeros)
}

/// The weights of a layer, which lie in this form: those that the large channels meet are as much smaller.
fn weights(builder: Builder, name: &str, shape: &[usize], (groups, inputs_first): (usize, bool)) -> Builder {
    let numbers = noise(shape.iter().product(), 7);
    let taps = shape[2..].iter().product();
    let (inputs, outputs) = if inputs_first { (shape[0], shape[1] * groups) } else { (shape[1] * groups, shape[0]) };
    let form = Form { outputs, inputs, groups, taps, inputs_first };
    let less = |(at, number): (usize, &f32)| if form.place(at).1 % 7 == 3 { number / 80.0 } else { *number };
    builder.floats(name, shape, &numbers.iter().enumerate().map(less).collect::<Vec<f32>>())
}

/// A block of ConvNeXt: a wide depthwise convolution, a normalization of channels that come last, and two layers with a Gelu between.
fn convnext(convolves: bool) -> Model {
    let wide = CHANNELS * 4;
    let back = ints("perm", &[0, 3, 1, 2]);
    let builder = picture()
        .noise("d", &[CHANNELS, 1, 7, 7], 1)
        .node("Conv", &["x", "d"], &["c"], vec![int("group", CHANNELS as i64), ints("pads", &[3; 4])])
        .node("Transpose", &["c"], &["t"], vec![ints("perm", &[0, 2, 3, 1])])
        .node("LayerNormalization", &["t", "gains", "zeros"], &["n"], vec![]);
    let builder = if convolves {
        weights(builder, "u", &[wide, CHANNELS, 1, 1], (1, false))
            .noise("v", &[CHANNELS, wide, 1, 1], 3)
            .node("Transpose", &["n"], &["m"], vec![back])
            .node("Conv", &["m", "u"], &["p"], vec![])
            .node("Gelu", &["p"], &["g"], vec![])
            .node("Conv", &["g", "v"], &["q"], vec![])
    } else {
        weights(builder, "u", &[CHANNELS, wide], (1, true))
            .noise("v", &[wide, CHANNELS], 3)
            .node("MatMul", &["n", "u"], &["p"], vec![])
            .node("Gelu", &["p"], &["g"], vec![])
            .node("MatMul", &["g", "v"], &["r"], vec![])
            .node("Transpose", &["r"], &["q"], vec![back])
    };
    builder.node("Add", &["q", "x"], &["y"], vec![]).output("y", &PICTURE).build()
}

/// A normalization of channels that come second, and a layer that reads them.
fn normalized(normalization: &str, layer: &str, shape: &[usize], group: usize) -> Model {
    let attributes = if normalization == "GroupNormalization" { vec![int("num_groups", 4)] } else { vec![] };
    let transposed = layer == "ConvTranspose";
    let channels = if transposed { shape[1] * group } else { shape[0] };
    weights(picture(), "w", shape, (group, transposed))
        .node(normalization, &["x", "gains", "zeros"], &["n"], attributes)
        .node("Relu", &["n"], &["r"], vec![])
        .node(layer, &["r", "w"], &["y"], vec![int("group", group as i64), ints("pads", &[1; 4])])
        .output("y", &[-1, channels as i64, SIDE as i64, SIDE as i64])
        .build()
}

fn sample(seed: u32) -> Tensor {
    let shape = vec![1, CHANNELS, SIDE, SIDE];
    Tensor::from_f32(shape.clone(), &noise(shape.iter().product(), seed))
}

fn bench(model: &Model) -> Bench {
    Bench::new(model, "", (0..40).map(sample))
}

/// What is smoothed of a model, which computes the same in float bit for bit then.
fn smoothed(model: &Model, more: &str) -> Vec<String> {
    let planned = bench(model).after(more, Planned::smooth);
    let tract = Tract::default();
    let run = |model: &Model, seed| {
        let session = Session::new(&tract, model, vec![]).expect("a session");
        session.run(&[sample(seed)], &mut |_, _, _| {}).expect("runs")
    };
    let prepared = Bench::after(&bench(model), more, |_, _, _| Ok(())).model;
    prepared.graph.verify().expect("a model");
    for seed in 50..53 {
        assert_eq!(run(&planned.model, seed), run(&prepared, seed));
    }
    planned.smoothed.into_keys().collect()
}

/// By how many dB a model is nearer to the float one with what smooths it.
fn gained(model: &Model) -> f64 {
    let bench = bench(model);
    let of = |more: &str| {
        let (report, _) = bench.quantize(more, Found::Samples).expect("a model");
        report.validation.expect("validated").outputs[0].sqnr_db.expect("a ratio")
    };
    of("repairs: { refit: false, equalize: false }") - of("repairs: { refit: false, equalize: false, smooth: false }")
}

#[test]
fn a_block_of_convnext_comes_nearer_by_its_convolutions_as_by_products() {
    for convolves in [true, false] {
        let model = convnext(convolves);
        assert!(smoothed(&model, "").contains(&"n".to_owned()));
        let gain = gained(&model);
        assert!(gain > 8.0, "{convolves} {gain}");
    }
}

#[test]
fn what_moves_a_smoothed_value_has_another_name_and_a_lock_brings_it_back() {
    let bench = bench(&convnext(true));
    let planned = bench.after("", Planned::smooth);
    assert!(planned.model.graph.find("m_smoothed").is_some() && planned.model.graph.find("m").is_none());
    let (_, bytes) = bench.quantize("", Found::Samples).expect("a model");
    let lock = std::fs::read(bench.at("o.lock")).expect("a lock");
    std::fs::write(bench.at("kept.lock"), lock).expect("written");
    let (_, again) = bench.quantize("", Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(again == bytes, "other bytes");
}

#[test]
fn channels_of_any_convolution_behind_a_normalization_are_smoothed() {
    let width = CHANNELS / 2;
    for (normalization, layer, shape, group) in [
        ("InstanceNormalization", "Conv", [6, CHANNELS, 3, 3], 1),
        ("GroupNormalization", "Conv", [6, width, 3, 3], 2),
        ("InstanceNormalization", "Conv", [CHANNELS, 1, 3, 3], CHANNELS),
        ("InstanceNormalization", "ConvTranspose", [CHANNELS, 5, 3, 3], 1),
        ("GroupNormalization", "ConvTranspose", [CHANNELS, 5, 3, 3], 2),
    ] {
        let model = normalized(normalization, layer, &shape, group);
        assert_eq!(smoothed(&model, ""), ["r"], "{normalization} {layer} {group}");
        let gain = gained(&model);
        assert!(gain > 3.0, "{normalization} {layer} {group}: {gain}");
    }
}

#[test]
fn what_mixes_channels_or_is_read_or_named_by_others_is_left_alone() {
    let block = |moves: &[(&str, Vec<i64>)], more: fn(Builder) -> Builder| {
        let mut builder = weights(picture(), "w", &[6, CHANNELS, 1, 1], (1, false)).node(
            "InstanceNormalization",
            &["x", "gains", "zeros"],
            &["n"],
            vec![],
        );
        let mut last = "n".to_owned();
        for (at, (op, perm)) in moves.iter().enumerate() {
            let made = format!("m{at}");
            builder = match *op {
                "Reshape" => builder.ints("shape", perm).node(op, &[&last, "shape"], &[&made], vec![]),
                _ => builder.node(op, &[&last], &[&made], vec![ints("perm", perm)]),
            };
            last = made;
        }
        more(builder.node("Conv", &[&last, "w"], &["y"], vec![]).output("y", &[-1, 6, -1, -1])).build()
    };
    let turned = |builder: Builder| builder;
    let turn = |perm: &[i64]| ("Transpose", perm.to_vec());
    assert_eq!(smoothed(&block(&[turn(&[0, 1, 3, 2])], turned), ""), ["n"]);
    let there_and_back = [turn(&[0, 2, 3, 1]), turn(&[0, 3, 2, 1])];
    assert_eq!(smoothed(&block(&there_and_back, turned), ""), ["n"]);
    let cut = ("Reshape", vec![0, CHANNELS as i64, 4, 16]);
    assert_eq!(smoothed(&block(&[cut], turned), ""), ["n"]);
    let mixed = [turn(&[0, 2, 1, 3]), ("Reshape", vec![-1, CHANNELS as i64, 8, 8])];
    assert_eq!(smoothed(&block(&mixed, turned), ""), [""; 0], "channels and rows are one axis");
    let read = |builder: Builder| builder.node("Erf", &["m0"], &["z"], vec![]).output("z", &PICTURE);
    assert_eq!(smoothed(&block(&[turn(&[0, 1, 3, 2])], read), ""), [""; 0], "who reads the moved one, too");
    let ruled = "rules: [{ match: { value: m0 }, activations: { calibrator: minmax } }]";
    assert_eq!(smoothed(&block(&[turn(&[0, 1, 3, 2])], turned), ruled), [""; 0]);
    assert_eq!(smoothed(&block(&[turn(&[0, 1, 3, 2])], turned), "strict: true"), [""; 0]);
}

#[test]
fn between_convolutions_nothing_is_smoothed() {
    let model = weights(picture(), "w", &[6, CHANNELS, 1, 1], (1, false))
        .noise("v", &[CHANNELS, CHANNELS, 1, 1], 4)
        .node("Conv", &["x", "v"], &["n"], vec![])
        .node("Relu", &["n"], &["r"], vec![])
        .node("Conv", &["r", "w"], &["y"], vec![])
        .output("y", &[-1, 6, SIDE as i64, SIDE as i64])
        .build();
    assert_eq!(smoothed(&model, ""), [""; 0]);
}
