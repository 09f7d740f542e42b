//! The limits that are usual in the field, which hold where the policy states none. They are missed where that is no chance.

use super::compare::Comparison;
use super::metrics::{Classification, OutputError};
use super::tasks::{Measure, Measured};
use super::thresholds::{Check, LimitOf, Outcome};
use crate::policy::Thresholds;

/// The loss in top-1 accuracy that is usual for integers of 8 bits, and for numbers of 16 bits, as shares.
const DROP: f64 = 0.02;
const DROP_HALF: f64 = 0.005;
/// The mean squared error that is usual for outputs that are no classes, and whose numbers span a range of 1.
const MSE: f64 = 0.01;
/// The share of what a float model says that its quantized one says, too, from which nobody need look.
const AGREEMENT: f64 = 0.95;
/// Of so many samples whose first guess changed, accuracy loses one or more.
const CHANGED: f64 = 5.0;
/// Deviations of a normal distribution above which a twentieth lies.
const SURE: f64 = 1.645;

/// Those for what was compared, but for what `thresholds` state themselves or switch off.
pub(super) fn usual(thresholds: &Thresholds, comparison: &Comparison) -> Vec<Check> {
    let mut checks = Vec::new();
    if thresholds.defaults == Some(false) {
        return checks;
    }
    let classes = comparison.classes();
    let drop = if comparison.halves { DROP_HALF } else { DROP };
    if let Some(classes) = classes
        && thresholds.top1_drop.is_none()
        && thresholds.top1_agreement.is_none()
    {
        checks.push(match classes.labelled {
            0 => by_agreement(classes, drop),
            labelled => by_labels([classes.worsened, classes.improved, labelled], drop),
        });
    }
    if thresholds.top1_drop.is_none() {
        checks.extend(comparison.tasks.iter().filter_map(|task| match &task.measure {
            Measure::Ctc(text) if text.labelled > 0 => {
                let check = by_labels([text.worsened, text.improved, text.labelled], drop);
                Some(Check { output: Some(task.output.clone()), ..check })
            }
            _ => None,
        }));
    }
    checks.extend(comparison.tasks.iter().filter_map(|task| by_task(thresholds, task)));
    if thresholds.mse.is_none() && thresholds.relative_mse.is_none() {
        checks.extend(by_error(comparison, classes.map(|classes| classes.output.as_str())));
    }
    checks
}

fn check(threshold: &'static str, wanted: f64, found: Option<f64>, outcome: Outcome) -> Check {
    Check { threshold, limit_of: LimitOf::Field, wanted, found, outcome, output: None, why: None }
}

/// A loss of accuracy is one where the lower end of its confidence interval (one-sided, 95 %, of paired differences, with half a
/// sample more in each cell: Agresti and Min, 2005) is beyond the limit.
fn by_labels([worsened, improved, labelled]: [usize; 3], wanted: f64) -> Check {
    let drop = (worsened as f64 - improved as f64) / labelled as f64;
    let (worse, better) = (worsened as f64 + 0.5, improved as f64 + 0.5);
    let count = labelled as f64 + 2.0;
    let difference = worse - better;
    let deviation = (worse + better - difference * difference / count).sqrt() / count;
    let outcome = match drop <= wanted {
        true => Outcome::Met,
        false if difference / count - SURE * deviation > wanted => Outcome::Missed,
        false => Outcome::Unsettled,
    };
    let chance = if outcome == Outcome::Unsettled { ", which may be chance" } else { "" };
    let why = format!("{worsened} of {labelled} labelled samples became wrong and {improved} right{chance}");
    Check { why: (outcome != Outcome::Met).then_some(why), ..check("top1_drop", wanted, Some(drop), outcome) }
}

/// Without labels accuracy is not known. It cannot fall by more than the share of samples whose first guess changed, and is taken to
/// fall by a fifth of that, which is a rule of thumb. The share is one where the lower end of its confidence interval (one-sided, 95 %, Wilson's) is
/// beyond.
fn by_agreement(classes: &Classification, drop: f64) -> Check {
    let changed = 1.0 - classes.top1_agreement;
    let count = classes.samples as f64;
    let square = SURE * SURE;
    let spread = SURE * (changed * (1.0 - changed) / count + square / (4.0 * count * count)).sqrt();
    let least = (changed + square / (2.0 * count) - spread) / (1.0 + square / count);
    let outcome = match classes.top1_agreement >= 1.0 - drop {
        true => Outcome::Met,
        false if least > CHANGED * drop => Outcome::Missed,
        false => Outcome::Unsettled,
    };
    let percent = changed * 100.0;
    let why = match outcome {
        Outcome::Unsettled => "whether to the worse, labels would tell",
        _ => "most likely accuracy falls by more than is usual, and labels would tell",
    };
    let why = format!("the first guess changed for {percent:.1} % of the samples; {why}");
    Check {
        why: (outcome != Outcome::Met).then_some(why),
        ..check("top1_agreement", 1.0 - drop, Some(classes.top1_agreement), outcome)
    }
}

/// What a task says where nobody states what is wanted of it. How much of what differs is worse, only labels tell: it is never
/// missed.
fn by_task(thresholds: &Thresholds, task: &Measured) -> Option<Check> {
    let (threshold, found) = task.measure.share();
    let stated = match &task.measure {
        Measure::Classify(_) => return None,
        // Labels tell more.
        Measure::Ctc(text) if text.labelled > 0 => return None,
        Measure::Ctc(_) => thresholds.text_match,
        Measure::Embed(_) => thresholds.neighbours,
        Measure::Segment(_) | Measure::SegmentClasses(_) => thresholds.iou,
        Measure::Yolo(_) => thresholds.f1,
    };
    let found = found.filter(|_| stated.is_none())?;
    let outcome = if found >= AGREEMENT { Outcome::Met } else { Outcome::Unsettled };
    let why = "how much of what differs is worse, labels would tell".to_owned();
    let why = (outcome != Outcome::Met).then_some(why);
    Some(Check { output: Some(task.output.clone()), why, ..check(threshold, AGREEMENT, Some(found), outcome) })
}

/// Of all outputs but the one of `classes`, or their parts, the one of the largest error.
fn by_error(comparison: &Comparison, classes: Option<&str>) -> Option<Check> {
    let broken = comparison.outputs.iter().find(|output| output.not_finite > 0);
    if let Some(output) = broken {
        let output = Some(output.name.clone());
        return Some(Check { output, ..check("relative_mse", MSE, None, Outcome::Missed) });
    }
    let parts = |output: &OutputError| {
        let boxes = comparison.tasks.iter().find_map(|task| match &task.measure {
            Measure::Yolo(found) if task.output == output.name => Some([found.boxes.clone(), found.scores.clone()]),
            _ => None,
        });
        boxes.map_or_else(|| vec![output.clone()], Vec::from)
    };
    let of = |part: OutputError| Some((part.relative_mse.or(part.identical.then_some(0.0))?, part.name));
    let outputs = comparison.outputs.iter().filter(|output| Some(output.name.as_str()) != classes);
    let found = outputs.flat_map(parts).filter_map(of);
    let (found, name) = found.reduce(|worst, one| if one.0 > worst.0 { one } else { worst })?;
    let outcome = if found <= MSE { Outcome::Met } else { Outcome::Missed };
    let is_one = comparison.outputs.len() == 1 && name == comparison.outputs[0].name;
    Some(Check { output: (!is_one).then_some(name), ..check("relative_mse", MSE, Some(found), outcome) })
}

#[cfg(test)]
mod tests;
