//! The weight scales of least error behind a layer.
//!
//! Rounding a weight `w_k` to `w_k + e_k` adds `sum(e_k x_k)` to what the layer makes. For inputs of mean `m_k` and variance
//! `v` that is, squared and averaged, `v sum(e_k^2) + (sum(m_k e_k))^2`. The second part is a shift of the whole channel that
//! no averaging takes away; in a filter of nine taps behind a ReLU it is most of the error. A scale a little off the one that
//! the largest weight asks for often makes it vanish.

use super::params::Params;

/// What a layer reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The mean of each input channel, or one for all.
    pub means: Vec<f32>,
    /// The mean squared distance from the means.
    pub variance: f32,
}

impl Default for Moments {
    /// Of an input that nothing is known of: weights are then to be as near as they can.
    fn default() -> Self {
        Self { means: vec![0.0], variance: 1.0 }
    }
}

impl Moments {
    /// Of an input of which only is known that it cannot be negative: its mean is then about as large as its deviation.
    pub fn of_positive() -> Self {
        Self { means: vec![1.0], variance: 1.0 }
    }
}

/// The share of the widest scale that is tried first and last, and in how many steps.
const NARROWEST: f32 = 0.8;
/// The first share for integers of 2 bits: with so few it pays to clip much.
const NARROWEST_OF_FOUR: f32 = 0.3;
const WIDEST: f32 = 1.15;
const STEPS: usize = 36;

/// The share of the widest scale that is tried at step `i`.
fn share(i: usize, grid: &Params) -> f32 {
    let narrowest = if grid.dtype.bits() == 2 { NARROWEST_OF_FOUR } else { NARROWEST };
    narrowest + (WIDEST - narrowest) * i as f32 / (STEPS - 1) as f32
}

/// Calls a function compiled for some features of a processor, and returns, where this one has them. It and what it calls have
/// to be inlined for that. The result is the same: which numbers are added up side by side is for the function to say.
macro_rules! on_vectors {
    ($features:literal, $function:ident($($name:ident: $type:ty),*) -> $result:ty) => {
        #[cfg(target_arch = "x86_64")]
        if $features.split(',').all(has) {
            #[target_feature(enable = $features)]
            fn on_vectors($($name: $type),*) -> $result {
                $function($($name),*)
            }
            #[expect(unsafe_code, reason = "calls what only some processors run: see below")]
            // SAFETY: the processor was just asked.
            return unsafe { on_vectors($($name),*) };
        }
    };
}

/// Whether this processor has a feature.
#[cfg(target_arch = "x86_64")]
fn has(feature: &str) -> bool {
    use std::arch::is_x86_feature_detected as has;
    match feature {
        "avx2" => has!("avx2"),
        "avx512f" => has!("avx512f"),
        "avx512bw" => has!("avx512bw"),
        "avx512dq" => has!("avx512dq"),
        "avx512vl" => has!("avx512vl"),
        _ => false,
    }
}

/// One output channel: its weights, and the mean of the input that each of them meets.
pub struct Channel<'a> {
    /// Weights in the order of the sum.
    pub weights: &'a [f32],
    /// Means of the inputs, in the same order.
    pub means: &'a [f32],
}

/// The scale of least error for channels that share one, at least `least`; that of `widest` where none is better. The zero
/// point stays. No weight lies beyond `widest`.
pub fn best_scale(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32) -> f32 {
    // With 512 bits it takes longer: lanes are added up once for each candidate.
    on_vectors!("avx2", best_of_all(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32) -> f32);
    best_of_all(channels, widest, variance, least)
}

