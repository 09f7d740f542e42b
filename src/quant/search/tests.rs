//! The scales that are found, beside all that could have been.

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
        let scale = best_scale(&[channel], &widest, 0.3, 0.0, None);
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
fn blocks_are_as_near_as_with_every_candidate() {
    for (bits, count, symmetric) in
        [(4, 1, true), (4, 9, false), (4, 32, true), (4, 32, false), (4, 1100, true), (2, 32, false), (8, 32, false)]
    {
        let scheme = Scheme::new([GridType::Int2, GridType::Int4, GridType::Int8][bits / 4], symmetric);
        let (mut all, mut all_alone, mut nothing) = (0.0, 0.0, 0.0);
        for seed in 0..20 {
            let blocks: [_; SIDE_BY_SIDE] = std::array::from_fn(|i| numbers(count, 1000 * seed + 7 * i as u32 + 1));
            let mut wide: [Params; SIDE_BY_SIDE] = std::array::from_fn(|i| {
                let most = blocks[i].iter().fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
                Params::from_range(most.0, most.1, scheme)
            });
            wide[3].scale = f32::MIN_POSITIVE;
            let mut grids = wide;
            let tile: Vec<Line> = (0..count).map(|at| std::array::from_fn(|i| blocks[i][at])).collect();
            best_grids(&tile, &mut grids, symmetric);
            assert_eq!(grids[3], wide[3]);
            let means = vec![0.0; count];
            for (lane, ((block, widest), found)) in blocks.iter().zip(&wide).zip(&grids).enumerate() {
                let steps = (found.zero_point - widest.zero_point).abs();
                assert!(steps <= i32::from(!symmetric), "{found:?} beside {widest:?}");
                let at = |grid: &Params| plain(block, &means, grid, 1.0);
                // What float32 has of error, where a block is on its grid already.
                let rounding = f64::from(widest.scale).powi(2) * 1e-6;
                nothing += rounding;
                assert!(at(found) <= at(widest) * 1.0001 + rounding, "{count}: {found:?} {widest:?}");
                if lane != 3 {
                    let scale = best_scale(&[Channel { weights: block, means: &means }], widest, 1.0, 0.0, None);
                    all += at(found);
                    all_alone += at(&Params { scale, ..*widest });
                }
            }
        }
        assert!(all <= all_alone * 1.01 + nothing, "{bits} {count} {symmetric}: {all} {all_alone}");
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
        let scale = best_scale(&[Channel { weights: &weights, means: &means }], &widest, 0.2, 0.0, None);
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
    assert!(best_scale(&[channel()], &widest, 1.0, least, None) >= least);
    let zeros = [0.0; 16];
    let dead = Channel { weights: &zeros, means: &means };
    assert_eq!(best_scale(&[dead], &Params::from_range(0.0, 0.0, S8), 1.0, 0.0, None), 1.0);
}

#[test]
fn the_scale_is_the_best_of_those_that_16_bits_hold() {
    let weights: Vec<f32> = numbers(96, 7).iter().map(|w| w * 0.011).collect();
    let means = vec![0.1; 96];
    for kind in [HalfType::Float16, HalfType::Bfloat16] {
        let widest = Params::from_range(-0.011, 0.011, Scheme { scales: Some(kind), ..S8 });
        let channel = Channel { weights: &weights, means: &means };
        let scale = best_scale(&[channel], &widest, 0.3, 0.0, Some(kind));
        assert_eq!(kind.round(scale), scale);
        let error = |scale: f32| {
            let grid = Params { scale, ..widest };
            let (mut square, mut shift) = (0f64, 0f64);
            for w in &weights {
                let e = f64::from(grid.dequantize(grid.quantize(*w)) - w);
                (square, shift) = (square + e * e, shift + 0.1 * e);
            }
            0.3 * square + shift * shift
        };
        // Every candidate is one that can be stored.
        for i in 0..STEPS {
            let other = kind.round_up(f64::from(widest.scale * share(i, &widest))) as f32;
            assert!(error(scale) <= error(other) * 1.001, "{kind} {scale} {other}");
        }
    }
}

/// The norm of errors, to the power, by its definition.
fn norm(weights: &[f32], grid: &Params) -> f64 {
    weights.iter().map(|&w| f64::from(grid.dequantize(grid.quantize(w)) - w).abs().powf(0.75)).sum()
}

fn spanning(weights: &[f32], scheme: Scheme) -> Params {
    let (low, high) = weights.iter().fold((0f32, 0f32), |(l, h), &w| (l.min(w), h.max(w)));
    Params::from_range(low, high, scheme)
}

#[test]
fn the_norm_is_never_larger_than_on_the_widest_grid_and_mostly_smaller() {
    for dtype in [GridType::Int2, GridType::Uint4, GridType::Int4, GridType::Uint8] {
        for (count, kind) in
            [(1, None), (9, Some(HalfType::Bfloat16)), (32, None), (32, Some(HalfType::Float16)), (700, None)]
        {
            let scheme = Scheme { scales: kind, ..Scheme::new(dtype, false) };
            // Mostly small, a few large.
            let block =
                |i: usize| numbers(count, 11 * i as u32 + 5).iter().map(|w| w * w * w + 0.1).collect::<Vec<_>>();
            let blocks: [_; SIDE_BY_SIDE] = std::array::from_fn(block);
            let mut wide: [Params; SIDE_BY_SIDE] = std::array::from_fn(|i| spanning(&blocks[i], scheme));
            wide[3].scale = f32::MIN_POSITIVE;
            let mut grids = wide;
            let tile: Vec<Line> = (0..count).map(|at| std::array::from_fn(|i| blocks[i][at])).collect();
            best_by_norm(&tile, &mut grids, kind);
            let mut smaller = 0;
            for (lane, (found, widest)) in grids.iter().zip(&wide).enumerate() {
                assert_eq!(found.check(), Ok(()), "{dtype} {count}");
                assert!(kind.is_none_or(|kind| lane == 3 || kind.round(found.scale) == found.scale), "{found:?}");
                let (before, after) = (norm(&blocks[lane], widest), norm(&blocks[lane], found));
                // What float32 has of error, on sums of powers.
                let nothing = f64::from(widest.scale) * 256.0 * 3e-7;
                let rounding = 1e-4 * before + count as f64 * nothing.powf(0.75);
                assert!(after <= before + rounding, "{dtype} {count}: {found:?} {widest:?}, {after} {before}");
                smaller += usize::from(after < before * 0.999);
            }
            assert!(count < 32 || smaller > SIDE_BY_SIDE / 2, "{dtype} {count} {kind:?}: {smaller}");
        }
    }
}

#[test]
fn blocks_of_zeros_and_of_what_is_no_number_keep_their_grids() {
    let scheme = Scheme::new(GridType::Uint4, false);
    let wide = [Params::from_range(0.0, 0.0, scheme), Params::from_range(-1.0, f32::MAX, scheme)];
    let mut grids: [Params; SIDE_BY_SIDE] = std::array::from_fn(|i| wide[i % 2]);
    let line = |number: f32| std::array::from_fn(|i| if i % 2 == 0 { 0.0 } else { number });
    best_by_norm(&[line(f32::MAX), line(-1.0), line(f32::NAN)], &mut grids, None);
    assert!(grids.iter().enumerate().all(|(i, grid)| *grid == wide[i % 2]), "{grids:?}");
}

#[test]
fn a_weight_far_from_the_others_loses_to_them() {
    // All others are multiples of a tenth.
    let block: Vec<f32> = (0..60).map(|i| (i % 15 - 7) as f32 * 0.1).chain([0.84]).collect();
    let scheme = Scheme::new(GridType::Uint4, false);
    let tile: Vec<Line> = block.iter().map(|&w| [w; SIDE_BY_SIDE]).collect();
    let (mut by_norm, mut by_squares) =
        ([spanning(&block, scheme); SIDE_BY_SIDE], [spanning(&block, scheme); SIDE_BY_SIDE]);
    best_by_norm(&tile, &mut by_norm, None);
    best_grids(&tile, &mut by_squares, false);
    let middle = |grid: &Params| {
        let mut errors: Vec<f32> = block.iter().map(|&w| (grid.dequantize(grid.quantize(w)) - w).abs()).collect();
        errors.sort_by(f32::total_cmp);
        errors[errors.len() / 2]
    };
    assert!(middle(&by_norm[0]) < middle(&by_squares[0]), "{:?} {:?}", by_norm[0], by_squares[0]);
}
