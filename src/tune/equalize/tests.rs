//! Pairs that are found, powers of two that are chosen, and graphs that compute the same.

use super::*;
use crate::exec::{Session, Tract};
use crate::ir::Model;
use crate::ir::build::{Builder, float, int, ints, noise};
use crate::quant::GridType;
use crate::tensor::Tensor;

const UINT8: Scheme = Scheme::new(GridType::Uint8, false);
const INT8: Scheme = Scheme::new(GridType::Int8, true);

#[test]
fn a_number_knows_its_output_and_input_in_every_form() {
    let filter = Form { outputs: 4, inputs: 6, groups: 2, taps: 2, inputs_first: false };
    let places: Vec<_> = (0..filter.count()).step_by(2).map(|index| filter.place(index)).collect();
    let second = |output: usize| (3..6).map(move |input| (output, input));
    let first = |output: usize| (0..3).map(move |input| (output, input));
    let wanted: Vec<_> = first(0).chain(first(1)).chain(second(2)).chain(second(3)).collect();
    assert_eq!(places, wanted);
    let transposed = Form { inputs_first: true, ..filter };
    let places: Vec<_> = (0..transposed.count()).step_by(2).map(|index| transposed.place(index)).collect();
    let of = |input: usize| (0..2).map(move |output| (output + if input < 3 { 0 } else { 2 }, input));
    assert_eq!(places, (0..6).flat_map(of).collect::<Vec<_>>());
}

/// Two layers of `made` and `read`, one number for each output and input, and what lies between them by the largest of each channel.
fn link(
    (made, read): (&[f32], &[f32]),
    most: &[f64],
    bound: Option<f64>,
    by_channel: bool,
) -> (Vec<Vec<i32>>, Vec<Channels>) {
    let count = made.len();
    let first = Form { outputs: count, inputs: 1, groups: 1, taps: 1, inputs_first: false };
    let second = Form { outputs: 1, inputs: count, ..first };
    let layer =
        |form, numbers| Layer { weights: Weights::new(form, numbers).expect("as many"), by_channel, scheme: INT8 };
    let mut layers = [layer(first, made), layer(second, read)];
    let seen = |most: &[f64]| Channels {
        ends: most.iter().map(|&most| (0.0, most)).collect(),
        power: most.iter().map(|&most| most * most / 4.0).collect(),
    };
    let mut values = [seen(&[1.0]), seen(most)];
    let link = Link { first: 0, second: 1, input: 0, grid: 1, read: 1, bound, scheme: UINT8 };
    let found = balance(&mut layers, &mut values, &[link]);
    (found, values.to_vec())
}

#[test]
fn channels_that_are_unlike_become_alike() {
    let made = [0.01, 1.0, 0.02, 0.5];
    let read = [1.0, 0.01, 0.5, 0.02];
    let (found, values) = link((&made, &read), &[0.01, 1.0, 0.02, 0.5], None, false);
    let after: Vec<f64> = made.iter().zip(&found[0]).map(|(made, e)| f64::from(*made) / 2f64.powi(*e)).collect();
    assert!(after.iter().all(|a| (0.05..=0.2).contains(a)), "{after:?}");
    assert!(values[1].ends.iter().zip(&after).all(|(ends, after)| (ends.1 - after).abs() < 1e-6));
    let (alike, _) = link((&[1.0, 0.9, 1.1, 1.0], &[0.5; 4]), &[1.0; 4], None, false);
    assert_eq!(alike, [vec![0; 4]]);
}

#[test]
fn a_channel_that_reaches_a_bound_stays_and_no_other_comes_near_it() {
    let made = [0.001, 1.0, 0.02, 0.5, 0.001];
    let read = [1.0, 0.01, 0.5, 0.02, 1.0];
    let most = [0.01, 6.0, 5.9, 2.0, 0.0];
    let (found, values) = link((&made, &read), &most, Some(6.0), false);
    assert_eq!((found[0][1], found[0][4]), (0, 0), "{found:?}");
    assert!(found[0][0] < 0 && found[0][2] >= 0, "{found:?}");
    for ((before, (_, after)), exponent) in most.iter().zip(&values[1].ends).zip(&found[0]) {
        assert!(*exponent >= 0 || *after <= 1.5, "{before} became {after}");
    }
}

