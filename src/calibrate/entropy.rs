//! The range that keeps the most information: least Kullback-Leibler divergence between the numbers and what a grid leaves
//! of them (S. Migacz, "8-bit inference with TensorRT", GTC 2017), here for grids that need not be symmetric.

use super::histogram::Histogram;
use crate::quant::Scheme;

/// Candidates for each end of the range.
const STEPS: usize = 128;
/// The narrowest candidate, as a share of what was seen.
const NARROWEST: f64 = 0.02;
/// Mass put where the grid leaves none, so that the divergence stays finite.
const FLOOR: f64 = 1e-4;

/// The range of least divergence: both ends of a symmetric scheme together, those of any other one after the other.
pub fn range(histogram: &Histogram, seen: (f32, f32), scheme: Scheme) -> (f32, f32) {
    let bins: Vec<_> = histogram.bins().map(|(low, n)| (low + histogram.width() / 2.0, n as f64)).collect();
    let (low, high) = (f64::from(seen.0).min(0.0), f64::from(seen.1).max(0.0));
    let (qmin, qmax) = scheme.limits();
    let levels = f64::from(qmax - qmin);
    let divergence_at = |l: f64, h: f64| {
        let step = if scheme.symmetric { 2.0 * h.max(-l) } else { h - l } / levels;
        if step > 0.0 { divergence(&bins, l, h, step) } else { f64::INFINITY }
    };
    let (l, h) = if scheme.symmetric {
        let largest = high.max(-low);
        let share = best_share(|share| divergence_at(low.max(-largest * share), high.min(largest * share)));
        (low.max(-largest * share), high.min(largest * share))
    } else {
        let h = high * best_share(|share| divergence_at(low, high * share));
        (low * best_share(|share| divergence_at(low * share, h)), h)
    };
    (l as f32, h as f32)
}

/// The share of least divergence; on a tie the widest.
fn best_share(divergence: impl Fn(f64) -> f64) -> f64 {
    let shares = (0..STEPS).map(|i| 1.0 - (1.0 - NARROWEST) * i as f64 / (STEPS - 1) as f64);
    shares
        .fold((f64::INFINITY, 1.0), |best, share| {
            let d = divergence(share);
            if d < best.0 { (d, share) } else { best }
        })
        .1
}

/// Divergence of the numbers, with those beyond the ends moved to the ends, from what is left when all bins that round to
/// one level share its mass. Levels come in rising order, so one walk suffices.
fn divergence(bins: &[(f64, f64)], low: f64, high: f64, step: f64) -> f64 {
    let inside: Vec<_> = bins.iter().filter(|(x, _)| (low..=high).contains(x)).copied().collect();
    let total: f64 = bins.iter().map(|b| b.1).sum();
    let kept: f64 = inside.iter().map(|b| b.1).sum();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return f64::INFINITY };
    let below: f64 = bins.iter().filter(|b| b.0 < low).map(|b| b.1).sum();
    let above = total - kept - below;
    let (first, last) = (first.0, last.0);
    let mut sum = 0.0;
    let mut start = 0;
    while start < inside.len() {
        let level = (inside[start].0 / step).round();
        let length = inside[start..].iter().take_while(|b| (b.0 / step).round() == level).count();
        let group = &inside[start..start + length];
        let shared = group.iter().map(|b| b.1).sum::<f64>() / length as f64 / kept;
        for &(x, count) in group {
            let extra = if x == first { below } else { 0.0 };
            let extra = extra + if x == last { above } else { 0.0 };
            let p = (count + extra) / total;
            sum += p * (p / shared.max(FLOOR / total)).ln();
        }
        start += length;
    }
    sum
}
