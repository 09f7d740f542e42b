//! The grids of least error for blocks of weights, several of them side by side.

use super::{LINES, STEPS, off, share};
use crate::quant::Params;
use crate::vectors::on_vectors;

/// Blocks that [`best_grids`] looks at together.
pub const SIDE_BY_SIDE: usize = 16;

/// The weights at one place of each of several blocks.
pub type Line = [f32; SIDE_BY_SIDE];

/// Gives each grid the scale of least square error for its own block of weights: those at the grid's place in each line of
/// `tile`, all of which it covers; and, unless zero is in the middle, the best zero point of its own and the two beside it: of
/// few integers each counts. The candidates are those of [`best_scale`](super::best_scale); a block is short, so that going through one by
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
