//! Errors that types do not explain, and what they are due to.

use serde::Serialize;
use std::fmt;

/// Excess from which on a layer is suspect, in dB: of its weights or bias (a search for scales that cuts weights off makes up to 5),
pub(super) const WEIGHTS_DB: f64 = 5.0;
/// and of all that a grid does whose range is wrong.
pub(super) const RANGE_DB: f64 = 7.0;

/// The same of the steps of a grid of which `count` numbers were seen. At 6 dB it is twice as wide as they need; few numbers do not
/// reach as far as those that calibrated.
pub(super) fn steps_db(count: u64) -> f64 {
    if count < MANY { 7.0 } else { 6.0 }
}

/// So many numbers show how far a value reaches.
const MANY: u64 = 10_000;

/// An error that types do not explain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Suspect {
    /// What it is due to.
    pub cause: Cause,
    /// By how many dB it exceeds what the types explain.
    pub excess_db: f64,
}

/// What an error that types do not explain is due to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Weights or bias.
    Weights,
    /// A grid that is too wide, or that of something else.
    Steps,
    /// A grid that cuts off a good part of the numbers.
    Range,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "its weights or bias",
            Self::Steps => "its grid",
            Self::Range => "the range of its grid",
        })
    }
}
