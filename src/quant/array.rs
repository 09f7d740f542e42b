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
        let ranges = extremes_along(values, shape, axis).into_iter();
        Self { axis, channels: ranges.map(|(low, high)| Params::from_range(low, high, scheme)).collect() }
    }
}

/// The smallest and largest number of each index along an axis of `values`, an array of shape `shape`; zero counts as one
/// of them.
pub fn extremes_along(values: &[f32], shape: &[usize], axis: usize) -> Vec<(f32, f32)> {
    let Runs { channels, length, rows } = Runs::new(shape, axis);
    if rows == 1 || length >= LANES {
        let mut found = vec![(0.0, 0.0); channels];
        for row in values.chunks_exact((channels * length).max(1)) {
            for (ends, run) in found.iter_mut().zip(row.chunks_exact(length.max(1))) {
                let (low, high) = extremes(run);
                *ends = (lower(low, ends.0), higher(high, ends.1));
            }
        }
        return found;
    }
    let (low, high) = extremes_of_rows(values, channels * length);
    let fold = |c: usize, ends: &[f32], keep: fn(f32, f32) -> f32| {
        ends[c * length..][..length].iter().fold(0.0, |most, &v| keep(v, most))
    };
    (0..channels).map(|c| (fold(c, &low, lower), fold(c, &high, higher))).collect()
}

/// The mean of each index along an axis of `values`, an array of shape `shape`; zero where there are no numbers.
pub fn means_along(values: &[f32], shape: &[usize], axis: usize) -> Vec<f32> {
    let Runs { channels, length, rows } = Runs::new(shape, axis);
    let mut sums = vec![0f64; channels];
    if length >= LANES {
        for row in values.chunks_exact((channels * length).max(1)) {
            for (sum, run) in sums.iter_mut().zip(row.chunks_exact(length)) {
                // In lanes, each of few enough numbers that float32 serves.
                for block in run.chunks(LANES * 64) {
                    let (chunks, rest) = block.as_chunks::<LANES>();
                    let mut lanes = [0f32; LANES];
                    chunks.iter().for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane += v));
                    *sum += lanes.iter().chain(rest).map(|&v| f64::from(v)).sum::<f64>();
                }
            }
        }
    } else {
        // Runs are short here: the sum of each column of a row, side by side.
        let mut columns = vec![0f64; channels * length];
        for row in values.chunks_exact(columns.len().max(1)) {
            columns.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        sums.iter_mut().zip(columns.chunks_exact(length.max(1))).for_each(|(sum, run)| *sum = run.iter().sum());
    }
    let count = (rows * length).max(1) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// How an array is divided along an axis: rows, each with a run of neighbouring elements for each channel.
struct Runs {
    channels: usize,
    length: usize,
    rows: usize,
}

impl Runs {
    fn new(shape: &[usize], axis: usize) -> Self {
        let length = shape[axis + 1..].iter().product();
        Self { channels: shape[axis], length, rows: shape[..axis].iter().product() }
    }
}

/// Numbers that are looked at side by side, so that the compiler can use vector instructions.
const LANES: usize = 16;

/// The first where it is lower, else the second; a NaN in the first is passed over. One instruction, unlike `f32::min`.
#[inline(always)]
pub(super) fn lower(v: f32, least: f32) -> f32 {
    if v < least { v } else { least }
}

/// The first where it is higher, else the second; a NaN in the first is passed over.
#[inline(always)]
pub(super) fn higher(v: f32, most: f32) -> f32 {
    if v > most { v } else { most }
}

/// The smallest and largest of `values` and zero.
pub(super) fn extremes(values: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = (0.0, 0.0);
    let (chunks, rest) = values.as_chunks::<LANES>();
    // The filter of a depthwise convolution is shorter than the lanes.
    if !chunks.is_empty() {
        let (mut lows, mut highs) = ([0.0; LANES], [0.0; LANES]);
        for chunk in chunks {
            lows.iter_mut().zip(chunk).for_each(|(low, &v)| *low = lower(v, *low));
            highs.iter_mut().zip(chunk).for_each(|(high, &v)| *high = higher(v, *high));
        }
        low = lows.into_iter().fold(low, |least, v| lower(v, least));
        high = highs.into_iter().fold(high, |most, v| higher(v, most));
    }
    rest.iter().fold((low, high), |(low, high), &v| (lower(v, low), higher(v, high)))
}

/// The smallest and largest number of each column and zero; rows are of length `row`.
fn extremes_of_rows(values: &[f32], row: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut lows, mut highs) = (vec![0.0; row], vec![0.0; row]);
    for values in values.chunks_exact(row.max(1)) {
        lows.iter_mut().zip(values).for_each(|(low, &v)| *low = lower(v, *low));
        highs.iter_mut().zip(values).for_each(|(high, &v)| *high = higher(v, *high));
    }
    (lows, highs)
}

/// Adding 1.5 * 2^23 rounds a float32 of magnitude below 2^22 half to even, without a call per element, and leaves the
/// integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// A grid as what is done to one number. `low` and `high`, the ends of the integer type, are relative to the zero point.
#[derive(Clone, Copy)]
pub(super) struct Step {
    scale: f32,
    low: f32,
    high: f32,
    zero: u8,
}

