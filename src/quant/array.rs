//! Whole arrays to integers: one grid for all elements, or one for each index along an axis.

use super::params::Params;
use super::scheme::Scheme;

/// One grid for each index along an axis, all of one integer type.
#[derive(Debug, Clone, PartialEq)]
pub struct AxisParams {
    /// The axis, counted from the front.
    pub axis: usize,
    /// A grid for each index.
    pub channels: Vec<Params>,
}

impl AxisParams {
    /// The grids that cover the smallest to the largest weight of each channel of `values`, an array of shape `shape`.
    pub fn min_max(values: &[f32], shape: &[usize], axis: usize, scheme: Scheme) -> Self {
        let mut ranges = vec![(0f32, 0f32); shape[axis]];
        for_each_run(shape, axis, |run, channel| {
            let (low, high) = &mut ranges[channel];
            for &v in &values[run] {
                *low = if v < *low { v } else { *low };
                *high = if v > *high { v } else { *high };
            }
        });
        Self { axis, channels: ranges.into_iter().map(|(low, high)| Params::from_range(low, high, scheme)).collect() }
    }
}

/// Calls `f(elements, channel)` for each run of neighbouring elements that share an index along `axis`.
fn for_each_run(shape: &[usize], axis: usize, mut f: impl FnMut(std::ops::Range<usize>, usize)) {
    let channels = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    for o in 0..outer {
        for c in 0..channels {
            let start = (o * channels + c) * inner;
            f(start..start + inner, c);
        }
    }
}

/// Adding and taking away 1.5 * 2^23 rounds a float32 of magnitude below 2^22 half to even, without a call per element.
const ROUND: f32 = 12_582_912.0;

/// Rounds one run to bytes. `min`/`max` are relative to the zero point, so the clamp comes before it is added.
fn quantize_run(values: &[f32], params: &Params, out: &mut Vec<u8>) {
    let (min, max) = params.dtype.limits();
    let (low, high) = ((min - params.zero_point) as f32, (max - params.zero_point) as f32);
    let (scale, zero) = (params.scale, params.zero_point);
    out.extend(values.iter().map(|&v| {
        let steps = (v / scale).max(low - 1.0).min(high + 1.0);
        let q = ((steps + ROUND) - ROUND).max(low).min(high) as i32 + zero;
        // The same eight bits serve int8 and uint8.
        q as u8
    }));
}

/// Integers of `values` on one grid, a byte each (two's complement for int8).
pub fn quantize(values: &[f32], params: &Params) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len());
    quantize_run(values, params, &mut out);
    out
}

/// Integers of `values`, an array of shape `shape`, each on the grid of its index along the axis.
pub fn quantize_axis(values: &[f32], shape: &[usize], params: &AxisParams) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len());
    for_each_run(shape, params.axis, |run, channel| quantize_run(&values[run], &params.channels[channel], &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::super::IntType;
    use super::*;

    /// The integer that a byte stands for.
    fn integer(byte: u8, dtype: IntType) -> i32 {
        match dtype {
            IntType::Int8 => i32::from(byte as i8),
            IntType::Uint8 => i32::from(byte),
        }
    }

    #[test]
    fn arrays_round_as_single_numbers_do() {
        let values: Vec<f32> =
            (-3000..3000).map(|i| i as f32 * 0.0137).chain([f32::MAX, f32::MIN, 1e-40, 0.5, -0.5]).collect();
        for (dtype, symmetric) in
            [(IntType::Int8, true), (IntType::Int8, false), (IntType::Uint8, true), (IntType::Uint8, false)]
        {
            let params = Params::from_range(-20.0, 31.0, Scheme { dtype, symmetric, reduce_range: false });
            for (v, q) in values.iter().zip(quantize(&values, &params)) {
                assert_eq!(integer(q, dtype), params.quantize(*v), "{v} as {params:?}");
            }
        }
    }

    #[test]
    fn each_channel_has_its_own_grid_whatever_the_axis() {
        let scheme = Scheme { dtype: IntType::Int8, symmetric: true, reduce_range: false };
        let values = [1.0, 10.0, -2.0, 20.0, 0.5, -40.0];
        let by_row = AxisParams::min_max(&values, &[3, 2], 0, scheme);
        assert_eq!(by_row.channels.len(), 3);
        let by_column = AxisParams::min_max(&values, &[3, 2], 1, scheme);
        assert_eq!(by_column.channels.iter().map(|p| p.scale * 127.0).collect::<Vec<_>>(), [2.0, 40.0]);
        let q = quantize_axis(&values, &[3, 2], &by_column);
        assert_eq!(q.iter().map(|&b| b as i8).collect::<Vec<_>>(), [64, 32, -127, 64, 32, -127]);
    }
}
