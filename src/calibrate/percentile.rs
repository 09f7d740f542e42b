//! The range that a share of the numbers lies in.

use super::histogram::Histogram;

/// The range that leaves out `100 - percent` per cent of the numbers, half of them at each end. It always holds zero.
pub fn range(histogram: &Histogram, percent: f64) -> (f32, f32) {
    let cut = histogram.total() as f64 * (100.0 - percent) / 200.0;
    let width = histogram.width();
    let negative = histogram.bins().filter(|b| b.0 < 0.0).map(|(low, n)| (-low, n));
    let positive = histogram.bins().rev().filter(|b| b.0 >= 0.0).map(|(low, n)| (low + width, n));
    (-edge(negative, cut, width) as f32, edge(positive, cut, width) as f32)
}

/// Walks inwards over bins, given by the magnitude of their outer edge, until `cut` numbers are left behind; the last bin
/// is divided evenly.
fn edge(bins: impl Iterator<Item = (f64, u64)>, cut: f64, width: f64) -> f64 {
    let mut behind = 0.0;
    for (outer, count) in bins {
        let count = count as f64;
        if behind + count > cut {
            return outer - (cut - behind) / count * width;
        }
        behind += count;
    }
    0.0
}
