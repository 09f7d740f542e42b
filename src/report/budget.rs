//! What a search for types found, and what it tried.

use crate::policy::Goal;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// How many layers and assignments are listed.
const SHOWN: usize = 8;

/// What a search for types found.
#[derive(Debug, Clone, Serialize)]
pub struct BudgetSummary {
    /// What was to be reached.
    pub wanted: Goal,
    /// How many samples were searched on; none of them calibrates, and none validates the result.
    pub samples: usize,
    /// How many layers the search could choose from.
    pub candidates: usize,
    /// The layers that become something else.
    pub chosen: Vec<Chosen>,
    /// What that is worth on the samples that were searched on.
    pub found: Assignment,
    /// Of all assignments that were tried those that no other beats in both cost and loss, the cheapest first; where the size is
    /// asked for, in both size and loss.
    pub front: Vec<Assignment>,
    /// How many were tried.
    pub tried: usize,
}

/// A layer that becomes something else.
#[derive(Debug, Clone, Serialize)]
pub struct Chosen {
    /// Its node.
    pub node: String,
    /// What it becomes.
    #[serde(rename = "type")]
    pub kind: String,
    /// Why.
    pub why: String,
}

/// What an assignment is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Assignment {
    /// How many layers become something else.
    pub layers: usize,
    /// What it costs to run, by the cost model, beside the model in which none does.
    pub cost: f64,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// SQNR of the worst output in dB; `None` where there is no noise.
    pub sqnr_db: Option<f64>,
    /// By how much the share of right first guesses falls, or of the float model's; `None` where there are no classes.
    pub top1_drop: Option<f64>,
    /// Whether labels say which guesses are right.
    pub labelled: bool,
    /// Whether it reaches what was wanted.
    pub meets: bool,
}

impl Display for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.sqnr_db {
            Some(ratio) => write!(f, "{ratio:.1} dB")?,
            None => f.write_str("exact")?,
        }
        if let Some(drop) = self.top1_drop {
            write!(f, ", top-1 {:+.2} points", -100.0 * drop)?;
        }
        let (layers, s) = (self.layers, if self.layers == 1 { "" } else { "s" });
        write!(f, ", {}, {layers} layer{s} changed, cost {:.2}", super::terminal::size(self.bytes), self.cost)
    }
}

impl Display for BudgetSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (wanted, samples, tried) = (&self.wanted, self.samples, self.tried);
        writeln!(f, "budget       {wanted}: {}; {tried} tried on {samples} samples", self.found)?;
        for Chosen { node, kind, why } in self.chosen.iter().take(SHOWN) {
            writeln!(f, "  {kind:<10} {node}: {why}")?;
        }
        if self.chosen.len() > SHOWN {
            writeln!(f, "             and {} more", self.chosen.len() - SHOWN)?;
        }
        for assignment in self.front.iter().take(SHOWN) {
            writeln!(f, "  front      {assignment}")?;
        }
        Ok(())
    }
}
