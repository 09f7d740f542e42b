//! Ranges against plain definitions of them, and statistics that nothing but the data changes.

mod calibrators;
mod channels;
mod loudness;
mod saved;

use super::*;
use crate::ir::build::noise;
use crate::quant::{GridType, Params};

const U8: Scheme = Scheme::new(GridType::Uint8, false);
const S8: Scheme = Scheme::new(GridType::Int8, true);
const CALIBRATORS: [Calibrator; 5] =
    [Calibrator::MinMax, Calibrator::MovingAverage, Calibrator::Percentile(99.0), Calibrator::Entropy, Calibrator::Mse];

/// Numbers whose density falls off on both sides, by the sum of four noises.
fn bell(count: usize, seed: u32) -> Vec<f32> {
    let parts: Vec<_> = (0..4).map(|i| noise(count, seed * 4 + i)).collect();
    (0..count).map(|i| parts.iter().map(|p| p[i]).sum::<f32>() * 0.5).collect()
}

fn of_samples<'a>(samples: impl IntoIterator<Item = &'a [f32]>) -> Statistics {
    let mut statistics = Statistics::default();
    samples.into_iter().for_each(|s| assert!(statistics.add(s)));
    statistics
}

fn of(values: &[f32]) -> Statistics {
    of_samples([values])
}

/// Regression test of defect 19: calibration depended on how samples were batched.
#[test]
fn d19_order_and_splits_of_the_samples_leave_no_trace() {
    let samples: Vec<Vec<f32>> =
        (0..12).map(|i| bell(300, i).iter().map(|v| v * 1.7f32.powi(i as i32 - 6)).collect()).collect();
    let whole = of_samples(samples.iter().map(Vec::as_slice));
    let backwards = of_samples(samples.iter().rev().map(Vec::as_slice));
    assert_eq!(whole, backwards);
    for threads in [2, 3, 5, 12] {
        let mut merged = Statistics::default();
        for thread in (0..threads).rev() {
            merged.merge(&of_samples(samples.iter().skip(thread).step_by(threads).map(Vec::as_slice)));
        }
        assert_eq!(whole, merged, "{threads} threads");
        for calibrator in CALIBRATORS {
            let bits = |s: &Statistics, scheme| {
                let (low, high) = range(s, calibrator, scheme, None);
                (low.to_bits(), high.to_bits())
            };
            assert_eq!(bits(&whole, U8), bits(&merged, U8), "{calibrator}");
            assert_eq!(bits(&whole, S8), bits(&merged, S8), "{calibrator}");
        }
    }
}

/// Regression test of defect 2: with bounded memory, samples were lost.
#[test]
fn d2_every_sample_counts_wherever_it_stands() {
    for count in [1, 2, 3, 7, 10, 33] {
        for at in 0..count {
            let mut samples: Vec<Vec<f32>> = (0..count).map(|i| noise(20, i as u32)).collect();
            (samples[at][3], samples[at][17]) = (-7.5, 9.25);
            let statistics = of_samples(samples.iter().map(Vec::as_slice));
            assert_eq!(statistics.samples(), count as u64);
            assert_eq!(range(&statistics, Calibrator::MinMax, U8, None), (-7.5, 9.25), "sample {at} of {count}");
            let counted: u64 = statistics.histogram().bins().map(|(_, n)| n).sum();
            assert_eq!(counted, 20 * count as u64);
        }
    }
}

#[test]
fn a_merge_with_nothing_changes_nothing() {
    let statistics = of(&bell(100, 1));
    let mut left = Statistics::default();
    left.merge(&statistics);
    let mut right = statistics.clone();
    right.merge(&Statistics::default());
    assert_eq!((&left, &right), (&statistics, &statistics));
}

/// Regression test of defect 10: infinities were accepted, NaN ignored.
#[test]
fn d10_numbers_that_are_not_finite_are_refused_wherever_they_are() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 7, 15, 16, 31, 36] {
            let mut values = bell(37, 1);
            values[at] = bad;
            let mut statistics = of(&[1.0, -1.0]);
            let before = statistics.clone();
            assert!(!statistics.add(&values), "{bad} at {at}");
            assert_eq!(statistics, before, "{bad} at {at} left a trace");
        }
    }
}

/// Regression test of defect 12: calibrators kept every activation.
#[test]
fn d12_statistics_do_not_grow_with_the_number_of_samples() {
    let text = |count: usize| {
        let samples: Vec<Vec<f32>> = (0..50).map(|i| bell(200, i)).collect();
        let statistics = of_samples((0..count).map(|i| samples[i % 50].as_slice()));
        assert!(statistics.histogram().bins().count() <= 4096);
        let values = [("x".to_owned(), statistics)].into();
        Calibration { values, ..Calibration::default() }.to_json().expect("a text").len()
    };
    // A hundred times the samples: two more digits in each count.
    assert!(text(5000) < 2 * text(50));
}

#[test]
fn every_range_holds_zero_and_stays_within_what_was_seen() {
    for values in [
        vec![1.0, 2.0, 3.0],
        vec![-3.0, -2.0],
        bell(500, 3),
        vec![0.0],
        vec![1e-40, -1e-42],
        vec![f32::MAX, f32::MIN],
        vec![],
    ] {
        let statistics = of(&values);
        let (least, most) = statistics.range();
        for calibrator in CALIBRATORS {
            for scheme in [U8, S8] {
                let (low, high) = range(&statistics, calibrator, scheme, None);
                assert!(low <= 0.0 && high >= 0.0, "{calibrator} of {values:?}: {low} {high}");
                assert!(low >= least.min(0.0) && high <= most.max(0.0), "{calibrator}: {low} {high}");
            }
        }
    }
}

#[test]
fn an_empty_sample_counts_for_nothing() {
    let mut statistics = Statistics::default();
    assert!(statistics.add(&[]));
    assert_eq!(statistics, Statistics::default());
}
