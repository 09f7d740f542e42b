//! What repairs must leave alone.

use super::bench::Bench;
use super::equalized::SIDE;
use super::*;
use crate::ir::build::noise;
use crate::validate::Restored;
use std::collections::HashSet;

const WIDE: usize = 16;

/// A Conv whose channels are of unlike size, a depthwise Conv that reads it, and one behind a Relu. Those of `clustered` have few
/// numbers, each many times.
fn network(clustered: &[&str]) -> Model {
    let few = [-0.71f32, -0.2, 0.0, 0.05, 0.33, 0.9, 1.4];
    let weight = |name: &str, count: usize, seed: u32| -> Vec<f32> {
        let all = noise(count, seed);
        match clustered.contains(&name) {
            true => all.iter().map(|x| few[(x.abs() * 997.0) as usize % few.len()]).collect(),
            false => all.iter().enumerate().map(|(i, x)| x * 2f32.powi((i * WIDE / count) as i32 % 6 - 3)).collect(),
        }
    };
    let side = SIDE as i64;
    Builder::new(17)
        .input("x", &[1, 1, side, side])
        .floats("w0", &[WIDE, 1, 3, 3], &weight("w0", WIDE * 9, 1))
        .noise("b0", &[WIDE], 2)
        .floats("w1", &[WIDE, 1, 3, 3], &weight("w1", WIDE * 9, 3))
        .noise("b1", &[WIDE], 4)
        .floats("w2", &[WIDE, WIDE, 1, 1], &weight("w2", WIDE * WIDE, 5))
        .noise("b2", &[WIDE], 6)
        .node("Conv", &["x", "w0", "b0"], &["c0"], vec![ints("pads", &[1, 1, 1, 1])])
        .node("Conv", &["c0", "w1", "b1"], &["c1"], vec![int("group", WIDE as i64)])
        .node("Relu", &["c1"], &["r"], vec![])
        .node("Conv", &["r", "w2", "b2"], &["y"], vec![])
        .output("y", &[1, WIDE as i64, side - 2, side - 2])
        .build()
}

#[test]
fn a_clustered_weight_gets_no_more_values() {
    let text =
        "weights: { range: minmax, reduce_range: true }\nrepairs: { refit: true, rounding: learned, equalize: true }";
    let weights = ["w0", "w1", "w2"];
    let values = |model: &Model, name: &str| {
        let found = model.graph.find(name).or_else(|| model.graph.find(&format!("{name}_equalized"))).expect(name);
        let numbers = model.graph.constant(found).expect("a tensor").expect("a constant");
        let bits = numbers.to_f32().expect("numbers").iter().map(|x| (x + 0.0).to_bits()).collect::<HashSet<u32>>();
        bits.len()
    };
    let converted = |model: &Model, text: &str| {
        let bench = Bench::of_pictures(model);
        let (report, _) = bench.quantize(text, Found::Samples).expect("a model");
        let written = file::load(&bench.at("o.onnx")).expect("a model");
        (report, Restored::of(&written).expect("a float model").model)
    };
    for alone in weights {
        let model = network(&[alone]);
        let (report, restored) = converted(&model, text);
        let repairs = report.calibration.repairs.expect("repairs");
        assert!(repairs.rounded > 0 && repairs.layers > 0, "{repairs:?}");
        assert!(values(&restored, alone) <= values(&model, alone), "{alone}");
        let (_, stored) =
            converted(&model, "mode: weight-only\nweights: { type: int4 }\nrepairs: { awq: true, rounding: gptq }");
        assert!(values(&stored, alone) <= values(&model, alone), "{alone} stored");
    }
    let (report, _) = converted(&network(&weights), text);
    assert_eq!((report.calibration.equalized, report.calibration.repairs.map_or(0, |repairs| repairs.rounded)), (0, 0));
    assert!(converted(&network(&[]), text).0.calibration.equalized > 0);
}
