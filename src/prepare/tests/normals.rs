//! What BatchNormalization tells is known of what layers make that took it in.

use super::*;
use crate::ir::build::float;

/// A Conv without a bias, and a BatchNormalization that makes `b` of two channels: betas 1 and -2, gammas 3 and -4.
fn normalized() -> Builder {
    Builder::new(17)
        .input("x", &[1, 2, 3, 3])
        .noise("w", &[2, 2, 1, 1], 1)
        .floats("gamma", &[2], &[3.0, -4.0])
        .floats("beta", &[2], &[1.0, -2.0])
        .floats("mean", &[2], &[0.1, 0.2])
        .floats("variance", &[2], &[1.0, 3.0])
        .node("Conv", &["x", "w"], &["c"], vec![])
        .node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], &["b"], vec![float("epsilon", 1.0)])
}

/// What is known of a value of the prepared model: means, and deviations.
fn known(model: &Model, name: &str) -> Option<(Vec<f64>, Vec<f64>)> {
    let mut model = model.clone();
    let (_, noted) = prepare_noting(&mut model, &Tract::default(), &Options::default()).expect("prepared");
    model.graph.find(name).expect(name);
    let found = noted.normals.get(name)?;
    let rounded = |numbers: &[f64]| numbers.iter().map(|x| (x * 1e5).round() / 1e5).collect();
    Some((rounded(&found.means), rounded(&found.deviations)))
}

#[test]
fn a_layer_makes_what_the_normalization_made_that_it_took_in() {
    let model = normalized().node("Relu", &["b"], &["y"], vec![]).output("y", &[1, 2, 3, 3]).build();
    // Of what is added to the variance, gamma knows nothing.
    let deviations = vec![(4.5f64.sqrt() * 1e5).round() / 1e5, (12f64.sqrt() * 1e5).round() / 1e5];
    assert_eq!(known(&model, "b"), Some((vec![1.0, -2.0], deviations)));
    assert_eq!(known(&model, "y"), None);
}

#[test]
fn what_is_folded_behind_it_goes_on_with_that() {
    let model = normalized()
        .floats("k", &[2, 1, 1], &[2.0, -1.0])
        .floats("a", &[1], &[0.5])
        .node("Mul", &["b", "k"], &["m"], vec![])
        .node("Add", &["m", "a"], &["s"], vec![])
        .node("Relu", &["s"], &["y"], vec![])
        .output("y", &[1, 2, 3, 3])
        .build();
    let (means, deviations) = known(&model, "s").expect("known");
    assert_eq!(means, [2.5, 2.5]);
    assert_eq!(deviations, [4.24264, 3.4641]);
    let model = normalized().node("HardSwish", &["b"], &["y"], vec![]).output("y", &[1, 2, 3, 3]).build();
    let (means, _) = known(&model, "y_scaled").expect("known");
    assert!((means[0] - 6f64.sqrt().recip()).abs() < 1e-4, "{means:?}");
}

#[test]
fn statistics_that_are_computed_say_nothing() {
    let model = Builder::new(17)
        .input("x", &[1, 2, 3, 3])
        .input("beta", &[2])
        .noise("w", &[2, 2, 1, 1], 1)
        .floats("gamma", &[2], &[3.0, -4.0])
        .floats("mean", &[2], &[0.1, 0.2])
        .floats("variance", &[2], &[1.0, 3.0])
        .node("Conv", &["x", "w"], &["c"], vec![])
        .node("BatchNormalization", &["c", "gamma", "beta", "mean", "variance"], &["y"], vec![])
        .output("y", &[1, 2, 3, 3])
        .build();
    assert_eq!(known(&model, "y"), None);
}
