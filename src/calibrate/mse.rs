//! The range with the least mean squared error, of what is rounded within it and of what it cuts off. Few numbers that are far
//! louder than the others do not decide for all: they weigh less. Ahead of an activation function that alone reads a value, the error
//! is the one that is left behind it: what the function flattens needs no steps.

use super::loudness::Loudness;
use crate::quant::{ActivationFunction, Scheme};

/// Candidates for each end of the range.
const STEPS: usize = 100;
/// The narrowest candidate, as a share of the largest magnitude on its side.
const NARROWEST: f64 = 0.05;

/// The narrowest one ahead of a function: behind most of them hardly anything is left of what is far below zero.
const NARROWEST_AHEAD: f64 = 0.01;

/// One side of zero: at and beyond each bin the weight of numbers, of what becomes of them, of its square, and of the square of the
/// slope that an error of theirs meets.
struct Tail {
    /// -1 below zero, 1 above.
    side: f64,
    behind: Option<ActivationFunction>,
    edges: Vec<f64>,
    moments: Vec<[f64; 4]>,
}

impl Tail {
    /// Of magnitudes, given from the largest down.
    fn new(side: f64, behind: Option<ActivationFunction>, bins: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut tail = Self { side, behind, edges: Vec::new(), moments: Vec::new() };
        let mut sum = [0.0; 4];
        for (magnitude, count) in bins {
            let (made, slope) = (tail.made(magnitude), behind.map_or(1.0, |function| function.slope(side * magnitude)));
            for (sum, one) in sum.iter_mut().zip([1.0, made, made * made, slope * slope]) {
                *sum += count * one;
            }
            tail.edges.push(magnitude);
            tail.moments.push(sum);
        }
        tail
    }

    /// What becomes of a number of this side.
    fn made(&self, magnitude: f64) -> f64 {
        self.behind.map_or(magnitude, |function| function.of(self.side * magnitude))
    }

    /// The weight of the slopes that errors of numbers beyond `limit` meet, and that of the squares of what `limit` cuts off.
    fn beyond(&self, limit: f64) -> (f64, f64) {
        let count = self.edges.partition_point(|&m| m > limit);
        if count == 0 {
            return (0.0, 0.0);
        }
        let [n, sum, squares, slopes] = self.moments[count - 1];
        let end = self.made(limit);
        (slopes, (squares - 2.0 * end * sum + end * end * n).max(0.0))
    }

    fn total(&self) -> f64 {
        self.moments.last().map_or(0.0, |m| m[3])
    }
}

/// The best range among shares of what was seen. Each end is searched for itself; a symmetric scheme has one.
pub fn range(numbers: &Loudness, seen: (f32, f32), scheme: Scheme, behind: Option<ActivationFunction>) -> (f32, f32) {
    let (bins, half) = (numbers.weighted(), numbers.all().width() / 2.0);
    let negative = Tail::new(-1.0, behind, bins.iter().filter(|b| b.0 < 0.0).map(|&(low, n)| (-(low + half), n)));
    let positive = Tail::new(1.0, behind, bins.iter().rev().filter(|b| b.0 >= 0.0).map(|&(low, n)| (low + half, n)));
    let total = negative.total() + positive.total();
    let (qmin, qmax) = scheme.limits();
    let steps = f64::from(qmax - qmin);
    let error = |low: f64, high: f64| {
        let (n_low, cut_low) = negative.beyond(low);
        let (n_high, cut_high) = positive.beyond(high);
        let step = if scheme.symmetric { 2.0 * low.max(high) } else { low + high } / steps;
        cut_low + cut_high + (total - n_low - n_high) * step * step / 12.0
    };
    let (low, high) = (f64::from(-seen.0).max(0.0), f64::from(seen.1).max(0.0));
    let share = |i: usize| {
        let part = i as f64 / (STEPS - 1) as f64;
        match behind {
            None => 1.0 - (1.0 - NARROWEST) * part,
            Some(_) => NARROWEST_AHEAD.powf(part),
        }
    };
    let shares = || (0..STEPS).map(share);
    let mut best = (error(low, high), low, high);
    let mut consider = |l: f64, h: f64| {
        let e = error(l, h);
        // Strictly better only: on a tie the wider range, which comes first, stays.
        if e < best.0 {
            best = (e, l, h);
        }
    };
    if scheme.symmetric {
        let largest = low.max(high);
        shares().for_each(|share| consider(low.min(largest * share), high.min(largest * share)));
    } else {
        for share in shares() {
            for other in shares().take(if low == 0.0 { 1 } else { STEPS }) {
                consider(low * other, high * share);
            }
        }
    }
    (-best.1 as f32, best.2 as f32)
}
