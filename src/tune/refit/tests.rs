use super::*;
use crate::ir::build::{Builder, noise};

const SHAPE: [usize; 3] = [1, 2, 200];

fn node() -> NodeId {
    let model = Builder::new(13).input("x", &[1]).node("Relu", &["x"], &["y"], vec![]).output("y", &[1]).build();
    model.graph.node_ids().next().expect("a node")
}

fn layer(gain: bool, shift: bool) -> Layer {
    Layer { node: node(), axis: 1, gain, shift, steps: vec![] }
}

/// Refits `layer` on samples of which `rounded` tells the rounded number by sample, channel and the number in float. What comes out,
/// and what is left of the error.
fn refitted(layer: Layer, count: usize, rounded: impl Fn(usize, usize, f32) -> f32) -> (Option<Refit>, f64) {
    let float: Vec<Vec<f32>> = (0..count).map(|sample| noise(400, sample as u32 + 1)).collect();
    let one = |(sample, numbers): (usize, &Vec<f32>)| {
        numbers.iter().enumerate().map(|(at, &x)| rounded(sample, at / 200, x)).collect::<Vec<f32>>()
    };
    let mut others: Vec<Vec<f32>> = float.iter().enumerate().map(one).collect();
    let mut refitting = Refitting::new([(3, layer)].into());
    // In whatever order threads come.
    for (sample, (float, rounded)) in float.iter().zip(&others).enumerate().rev() {
        refitting.see(3, &SHAPE, sample, float, rounded);
    }
    if let Some(correction) = refitting.settle(3) {
        others.iter_mut().for_each(|rounded| correction.apply(rounded));
    }
    let all = float.iter().flatten().zip(others.iter().flatten());
    let error = all.map(|(f, r)| f64::from(f - r).powi(2)).sum();
    (refitting.found.pop().map(|(_, refit)| refit), error)
}

#[test]
fn what_rounding_does_to_a_channel_is_undone() {
    let rounded = |_: usize, channel: usize, x: f32| if channel == 0 { x / 1.1 - 0.3 } else { x };
    let (refit, error) = refitted(layer(true, true), 8, rounded);
    let refit = refit.expect("a refit");
    assert!((refit.gains[0] - 1.1).abs() < 1e-4 && (refit.shifts[0] - 0.33).abs() < 1e-4, "{refit:?}");
    assert!((refit.gains[1] - 1.0).abs() < 1e-6 && refit.shifts[1].abs() < 1e-6, "{refit:?}");
    assert!(error < 1e-5, "{error}");
    // Without a place for one of the two, the other does what it can.
    let (refit, _) = refitted(layer(false, true), 8, rounded);
    assert!(refit.is_some_and(|refit| refit.gains == [1.0, 1.0] && (refit.shifts[0] - 0.3).abs() < 0.01));
    let (refit, _) = refitted(layer(true, false), 8, |_, _, x| x / 1.1);
    assert!(refit.is_some_and(|refit| refit.shifts == [0.0, 0.0] && (refit.gains[0] - 1.1).abs() < 1e-4));
    // A gain that no rounding makes is none.
    let (refit, _) = refitted(layer(true, true), 8, |_, _, x| x / 3.0);
    assert!(refit.is_some_and(|refit| refit.gains.iter().all(|&gain| (gain - 1.25).abs() < 1e-6)));
}

#[test]
fn what_is_otherwise_in_each_sample_is_not_believed() {
    // As often up as down, and by as much.
    let (refit, _) = refitted(layer(true, true), 12, |sample, _, x| if sample % 2 == 0 { x + 0.2 } else { x - 0.2 });
    assert!(refit.is_none_or(|refit| refit.shifts.iter().all(|shift| shift.abs() < 0.02)));
    // What one sample says no other does.
    let (refit, error) = refitted(layer(true, true), 8, |sample, _, x| if sample == 3 { x - 2.0 } else { x });
    assert!(refit.is_none());
    assert!((error - 400.0 * 4.0).abs() < 1.0, "nothing was changed: {error}");
}

#[test]
fn numbers_that_are_none_change_nothing() {
    let (refit, _) = refitted(layer(true, true), 8, |_, _, x| if x > 0.9 { f32::NAN } else { x });
    assert!(refit.is_none());
    let (refit, _) = refitted(layer(true, true), 8, |_, _, _| 0.0);
    assert!(refit.is_none_or(|refit| refit.gains == [1.0, 1.0] && refit.shifts.iter().all(|x| x.is_finite())));
    let mut refitting = Refitting::new(HashMap::new());
    refitting.see(3, &SHAPE, 0, &[0.0; 400], &[1.0; 400]);
    assert!(!refitting.refits(3) && refitting.settle(3).is_none() && refitting.found.is_empty());
}

#[test]
fn a_shift_is_one_that_the_bias_has_steps_for() {
    let steps = vec![0.25, 0.5];
    let (refit, _) = refitted(Layer { steps, ..layer(false, true) }, 8, |_, _, x| x - 0.7);
    assert_eq!(refit.expect("a refit").shifts, [0.75, 0.5]);
}
