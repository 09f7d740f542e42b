//! Joint reconstruction of ranges: block by block, in the order of the model and on quantized inputs, the ends of the ranges of a
//! block's activations are chosen together, so that what the block makes is nearest to what it makes in float.
//!
//! The blocks and what is compared are those of Li et al., BRECQ (2021, arXiv:2102.05426), who learn roundings of weights so; that
//! steps of activations are fitted while those before them are rounded is also what Wei et al., QDrop (2022, arXiv:2203.05740) do. Here
//! nothing is learned: one end after the other is moved by shares of what calibration chose, while that helps. Half of the
//! samples fit; the others decide whether a block keeps its ranges.

use crate::error::Result;
use crate::exec::{Chooser, Stretch};
use crate::quant::{Params, Scheme};
use std::collections::HashMap;
use std::time::Instant;

/// What an end is tried at, as shares of what calibration chose.
const SHARES: [f32; 6] = [1.15, 0.95, 0.9, 0.8, 0.7, 0.55];
/// Each end is looked at so often.
const TURNS: usize = 2;
/// So many dB less error on samples that fit make another end worth it.
const LEAST_GAIN_DB: f64 = 0.02;
/// By so many standard errors the others have to gain.
const SURE: f64 = 1.0;
/// What counts as no error.
const NOTHING: f64 = 1e-12;

/// A range that may be another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Free {
    /// Its ends as they are.
    pub ends: (f32, f32),
    /// How its numbers become integers.
    pub scheme: Scheme,
}

impl Free {
    /// The range with one end at a share of where it is: the upper one, or the lower. A grid that is symmetric has both there.
    fn with(&self, ends: (f32, f32), upper: bool, share: f32) -> (f32, f32) {
        match (self.scheme.symmetric, upper) {
            (true, _) => (self.ends.0 * share, self.ends.1 * share),
            (false, true) => (ends.0, self.ends.1 * share),
            (false, false) => (self.ends.0 * share, ends.1),
        }
    }

    /// The sides at which it has an end that can be moved.
    fn sides(&self) -> Vec<bool> {
        let both = [(true, self.ends.1 > 0.0), (false, self.ends.0 < 0.0)];
        let all: Vec<bool> = both.into_iter().filter(|(_, moves)| *moves).map(|(upper, _)| upper).collect();
        if self.scheme.symmetric { all.into_iter().take(1).collect() } else { all }
    }
}

/// Chooses ranges block by block.
pub struct Ranging {
    free: Vec<Free>,
    /// The range that each grid of the program has, where that is free.
    of_grid: Vec<Option<usize>>,
    /// The grids of each range.
    grids: Vec<Vec<usize>>,
    settled: Vec<bool>,
    until: Instant,
    /// The ranges that are others now, by their places.
    pub found: HashMap<usize, (f32, f32)>,
    /// The blocks for which no time was left.
    pub late: usize,
}

impl Ranging {
    /// Looks `until` then for ranges in the place of `free`, which grids have as `of_grid` says.
    pub fn new(free: Vec<Free>, of_grid: Vec<Option<usize>>, until: Instant) -> Self {
        let mut grids = vec![Vec::new(); free.len()];
        for (grid, range) in of_grid.iter().enumerate() {
            range.iter().for_each(|&range| grids[range].push(grid));
        }
        let settled = vec![false; free.len()];
        Self { free, of_grid, grids, settled, until, found: HashMap::new(), late: 0 }
    }

    /// The grids of ranges with these ends.
    fn changes(&self, ranges: &[(usize, (f32, f32))]) -> Vec<(usize, Params)> {
        let of_one = |&(range, (low, high)): &(usize, (f32, f32))| {
            let params = Params::from_range(low, high, self.free[range].scheme);
            self.grids[range].iter().map(move |&grid| (grid, params))
        };
        ranges.iter().flat_map(of_one).collect()
    }

    /// The ranges of a block that samples which fit are nearest with; none where they are as they were.
    fn fitted(&self, stretch: &dyn Stretch, own: &[usize], fit: &[usize]) -> Result<Vec<(usize, (f32, f32))>> {
        let mut best: Vec<(usize, (f32, f32))> = own.iter().map(|&range| (range, self.free[range].ends)).collect();
        let error = |ranges: &[(usize, (f32, f32))]| Ok(mean(&logs(&stretch.errors(&self.changes(ranges), fit)?)));
        let mut least = error(&best)?;
        for _ in 0..TURNS {
            let before = best.clone();
            for at in 0..best.len() {
                let free = self.free[best[at].0];
                for upper in free.sides() {
                    let kept = best[at].1;
                    for share in SHARES {
                        let mut tried = best.clone();
                        tried[at].1 = free.with(kept, upper, share);
                        let of_it = error(&tried)?;
                        if of_it < least - LEAST_GAIN_DB {
                            (least, best) = (of_it, tried);
                        }
                    }
                }
            }
            if best == before {
                break;
            }
        }
        best.retain(|&(range, ends)| ends != self.free[range].ends);
        Ok(best)
    }
}

impl Chooser for Ranging {
    fn choose(&mut self, stretch: &dyn Stretch) -> Result<Vec<(usize, Params)>> {
        let mut own: Vec<usize> = Vec::new();
        for range in stretch.grids().into_iter().filter_map(|grid| self.of_grid.get(grid).copied().flatten()) {
            if !self.settled[range] && !own.contains(&range) {
                own.push(range);
            }
        }
        own.iter().for_each(|&range| self.settled[range] = true);
        if own.is_empty() {
            return Ok(Vec::new());
        }
        if Instant::now() > self.until {
            self.late += 1;
            return Ok(Vec::new());
        }
        let (fit, others): (Vec<usize>, Vec<usize>) = (0..stretch.samples()).partition(|sample| sample % 2 == 0);
        let ranges = self.fitted(stretch, &own, &fit)?;
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        let changes = self.changes(&ranges);
        let [before, after] = [stretch.errors(&[], &others)?, stretch.errors(&changes, &others)?].map(|all| logs(&all));
        let gains: Vec<f64> = before.iter().zip(&after).map(|(before, after)| before - after).collect();
        if !is_sure(&gains) {
            return Ok(Vec::new());
        }
        self.found.extend(ranges);
        Ok(changes)
    }
}

/// Whether samples gain more than by chance.
fn is_sure(gains: &[f64]) -> bool {
    let (count, middle) = (gains.len() as f64, mean(gains));
    let variance = gains.iter().map(|gain| (gain - middle).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    gains.len() > 1 && middle > LEAST_GAIN_DB && middle > SURE * (variance / count).sqrt()
}

/// Errors in dB.
fn logs(errors: &[f64]) -> Vec<f64> {
    errors.iter().map(|error| 10.0 * error.max(NOTHING).log10()).collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

#[cfg(test)]
mod tests;
