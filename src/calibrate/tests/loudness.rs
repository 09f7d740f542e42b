//! Loud samples and loud positions: what they count for.

use super::*;
use crate::quant::ChannelAxis::{self, Last, Second};

fn energy(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len().max(1) as f64
}

fn mse(statistics: &Statistics) -> (f32, f32) {
    range(statistics, Calibrator::Mse, U8, None)
}

/// Bells of 1000 numbers each, times the scales given.
fn bells(scales: &[f32]) -> Vec<Vec<f32>> {
    (0u32..).zip(scales).map(|(seed, scale)| bell(1000, seed).iter().map(|v| v * scale).collect()).collect()
}

/// A feature map of 16 channels and 64 by 48 positions, of which every hundredth is `scale` times as loud; channels first.
fn map(seed: u32, scale: f32) -> Vec<f32> {
    let mut values = bell(16 * 64 * 48, seed);
    (0..values.len()).filter(|i| i % (64 * 48) % 100 == 7).for_each(|i| values[i] *= scale);
    values
}

fn of_maps(axis: Option<ChannelAxis>, scales: &[f32]) -> Statistics {
    let mut statistics = Statistics::default().by_position(axis);
    for (seed, &scale) in (1..).zip(scales) {
        assert!(statistics.add_shaped(&[1, 16, 64, 48], &map(seed, scale)));
    }
    statistics
}

#[test]
fn a_number_weighs_as_its_samples_energy_says() {
    let samples = bells(&[1.0, 1.0, 1.0, 5.0, 6.0, 20.0, 0.0]);
    let mean = energy(&samples.concat());
    let share = |sample: &Vec<f32>| mean / energy(sample);
    // Each loud one is in an octave of its own.
    let weight = |share: f64| if share < 1.0 / 1.5 { share * share } else { 1.0 };
    let wanted = samples[..6].iter().map(|sample| 1000.0 * weight(share(sample))).sum::<f64>();
    let statistics = of_samples(samples.iter().map(Vec::as_slice));
    let found = statistics.loudness.weighted().iter().map(|bin| bin.1).sum::<f64>();
    assert!((found - wanted).abs() < 1e-2 * wanted, "{found}, not {wanted}");
    assert!(wanted < 5500.0, "a loud one weighs less");
}

#[test]
fn a_loud_sample_does_not_buy_a_range_that_all_others_pay_for() {
    let scales = [vec![1.0; 30], vec![20.0]].concat();
    let samples = bells(&scales);
    let (_, quiet) = mse(&of_samples(samples[..30].iter().map(Vec::as_slice)));
    let (_, high) = mse(&of_samples(samples.iter().map(Vec::as_slice)));
    // As one sample there is nothing to tell them apart by.
    let (_, bought) = mse(&of(&samples.concat()));
    assert!(high < 0.5 * bought && high > quiet, "{quiet} {high} {bought}");
}

#[test]
fn loud_positions_do_not_buy_a_range_that_all_others_pay_for() {
    let (_, quiet) = mse(&of_maps(Some(Second), &[1.0, 1.0]));
    let (_, high) = mse(&of_maps(Some(Second), &[15.0, 15.0]));
    let (_, bought) = mse(&of_maps(None, &[15.0, 15.0]));
    assert!(high < 2.0 * quiet && bought > 3.0 * quiet, "{quiet} {high} {bought}");
}

#[test]
fn where_nothing_is_loud_every_number_weighs_the_same() {
    for statistics in [of_maps(Some(Second), &[1.0, 1.0]), of_samples(bells(&[1.0; 3]).iter().map(Vec::as_slice))] {
        let plain: Vec<_> = statistics.histogram().bins().map(|(low, count)| (low, count as f64)).collect();
        assert_eq!(statistics.loudness.weighted(), plain);
    }
}

#[test]
fn only_mse_looks_at_loudness() {
    let told = of_maps(Some(Second), &[15.0, 1.0, 30.0]);
    let plain = of_maps(None, &[15.0, 1.0, 30.0]);
    let values = [map(1, 15.0), map(2, 1.0), map(3, 30.0)].concat();
    assert_eq!(told.histogram(), plain.histogram());
    assert_eq!(told.histogram(), of(&values).histogram());
    for calibrator in [Calibrator::MinMax, Calibrator::MovingAverage, Calibrator::Percentile(99.9), Calibrator::Entropy]
    {
        assert_eq!(range(&told, calibrator, U8, None), range(&plain, calibrator, U8, None), "{calibrator}");
    }
    assert_ne!(mse(&told), mse(&plain));
    assert_eq!(told.moments(), of(&values).moments());
}

#[test]
fn loud_or_not_order_and_splits_leave_no_trace() {
    let scales = [1.0, 15.0, 1e-3, 40.0, 0.0];
    let each: Vec<Statistics> = (1u32..)
        .zip(scales)
        .map(|(seed, scale)| {
            let mut one = Statistics::default().by_position(Some(Second));
            let values: Vec<f32> = map(seed, 15.0).iter().map(|v| v * scale).collect();
            assert!(one.add_shaped(&[1, 16, 64, 48], &values));
            one
        })
        .collect();
    let merged = |order: &[usize]| {
        let mut all = Statistics::default().by_position(Some(Second));
        order.iter().for_each(|&i| all.merge(&each[i]));
        all
    };
    let whole = merged(&[0, 1, 2, 3, 4]);
    assert_eq!(whole, merged(&[4, 2, 3, 0, 1]));
    let mut halves = merged(&[3, 4]);
    halves.merge(&merged(&[2, 0, 1]));
    assert_eq!(whole, halves);
}

#[test]
fn silence_and_single_numbers_have_a_range() {
    for values in [vec![0.0; 5000], vec![1e-40; 3], vec![f32::MAX; 2], vec![]] {
        let mut statistics = Statistics::default().by_position(Some(Last));
        assert!(statistics.add(&values) && statistics.add(&[0.0]));
        let largest = values.first().copied().unwrap_or(0.0);
        assert_eq!(mse(&statistics), (0.0, largest));
    }
}
