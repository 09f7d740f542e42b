//! Grids whose errors have the least norm of a power below one, for blocks of weights: most of them near, and a few as far off as
//! they like. After Badri & Shaji, *Half-Quadratic Quantization of Large Machine Learning Models* (2023), which splits the problem:
//! errors are shrunk, large ones by little and small ones to nothing, and what a weight is beyond its shrunk error is fitted by least
//! squares. Each step of the two has a closed form.
//!
//! There the scale stays that of the widest grid, and the zero point is any number. Here the zero point is an integer of the type, so that
//! zero stays zero, and hardly ever another one; so the scale is fitted, too. What the steps lead to is kept where the norm is the least
//! on the way. They start at the widest grid: among many scales the norm asks for one that cuts off far too much.

use super::blocks::{Line, SIDE_BY_SIDE};
use super::{HalfType, LINES, ROUND};
use crate::quant::Params;
use crate::quant::array::{higher, lower};
use crate::vectors::on_vectors;

// The power p of the norm is three quarters (the authors' is 0.7), of which two roots make everything.

/// Errors are shrunk by `|e|^(p - 1) / beta`, in steps of the grid; beta grows from one turn to the next. Both are the authors'.
const FIRST_BETA: f32 = 10.0;
const GROWTH: f32 = 1.01;
/// How often errors are shrunk and the grid is fitted.
const TURNS: usize = 12;
/// Shares of the widest scale at which it starts; integers of 2 bits cannot reach all weights.
const OF_MORE_BITS: [f32; 1] = [1.0];
const OF_TWO_BITS: [f32; 3] = [1.0, 0.75, 0.55];
/// No turn makes a scale so many times larger or smaller: a block without integers but zero would lose it.
const FARTHEST: f32 = 2.0;

/// Gives each grid scale and zero point for which the errors of its own block have the least norm that was found: of the weights at the
/// grid's place in each line of `tile`, all of which it covers. Scales are of the type `kind`, if there is one, as those given are. A
/// grid than which none better was found stays.
pub fn best_by_norm(tile: &[Line], grids: &mut [Params; SIDE_BY_SIDE], kind: Option<HalfType>) {
    let shares = match grids[0].dtype.bits() {
        2 => &OF_TWO_BITS[..],
        _ => &OF_MORE_BITS,
    };
    let found = found(tile, grids, shares);
    let mut settled = *grids;
    for (lane, grid) in settled.iter_mut().enumerate() {
        let scale = kind.map_or(found.scales[lane], |kind| kind.round_up(f64::from(found.scales[lane])) as f32);
        if (f32::MIN_POSITIVE..=f32::MAX).contains(&scale) {
            (grid.scale, grid.zero_point) = (scale, found.zeros[lane] as i32);
        }
    }
    // By the scales as they are stored.
    let (before, after) = (norms(tile, grids), norms(tile, &settled));
    for lane in 0..SIDE_BY_SIDE {
        if after[lane] < before[lane] {
            grids[lane] = settled[lane];
        }
    }
}

/// The norms of the errors of the blocks on their grids, to the power.
fn norms(tile: &[Line], grids: &[Params; SIDE_BY_SIDE]) -> Line {
    on_vectors!(
        "avx512f,avx512bw,avx512dq,avx512vl",
        norms_of(tile: &[Line], grids: &[Params; SIDE_BY_SIDE]) -> Line
    );
    on_vectors!("avx2", norms_of(tile: &[Line], grids: &[Params; SIDE_BY_SIDE]) -> Line);
    norms_of(tile, grids)
}

#[inline(always)]
fn norms_of(tile: &[Line], grids: &[Params; SIDE_BY_SIDE]) -> Line {
    let mut place = Place::of(grids);
    let mut found = Found::at(&place);
    look(tile, &mut place, 0.0, &mut found);
    found.norms
}

fn found(tile: &[Line], grids: &[Params; SIDE_BY_SIDE], shares: &[f32]) -> Found {
    on_vectors!(
        "avx512f,avx512bw,avx512dq,avx512vl",
        best_of_tile(tile: &[Line], grids: &[Params; SIDE_BY_SIDE], shares: &[f32]) -> Found
    );
    on_vectors!("avx2", best_of_tile(tile: &[Line], grids: &[Params; SIDE_BY_SIDE], shares: &[f32]) -> Found);
    best_of_tile(tile, grids, shares)
}

/// The grids that are looked at.
#[derive(Clone, Copy)]
struct Place {
    scales: Line,
    zeros: Line,
    /// The smallest and largest integer.
    limits: (f32, f32),
}

impl Place {
    #[inline(always)]
    fn of(grids: &[Params; SIDE_BY_SIDE]) -> Self {
        let (low, high) = grids[0].dtype.limits();
        let (mut scales, mut zeros) = ([0.0; SIDE_BY_SIDE], [0.0; SIDE_BY_SIDE]);
        for lane in 0..SIDE_BY_SIDE {
            scales[lane] = grids[lane].scale;
            zeros[lane] = grids[lane].zero_point as f32;
        }
        Self { scales, zeros, limits: (low as f32, high as f32) }
    }
}

