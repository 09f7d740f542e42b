//! Calibration: what values the activations take, and the range that each gets.
//!
//! Samples stream through the model; each observed value leaves a [`Statistics`] of fixed size. Statistics merge, and the
//! merged result does not depend on order, on batching or on the number of threads.

mod channels;
mod collect;
mod entropy;
mod exact_sum;
mod histogram;
mod loudness;
mod mse;
mod percentile;
mod positions;
mod statistics;
mod stored;

pub use collect::collect;
pub use histogram::Histogram;
pub use statistics::Statistics;
pub use stored::{Calibration, ModelDigest};

use crate::policy::Calibrator;
use crate::quant::{ActivationFunction, Scheme};

/// The range that `calibrator` chooses for a value, given how its numbers become integers, and the function that alone reads it, if
/// the error is to be that behind it. Never beyond what was seen. Of
/// floating-point numbers of 8 bits, which are as fine as they are small, the errors that two of them compare say nothing: all
/// that was seen is the range then.
pub fn range(
    statistics: &Statistics,
    calibrator: Calibrator,
    scheme: Scheme,
    behind: Option<ActivationFunction>,
) -> (f32, f32) {
    let seen = statistics.range();
    let (low, high) = match calibrator {
        Calibrator::MinMax => seen,
        Calibrator::Entropy | Calibrator::Mse if scheme.dtype.is_float() => seen,
        Calibrator::MovingAverage => statistics.average_range(),
        Calibrator::Percentile(percent) => percentile::range(&statistics.histogram(), percent),
        Calibrator::Entropy => entropy::range(&statistics.histogram(), seen, scheme),
        Calibrator::Mse => mse::range(&statistics.loudness, seen, scheme, behind),
    };
    (low.max(seen.0).min(0.0), high.min(seen.1).max(0.0))
}

#[cfg(test)]
mod tests;
