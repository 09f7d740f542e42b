//! The range with the least mean squared error, of what is rounded within it and of what it cuts off. Few numbers that are far
//! louder than the others do not decide for all: they weigh less.

use super::loudness::Loudness;
use crate::quant::Scheme;

/// Candidates for each end of the range.
const STEPS: usize = 100;
/// The narrowest candidate, as a share of the largest magnitude on its side.
const NARROWEST: f64 = 0.05;

/// The weight of numbers, of their sum and of the sum of their squares, at and beyond each bin of one side of zero.
struct Tail {
    edges: Vec<f64>,
    moments: Vec<[f64; 3]>,
}

impl Tail {
    /// Of magnitudes, given from the largest down.
    fn new(bins: impl Iterator<Item = (f64, f64)>) -> Self {
        let (mut edges, mut moments) = (Vec::new(), Vec::new());
        let mut sum = [0.0; 3];
        for (magnitude, count) in bins {
            sum = [sum[0] + count, sum[1] + count * magnitude, sum[2] + count * magnitude * magnitude];
            edges.push(magnitude);
            moments.push(sum);
        }
        Self { edges, moments }
    }

    /// The weight of the numbers beyond `limit`, and that of the squares of what `limit` cuts off them.
    fn beyond(&self, limit: f64) -> (f64, f64) {
        let count = self.edges.partition_point(|&m| m > limit);
        if count == 0 {
            return (0.0, 0.0);
        }
        let [n, sum, squares] = self.moments[count - 1];
        (n, (squares - 2.0 * limit * sum + limit * limit * n).max(0.0))
    }

    fn total(&self) -> f64 {
        self.moments.last().map_or(0.0, |m| m[0])
    }
}

/// The best range among shares of what was seen. Each end is searched for itself; a symmetric scheme has one.
pub fn range(numbers: &Loudness, seen: (f32, f32), scheme: Scheme) -> (f32, f32) {
    let (bins, half) = (numbers.weighted(), numbers.all().width() / 2.0);
    let negative = Tail::new(bins.iter().filter(|b| b.0 < 0.0).map(|&(low, n)| (-(low + half), n)));
    let positive = Tail::new(bins.iter().rev().filter(|b| b.0 >= 0.0).map(|&(low, n)| (low + half, n)));
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
    let shares = || (0..STEPS).map(|i| 1.0 - (1.0 - NARROWEST) * i as f64 / (STEPS - 1) as f64);
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
