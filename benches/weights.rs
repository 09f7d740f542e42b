//! Float weights to int8: bytes of floats each second, with the search for the smallest and largest.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tare::quant::{AxisParams, GridType, Scheme, SumOrder, pair_safe_scales, quantize, quantize_axis};

const SCHEME: Scheme = Scheme::new(GridType::Int8, true);

fn weights(count: usize) -> Vec<f32> {
    let mut state = 12_345u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * 0.1).collect()
}

/// Weights of 1 to 4 MB: shape, output axis, and the order in which a kernel sums them up.
const SHAPES: &[(&str, &[usize], usize, SumOrder)] = &[
    ("Conv 256x256x3x3", &[256, 256, 3, 3], 0, SumOrder::Filter { groups: 1 }),
    ("Conv 1024x512x1x1", &[1024, 512, 1, 1], 0, SumOrder::Filter { groups: 1 }),
    ("depthwise 32768x1x3x3", &[32768, 1, 3, 3], 0, SumOrder::Filter { groups: 1 }),
    ("MatMul 768x768, by column", &[768, 768], 1, SumOrder::Columns),
    ("ConvTranspose 256x256x2x2", &[256, 256, 2, 2], 1, SumOrder::Filter { groups: 1 }),
];

fn per_channel(c: &mut Criterion) {
    let mut group = c.benchmark_group("int8 symmetric per-channel");
    for &(name, shape, axis, _) in SHAPES {
        let values = weights(shape.iter().product());
        group.throughput(Throughput::Bytes(size_of_val(values.as_slice()) as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let values = black_box(values.as_slice());
                quantize_axis(values, shape, &AxisParams::min_max(values, shape, axis, SCHEME))
            });
        });
    }
    group.finish();
}

fn per_tensor(c: &mut Criterion) {
    let mut group = c.benchmark_group("int8 symmetric per-tensor");
    let values = weights(1 << 20);
    group.throughput(Throughput::Bytes(size_of_val(values.as_slice()) as u64));
    group.bench_function("4 MiB", |b| {
        b.iter(|| {
            let values = black_box(values.as_slice());
            quantize(values, &AxisParams::min_max(values, &[1, values.len()], 0, SCHEME).channels[0])
        });
    });
    group.finish();
}

fn saturation(c: &mut Criterion) {
    let mut group = c.benchmark_group("pair_safe_scales");
    for &(name, shape, axis, order) in SHAPES.iter().filter(|s| s.2 == 0 || s.3 == SumOrder::Columns) {
        assert_eq!(order == SumOrder::Columns, axis == 1);
        let values = weights(shape.iter().product());
        group.throughput(Throughput::Bytes(size_of_val(values.as_slice()) as u64));
        let inputs = if order == SumOrder::Columns { shape[0] } else { shape[1] };
        let largest: Vec<u8> = (0..inputs).map(|i| 255 - (i % 200) as u8).collect();
        group.bench_function(name, |b| b.iter(|| pair_safe_scales(black_box(&values), shape, order, &largest)));
    }
    group.finish();
}

criterion_group!(benches, per_channel, per_tensor, saturation);
criterion_main!(benches);
