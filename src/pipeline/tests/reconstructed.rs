//! Ranges chosen block by block: what is gained, what stays as it is, and what is told of them.

use super::bench::Bench;
use super::*;
use crate::ir::build::noise;
use crate::quant::Params;
use crate::report::RangesSummary;
use crate::resolve::Resolved;
use std::cell::RefCell;

const SIDE: usize = 8;
const OFF: &str = "activations: { calibrator: minmax }\nrepairs: { refit: false, equalize: false, smooth: false, reconstruct: false }\n";
const ON: &str = "activations: { calibrator: minmax }\nrepairs: { refit: false, equalize: false, smooth: false, reconstruct: true }\n";

/// A layer one of whose channels reaches far beyond the others, and which hardly counts for the layers behind.
fn network() -> Model {
    let of_channel = |count: usize, inner: usize, seed: u32, factor: f32| -> Vec<f32> {
        let all = noise(count, seed);
        all.iter().enumerate().map(|(i, w)| if i / inner % 6 == 3 { w * factor } else { *w }).collect()
    };
    let side = SIDE as i64;
    Builder::new(17)
        .input("x", &[1, 4, side, side])
        .floats("w0", &[6, 4, 3, 3], &of_channel(6 * 36, 36, 1, 30.0))
        .floats("w1", &[5, 6, 1, 1], &of_channel(30, 1, 2, 0.0))
        .noise("w2", &[3, 5, 1, 1], 3)
        .node("Conv", &["x", "w0"], &["c"], vec![ints("pads", &[1; 4])])
        .node("Relu", &["c"], &["r"], vec![])
        .node("MaxPool", &["r"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])])
        .node("Conv", &["p", "w1"], &["q"], vec![])
        .node("Relu", &["q"], &["s"], vec![])
        .node("Conv", &["s", "w2"], &["y"], vec![])
        .output("y", &[1, 3, side / 2, side / 2])
        .build()
}

fn bench() -> Bench {
    let sample = |seed| Tensor::from_f32(vec![1, 4, SIDE, SIDE], &noise(4 * SIDE * SIDE, seed));
    Bench::new(&network(), "", (0..60).map(sample))
}

/// The plan, the grids, and what is said of the search.
fn found(policy: &str) -> (Planned, Resolved, Option<RangesSummary>) {
    let found = RefCell::new(None);
    let planned = bench().after(policy, |planned, settings, context| {
        *found.borrow_mut() = Some(planned.find(settings, Found::Samples, context)?);
        Ok(())
    });
    let (resolved, _, summary) = found.into_inner().expect("grids");
    (planned, resolved, summary.reconstruction)
}

/// The grid of a value.
fn grid(planned: &Planned, resolved: &Resolved, name: &str) -> Params {
    planned.model.graph.find(name).and_then(|value| resolved.params(value)).expect(name)
}

#[test]
fn a_range_that_nothing_needs_is_drawn_in_for_all_that_share_its_grid() {
    let (planned, plain, none) = found(OFF);
    assert!(none.is_none());
    let (_, drawn, summary) = found(ON);
    let summary = summary.expect("a summary");
    let (before, after) = summary.trial.sqnr_db.expect("samples decide");
    assert!(summary.values > 0 && summary.trial.why.is_none() && after > before + 2.0, "{summary:?}");
    assert!(drawn.ranges["r"].1 < plain.ranges["r"].1 * 0.6 && drawn.ranges["r"].0 == 0.0, "{:?}", drawn.ranges);
    assert!(grid(&planned, &drawn, "r").scale < grid(&planned, &plain, "r").scale * 0.6);
    assert_eq!(grid(&planned, &drawn, "p"), grid(&planned, &drawn, "r"));
    assert_eq!(grid(&planned, &drawn, "x"), grid(&planned, &plain, "x"), "an input of the model");
    assert_eq!(drawn.absorbed, plain.absorbed);
    assert!(summary.to_string().contains("chosen block by block on"), "{summary}");
}

#[test]
fn what_a_rule_states_stays_and_without_time_all_does() {
    let stated = format!("{ON}rules: [{{ match: {{ value: r }}, range: [0, 90] }}]\n");
    let (_, resolved, summary) = found(&stated);
    assert_eq!(resolved.ranges["r"], (0.0, 90.0));
    assert!(summary.is_some());
    let (planned, strange, summary) = found(&ON.replace("refit: false", "refit: false, rounding_seconds: 1"));
    assert!(summary.is_some() && planned.plan.values.iter().all(|value| strange.params(value.id).is_some()));
}

#[test]
fn the_model_comes_nearer_and_a_lock_gives_the_same_bytes() {
    let bench = bench();
    let sqnr = |report: &Report| report.validation.as_ref().expect("validated").outputs[0].sqnr_db.expect("a ratio");
    let (plain, _) = bench.quantize(OFF, Found::Samples).expect("a model");
    let (report, bytes) = bench.quantize(ON, Found::Samples).expect("a model");
    assert!(sqnr(&report) > sqnr(&plain) + 2.0, "{} {}", sqnr(&plain), sqnr(&report));
    assert!(report.to_string().contains("ranges chosen block by block"), "{report}");
    let lock = std::fs::read(bench.at("o.lock")).expect("a lock");
    std::fs::write(bench.at("kept.lock"), lock).expect("written");
    let (_, again) = bench.quantize(ON, Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(again == bytes, "other bytes");
}
