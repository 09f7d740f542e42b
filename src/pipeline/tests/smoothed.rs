//! Values that products read, smoothed: the float model stays the same, the quantized one comes nearer, and statistics and locks
//! remember.

use super::bench::Bench;
use super::*;
use crate::exec::{Session, Tract};
use crate::ir::build::noise;
use crate::progress::Silent;
use crate::quant::KnownGrids;

const CHANNELS: usize = 16;

/// A normalized value, one channel of which is large, which two products and a residual read.
fn block() -> Builder {
    let gains: Vec<f32> = (0..CHANNELS).map(|c| if c == 5 { 60.0 } else { 1.0 }).collect();
    let small: Vec<f32> =
        noise(CHANNELS * 8, 4).iter().enumerate().map(|(i, w)| if i / 8 == 5 { w * 0.02 } else { *w }).collect();
    Builder::new(17)
        .input("x", &[-1, 4, 16])
        .floats("gains", &[CHANNELS], &gains)
        .floats("w", &[CHANNELS, 8], &small)
        .noise("v", &[CHANNELS, CHANNELS], 5)
        .node("LayerNormalization", &["x", "gains"], &["n"], vec![])
        .node("MatMul", &["n", "w"], &["y"], vec![])
        .node("MatMul", &["n", "v"], &["p"], vec![])
        .node("Add", &["p", "n"], &["z"], vec![])
        .output("y", &[-1, 4, 8])
        .output("z", &[-1, 4, 16])
}

fn sample(seed: u32) -> Tensor {
    Tensor::from_f32(vec![1, 4, CHANNELS], &noise(4 * CHANNELS, seed))
}

impl Bench {
    fn of_words(model: &Model) -> Self {
        Self::new(model, "", (0..40).map(sample))
    }

    /// The model with what a conversion smooths, before it is quantized.
    fn smoothed(&self, more: &str) -> Planned {
        self.after(more, Planned::smooth)
    }
}

#[test]
fn the_float_model_computes_the_same_bit_for_bit() {
    let planned = Bench::of_words(&block().build()).smoothed("");
    assert_eq!(planned.smoothed.keys().collect::<Vec<_>>(), ["n"]);
    let tract = Tract::default();
    let run = |model: &Model, seed| {
        let session = Session::new(&tract, model, vec![]).expect("a session");
        session.run(&[sample(seed)], &mut |_, _, _| {}).expect("runs")
    };
    for seed in 50..54 {
        assert_eq!(run(&planned.model, seed), run(&planned.original, seed));
    }
    let (plan, graph) = (&planned.plan, &planned.model.graph);
    let scaled = graph.find("n_smoothed").expect("a smoothed value");
    assert!(plan.value(scaled).is_some() && graph.find("n").is_some_and(|n| plan.value(n).is_none()));
}

#[test]
fn the_quantized_model_comes_nearer_and_saved_statistics_and_locks_give_the_same_bytes() {
    let bench = Bench::of_words(&block().build());
    let nearness = |report: &Report| {
        report
            .validation
            .as_ref()
            .expect("validated")
            .outputs
            .iter()
            .map(|o| o.sqnr_db.expect("a ratio"))
            .collect::<Vec<_>>()
    };
    let (plain, _) = bench.quantize("repairs: { smooth: false }", Found::Samples).expect("a model");
    let (report, bytes) = bench.quantize("", Found::Samples).expect("a model");
    let (before, after) = (nearness(&plain), nearness(&report));
    assert!(before.iter().zip(&after).all(|(before, after)| after > &(before + 6.0)), "{before:?} {after:?}");
    assert!(report.to_string().contains("smoothing    1 value that layers read is scaled"), "{report}");
    let lock = std::fs::read_to_string(bench.at("o.lock")).expect("a lock");
    std::fs::write(bench.at("kept.lock"), &lock).expect("written");
    let (_, again) = bench.quantize("", Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(again == bytes, "other bytes");
    let known = KnownGrids::default();
    let context = Context { threads: 1, progress: &Silent, known: &known, onnxruntime: None };
    let settings = bench.settings("");
    let (statistics, _) =
        Planned::new(&settings).and_then(|mut p| p.calibrate(&settings, &context)).expect("statistics");
    let saved = bench.at("s.json");
    std::fs::write(&saved, statistics.to_json().expect("text")).expect("written");
    let (_, again) = bench.quantize("", Found::Saved(&saved)).expect("a model");
    assert!(again == bytes, "other bytes");
    let why = bench.quantize("repairs: { smooth: false }", Found::Saved(&saved)).expect_err("other values").to_string();
    assert!(why.contains("of a model with smoothed values"), "{why}");
    let line = lock.lines().find(|line| line.contains("\"n\": [")).expect("what it is smoothed by");
    for (wrong, why) in [
        ("    \"n\": [0, 1]", "not by the 2 channels"),
        ("    \"n\": [99,99,99,99,99,99,99,99,99,99,99,99,99,99,99,99]", "not by powers of two beyond 30"),
        ("    \"n\": [-2147483648,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]", "not by powers of two beyond 30"),
        ("    \"nobody\": [0]", "is nothing that layers alone read"),
    ] {
        std::fs::write(bench.at("wrong.lock"), lock.replace(line.trim_end_matches(','), wrong)).expect("written");
        let said = bench.quantize("", Found::Locked(&bench.at("wrong.lock"))).expect_err("refused").to_string();
        assert!(said.contains(why) && said.contains("wrong.lock"), "{said}");
    }
}

#[test]
fn a_lock_that_refits_what_is_no_layer_is_refused() {
    let bench = Bench::of_words(&block().build());
    bench.quantize("", Found::Samples).expect("a model");
    let lock = std::fs::read_to_string(bench.at("o.lock")).expect("a lock");
    // A LayerNormalization.
    let refits = "  \"refits\": { \"n\": {\"gains\":[1.0],\"shifts\":[0.0]} },\n  \"constants\": ";
    std::fs::write(bench.at("wrong.lock"), lock.replace("  \"constants\": ", refits)).expect("written");
    let said = bench.quantize("", Found::Locked(&bench.at("wrong.lock"))).map(drop).expect_err("refused").to_string();
    assert!(said.contains("wrong.lock") && said.contains("but is no layer on integers"), "{said}");
}

#[test]
fn what_others_read_as_integers_is_ruled_or_shares_its_weight_is_left_alone() {
    let smoothed = |model: Builder, more: &str| !Bench::of_words(&model.build()).smoothed(more).smoothed.is_empty();
    assert!(smoothed(block(), ""));
    assert!(!smoothed(block(), "repairs: { smooth: false }"));
    assert!(!smoothed(block(), "strict: true"));
    assert!(!smoothed(block(), "rules: [{ match: { value: n }, activations: { calibrator: minmax } }]"));
    assert!(smoothed(block(), "rules: [{ match: { value: \"*\" }, activations: { calibrator: minmax } }]"));
    assert!(!smoothed(block(), "mode: dynamic"));
    let again = block().node("MatMul", &["z", "v"], &["q"], vec![]).output("q", &[-1, 4, 16]);
    assert!(!smoothed(again, ""), "a weight that another layer reads, too");
    let other = block().noise("c", &[1], 8).node("Conv", &["n", "u"], &["q"], vec![]);
    let other = other.noise("u", &[4, 4, 1], 9).output("q", &[-1, 4, 16]);
    assert!(!smoothed(other, ""), "a value that a Conv reads, too");
}
