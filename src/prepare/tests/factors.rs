//! Gemm's alpha and beta.

use super::*;
use crate::ir::build::{float, int};

fn factors(model: &Model) -> (f32, f32) {
    let attributes = find(model, "Gemm").attributes();
    (attributes.float("alpha").unwrap_or(1.0), attributes.float("beta").unwrap_or(1.0))
}

#[test]
fn alpha_and_beta_go_into_weights_and_bias() {
    for bias in [&[4][..], &[1, 4], &[2, 4]] {
        let model = Builder::new(13)
            .input("x", &[2, 3])
            .output("y", &[2, 4])
            .noise("w", &[4, 3], 1)
            .noise("b", bias, 2)
            .node("Gemm", &["x", "w", "b"], &["y"], vec![float("alpha", 0.5), float("beta", 3.0), int("transB", 1)])
            .build();
        assert_eq!(factors(&prepared(&model)), (1.0, 1.0));
    }
}

#[test]
fn factors_leave_shared_weights_and_biases_to_their_other_readers() {
    let model = Builder::new(13)
        .input("x", &[2, 4])
        .output("y", &[2, 4])
        .output("z", &[2, 4])
        .noise("w", &[4, 4], 1)
        .noise("b", &[4], 2)
        .node("Gemm", &["x", "w", "b"], &["y"], vec![float("alpha", -2.0), float("beta", 0.25)])
        .node("Gemm", &["x", "w", "b"], &["z"], vec![])
        .build();
    prepared(&model);
}

#[test]
fn factors_of_computed_weights_are_refused() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .input("w", &[3, 4])
        .output("y", &[2, 4])
        .noise("b", &[4], 2)
        .node("Gemm", &["x", "w", "b"], &["y"], vec![float("alpha", 0.5), float("beta", 3.0)])
        .build();
    assert_eq!(factors(&prepared(&model)), (0.5, 1.0));
    assert_eq!(refusals(&model, "fold-gemm-factors").len(), 1);
}

#[test]
fn batch_normalization_after_a_gemm_with_factors_goes_too() {
    let model = Builder::new(13)
        .input("x", &[2, 3])
        .output("y", &[2, 4])
        .noise("w", &[3, 4], 1)
        .noise("b", &[4], 2)
        .noise("k", &[4], 3)
        .node("Gemm", &["x", "w", "b"], &["g"], vec![float("alpha", 0.5), float("beta", 3.0)])
        .node("Mul", &["g", "k"], &["y"], vec![])
        .build();
    assert_eq!(operators(&prepared(&model)), ["Gemm"]);
}