#[test]
fn dead_channels_and_nothing_at_all_have_bounds() {
    let (found, _) = link((&[0.0, 1.0, 1.0, 1e-30], &[1.0, 1e-30, 1.0, 0.0]), &[0.0, 1.0, 1.0, 0.0], None, false);
    assert!(found[0].iter().all(|exponent| exponent.abs() <= LARGEST), "{found:?}");
    let (found, _) = link((&[0.0; 3], &[0.0; 3]), &[0.0; 3], None, false);
    assert_eq!(found, [vec![0; 3]]);
}

/// Two layers, what stands between them, and how many pairs that makes.
fn found(between: impl FnOnce(Builder) -> Builder) -> usize {
    let model = between(net()).node("Conv", &["c", "v"], &["y"], vec![]).output("y", &[1, 3, -1, -1]);
    pairs(&model.build().graph).len()
}

/// One layer that makes `a` of four channels, and the weights of another.
fn net() -> Builder {
    let builder = Builder::new(17).input("x", &[1, 2, 8, 8]).noise("w", &[4, 2, 3, 3], 1).noise("b", &[4], 2);
    builder.noise("v", &[3, 4, 1, 1], 3).node("Conv", &["x", "w", "b"], &["a"], vec![])
}

#[test]
fn pairs_are_those_with_nothing_between_that_factors_would_not_pass() {
    let one = |op: &'static str| found(|net| net.node(op, &["a"], &["c"], vec![]));
    for op in ["Relu", "LeakyRelu", "Identity", "GlobalAveragePool"] {
        assert_eq!(one(op), 1, "{op}");
    }
    for op in ["Sigmoid", "Tanh", "HardSwish", "Exp", "Softmax", "Elu"] {
        assert_eq!(one(op), 0, "{op}");
    }
    let kernel = || vec![ints("kernel_shape", &[2, 2])];
    assert_eq!(found(|net| net.node("MaxPool", &["a"], &["c"], kernel())), 1);
    assert_eq!(found(|net| net.node("AveragePool", &["a"], &["c"], kernel())), 1);
    let slope = |net: Builder| net.floats("s", &[4, 1, 1], &[0.1, 0.2, -0.3, 0.0]);
    assert_eq!(found(|net| slope(net).node("PRelu", &["a", "s"], &["c"], vec![])), 1);
    let clip = |low: f32| {
        found(|net| {
            net.floats("l", &[], &[low]).floats("h", &[], &[6.0]).node("Clip", &["a", "l", "h"], &["c"], vec![])
        })
    };
    assert_eq!([clip(0.0), clip(-1.0), clip(0.5)], [1, 0, 0]);
    let pad = |pads: &'static [i64], with: f32| {
        let pad = |net: Builder| net.ints("p", pads).floats("z", &[], &[with]);
        found(|net| pad(net).node("Pad", &["a", "p", "z"], &["c"], vec![]))
    };
    assert_eq!([pad(&[0, 0, 1, 1, 0, 0, 1, 1], 0.0), pad(&[0, 0, 1, 1, 0, 0, 1, 1], 1.0)], [1, 0]);
    assert_eq!(pad(&[0, 1, 0, 0, 0, -1, 0, 0], 0.0), 0, "the channels move");
    let twice = |net: Builder| net.node("Relu", &["a"], &["c"], vec![]).node("Neg", &["c"], &["n"], vec![]);
    assert_eq!(found(|net| twice(net).output("n", &[])), 0, "another reads it");
    assert_eq!(found(|net| net.node("Relu", &["a"], &["c"], vec![]).output("c", &[])), 0, "it is an output");
    let shared = |net: Builder| net.node("Relu", &["a"], &["c"], vec![]).node("Conv", &["x", "w"], &["o"], vec![]);
    assert_eq!(found(|net| shared(net).output("o", &[])), 0, "two layers have one weight");
    assert_eq!(found(|net| net.node("Concat", &["a", "a"], &["c"], vec![int("axis", 2)])), 0);
}

