//! How far a runtime is from the re-execution, and what that says.

use super::super::metrics::{OutputError, Sums};
use serde::Serialize;
use std::fmt;

/// So many dB at least lies noise that is of rounding below that of quantization.
const ROUNDING_DB: f64 = 6.0;

/// Of so few numbers, noise is a matter of chance: quantization may happen to change them little.
const FEW_NUMBERS: u64 = 100;
/// So many steps are then rounding that adds up, too, where more than the output itself is rounded.
const FEW_STEPS: f64 = 4.0;

/// By so many dB may noise lie above that of quantization where a model has numbers of 16 bits: it is re-executed in float32, and
/// each number that 16 bits take to another step of a grid behind them is off by as much as one that quantization takes there.
const HALVES_DB: f64 = 3.0;
/// How much further off than quantization is anywhere a single number may then be.
const HALVES_MOST: f64 = 2.0;

/// How far one output is from another, over all samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distance {
    /// How many numbers were compared.
    #[serde(skip)]
    pub count: u64,
    /// Whether there is no difference at all.
    pub identical: bool,
    /// Signal to noise ratio in dB; `None` when there is no noise, or no signal.
    pub sqnr_db: Option<f64>,
    /// Largest absolute difference.
    pub max_abs: f64,
    /// The same in steps; `None` where a step is 0.
    pub steps: Option<f64>,
    /// Elements that are NaN or infinite in one of the two and not the same in the other.
    pub not_finite: u64,
    /// The sample with the largest squared difference.
    pub worst_sample: Option<String>,
}

impl Distance {
    /// Over samples with their names, in their order; `step` is what differences are measured in.
    pub(in super::super) fn of(samples: &[(&str, Sums)], step: f64) -> Self {
        let OutputError { identical, sqnr_db, max_abs, not_finite, worst_sample, .. } = OutputError::of("", samples);
        let count = samples.iter().map(|(_, sums)| sums.count).sum();
        let steps = (step > 0.0).then(|| max_abs / step);
        Self {
            count,
            identical,
            sqnr_db,
            max_abs,
            steps,
            not_finite,
            worst_sample: worst_sample.filter(|_| !identical),
        }
    }

    /// Whether no number is off by more than a step, give or take the rounding of float32.
    fn is_within(&self, step: f64) -> bool {
        const SLACK: f64 = 1.0 + 1e-3;
        self.not_finite == 0 && self.max_abs <= step * SLACK
    }
}

/// Where the difference of an output from the float model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The runtime computes what the re-execution does, to a step: what is left is quantization.
    Quantization,
    /// It does to more than a step, but to far less than quantization changes (or, with numbers of 16 bits, to no more): numbers between two steps, which the order of
    /// additions pushes to one or the other, and which many layers add up.
    Rounding,
    /// It does without graph optimizations, and something else with them.
    Fusion,
    /// It computes something else even without them.
    Disagreement,
    /// It does not run the model at the level that would tell.
    Refused,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quantization => "quantization",
            Self::Rounding => "quantization, and rounding that adds up",
            Self::Fusion => "fusion of the runtime",
            Self::Disagreement => "disagreement: please report",
            Self::Refused => "refused by the runtime",
        })
    }
}

/// How near a runtime comes to the re-execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Nearness {
    /// To a step.
    Step,
    /// To far less than quantization changes, or to about as much where numbers of 16 bits are rounded, too.
    Rounding,
    /// Not even to that.
    Apart,
}

impl Nearness {
    /// Of a runtime that is `found` away from the re-execution, which quantization took `lost` away from the float model.
    /// `halves`: the model has numbers of 16 bits.
    pub fn of(found: &Distance, lost: &Distance, step: f64, halves: bool) -> Self {
        if found.is_within(step) {
            return Self::Step;
        }
        // What rounding adds up to is noise of its own. A fault shows in some numbers, or in all of them, as more than that.
        let (margin, most) = if halves { (-HALVES_DB, HALVES_MOST) } else { (ROUNDING_DB, 1.0) };
        let below = found.sqnr_db.zip(lost.sqnr_db).is_some_and(|(found, lost)| found >= lost + margin);
        let near = below && found.not_finite == 0 && found.max_abs <= lost.max_abs * most;
        let by_chance = found.count < FEW_NUMBERS && !lost.is_within(step / 2.0);
        match near || by_chance && found.is_within(step * FEW_STEPS) {
            true => Self::Rounding,
            false => Self::Apart,
        }
    }
}

impl Verdict {
    /// From how near the runtime comes to the re-execution at each level; `None` where it does not run the model.
    pub(super) fn of(disable_all: Option<Nearness>, default: Option<Nearness>) -> Self {
        use Nearness::{Apart, Rounding, Step};
        match (disable_all, default) {
            (Some(Apart), _) | (None, Some(Apart)) => Self::Disagreement,
            (Some(_), Some(Apart)) => Self::Fusion,
            (Some(Rounding), Some(_)) | (_, Some(Rounding)) => Self::Rounding,
            (_, Some(Step)) => Self::Quantization,
            (_, None) => Self::Refused,
        }
    }
}