impl Step {
    pub(super) fn new(params: &Params) -> Self {
        let (min, max) = params.dtype.limits();
        let (low, high) = ((min - params.zero_point) as f32, (max - params.zero_point) as f32);
        Self { scale: params.scale, low, high, zero: params.zero_point as u8 }
    }

    /// The integer's byte; the same eight bits serve int8 and uint8. NaN becomes the lowest integer.
    #[inline(always)]
    pub(super) fn quantize(self, value: f32) -> u8 {
        // Between integers, saturating before or after rounding is the same.
        let steps = lower(higher(value / self.scale, self.low), self.high);
        ((steps + ROUND).to_bits() as u8).wrapping_add(self.zero)
    }
}

/// Many grids, each part of them side by side, so that the compiler can use vector instructions.
pub(super) struct Steps {
    scales: Vec<f32>,
    lows: Vec<f32>,
    highs: Vec<f32>,
    zeros: Vec<u8>,
}

impl Steps {
    pub(super) fn new(steps: impl Iterator<Item = Step> + Clone) -> Self {
        Self {
            scales: steps.clone().map(|step| step.scale).collect(),
            lows: steps.clone().map(|step| step.low).collect(),
            highs: steps.clone().map(|step| step.high).collect(),
            zeros: steps.map(|step| step.zero).collect(),
        }
    }

    /// Writes the integer of each of `values` to `out`, each on a grid of its own: those from `first` on.
    pub(super) fn quantize(&self, values: &[f32], first: usize, out: &mut [u8]) {
        let count = values.len();
        let (out, scales) = (&mut out[..count], &self.scales[first..][..count]);
        let (lows, highs) = (&self.lows[first..][..count], &self.highs[first..][..count]);
        let zeros = &self.zeros[first..][..count];
        for i in 0..count {
            let step = Step { scale: scales[i], low: lows[i], high: highs[i], zero: zeros[i] };
            out[i] = step.quantize(values[i]);
        }
    }
}

/// Integers of `values` on one grid, a byte each (two's complement for int8, the number's own for a floating-point type), or
/// two, the lower first, for 16 bits.
pub fn quantize(values: &[f32], params: &Params) -> Vec<u8> {
    if params.dtype.bits() == 16 {
        return values.iter().flat_map(|&v| (params.quantize(v) as u16).to_le_bytes()).collect();
    }
    if let Some(kind) = params.dtype.float8() {
        return values.iter().map(|&v| kind.encode(v / params.scale)).collect();
    }
    let step = Step::new(params);
    values.iter().map(|&v| step.quantize(v)).collect()
}

