//! What the policy demands of the result, against what was measured.

use super::compare::Comparison;
use crate::policy::Thresholds;
use serde::Serialize;

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

/// A demand, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The threshold's name in the policy.
    pub threshold: &'static str,
    /// What it demands.
    pub wanted: f64,
    /// What was measured; `None` when nothing could be.
    pub found: Option<f64>,
    /// Whether it was met. One that cannot be checked is missed: a check that did not run is no success.
    pub met: bool,
}

/// Every threshold that is set, against `comparison`. Of several outputs the worst counts.
pub fn checks(thresholds: &Thresholds, comparison: Option<&Comparison>) -> Vec<Check> {
    let outputs = comparison.map_or(&[][..], |c| &c.outputs);
    let classes = comparison.and_then(|c| c.classification.as_ref());
    let worst = |f: fn(&super::OutputError) -> f64, pick: fn(f64, f64) -> f64| outputs.iter().map(f).reduce(pick);
    let broken = outputs.iter().any(|o| o.not_finite > 0);
    let noise =
        |o: &super::OutputError| o.sqnr_db.unwrap_or(if o.identical { f64::INFINITY } else { f64::NEG_INFINITY });
    let sqnr = outputs.iter().map(noise).reduce(f64::min).filter(|_| !broken);
    let cosine = worst(|o| o.cosine.unwrap_or(1.0), f64::min).filter(|_| !broken);
    let mse = worst(|o| o.mse, f64::max).filter(|_| !broken);
    let max_abs = worst(|o| o.max_abs, f64::max).filter(|_| !broken);
    let drop = classes.and_then(|c| Some(c.top1_float? - c.top1_quantized?));
    // A measure that one output has not is missing.
    let task = |name: &str| {
        let found = comparison.into_iter().flat_map(|c| &c.tasks).map(|task| task.measure.share());
        let found: Option<Vec<f64>> = found.filter(|share| share.0 == name).map(|share| share.1).collect();
        found.and_then(|found| found.into_iter().reduce(f64::min))
    };
    let at_least = |threshold, wanted: Option<f64>, found: Option<f64>| {
        let wanted = wanted?;
        Some(Check { threshold, wanted, found, met: found.is_some_and(|f| f >= wanted) })
    };
    let at_most = |threshold, wanted: Option<f64>, found: Option<f64>| {
        let wanted = wanted?;
        Some(Check { threshold, wanted, found, met: found.is_some_and(|f| f <= wanted) })
    };
    let checks = [
        at_most("top1_drop", thresholds.top1_drop, drop),
        at_least("top1_agreement", thresholds.top1_agreement, classes.map(|c| c.top1_agreement)),
        at_least("top5_agreement", thresholds.top5_agreement, classes.map(|c| c.top5_agreement)),
        at_least("f1", thresholds.f1, task("f1")),
        at_least("iou", thresholds.iou, task("iou")),
        at_least("text_match", thresholds.text_match, task("text_match")),
        at_least("neighbours", thresholds.neighbours, task("neighbours")),
        at_least("sqnr_db", thresholds.sqnr_db, sqnr),
        at_least("cosine", thresholds.cosine, cosine),
        at_most("mse", thresholds.mse, mse),
        at_most("max_abs", thresholds.max_abs, max_abs),
    ];
    checks.into_iter().flatten().collect()
}

/// Every threshold that `comparison` misses.
pub fn misses(thresholds: &Thresholds, comparison: Option<&Comparison>) -> Vec<Miss> {
    let missed = checks(thresholds, comparison).into_iter().filter(|check| !check.met);
    missed.map(|Check { threshold, wanted, found, .. }| Miss { threshold, wanted, found }).collect()
}
