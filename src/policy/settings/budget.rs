//! What a search for types has to reach.

use super::super::raw::BudgetType;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// How many samples are searched on, where the policy does not say: first guesses need more of them than sums of squares.
const SEARCH_SAMPLES: usize = 32;
const GUESSES: usize = 1000;

/// What the model has to keep, and what layers may become for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// What is to be reached.
    pub goal: Goal,
    /// What layers may become, the cheaper ones first.
    pub types: Vec<BudgetType>,
    /// At most so many samples are searched on.
    pub samples: usize,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// By how much the share of right first guesses may fall at most; without labels, of those that the float model makes.
    Top1Drop(f64),
    /// The least SQNR of each output, in dB.
    SqnrDb(f64),
    /// The largest size of the file, in millions of bytes.
    SizeMb(f64),
}

impl Goal {
    /// How many samples are searched on, where the policy does not say.
    pub fn usual_samples(self) -> usize {
        match self {
            Self::Top1Drop(_) => GUESSES,
            Self::SqnrDb(_) | Self::SizeMb(_) => SEARCH_SAMPLES,
        }
    }
}

impl Display for Goal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top1Drop(drop) => write!(f, "top1_drop {drop}"),
            Self::SqnrDb(ratio) => write!(f, "sqnr_db {ratio}"),
            Self::SizeMb(size) => write!(f, "size_mb {size}"),
        }
    }
}

impl Display for BudgetType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int4 => "int4",
            Self::Int16 => "int16",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
        })
    }
}
