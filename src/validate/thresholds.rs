//! What is demanded of the result, against what was measured: the limits that the policy states, and those that are usual in the
//! field where it states none.

use super::compare::Comparison;
use super::tasks::Measure;
use super::usual::usual;
use crate::policy::Thresholds;
use serde::Serialize;
use std::fmt;

/// A demand that was not met, or could not be checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Miss {
    /// The threshold's name in the policy.
    pub threshold: &'static str,
    /// What it demands.
    pub wanted: f64,
    /// What was measured; `None` when nothing could be.
    pub found: Option<f64>,
}

/// Who demands something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitOf {
    /// The policy or a flag. Taken at its word.
    Policy,
    /// Everybody, where the policy says nothing. Missed where that is no chance.
    Field,
}

/// What became of a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is kept.
    Met,
    /// It is not, or, where the policy states it, could not be checked: a check that did not run is no success.
    Missed,
    /// What was measured does not settle it.
    Unsettled,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Unsettled => "not settled",
        })
    }
}

/// A demand, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The threshold's name in the policy.
    pub threshold: &'static str,
    /// Who demands it.
    pub limit_of: LimitOf,
    /// What it demands.
    pub wanted: f64,
    /// What was measured; `None` when nothing could be.
    pub found: Option<f64>,
    /// Whether it was met.
    pub outcome: Outcome,
    /// The output, or part of one, that it was measured at, where it is about one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why it was not met, where the number alone does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Check {
    /// Whether it demands at most what it names, and not at least.
    pub fn bounds_above(&self) -> bool {
        bounds_above(self.threshold)
    }

    /// Whether it was met.
    pub fn is_met(&self) -> bool {
        self.outcome == Outcome::Met
    }

    /// One that the policy states, of the number that was found and the output where it was.
    fn stated(threshold: &'static str, wanted: f64, found: Option<(f64, Option<&str>)>) -> Self {
        let met = found.is_some_and(|(found, _)| match bounds_above(threshold) {
            true => found <= wanted,
            false => found >= wanted,
        });
        let outcome = if met { Outcome::Met } else { Outcome::Missed };
        let output = found.and_then(|found| found.1).map(str::to_owned);
        let found = found.map(|found| found.0);
        Self { threshold, limit_of: LimitOf::Policy, wanted, found, outcome, output, why: None }
    }
}

fn bounds_above(threshold: &str) -> bool {
    matches!(threshold, "top1_drop" | "mse" | "relative_mse" | "max_abs")
}

/// Every threshold that is set, against `comparison`, then those of the field that hold beside them. Of several outputs the worst
/// counts. Without a comparison, those of the field are not asked for.
pub fn checks(thresholds: &Thresholds, comparison: Option<&Comparison>) -> Vec<Check> {
    let outputs = comparison.map_or(&[][..], |c| &c.outputs);
    let classes = comparison.and_then(|c| c.classification.as_ref());
    let several = outputs.len() > 1;
    let broken = outputs.iter().any(|o| o.not_finite > 0);
    let worst = |of: &dyn Fn(&super::OutputError) -> Option<f64>, above: bool| {
        let found = outputs.iter().filter_map(|o| Some((of(o)?, several.then_some(o.name.as_str()))));
        let worse = |a: f64, b: f64| if above { a > b } else { a < b };
        found.reduce(|worst, one| if worse(one.0, worst.0) { one } else { worst }).filter(|_| !broken)
    };
    let noise =
        |o: &super::OutputError| o.sqnr_db.unwrap_or(if o.identical { f64::INFINITY } else { f64::NEG_INFINITY });
    // A measure that one output has not is missing.
    let task = |name: &str| {
        let tasks = comparison.into_iter().flat_map(|c| &c.tasks);
        let shares =
            tasks.map(|task| (task.measure.share(), task.output.as_str())).filter(|(share, _)| share.0 == name);
        let shares: Option<Vec<_>> = shares.map(|(share, output)| Some((share.1?, Some(output)))).collect();
        shares?.into_iter().reduce(|worst, one| if one.0 < worst.0 { one } else { worst })
    };
    let lost = classes.and_then(|c| Some((c.top1_float? - c.top1_quantized?, None)));
    let unread = comparison.into_iter().flat_map(|c| &c.tasks).filter_map(|task| match &task.measure {
        Measure::Ctc(text) => Some((text.accuracy_float? - text.accuracy_quantized?, Some(task.output.as_str()))),
        _ => None,
    });
    let drop = lost.into_iter().chain(unread).reduce(|worst, one| if one.0 > worst.0 { one } else { worst });
    let whole = |found: Option<f64>| found.map(|found| (found, None));
    let stated = [
        ("top1_drop", thresholds.top1_drop, drop),
        ("top1_agreement", thresholds.top1_agreement, whole(classes.map(|c| c.top1_agreement))),
        ("top5_agreement", thresholds.top5_agreement, whole(classes.map(|c| c.top5_agreement))),
        ("f1", thresholds.f1, task("f1")),
        ("iou", thresholds.iou, task("iou")),
        ("text_match", thresholds.text_match, task("text_match")),
        ("neighbours", thresholds.neighbours, task("neighbours")),
        ("sqnr_db", thresholds.sqnr_db, worst(&|o| Some(noise(o)), false)),
        ("cosine", thresholds.cosine, worst(&|o| Some(o.cosine.unwrap_or(1.0)), false)),
        ("mse", thresholds.mse, worst(&|o| Some(o.mse), true)),
        ("relative_mse", thresholds.relative_mse, worst(&|o| o.relative_mse.or(o.identical.then_some(0.0)), true)),
        ("max_abs", thresholds.max_abs, worst(&|o| Some(o.max_abs), true)),
    ];
    let stated = stated.into_iter().filter_map(|(name, wanted, found)| Some(Check::stated(name, wanted?, found)));
    stated.chain(comparison.into_iter().flat_map(|comparison| usual(thresholds, comparison))).collect()
}

/// Those of `checks` that are missed.
pub fn misses(checks: &[Check]) -> Vec<Miss> {
    let missed = checks.iter().filter(|check| check.outcome == Outcome::Missed);
    missed.map(|&Check { threshold, wanted, found, .. }| Miss { threshold, wanted, found }).collect()
}