/// Integers of `values`, an array of shape `shape`, each on the grid of its index along the axis; a byte each, or two for 16
/// bits.
pub fn quantize_axis(values: &[f32], shape: &[usize], params: &AxisParams) -> Vec<u8> {
    let Runs { channels, length, rows } = Runs::new(shape, params.axis);
    let mut out = vec![0; values.len()];
    let row = channels * length;
    if row == 0 {
        return out;
    }
    if let Some(kind) = params.channels[0].dtype.float8() {
        let grid = |i: usize| &params.channels[i / length % channels];
        return values.iter().enumerate().map(|(i, &v)| kind.encode(v / grid(i).scale)).collect();
    }
    if params.channels[0].dtype.bits() == 16 {
        let grid = |i: usize| &params.channels[i / length % channels];
        return values.iter().enumerate().flat_map(|(i, &v)| (grid(i).quantize(v) as u16).to_le_bytes()).collect();
    }
    let steps: Vec<Step> = params.channels.iter().map(Step::new).collect();
    if rows == 1 {
        for ((out, values), &step) in out.chunks_exact_mut(length).zip(values.chunks_exact(length)).zip(&steps) {
            out.iter_mut().zip(values).for_each(|(q, &v)| *q = step.quantize(v));
        }
        return out;
    }
    // Runs are short here, single numbers for a matrix by columns: the grid of each element of a row, side by side.
    let spread = Steps::new(steps.iter().flat_map(|step| std::iter::repeat_n(*step, length)));
    for (out, values) in out.chunks_exact_mut(row).zip(values.chunks_exact(row)) {
        spread.quantize(values, 0, out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::GridType;
    use super::*;

    /// The integer that a byte stands for.
    fn integer(byte: u8, dtype: GridType) -> i32 {
        if dtype.limits().0 < 0 { i32::from(byte as i8) } else { i32::from(byte) }
    }

    #[test]
    fn arrays_round_as_single_numbers_do() {
        let values: Vec<f32> =
            (-3000..3000).map(|i| i as f32 * 0.0137).chain([f32::MAX, f32::MIN, 1e-40, 0.5, -0.5]).collect();
        for (dtype, symmetric) in
            [(GridType::Int8, true), (GridType::Int8, false), (GridType::Uint8, true), (GridType::Uint8, false)]
        {
            let params = Params::from_range(-20.0, 31.0, Scheme::new(dtype, symmetric));
            for (v, q) in values.iter().zip(quantize(&values, &params)) {
                assert_eq!(integer(q, dtype), params.quantize(*v), "{v} as {params:?}");
            }
        }
    }

    /// QuantizeLinear as its definition reads.
    fn by_definition(v: f32, p: &Params) -> i32 {
        let (min, max) = p.dtype.limits();
        let rounded = (v / p.scale).round_ties_even();
        (f64::from(rounded) + f64::from(p.zero_point)).clamp(f64::from(min), f64::from(max)) as i32
    }

    /// Numbers of every magnitude, ties, both zeros, numbers beside ties and infinities.
    fn awkward(count: usize) -> Vec<f32> {
        let ties = (-300..300).map(|i| (i as f32 + 0.5) * 0.25);
        let beside = (-300..300).map(|i| f32::from_bits(((i as f32 + 0.5) * 0.25).to_bits() + 1));
        let odd = [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-40, -1e-40];
        let noise = (0..).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 150_000.0 - 50.0);
        odd.into_iter().chain(ties).chain(beside).chain(noise).take(count).collect()
    }

    #[test]
    fn every_shape_and_axis_rounds_as_the_definition_does() {
        let shapes: [&[usize]; 8] =
            [&[37], &[3, 1000], &[1000, 3], &[250, 1, 3, 3], &[7, 5, 2, 11], &[2, 700], &[1, 1500], &[0, 4]];
        for shape in shapes {
            let values = awkward(shape.iter().product());
            for axis in 0..shape.len() {
                for (dtype, symmetric) in [(GridType::Int8, true), (GridType::Int8, false), (GridType::Uint8, false)] {
                    let scheme = Scheme::new(dtype, symmetric);
                    let ends = |c: usize| (-30.0 - c as f32, 31.75 + c as f32 / 7.0);
                    let mut channels: Vec<Params> =
                        (0..shape[axis]).map(ends).map(|(low, high)| Params::from_range(low, high, scheme)).collect();
                    // A scale at which the ties are exact.
                    channels.first_mut().into_iter().for_each(|p| p.scale = 0.25);
                    let params = AxisParams { axis, channels };
                    let inner: usize = shape[axis + 1..].iter().product();
                    for (i, q) in quantize_axis(&values, shape, &params).into_iter().enumerate() {
                        let p = &params.channels[i / inner % shape[axis]];
                        assert_eq!(integer(q, dtype), by_definition(values[i], p), "{} as {p:?}", values[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn sixteen_bits_take_two_bytes_on_every_grid() {
        let grid = |scale, zero_point| Params { dtype: GridType::Int16, scale, zero_point };
        let params = AxisParams { axis: 1, channels: vec![grid(1.0, 0), grid(0.5, -3)] };
        let bytes = quantize_axis(&[300.0, 300.0, -2.0, 1e9], &[2, 2], &params);
        let integers: Vec<i16> = bytes.chunks(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        assert_eq!(integers, [300, 597, -2, 32_767]);
        let blocks = super::super::Blocks::new(&[2, 2], 0, 2);
        assert_eq!(blocks.quantize(&[300.0, 300.0, -2.0, 1e9], &params.channels), bytes);
    }

    #[test]
    fn every_channel_is_covered_whatever_the_shape_and_axis() {
        let scheme = Scheme::new(GridType::Int8, false);
        for shape in [&[5, 7, 4][..], &[1, 40, 3], &[40, 1], &[3, 100], &[2, 2, 50]] {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|i| (i * 7919 % 1009) as f32 / 100.0 - 4.0).collect();
            for axis in 0..shape.len() {
                let inner: usize = shape[axis + 1..].iter().product();
                for (c, made) in AxisParams::min_max(&values, shape, axis, scheme).channels.into_iter().enumerate() {
                    let own = values.iter().enumerate().filter(|(i, _)| i / inner % shape[axis] == c).map(|(_, &v)| v);
                    let (low, high) = own.fold((0f32, 0f32), |(low, high), v| (low.min(v), high.max(v)));
                    assert_eq!(made, Params::from_range(low, high, scheme), "{shape:?}, axis {axis}, channel {c}");
                }
            }
        }
    }

    #[test]
    fn each_channel_has_its_own_grid_whatever_the_axis() {
        let scheme = Scheme::new(GridType::Int8, true);
        let values = [1.0, 10.0, -2.0, 20.0, 0.5, -40.0];
        let by_row = AxisParams::min_max(&values, &[3, 2], 0, scheme);
        assert_eq!(by_row.channels.len(), 3);
        let by_column = AxisParams::min_max(&values, &[3, 2], 1, scheme);
        assert_eq!(by_column.channels.iter().map(|p| p.scale * 127.0).collect::<Vec<_>>(), [2.0, 40.0]);
        let q = quantize_axis(&values, &[3, 2], &by_column);
        assert_eq!(q.iter().map(|&b| b as i8).collect::<Vec<_>>(), [64, 32, -127, 64, 32, -127]);
    }
}