// Loops instead of iterators: what those call is not compiled for the same processor.
#[inline(always)]
fn best_of_all(channels: &[Channel<'_>], widest: &Params, variance: f32, least: f32) -> f32 {
    let base = widest.scale.max(least);
    let (low, high) = widest.dtype.limits();
    let ends = ((low - widest.zero_point) as f32, (high - widest.zero_point) as f32);
    // The first is the scale that clips nothing; it counts even where it is not normal.
    let share = |i: usize| if i == 0 { 1.0 } else { share(i - 1, widest) };
    let mut errors = [0f64; STEPS + 1];
    for channel in channels {
        let mut sums = [(0f64, 0f64); STEPS + 1];
        for (weights, means) in channel.weights.chunks(IN_CACHE).zip(channel.means.chunks(IN_CACHE)) {
            for (i, sums) in sums.iter_mut().enumerate() {
                let share = share(i);
                match share < 1.0 {
                    true => add::<true>((weights, means), base * share, ends, sums),
                    false => add::<false>((weights, means), base * share, ends, sums),
                }
            }
        }
        for (i, (square, shift)) in sums.into_iter().enumerate() {
            let scale = f64::from(base * share(i));
            errors[i] += (f64::from(variance) * square + shift * shift) * scale * scale;
        }
    }
    let mut best = (errors[0], base);
    for (i, &error) in errors.iter().enumerate().skip(1) {
        let scale = base * share(i);
        if scale >= least && scale.is_normal() && error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

/// Weights that all scales are tried on before the next are read.
const IN_CACHE: usize = 2048;

/// Adding 1.5 * 2^23 rounds a float32 of magnitude below 2^22 half to even.
const ROUND: f32 = 12_582_912.0;
/// Numbers that are looked at side by side, so that the compiler can use vector instructions.
const LANES: usize = 32;
/// Lines of numbers that are added up in float32 before float64 takes over.
const LINES: usize = 64;

/// How far a number, in steps, is from the integer that it becomes; where it cannot leave the grid, it need not be clipped to
/// it. A product with the inverse of the scale is off by less than what could matter to the choice of a scale.
#[inline(always)]
fn off<const CLIP: bool>(steps: f32, low: f32, high: f32) -> f32 {
    let mut clipped = steps;
    if CLIP {
        clipped = if clipped < low { low } else { clipped };
        clipped = if clipped > high { high } else { clipped };
    }
    ((clipped + ROUND) - ROUND) - steps
}

/// Adds the errors at one scale, in steps, to `sums`: their squares, and their products with the means.
#[inline(always)]
fn add<const CLIP: bool>(
    (weights, means): (&[f32], &[f32]),
    scale: f32,
    ends: (f32, f32),
    (square, shift): &mut (f64, f64),
) {
    let inverse = scale.recip();
    let (weights, rest) = weights.as_chunks::<LANES>();
    let (means, rest_means) = means.as_chunks::<LANES>();
    // Zeros have no error.
    let (mut last, mut last_means) = ([0f32; LANES], [0f32; LANES]);
    last[..rest.len()].copy_from_slice(rest);
    last_means[..rest.len()].copy_from_slice(rest_means);
    for (weights, means) in weights.chunks(LINES).zip(means.chunks(LINES)).chain([(&[last][..], &[last_means][..])]) {
        let (mut squares, mut shifts) = ([0f32; LANES], [0f32; LANES]);
        for (w, m) in weights.iter().zip(means) {
            for lane in 0..LANES {
                let e = off::<CLIP>(w[lane] * inverse, ends.0, ends.1);
                squares[lane] += e * e;
                shifts[lane] += m[lane] * e;
            }
        }
        for lane in 0..LANES {
            *square += f64::from(squares[lane]);
            *shift += f64::from(shifts[lane]);
        }
    }
}

/// Blocks that [`best_grids`] looks at together.
pub const SIDE_BY_SIDE: usize = 16;

/// The weights at one place of each of several blocks.
pub type Line = [f32; SIDE_BY_SIDE];

/// Gives each grid the scale of least square error for its own block of weights: those at the grid's place in each line of
/// `tile`, all of which it covers; and, unless zero is in the middle, the best zero point of its own and the two beside it: of
/// few integers each counts. The candidates are those of [`best_scale`]; a block is short, so that going through one by
/// one would spend most of the time on adding up lanes.
pub fn best_grids(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], symmetric: bool) {
    let zero_points: &[i32] = if symmetric { &[0] } else { &[0, -1, 1] };
    on_vectors!(
        "avx512f,avx512bw,avx512dq,avx512vl",
        best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], zero_points: &[i32]) -> ()
    );
    on_vectors!("avx2", best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], zero_points: &[i32]) -> ());
    best_of_tile(tile, grids, zero_points);
}

