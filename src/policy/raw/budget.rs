//! What a search for types has to reach: it is used as it is written.

use super::BudgetType;
use super::one_or_many::{OneOrMany, one_or_many};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a search for types has to reach: one of `top1_drop`, `sqnr_db` and `size_mb`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBudget {
    /// By how much the share of right first guesses may fall, from 0 to 1; without labels, of those that the float model makes.
    #[schemars(range(min = 0, max = 1))]
    pub top1_drop: Option<f64>,
    /// The least ratio of signal to quantization noise of each output, in decibels.
    #[schemars(range(min = 0))]
    pub sqnr_db: Option<f64>,
    /// The largest size of the file, in millions of bytes.
    #[schemars(range(min = 0))]
    pub size_mb: Option<f64>,
    /// What layers may become: `int16`, `float16` and `float32` to lose less, `int4` weights to be smaller. Left out, `float32`, or
    /// `int4` where the size is asked for.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<BudgetType>>")]
    pub types: Option<Vec<BudgetType>>,
    /// At most so many samples are searched on; no sample that calibrates, and none that validates the result. Left out, 32, or 1000
    /// for `top1_drop`.
    #[schemars(range(min = 1))]
    pub samples: Option<usize>,
}
