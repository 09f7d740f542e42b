//! What the steps by which a layer is off say.

use super::AtLevels;
use serde::Serialize;
use std::fmt;
use std::iter::Sum;

/// What NaN counts on one side alone.
const NOT_A_NUMBER: u32 = 255;

/// How far integers are from those of the re-execution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepsApart {
    /// The largest difference, in steps.
    pub steps: u32,
    /// The share of elements that differ, from 0 to 1.
    pub share: f64,
}

/// What the two levels of a runtime say of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerVerdict {
    /// By itself it gives the same integers at both levels.
    Same,
    /// It gives the same to one step: numbers between two steps, which the order of additions moves to one or the other.
    Rounding,
    /// It does without graph optimizations, and with them it gives something else.
    Fusion,
    /// By itself it gives the same to one step; in the whole model, with graph optimizations, it does not, though all that it
    /// reads there is the same.
    Across,
    /// It gives something else even without graph optimizations.
    Disagreement,
    /// The runtime did not run the level that would tell.
    Unknown,
}

impl fmt::Display for LayerVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "the same",
            Self::Rounding => "rounding",
            Self::Fusion => "fusion of the runtime",
            Self::Across => "fusion of the runtime, across layers",
            Self::Disagreement => "disagreement: please report",
            Self::Unknown => "not known",
        })
    }
}

/// Of a layer that is `alone` so far off by itself and `accumulated` in the whole model, where all that it reads is as the
/// re-execution has it by default if `same_before`. So many steps are `rounding`.
pub(super) fn of_layer(alone: AtLevels, accumulated: AtLevels, same_before: bool, rounding: u32) -> LayerVerdict {
    let steps = |apart: Option<StepsApart>| apart.map(|apart| apart.steps);
    let more = |steps: Option<u32>| steps.is_some_and(|steps| steps > rounding);
    match (steps(alone.disable_all), steps(alone.default)) {
        (plain, _) if more(plain) => LayerVerdict::Disagreement,
        (Some(_), default) if more(default) => LayerVerdict::Fusion,
        (_, None) => LayerVerdict::Unknown,
        (None, default) if more(default) => LayerVerdict::Unknown,
        _ if same_before && more(steps(accumulated.default)) => LayerVerdict::Across,
        (Some(0), Some(0)) => LayerVerdict::Same,
        (_, Some(_)) => LayerVerdict::Rounding,
    }
}

/// Sums over the elements of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Apart {
    largest: u32,
    differ: u64,
    count: u64,
}

impl Apart {
    /// Between the places on the grid of two tensors of one shape; none where one is NaN.
    pub fn of(pairs: impl Iterator<Item = (Option<i32>, Option<i32>)>) -> Self {
        let mut sums = Self::default();
        for (a, b) in pairs {
            let apart = match (a, b) {
                (Some(a), Some(b)) => a.abs_diff(b),
                (None, None) => 0,
                _ => NOT_A_NUMBER,
            };
            sums.largest = sums.largest.max(apart);
            sums.differ += u64::from(apart > 0);
            sums.count += 1;
        }
        sums
    }

    pub fn told(self) -> StepsApart {
        StepsApart { steps: self.largest, share: self.differ as f64 / self.count.max(1) as f64 }
    }
}

impl Sum for Apart {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            largest: a.largest.max(b.largest),
            differ: a.differ + b.differ,
            count: a.count + b.count,
        })
    }
}