#[inline(always)]
fn best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], zero_points: &[i32]) {
    let (low, high) = grids[0].dtype.limits();
    let base = grids.map(|grid| grid.scale);
    let ends = |zeros: &[i32; SIDE_BY_SIDE]| (zeros.map(|z| (low - z) as f32), zeros.map(|z| (high - z) as f32));
    let zeros = grids.map(|grid| grid.zero_point);
    let mut best = errors_of_tile::<false>(tile, &base, &ends(&zeros));
    let (mut found, mut found_zeros) = (base, zeros);
    for &step in zero_points {
        let zeros = zeros.map(|zero| (zero + step).clamp(low, high));
        let ends = ends(&zeros);
        for i in 0..STEPS {
            let share = share(i, &grids[0]);
            let scales = base.map(|base| base * share);
            // Beside another zero point, what covered a block may not.
            let errors = match share < 1.0 || step != 0 {
                true => errors_of_tile::<true>(tile, &scales, &ends),
                false => errors_of_tile::<false>(tile, &scales, &ends),
            };
            // Without branches, as all lanes go together.
            for lane in 0..SIDE_BY_SIDE {
                let usable = (scales[lane] >= f32::MIN_POSITIVE) & (scales[lane] <= f32::MAX);
                let better = usable & (errors[lane] < best[lane]);
                best[lane] = if better { errors[lane] } else { best[lane] };
                found[lane] = if better { scales[lane] } else { found[lane] };
                found_zeros[lane] = if better { zeros[lane] } else { found_zeros[lane] };
            }
        }
    }
    for (lane, grid) in grids.iter_mut().enumerate() {
        (grid.scale, grid.zero_point) = (found[lane], found_zeros[lane]);
    }
}

