//! Weights whose products survive 16-bit sums.

use super::*;

/// Weights all alike, so that every pair of them is as large as can be; groups of channels of which only the first ones of
/// the input are ever large.
fn net(groups: usize) -> Builder {
    let each = 4 / groups;
    Builder::new(13)
        .input("x", &[1, 4, 8, 8])
        .floats("w", &[4, each, 1, 1], &vec![1.0; 4 * each])
        .node("Conv", &["x", "w"], &["y"], vec![int("group", groups as i64)])
        .output("y", &[1, 4, 8, 8])
}

/// Statistics of a run in which channel `i` reaches `tops[i]`.
fn reaching(tops: [f32; 4]) -> impl Fn(&Model, &Plan) -> Calibration {
    move |_, plan| {
        let statistics = |channels| {
            let mut statistics = Statistics::by_channel(channels);
            let values: Vec<f32> = tops.iter().flat_map(|&top| [0.0, top]).collect();
            assert!(statistics.add_shaped(&[1, 4, 2], &values));
            statistics
        };
        let values = plan.observed().map(|v| (v.name.clone(), statistics(v.channels))).collect();
        Calibration { values, ..Calibration::default() }
    }
}

/// The scales of the weight, as multiples of what the weights alone ask for.
fn widened(groups: usize, tops: [f32; 4], policy: &str) -> Vec<f32> {
    let activations = if policy.starts_with("activations") { "" } else { "activations: { calibrator: minmax }\n" };
    let weights = if policy.contains("weights") { "" } else { "weights: { range: minmax }\n" };
    let policy = format!("{activations}{weights}{policy}");
    let made = quantized_with(net(groups).build(), &policy, reaching(tops));
    let [_, scales, _] = made.constant(made.the("Conv"), 1);
    scales.to_f32().expect("scales").iter().map(|s| s * 127.0).collect()
}

#[test]
fn scales_grow_as_far_as_the_channels_that_were_seen_ask_for() {
    let loud = widened(1, [2.0, 2.0, 2.0, 2.0], "");
    assert!(loud.iter().all(|&s| s > 1.98 && s < 2.02), "{loud:?}");
    let quiet = widened(1, [2.0, 0.0, 0.4, 0.5], "");
    assert!(quiet.iter().all(|&s| s == 1.0), "{quiet:?}");
    // So few numbers count twice: two times 0.75 of 2 are one and a half full channels.
    let middle = widened(1, [2.0, 0.0, 0.75, 0.75], "");
    assert!(middle.iter().all(|&s| s > 1.45 && s < 1.55), "{middle:?}");
    let off = widened(1, [2.0; 4], "weights: { range: minmax, avoid_saturation: false }\n");
    assert!(off.iter().all(|&s| s == 1.0), "{off:?}");
}

#[test]
fn each_group_is_judged_by_its_own_channels() {
    let scales = widened(2, [0.1, 2.0, 2.0, 2.0], "");
    assert!(scales[..2].iter().all(|&s| s < 1.1) && scales[2..].iter().all(|&s| s > 1.98), "{scales:?}");
}

#[test]
fn int8_activations_count_from_the_lowest() {
    // Their zero is 128 for the kernels.
    let scales = widened(1, [2.0, 0.0, 0.0, 0.0], "activations: { type: int8, symmetric: true, calibrator: minmax }\n");
    assert!(scales.iter().all(|&s| s > 1.4 && s < 1.6), "{scales:?}");
}

#[test]
fn statistics_without_channels_mean_the_most() {
    let without = |_: &Model, plan: &Plan| pretended(plan);
    let made = quantized_with(net(1).build(), "", without);
    let [_, scales, _] = made.constant(made.the("Conv"), 1);
    assert!(scales.to_f32().expect("scales").iter().all(|s| s * 127.0 > 1.98));
}
