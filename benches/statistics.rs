//! What calibration does with the numbers that the engine shows: taking them in, and choosing a range afterwards.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tare::calibrate::{Statistics, range};
use tare::policy::Calibrator;
use tare::quant::{ChannelAxis, GridType, Scheme};

/// Numbers of one activation: as many as 112 x 112 pixels of 32 channels have.
const COUNT: usize = 112 * 112 * 32;
/// Samples behind the statistics that a range is chosen from.
const SAMPLES: u32 = 16;

/// Numbers in the shape of a bell (the sum of four even ones) with a long tail: what a convolution makes.
fn activation(seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut even = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut number = || {
        let bell = even() + even() + even() + even();
        bell * (1.0 + 8.0 * bell.abs().powi(6))
    };
    (0..COUNT).map(|_| number()).collect()
}

fn take_in(c: &mut Criterion) {
    let mut group = c.benchmark_group("Statistics::add");
    group.throughput(Throughput::Elements(COUNT as u64));
    let bell = activation(1);
    let rectified: Vec<f32> = bell.iter().map(|v| v.max(0.0)).collect();
    for (name, values) in [("convolution", &bell), ("relu", &rectified)] {
        group.bench_function(name, |b| {
            let mut statistics = Statistics::default();
            b.iter(|| statistics.add(black_box(values)));
        });
    }
    // Outliers among the positions are looked for, too.
    group.bench_function("positions", |b| {
        let mut statistics = Statistics::default().by_position(Some(ChannelAxis::Second));
        b.iter(|| statistics.add_shaped(&[1, 32, 112, 112], black_box(&bell)));
    });
    // A classifier has many small values, too: what does not grow with their size shows here.
    let small = &bell[..1000];
    group.throughput(Throughput::Elements(small.len() as u64));
    group.bench_function("a thousand", |b| {
        let mut statistics = Statistics::default();
        b.iter(|| statistics.add(black_box(small)));
    });
    group.finish();
}

fn merge(c: &mut Criterion) {
    let mut one = Statistics::default();
    one.add(&activation(2));
    c.bench_function("Statistics::merge", |b| {
        let mut all = one.clone();
        b.iter(|| all.merge(black_box(&one)));
    });
}

fn choose(c: &mut Criterion) {
    let mut statistics = Statistics::default();
    (0..SAMPLES).for_each(|seed| {
        statistics.add(&activation(seed));
    });
    for (words, symmetric) in [("asymmetric", false), ("symmetric", true)] {
        let scheme = Scheme::new(GridType::Uint8, symmetric);
        let mut group = c.benchmark_group(format!("range, {words}"));
        for (name, calibrator) in [
            ("minmax", Calibrator::MinMax),
            ("moving_average", Calibrator::MovingAverage),
            ("percentile", Calibrator::Percentile(99.99)),
            ("entropy", Calibrator::Entropy),
            ("mse", Calibrator::Mse),
        ] {
            group.bench_function(name, |b| b.iter(|| range(black_box(&statistics), calibrator, scheme, None)));
        }
        group.finish();
    }
}

criterion_group!(benches, take_in, merge, choose);
criterion_main!(benches);
