//! High biases that went into the layers behind: the float model stays the same on what was seen, and statistics and locks remember.

use super::bench::Bench;
use super::equalized::{SIDE, pictures, run};
use super::*;
use crate::ir::build::float;
use crate::progress::Silent;
use crate::quant::KnownGrids;

const WIDE: usize = 8;
const ABSORB: &str = "weights: { granularity: per_tensor }\nrepairs: { absorb: true, refit: false }\n";

/// A Conv without a border whose `high` channels never come near zero, a Relu, and two layers behind.
fn network(high: bool) -> Model {
    let side = SIDE as i64 - 2;
    let biases: Vec<f32> = (0..WIDE).map(|channel| if high && channel % 2 == 0 { 30.0 } else { 0.2 }).collect();
    Builder::new(17)
        .input("x", &[1, 1, SIDE as i64, SIDE as i64])
        .noise("w0", &[WIDE, 1, 3, 3], 1)
        .floats("b0", &[WIDE], &biases)
        .noise("w1", &[WIDE, WIDE, 1, 1], 3)
        .noise("b1", &[WIDE], 4)
        .noise("w2", &[WIDE, WIDE, 1, 1], 5)
        .node("Conv", &["x", "w0", "b0"], &["c"], vec![])
        .node("Relu", &["c"], &["r"], vec![])
        .node("Conv", &["r", "w1", "b1"], &["y"], vec![])
        .node("Conv", &["r", "w2"], &["z"], vec![])
        .output("y", &[1, WIDE as i64, side, side])
        .output("z", &[1, WIDE as i64, side, side])
        .build()
}

#[test]
fn the_float_model_stays_the_same_and_grids_are_finer() {
    let model = network(true);
    let bench = Bench::of_pictures(&model);
    let planned = bench.after(ABSORB, Planned::absorb);
    assert_eq!(planned.absorbed.keys().collect::<Vec<_>>(), ["c"]);
    let shown = pictures(48, 2000);
    let (before, after) = (run(&model, &shown), run(&planned.model, &shown));
    let near = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
    assert!(before.iter().zip(&after).all(near), "other numbers");
    let noise = |more: &str| {
        bench.quantize(more, Found::Samples).expect("a model");
        let written = file::load(&bench.at("o.onnx")).expect("a model");
        let shown = pictures(100, 9000);
        let both = run(&model, &shown).into_iter().flatten().zip(run(&written, &shown).into_iter().flatten());
        both.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
    };
    let (plain, absorbed) = (noise(&ABSORB.replace("absorb: true", "absorb: false")), noise(ABSORB));
    println!("{plain} became {absorbed}");
    assert!(absorbed < plain / 3.0, "{plain} became {absorbed}");
}

#[test]
fn saved_statistics_and_locks_give_the_same_bytes() {
    let bench = Bench::of_pictures(&network(true));
    let (report, bytes) = bench.quantize(ABSORB, Found::Samples).expect("a model");
    assert!(
        report.to_string().contains("absorbing    of 4 channels of 1 layer, what they never fall below"),
        "{report}"
    );
    let lock = std::fs::read_to_string(bench.at("o.lock")).expect("a lock");
    std::fs::write(bench.at("kept.lock"), &lock).expect("written");
    let (_, again) = bench.quantize(ABSORB, Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(again == bytes, "other bytes");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let settings = bench.settings(ABSORB);
    let (statistics, _) =
        Planned::new(&settings).and_then(|mut p| p.calibrate(&settings, &context)).expect("statistics");
    let saved = bench.at("s.json");
    std::fs::write(&saved, statistics.to_json().expect("text")).expect("written");
    let (_, again) = bench.quantize(ABSORB, Found::Saved(&saved)).expect("a model");
    assert!(again == bytes, "other bytes");
    let why = bench.quantize("", Found::Saved(&saved)).expect_err("other values").to_string();
    assert!(why.contains("of a model with absorbed biases"), "{why}");
    let line = lock.lines().find(|line| line.contains("\"c\": [")).expect("how much is absorbed");
    for (wrong, why) in [
        ("    \"c\": [0.0, 1.0]", "has 8 channels, not 2"),
        ("    \"c\": [-1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0]", "not by numbers that are not negative"),
        ("    \"y\": [0.0]", "is nothing that biases behind a Relu can take"),
    ] {
        std::fs::write(bench.at("wrong.lock"), lock.replace(line.trim_end_matches(','), wrong)).expect("written");
        let said = bench.quantize(ABSORB, Found::Locked(&bench.at("wrong.lock"))).expect_err("refused").to_string();
        assert!(said.contains(why) && said.contains("wrong.lock"), "{said}");
    }
}

#[test]
fn what_is_low_ruled_or_not_asked_for_stays() {
    let absorbed = |model: &Model, more: &str| Bench::of_pictures(model).after(more, Planned::absorb).absorbed.len();
    assert_eq!(absorbed(&network(true), ABSORB), 1);
    assert_eq!(absorbed(&network(false), ABSORB), 0);
    assert_eq!(absorbed(&network(true), ""), 0);
    assert_eq!(absorbed(&network(true), &format!("{ABSORB}rules: [{{ match: {{ value: r }}, range: [0, 9] }}]")), 0);
    let float = format!("{ABSORB}rules: [{{ match: {{ node: Conv_z }}, quantize: false }}]");
    assert_eq!(absorbed(&network(true), &float), 0);
}

#[test]
fn without_samples_batch_normalization_tells() {
    let side = SIDE as i64 - 2;
    let model = Builder::new(17)
        .input("x", &[1, 1, SIDE as i64, SIDE as i64])
        .noise("w0", &[2, 1, 3, 3], 1)
        .floats("gamma", &[2], &[1.0, 2.0])
        .floats("beta", &[2], &[9.0, 1.0])
        .floats("mean", &[2], &[0.0, 0.0])
        .floats("variance", &[2], &[1.0, 1.0])
        .noise("w1", &[2, 2, 1, 1], 3)
        .node("Conv", &["x", "w0"], &["c"], vec![])
        .node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], &["b"], vec![float("epsilon", 0.0)])
        .node("Relu", &["b"], &["r"], vec![])
        .node("Conv", &["r", "w1"], &["y"], vec![])
        .output("y", &[1, 2, side, side])
        .build();
    let bench = Bench::of_pictures(&model);
    let planned = bench.after(ABSORB, |planned, settings, context| {
        let settings = Settings { calibration: None, ..settings.clone() };
        planned.absorb(&settings, context)
    });
    assert_eq!(planned.absorbed["b"], [6.0, 0.0]);
    assert_eq!(planned.normals["b_absorbed"].means, [3.0, 1.0]);
}