/// The best that was found for each block.
struct Found {
    norms: Line,
    scales: Line,
    zeros: Line,
}

impl Found {
    #[inline(always)]
    fn at(place: &Place) -> Self {
        Self { norms: [f32::INFINITY; SIDE_BY_SIDE], scales: place.scales, zeros: place.zeros }
    }
}

// Loops instead of iterators and closures: what those call is not compiled for the same processor.
#[inline(always)]
fn best_of_tile(tile: &[Line], grids: &[Params; SIDE_BY_SIDE], shares: &[f32]) -> Found {
    let widest = Place::of(grids);
    let mut found = Found::at(&widest);
    for &share in shares {
        let mut place = widest;
        for lane in 0..SIDE_BY_SIDE {
            place.scales[lane] *= share;
        }
        let mut beta = FIRST_BETA;
        for _ in 0..TURNS {
            look(tile, &mut place, 1.0 / beta, &mut found);
            beta *= GROWTH;
        }
        look(tile, &mut place, 0.0, &mut found);
    }
    found
}

/// Keeps a place where the norm is the least so far, and goes on to the next: with errors that are shrunk by `|e|^(p - 1)` times `pull`.
#[inline(always)]
fn look(tile: &[Line], place: &mut Place, pull: f32, found: &mut Found) {
    let (mut inverses, mut lows, mut highs) = ([0f32; SIDE_BY_SIDE], [0f32; SIDE_BY_SIDE], [0f32; SIDE_BY_SIDE]);
    for lane in 0..SIDE_BY_SIDE {
        inverses[lane] = 1.0 / place.scales[lane];
        lows[lane] = place.limits.0 - place.zeros[lane];
        highs[lane] = place.limits.1 - place.zeros[lane];
    }
    let sums = if pull > 0.0 {
        add_up::<true>(tile, (&inverses, &lows, &highs), pull)
    } else {
        add_up::<false>(tile, (&inverses, &lows, &highs), pull)
    };
    let (low, high) = place.limits;
    // Without branches, as all lanes go together.
    for lane in 0..SIDE_BY_SIDE {
        let root = place.scales[lane].sqrt();
        // The scale to the power of three quarters.
        let norm = sums.norms[lane] * root * root.sqrt();
        let better = norm < found.norms[lane];
        found.norms[lane] = if better { norm } else { found.norms[lane] };
        found.scales[lane] = if better { place.scales[lane] } else { found.scales[lane] };
        found.zeros[lane] = if better { place.zeros[lane] } else { found.zeros[lane] };
        let factor = sums.along[lane] / higher(sums.integers[lane], 1.0);
        let near = factor > 1.0 / FARTHEST && factor < FARTHEST;
        place.scales[lane] *= if near { factor } else { 1.0 };
        let zero = place.zeros[lane] + (sums.beside[lane] / tile.len() as f32 + ROUND - ROUND);
        place.zeros[lane] = lower(higher(zero, low), high);
    }
}

/// Sums over each block, in steps. With weights that are without their shrunk errors, where something is shrunk.
struct Sums {
    /// Of errors to the power.
    norms: Line,
    /// Of weights times integers.
    along: Line,
    /// Of squared integers.
    integers: Line,
    /// Of integers less weights.
    beside: Line,
}

const NOTHING: Sums = Sums {
    norms: [0.0; SIDE_BY_SIDE],
    along: [0.0; SIDE_BY_SIDE],
    integers: [0.0; SIDE_BY_SIDE],
    beside: [0.0; SIDE_BY_SIDE],
};

#[inline(always)]
fn add_up<const SHRINK: bool>(tile: &[Line], (inverses, lows, highs): (&Line, &Line, &Line), pull: f32) -> Sums {
    let mut all = NOTHING;
    // Long sums in parts, as float32 adds little to much only roughly.
    for lines in tile.chunks(LINES) {
        let mut sums = NOTHING;
        for line in lines {
            for lane in 0..SIDE_BY_SIDE {
                let steps = line[lane] * inverses[lane];
                let integer = lower(higher(steps, lows[lane]), highs[lane]) + ROUND - ROUND;
                let error = steps - integer;
                let size = error.abs();
                let root = size.sqrt();
                let quarter = root.sqrt();
                sums.norms[lane] += root * quarter;
                if SHRINK {
                    let shrunk = higher(size - pull / quarter, 0.0).copysign(error);
                    let weight = steps - shrunk;
                    sums.along[lane] += weight * integer;
                    sums.integers[lane] += integer * integer;
                    sums.beside[lane] += integer - weight;
                }
            }
        }
        for lane in 0..SIDE_BY_SIDE {
            all.norms[lane] += sums.norms[lane];
            all.along[lane] += sums.along[lane];
            all.integers[lane] += sums.integers[lane];
            all.beside[lane] += sums.beside[lane];
        }
    }
    all
}
