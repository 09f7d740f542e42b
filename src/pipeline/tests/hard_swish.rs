//! Channels equalized through HardSwish: the float model stays what it is on what was seen, and the quantized one comes nearer.

use super::bench::Bench;
use super::equalized::{SIDE, pictures, run};
use super::*;
use crate::ir::build::{int, ints, noise};

const WIDE: usize = 16;

/// A Conv whose channels are of unlike size, a HardSwish, perhaps a number that is added, and a depthwise Conv.
fn network(addend: bool, groups: usize) -> Model {
    let size = |at: usize| 2f32.powi(at as i32 % 6 - 2);
    let filters: Vec<f32> = noise(WIDE * 9, 1).iter().enumerate().map(|(i, w)| w * size(i / 9) * 0.4).collect();
    let side = SIDE as i64;
    let builder = Builder::new(17)
        .input("x", &[1, 1, side, side])
        .floats("w0", &[WIDE, 1, 3, 3], &filters)
        .noise("b0", &[WIDE], 2)
        .noise("w1", &[WIDE, WIDE / groups, 3, 3], 3)
        .noise("b1", &[WIDE], 4)
        .floats("number", &[], &[0.4])
        .node("Conv", &["x", "w0", "b0"], &["c"], vec![ints("pads", &[1, 1, 1, 1])])
        .node("HardSwish", &["c"], &["h"], vec![]);
    let read = if addend { "a" } else { "h" };
    let builder = if addend { builder.node("Add", &["h", "number"], &["a"], vec![]) } else { builder };
    builder
        .node("Conv", &[read, "w1", "b1"], &["y"], vec![int("group", groups as i64)])
        .output("y", &[1, WIDE as i64, side - 2, side - 2])
        .build()
}

#[test]
fn what_was_seen_stays_the_same_number_for_number() {
    for addend in [false, true] {
        let planned = Bench::of_pictures(&network(addend, WIDE)).equalized("");
        assert_eq!(planned.equalized.keys().collect::<Vec<_>>(), ["h_scaled"]);
        let shown = pictures(48, 2000);
        for (got, want) in run(&planned.model, &shown).iter().zip(run(&planned.original, &shown)) {
            let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 2e-6 * most), "{addend}");
        }
    }
}

#[test]
fn the_quantized_model_is_nearer_to_float() {
    let bench = Bench::of_pictures(&network(true, WIDE));
    let shown = pictures(40, 30_000);
    let float = run(&network(true, WIDE), &shown);
    // Of each channel as a share of its own power, so that no large one speaks for all.
    let error = |more: &str| {
        let text = format!("repairs: {{ refit: false{more} }}");
        let (report, _) = bench.quantize(&text, Found::Samples).expect("a model");
        let rounded = run(&file::load(&bench.at("o.onnx")).expect("a model"), &shown);
        let positions = float[0].len() / WIDE;
        let one = |channel: usize| {
            let own = |numbers: &[f32]| numbers[channel * positions..][..positions].to_vec();
            let pairs = float.iter().zip(&rounded).flat_map(|(f, r)| own(f).into_iter().zip(own(r)));
            let (noise, power) =
                pairs.fold((0.0, 0.0), |(n, p), (f, r)| (n + f64::from(f - r).powi(2), p + f64::from(f).powi(2)));
            (noise / power).log10() * 10.0
        };
        ((0..WIDE).map(one).sum::<f64>() / WIDE as f64, report.calibration.equalized)
    };
    let ((plain, none), (equalized, one)) = (error(", equalize: false"), error(""));
    assert_eq!((none, one), (0, 1));
    assert!(equalized < plain - 2.0, "{plain} dB, {equalized} dB equalized");
}

#[test]
fn only_depthwise_convolutions_take_factors_for_nothing() {
    assert!(Bench::of_pictures(&network(false, 1)).equalized("").equalized.is_empty());
    let stated = "rules: [{ match: { value: h }, range: [-1, 9] }]";
    assert!(Bench::of_pictures(&network(false, WIDE)).equalized(stated).equalized.is_empty());
    assert!(Bench::of_pictures(&network(false, WIDE)).equalized("repairs: { equalize: false }").equalized.is_empty());
}

#[test]
fn a_lock_gives_the_same_bytes() {
    let bench = Bench::of_pictures(&network(true, WIDE));
    let (_, first) = bench.quantize("", Found::Samples).expect("a model");
    std::fs::copy(bench.at("o.lock"), bench.at("kept.lock")).expect("copied");
    let (_, again) = bench.quantize("", Found::Locked(&bench.at("kept.lock"))).expect("a model");
    assert!(first == again);
}

#[test]
fn a_budget_leaves_out_what_equalizing_adds() {
    // No rule finds it by its name when the policy that is written is read.
    let bench = Bench::of_pictures(&network(false, WIDE));
    assert!(bench.equalized("").plan.nodes.iter().any(|node| node.name == "h_scaled_gate"));
    let (report, _) = bench.quantize("budget: { sqnr_db: 90, types: [float32] }", Found::Samples).expect("a model");
    let budget = report.budget.expect("a search");
    assert!(!budget.chosen.is_empty() && budget.chosen.iter().all(|one| ["Conv_c", "Conv_y"].contains(&&*one.node)));
}
