//! Each calibrator against its definition on the raw numbers.

use super::*;

/// The true mean squared error of `values` on the grid of a range.
fn error(values: &[f32], (low, high): (f32, f32), scheme: Scheme) -> f64 {
    let params = Params::from_range(low, high, scheme);
    let squared = |v: f32| f64::from(v - params.dequantize(params.quantize(v))).powi(2);
    values.iter().map(|&v| squared(v)).sum::<f64>() / values.len() as f64
}

/// The least error of any of many ranges.
fn least_error(values: &[f32], scheme: Scheme) -> f64 {
    let (low, high) = values.iter().fold((0f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
    let shares: Vec<f32> = (1..=80).map(|i| i as f32 / 80.0).collect();
    let of = |l: f32, h: f32| error(values, (low * l, high * h), scheme);
    let lows = if low < 0.0 && !scheme.symmetric { &shares[..] } else { &[1.0] };
    let all = shares.iter().flat_map(|&h| lows.iter().map(move |&l| (l, h)));
    let largest = high.max(-low);
    let errors =
        all.map(|(l, h)| if scheme.symmetric { error(values, (-largest * h, largest * h), scheme) } else { of(l, h) });
    errors.fold(f64::INFINITY, f64::min)
}

/// A bell with a few numbers far out on the sides given.
fn with_outliers(count: usize, outliers: &[f32]) -> Vec<f32> {
    [bell(count, 5), outliers.to_vec()].concat()
}

#[test]
fn minmax_is_the_smallest_and_the_largest_number() {
    let values = bell(999, 2);
    let sorted = {
        let mut v = values.clone();
        v.sort_by(f32::total_cmp);
        v
    };
    assert_eq!(range(&of(&values), Calibrator::MinMax, U8, None), (sorted[0], sorted[998]));
}

#[test]
fn moving_average_is_the_mean_of_each_samples_extremes() {
    let samples: Vec<Vec<f32>> = (0..7).map(|i| bell(50, i).iter().map(|v| v * (i + 1) as f32).collect()).collect();
    let mean = |pick: fn(f32, f32) -> f32| {
        let extremes = samples.iter().map(|s| f64::from(s.iter().copied().reduce(pick).expect("a number")));
        (extremes.sum::<f64>() / samples.len() as f64) as f32
    };
    let statistics = of_samples(samples.iter().map(Vec::as_slice));
    assert_eq!(range(&statistics, Calibrator::MovingAverage, U8, None), (mean(f32::min), mean(f32::max)));
}

#[test]
fn percentile_lies_within_a_bin_of_the_sorted_numbers() {
    let mut values = bell(20_000, 2);
    let statistics = of(&values);
    values.sort_by(f32::total_cmp);
    for percent in [90.0, 99.0, 99.9] {
        let (low, high) = range(&statistics, Calibrator::Percentile(percent), U8, None);
        let cut = (values.len() as f64 * (100.0 - percent) / 200.0) as usize;
        let (wanted_low, wanted_high) = (values[cut], values[values.len() - 1 - cut]);
        let bin = statistics.histogram().width() as f32;
        assert!((low - wanted_low).abs() <= bin && (high - wanted_high).abs() <= bin, "{percent}: {low} {high}");
    }
    assert_eq!(range(&statistics, Calibrator::Percentile(100.0), U8, None), statistics.range());
}

/// Regression test of defect 1: entropy equalled min-max, bit for bit.
#[test]
fn d1_entropy_clips_an_outlier_on_either_side_or_both() {
    for outliers in [&[40.0][..], &[-40.0], &[40.0, -40.0]] {
        let statistics = of(&with_outliers(20_000, outliers));
        for scheme in [U8, S8] {
            let (low, high) = range(&statistics, Calibrator::Entropy, scheme, None);
            assert!(low > -10.0 && high < 10.0, "{outliers:?} {scheme}: {low} {high}");
            assert!(low < -0.5 && high > 0.5, "{outliers:?} {scheme}: {low} {high}");
        }
    }
    let rectified: Vec<f32> = with_outliers(20_000, &[40.0]).iter().map(|v| v.max(0.0)).collect();
    let (low, high) = range(&of(&rectified), Calibrator::Entropy, U8, None);
    assert!(low == 0.0 && (0.5..10.0).contains(&high), "{high}");
}

/// Regression test of defect 14: seconds for each tensor. With these, it would take many minutes.
#[test]
fn d14_entropy_of_many_fine_histograms() {
    for seed in 0..60 {
        // Numbers that fill every bin.
        let statistics = of(&noise(20_000, seed));
        assert!(statistics.histogram().bins().count() >= 1024);
        let (low, high) = range(&statistics, Calibrator::Entropy, U8, None);
        assert!(low < -0.5 && high > 0.5, "{low} {high}");
    }
}

#[test]
fn entropy_keeps_evenly_spread_numbers() {
    let values: Vec<f32> = (0..40_000).map(|i| i as f32 / 20_000.0 - 1.0).collect();
    let (low, high) = range(&of(&values), Calibrator::Entropy, U8, None);
    assert!(low < -0.9 && high > 0.9, "{low} {high}");
}

#[test]
fn mse_is_within_five_per_cent_of_the_least_error_of_any_range() {
    let one_sided: Vec<f32> = with_outliers(3000, &[6.0, 4.0]).iter().map(|v| v.max(0.0)).collect();
    let even: Vec<f32> = noise(3000, 9);
    let heavy: Vec<f32> = bell(3000, 7).iter().map(|v| v.powi(5) * 20.0 + v * 0.1).collect();
    let skewed: Vec<f32> = bell(3000, 8).iter().map(|v| if *v > 0.0 { v * 7.0 } else { *v }).collect();
    for (what, values) in [
        ("bell", bell(3000, 5)),
        ("outliers", with_outliers(3000, &[8.0, -5.0, 7.0])),
        ("one-sided", one_sided),
        ("even", even),
        ("heavy tails", heavy),
        ("skewed", skewed),
        ("small", bell(3000, 6).iter().map(|v| v * 1e-20).collect()),
    ] {
        for scheme in [U8, S8] {
            let found = error(&values, range(&of(&values), Calibrator::Mse, scheme, None), scheme);
            let least = least_error(&values, scheme);
            assert!(found <= least * 1.05, "{what}, {scheme}: {found:e}, least {least:e}");
        }
    }
}