/// The squared error of each block at its own scale. What covers a block need not `CLIP` it.
#[inline(always)]
fn errors_of_tile<const CLIP: bool>(tile: &[Line], scales: &Line, ends: &(Line, Line)) -> [f64; SIDE_BY_SIDE] {
    let inverses = scales.map(f32::recip);
    let add = |line: &Line, sums: &mut Line| {
        for lane in 0..SIDE_BY_SIDE {
            let e = off::<CLIP>(line[lane] * inverses[lane], ends.0[lane], ends.1[lane]);
            sums[lane] += e * e;
        }
    };
    let mut errors = [0f64; SIDE_BY_SIDE];
    for lines in tile.chunks(LINES) {
        // Two sums, so that none has to wait for the one before.
        let (mut even, mut odd) = ([0f32; SIDE_BY_SIDE], [0f32; SIDE_BY_SIDE]);
        let (pairs, rest) = lines.as_chunks::<2>();
        for [first, second] in pairs {
            add(first, &mut even);
            add(second, &mut odd);
        }
        rest.iter().for_each(|line| add(line, &mut even));
        (0..SIDE_BY_SIDE).for_each(|lane| errors[lane] += f64::from(even[lane] + odd[lane]));
    }
    (0..SIDE_BY_SIDE).for_each(|lane| errors[lane] *= f64::from(scales[lane]).powi(2));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{GridType, Scheme};

    const S8: Scheme = Scheme::new(GridType::Int8, true);

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn widest(weights: &[f32]) -> Params {
        let most = weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        Params::from_range(-most, most, S8)
    }

    /// The error by its definition.
    fn plain(weights: &[f32], means: &[f32], params: &Params, variance: f64) -> f64 {
        let errors: Vec<f64> =
            weights.iter().map(|&w| f64::from(params.dequantize(params.quantize(w))) - f64::from(w)).collect();
        let shift: f64 = errors.iter().zip(means).map(|(e, &m)| e * f64::from(m)).sum();
        variance * errors.iter().map(|e| e * e).sum::<f64>() + shift * shift
    }

    #[test]
    fn no_other_candidate_is_better() {
        for (count, seed) in [(9, 1), (27, 2), (64, 3), (1000, 4)] {
            let (weights, means) = (numbers(count, seed), vec![0.7; count]);
            let widest = widest(&weights);
            let channel = Channel { weights: &weights, means: &means };
            let scale = best_scale(&[channel], &widest, 0.3, 0.0);
            let at = |scale: f32| plain(&weights, &means, &Params { scale, ..widest }, 0.3);
            let found = at(scale);
            assert!(found <= at(widest.scale), "{count}");
            for i in 0..STEPS {
                let share = NARROWEST + (WIDEST - NARROWEST) * i as f32 / (STEPS - 1) as f32;
                assert!(found <= at(widest.scale * share) * 1.001, "{count}: {share}");
            }
        }
    }

    #[test]
    fn no_other_candidate_is_better_for_a_block() {
        for (count, symmetric) in [(1, true), (9, false), (32, true), (32, false), (1100, true)] {
            let blocks: [_; SIDE_BY_SIDE] = std::array::from_fn(|seed| numbers(count, 7 * seed as u32 + 1));
            let scheme = Scheme::new(GridType::Int4, symmetric);
            let mut wide: [Params; SIDE_BY_SIDE] = std::array::from_fn(|i| {
                let most = blocks[i].iter().fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
                Params::from_range(most.0, most.1, scheme)
            });
            wide[3].scale = f32::MIN_POSITIVE;
            let mut grids = wide;
            let tile: Vec<Line> = (0..count).map(|at| std::array::from_fn(|i| blocks[i][at])).collect();
            best_grids(&tile, &mut grids, symmetric);
            let means = vec![0.0; count];
            for ((block, widest), found) in blocks.iter().zip(&wide).zip(&grids) {
                let steps = (found.zero_point - widest.zero_point).abs();
                assert!(steps <= i32::from(!symmetric), "{found:?} beside {widest:?}");
                let at = |grid: &Params| plain(block, &means, grid, 1.0);
                let scale = best_scale(&[Channel { weights: block, means: &means }], widest, 1.0, 0.0);
                let alone = Params { scale, ..*widest };
                assert!(at(found) <= at(&alone) * 1.0001, "{count} {symmetric}: {found:?} {alone:?}");
            }
        }
    }

    #[test]
    fn a_zero_point_beside_is_taken_where_it_is_better() {
        // One weight far below the others is worth less than a finer grid for these.
        let block: Vec<f32> = [-2.5].into_iter().chain((0..640).map(|i| i as f32 * 12.5 / 639.0)).collect();
        let widest = Params::from_range(-2.5, 12.5, Scheme::new(GridType::Uint4, false));
        let tile: Vec<Line> = block.iter().map(|&w| [w; SIDE_BY_SIDE]).collect();
        let found = |symmetric| {
            let mut grids = [widest; SIDE_BY_SIDE];
            best_grids(&tile, &mut grids, symmetric);
            (plain(&block, &[0.0; 641], &grids[0], 1.0), grids[0].zero_point)
        };
        let ((fixed, zero), (free, beside)) = (found(true), found(false));
        assert_eq!((zero, beside), (widest.zero_point, widest.zero_point - 1));
        assert!(free < fixed, "{free} {fixed}");
    }

    #[test]
    fn the_shift_of_a_short_filter_behind_a_relu_goes() {
        let (mut before, mut after) = (0.0, 0.0);
        for seed in 0..50 {
            let (weights, means) = (numbers(9, seed), vec![1.0; 9]);
            let widest = widest(&weights);
            let scale = best_scale(&[Channel { weights: &weights, means: &means }], &widest, 0.2, 0.0);
            before += plain(&weights, &means, &widest, 0.2);
            after += plain(&weights, &means, &Params { scale, ..widest }, 0.2);
        }
        assert!(after < before / 2.0, "{before} became {after}");
    }

    #[test]
    fn a_least_scale_is_kept_and_zeros_change_nothing() {
        let weights = numbers(16, 5);
        let (widest, means) = (widest(&weights), vec![0.0; 16]);
        let least = widest.scale * 1.4;
        let channel = || Channel { weights: &weights, means: &means };
        assert!(best_scale(&[channel()], &widest, 1.0, least) >= least);
        let zeros = [0.0; 16];
        let dead = Channel { weights: &zeros, means: &means };
        assert_eq!(best_scale(&[dead], &Params::from_range(0.0, 0.0, S8), 1.0, 0.0), 1.0);
    }
}