/// Layers of every kind, one behind the other.
fn chain() -> Model {
    Builder::new(17)
        .input("x", &[1, 2, 9, 9])
        .noise("w0", &[8, 2, 3, 3], 1)
        .noise("b0", &[8], 2)
        .noise("w1", &[8, 1, 3, 3], 3)
        .noise("b1", &[8], 4)
        .noise("w2", &[6, 4, 1, 1], 5)
        .noise("w3", &[6, 2, 2, 2], 6)
        .noise("w4", &[5, 4], 7)
        .noise("b4", &[5], 8)
        .noise("w5", &[5, 7], 9)
        .noise("b5", &[7], 10)
        .noise("w6", &[3, 7], 11)
        .noise("slopes", &[8, 1, 1], 12)
        .node("Conv", &["x", "w0", "b0"], &["a0"], vec![ints("pads", &[1, 1, 1, 1])])
        .node("PRelu", &["a0", "slopes"], &["r0"], vec![])
        .node("Conv", &["r0", "w1", "b1"], &["a1"], vec![int("group", 8), ints("pads", &[1, 1, 1, 1])])
        .node("Relu", &["a1"], &["r1"], vec![])
        .node("MaxPool", &["r1"], &["m1"], vec![ints("kernel_shape", &[2, 2])])
        .node("Conv", &["m1", "w2"], &["a2"], vec![int("group", 2)])
        .node("LeakyRelu", &["a2"], &["r2"], vec![float("alpha", 0.25)])
        .node("ConvTranspose", &["r2", "w3"], &["a3"], vec![int("group", 2), ints("strides", &[2, 2])])
        .node("GlobalAveragePool", &["a3"], &["g3"], vec![])
        .node("Flatten", &["g3"], &["f3"], vec![])
        .node("Gemm", &["f3", "w4", "b4"], &["a4"], vec![int("transB", 1)])
        .node("Relu", &["a4"], &["r4"], vec![])
        .node("MatMul", &["r4", "w5"], &["p5"], vec![])
        .node("Add", &["p5", "b5"], &["a5"], vec![])
        .node("Relu", &["a5"], &["r5"], vec![])
        .node("Gemm", &["r5", "w6"], &["y"], vec![int("transB", 1)])
        .output("y", &[1, 3])
        .build()
}

#[test]
fn every_kind_of_layer_computes_the_same_bit_for_bit() {
    let (model, mut equalized) = (chain(), chain());
    let found = pairs(&equalized.graph);
    let names: Vec<_> = found.iter().map(|pair| model.graph.value(pair.value()).name().to_owned()).collect();
    assert_eq!(names, ["r0", "m1", "r2", "f3", "r4", "r5"]);
    for (k, pair) in found.iter().enumerate() {
        let exponents: Vec<i32> = (0..pair.made.outputs).map(|channel| (channel * 7 + k) as i32 % 9 - 4).collect();
        equalize(&mut equalized.graph, pair, &exponents).expect("numbers that float32 holds");
    }
    assert!(equalized.graph.find("r0").is_none() && equalized.graph.find("r0_equalized").is_some());
    let tract = Tract::default();
    let run = |model: &Model, seed| {
        let session = Session::new(&tract, model, vec![]).expect("a session");
        let sample = Tensor::from_f32(vec![1, 2, 9, 9], &noise(2 * 81, seed));
        session.run(&[sample], &mut |_, _, _| {}).expect("runs")
    };
    for seed in 20..24 {
        assert_eq!(run(&equalized, seed), run(&model, seed));
    }
}

#[test]
fn a_bias_that_others_read_stays_theirs() {
    let shared = net().node("Relu", &["a"], &["c"], vec![]).node("Conv", &["c", "v"], &["y"], vec![]);
    let other = shared.noise("u", &[4, 2, 1, 1], 9).node("Conv", &["x", "u", "b"], &["o"], vec![]);
    let mut model = other.output("y", &[]).output("o", &[]).build();
    let bias = model.graph.find("b").expect("a bias");
    let before = model.graph.constant(bias).expect("well-formed");
    let pair = pairs(&model.graph).remove(0);
    equalize(&mut model.graph, &pair, &[1, 2, 3, 4]).expect("numbers that float32 holds");
    assert_eq!(model.graph.constant(bias).expect("well-formed"), before);
    let (node, slot) = pair.bias.expect("a bias");
    let own = model.graph.node(node).input(slot).expect("a bias");
    let (own, before) = (model.graph.constant(own).expect("well-formed"), before.expect("a constant"));
    let numbers = |tensor: &Tensor| tensor.to_f32().expect("floats").to_vec();
    let wanted = numbers(&before).into_iter().enumerate().map(|(channel, b)| b / 2f32.powi(channel as i32 + 1));
    assert_eq!(numbers(&own.expect("a constant")), wanted.collect::<Vec<_>>());
    assert!(equalize(&mut model.graph, &pair, &[-128; 4]).is_err(), "beyond float32");
}
