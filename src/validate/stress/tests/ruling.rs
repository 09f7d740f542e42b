//! What is found, and what is not.

use super::super::rule::{StressVerdict, Yardstick};
use super::super::saturation::{Counts, together};
use super::*;
use crate::quant::{GridType, Params};

fn sums(reference: &[f32], quantized: &[f32]) -> Sums {
    Sums::of(reference, quantized)
}

#[test]
fn far_is_a_larger_error_and_a_lower_sqnr_than_that_of_any_sample() {
    // Errors of 0.1 and 0.2 beside 1: 20 and 14 dB.
    let samples = [vec![sums(&[1.0, 1.0], &[1.1, 0.9])], vec![sums(&[1.0, 1.0], &[1.2, 0.8])]];
    let all: Vec<&[Sums]> = samples.iter().map(Vec::as_slice).collect();
    let yardstick = Yardstick::of(&all);
    let far = |reference: &[f32], quantized: &[f32]| yardstick.is_far(0, &sums(reference, quantized)).expect("samples");
    // Five times the error, of a signal as large.
    assert!(far(&[1.0, 1.0], &[2.0, 0.0]));
    // Three times the error is not much.
    assert!(!far(&[1.0, 1.0], &[1.6, 0.4]));
    // A signal a hundred times as large has errors in proportion.
    assert!(!far(&[100.0, 100.0], &[110.0, 90.0]));
    // A signal of next to nothing has a low SQNR, and an error that nobody sees.
    assert!(!far(&[0.001, 0.001], &[0.1, -0.1]) && far(&[0.001, 0.001], &[1.1, -1.1]));
    assert!((yardstick.times(0, &sums(&[1.0], &[2.0])).expect("samples") - 5.0).abs() < 1e-5);
    assert_eq!(Yardstick::of(&[]).is_far(0, &sums(&[1.0], &[2.0])), None);
    // Samples without an error allow for the rounding of other arithmetic.
    let same = [sums(&[1.0, 1.0], &[1.0, 1.0])];
    let exact = Yardstick::of(&[&same]);
    assert_eq!(exact.is_far(0, &sums(&[1.0], &[1.001])), Some(false));
    assert_eq!(exact.is_far(0, &sums(&[1.0], &[1.01])), Some(true));
}

#[test]
fn bad_is_what_the_quantized_model_alone_does_not_stand() {
    use StressVerdict::{Alike, Far, FloatNotFinite, FloatRefused, NotFinite, Ok, OtherShape, Refused};
    for verdict in [NotFinite, OtherShape, Refused] {
        assert!(verdict.is_bad(), "{verdict:?}");
    }
    for verdict in [Ok, Alike, Far, FloatNotFinite, FloatRefused] {
        assert!(!verdict.is_bad(), "{verdict:?}");
    }
}

#[test]
fn a_number_counts_as_beyond_from_more_than_a_step() {
    let grid = Params { dtype: GridType::Uint8, scale: 1.0 / 256.0, zero_point: 0 };
    let whole = (f32::NEG_INFINITY, f32::INFINITY);
    let of = |numbers: &[f32], bounds| together([&[Counts::of(numbers, &grid, bounds)][..]].into_iter())[0];
    // What a Softmax comes to at most is one step beyond 255/256.
    assert_eq!(of(&[0.0, 1.0, f32::NAN, -0.003], whole), of(&[0.0; 4], whole));
    let two = of(&[1.1, -1.0, 0.5, 0.5], whole);
    assert_ne!(two, of(&[1.1, 0.5, 0.5, 0.5], whole));
    // A Relu that vanished into the grid cuts off what lies below.
    assert_eq!(of(&[-1.0, -2.0], (0.0, f32::INFINITY)), of(&[0.0, 0.0], whole));
    assert_eq!(of(&[9.0, 0.5], (0.0, 6.0)), of(&[6.0, 0.5], whole));
}
