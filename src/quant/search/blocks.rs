//! The grids of least error for blocks of weights, several of them side by side.
//!
//! Rounding weights `w_k` at a scale gives integers `q_k`; among all scales these are nearest to the weights at
//! `sum(w_k q_k) / sum(q_k^2)`, and rounding anew there can only come nearer still. So that few candidates come to what many
//! would without: each stands for all scales around it.

use super::{LINES, ROUND, share};
use crate::quant::Params;
use crate::quant::array::{higher, lower};
use crate::vectors::on_vectors;

/// Blocks that [`best_grids`] looks at together.
pub const SIDE_BY_SIDE: usize = 16;

/// The weights at one place of each of several blocks.
pub type Line = [f32; SIDE_BY_SIDE];

/// Shares of the widest scale that are tried for integers of 4 bits and of 2; the widest is the first. Of 8 bits all of
/// [`best_scale`](super::best_scale) are: there the error depends on how each weight happens to fall.
const OF_FOUR_BITS: [f32; 8] = [1.0, 0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15];
const OF_TWO_BITS: [f32; 7] = [1.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Gives each grid the scale of least square error for its own block of weights: those at the grid's place in each line of
/// `tile`, all of which it covers; and, unless zero is in the middle, the best zero point of its own and the two beside it: of
/// few integers each counts. A block is short, so that going through one by one would spend most of the time on adding up
/// lanes.
pub fn best_grids(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], symmetric: bool) {
    let mut shares = [1.0; super::STEPS + 1];
    let shares = match grids[0].dtype.bits() {
        2 => &OF_TWO_BITS[..],
        4 => &OF_FOUR_BITS,
        _ => {
            shares[1..].iter_mut().enumerate().for_each(|(i, tried)| *tried = share(i, &grids[0]));
            &shares
        }
    };
    on_vectors!(
        "avx512f,avx512bw,avx512dq,avx512vl",
        best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], shares: &[f32], symmetric: bool) -> ()
    );
    on_vectors!(
        "avx2",
        best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], shares: &[f32], symmetric: bool) -> ()
    );
    best_of_tile(tile, grids, shares, symmetric);
}

/// What is known of the grids before the search.
struct Given {
    /// One divided by the widest scale.
    inverses: Line,
    /// The smallest and largest integer.
    limits: (f32, f32),
}

/// The best that was found for each block.
struct Found {
    errors: Line,
    /// Scales, as shares of the widest.
    shares: Line,
    zeros: Line,
}

// Loops instead of iterators and closures: what those call is not compiled for the same processor.
#[inline(always)]
fn best_of_tile(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], shares: &[f32], symmetric: bool) {
    let (low, high) = grids[0].dtype.limits();
    let mut given = Given { inverses: [0.0; SIDE_BY_SIDE], limits: (low as f32, high as f32) };
    let mut zeros = [0f32; SIDE_BY_SIDE];
    for lane in 0..SIDE_BY_SIDE {
        given.inverses[lane] = 1.0 / grids[lane].scale;
        zeros[lane] = grids[lane].zero_point as f32;
    }
    let mut found = Found { errors: [f32::INFINITY; SIDE_BY_SIDE], shares: [1.0; SIDE_BY_SIDE], zeros };
    for &share in shares {
        attempt(tile, &given, &[share; SIDE_BY_SIDE], &zeros, &mut found);
    }
    if !symmetric {
        // At a zero point beside, the same scale, and one at which the end that gets another integer stays where it was.
        let best = found.shares;
        for step in [-1.0, 1.0] {
            let (mut beside, mut finer) = (zeros, best);
            for lane in 0..SIDE_BY_SIDE {
                let room = if step < 0.0 { given.limits.1 - zeros[lane] } else { zeros[lane] - given.limits.0 };
                let room = higher(room, 1.0);
                finer[lane] *= room / (room + 1.0);
                beside[lane] = lower(higher(zeros[lane] + step, given.limits.0), given.limits.1);
            }
            attempt(tile, &given, &best, &beside, &mut found);
            attempt(tile, &given, &finer, &beside, &mut found);
        }
    }
    let (shares, zeros) = (found.shares, found.zeros);
    attempt(tile, &given, &shares, &zeros, &mut found);
    for (lane, grid) in grids.iter_mut().enumerate() {
        let scale = grid.scale * found.shares[lane];
        if (f32::MIN_POSITIVE..=f32::MAX).contains(&scale) {
            (grid.scale, grid.zero_point) = (scale, found.zeros[lane] as i32);
        }
    }
}

/// Rounds each block at a share of its widest scale, and keeps the scale at which those integers are nearest where that is
/// nearer than what was found before.
#[inline(always)]
fn attempt(tile: &[Line], given: &Given, shares: &Line, zeros: &Line, found: &mut Found) {
    let (mut inverses, mut lows, mut highs) = ([0f32; SIDE_BY_SIDE], [0f32; SIDE_BY_SIDE], [0f32; SIDE_BY_SIDE]);
    for lane in 0..SIDE_BY_SIDE {
        inverses[lane] = given.inverses[lane] / shares[lane];
        lows[lane] = given.limits.0 - zeros[lane];
        highs[lane] = given.limits.1 - zeros[lane];
    }
    let sums = add_up(tile, &inverses, &lows, &highs);
    // Without branches, as all lanes go together.
    for lane in 0..SIDE_BY_SIDE {
        // The part of the error that another scale takes away. Squares of integers add up to nothing or to one at least.
        let along = sums.along[lane] / higher(sums.integers[lane], 1.0);
        let error = (sums.errors[lane] - along * sums.along[lane]) * shares[lane] * shares[lane];
        let better = error < found.errors[lane];
        found.errors[lane] = if better { error } else { found.errors[lane] };
        found.shares[lane] = if better { shares[lane] * (1.0 - along) } else { found.shares[lane] };
        found.zeros[lane] = if better { zeros[lane] } else { found.zeros[lane] };
    }
}

/// Sums over each block, in steps: of squared errors, of errors times integers, and of squared integers.
struct Sums {
    errors: Line,
    along: Line,
    integers: Line,
}

const NOTHING: Sums = Sums { errors: [0.0; SIDE_BY_SIDE], along: [0.0; SIDE_BY_SIDE], integers: [0.0; SIDE_BY_SIDE] };

#[inline(always)]
fn add_up(tile: &[Line], inverses: &Line, lows: &Line, highs: &Line) -> Sums {
    let mut all = NOTHING;
    // Long sums in parts, as float32 adds little to much only roughly.
    for lines in tile.chunks(LINES) {
        let mut sums = NOTHING;
        for line in lines {
            for lane in 0..SIDE_BY_SIDE {
                let steps = line[lane] * inverses[lane];
                let integer = lower(higher(steps, lows[lane]), highs[lane]) + ROUND - ROUND;
                let error = integer - steps;
                sums.errors[lane] += error * error;
                sums.along[lane] += error * integer;
                sums.integers[lane] += integer * integer;
            }
        }
        for lane in 0..SIDE_BY_SIDE {
            all.errors[lane] += sums.errors[lane];
            all.along[lane] += sums.along[lane];
            all.integers[lane] += sums.integers[lane];
        }
    }
    all
}
