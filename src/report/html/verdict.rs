//! May it ship? What was measured, against the limits of the policy and those that are usual in the field.

use super::Document;
use super::text::{counted, db, number, percent};
use crate::validate::{
    Check, Comparison, Fault, LimitOf, Outcome, RecordedOutput, RuntimeOutput, Verdict as Kind, checks,
};

/// SQNR in dB below which a tenth of the signal's power is noise.
const NOISY_DB: f64 = 10.0;
/// Fewer samples than these say little.
const FEW_SAMPLES: usize = 100;
/// A lesser share of multiply-accumulates on integers is worth a word.
const MOST_WORK: f64 = 0.9;
/// Names of layers that a sentence has room for.
const NAMES_SHOWN: usize = 3;

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Every limit is met, and there is nothing to look at.
    Yes,
    /// Every limit is met, but there is something to look at.
    YesBut,
    /// What was measured does not settle it.
    Open,
    /// A limit is missed.
    No,
    /// Nothing was measured.
    Unknown,
}

/// The answer with its reasons.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// Why, in a sentence.
    pub sentence: String,
    /// What was checked.
    pub checks: Vec<Check>,
    /// Whose limits these are.
    pub limits: String,
    /// What to look at before it ships.
    pub notes: Vec<String>,
}

impl Answer {
    /// In plain words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Yes => "Yes, ship it",
            Self::YesBut => "Yes, after a look at the notes",
            Self::Open => "Not settled",
            Self::No => "No, not as it is",
            Self::Unknown => "Not known",
        }
    }

    /// The class of the page's style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Self::Yes => "good",
            Self::YesBut | Self::Open | Self::Unknown => "care",
            Self::No => "bad",
        }
    }
}

/// The answer for a document.
pub fn verdict(document: &Document<'_>) -> Verdict {
    let thresholds = document.details.thresholds;
    let notes = notes(document);
    let fell = document.compared.is_ok_and(Comparison::is_broken);
    let comparison = match document.compared {
        Ok(comparison) if comparison.samples > 0 || fell => comparison,
        other => {
            let why = other.err().unwrap_or("there are no samples, and only crash tests were run");
            let checks = checks(&thresholds, None);
            let missed = if checks.is_empty() { "" } else { " The limits of the policy could not be checked." };
            let sentence = format!("The two models were not compared: {why}.{missed}");
            let limits = whose(&checks);
            return Verdict { answer: Answer::Unknown, sentence, checks, limits, notes };
        }
    };
    let checks = checks(&thresholds, Some(comparison));
    let limits = whose(&checks);
    let missed: Vec<String> = checks.iter().filter(|check| check.outcome == Outcome::Missed).map(missed).collect();
    let unsettled: Vec<&Check> = checks.iter().filter(|check| check.outcome == Outcome::Unsettled).collect();
    let told = checks.iter().any(|check| check.limit_of == LimitOf::Policy);
    let faults: Vec<String> = comparison.faults().iter().map(Fault::to_string).collect();
    let quietest = comparison.outputs.iter().filter_map(|output| output.sqnr_db).reduce(f64::min);
    let noise = quietest.filter(|&db| db < NOISY_DB).map(db);
    let (answer, sentence) = if !faults.is_empty() {
        let more = match faults.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        (Answer::No, format!("{}{more}.", capital(&faults[..faults.len().min(NAMES_SHOWN)].join("; "))))
    } else if !missed.is_empty() {
        (Answer::No, format!("{}.", missed.join("; ")))
    } else if let Some(check) = unsettled.first() {
        let noisy =
            noise.map_or(String::new(), |db| format!("; SQNR of {db} says that noise is a large part of an output"));
        let why = check.why.clone().unwrap_or_default();
        (Answer::Open, format!("{}: {why}{noisy}.", self::missed(check)))
    } else if let (Some(db), false) = (noise, told) {
        let why = format!("The usual limit is met, but SQNR of {db} says that noise is a large part of an output.");
        (Answer::Open, why)
    } else {
        let answer = if notes.is_empty() { Answer::Yes } else { Answer::YesBut };
        let samples = counted(comparison.samples, "sample", "samples");
        let sentence = match checks.len() {
            0 => format!("No limit is set; {samples} were compared."),
            1 => format!("The limit of {limits} is met on {samples}."),
            _ => format!("Every limit of {limits} is met on {samples}."),
        };
        (answer, sentence)
    };
    Verdict { answer, sentence, checks, limits, notes }
}

/// Whose limits these are.
fn whose(checks: &[Check]) -> String {
    let any = |of: LimitOf| checks.iter().any(|check| check.limit_of == of);
    match (any(LimitOf::Policy), any(LimitOf::Field)) {
        (true, true) => "the policy and the field",
        (true, false) => "the policy",
        (false, true) => "the field",
        (false, false) => "",
    }
    .to_owned()
}

/// What a check is called, and a number of its kind.
pub fn named(check: &Check, value: f64) -> (&'static str, String) {
    match check.threshold {
        "top1_drop" => ("Drop in top-1 accuracy", format!("{} points", number(value * 100.0))),
        "top1_agreement" => ("Same first guess as the float model", percent(value, 2)),
        "top5_agreement" => ("First guess among the float model's five", percent(value, 2)),
        "f1" => ("F1 of what is detected", format!("{value:.4}")),
        "iou" => ("Intersection over union of masks", format!("{value:.4}")),
        "text_match" => ("Same text as the float model", percent(value, 2)),
        "neighbours" => ("Same nearest neighbour as in the float model", percent(value, 2)),
        "sqnr_db" if value == f64::INFINITY => ("SQNR of the worst output", "no difference".to_owned()),
        "sqnr_db" if value == f64::NEG_INFINITY => ("SQNR of the worst output", "no signal".to_owned()),
        "sqnr_db" => ("SQNR of the worst output", db(value)),
        "cosine" => ("Cosine of the worst output", format!("{value:.5}")),
        "relative_mse" => ("Mean squared error over the square of the range", number(value)),
        "mse" => ("Mean squared error of the worst output", number(value)),
        "max_abs" => ("Largest error of a single number", number(value)),
        other => (other, number(value)),
    }
}

fn missed(check: &Check) -> String {
    let (name, wanted) = named(check, check.wanted);
    let side = if check.bounds_above() { "at most" } else { "at least" };
    match check.found {
        Some(found) => format!("{name} is {}, wanted {side} {wanted}", named(check, found).1),
        None => format!("{name} could not be measured, wanted {side} {wanted}"),
    }
}

/// What to look at.
fn notes(document: &Document<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(comparison) = document.compared
        && (1..FEW_SAMPLES).contains(&comparison.samples)
    {
        let one = match comparison.classes() {
            Some(_) => format!(": each is {} of the accuracy", percent(1.0 / comparison.samples.max(1) as f64, 1)),
            None => String::new(),
        };
        notes.push(format!("Only {} compared{one}.", counted(comparison.samples, "sample was", "samples were")));
    }
    if let Ok(Comparison { reference: Some(reference), .. }) = document.compared {
        let apart = |output: &&RuntimeOutput| matches!(output.verdict, Kind::Fusion | Kind::Disagreement);
        notes.extend(reference.outputs.iter().filter(apart).map(|output| {
            format!("{} computes output {} differently: {}.", reference.runtime, output.name, output.verdict)
        }));
        notes.extend(reference.layers.iter().flat_map(|layers| layers.apart()).take(NAMES_SHOWN).map(|layer| {
            format!(
                "{} computes {} ({}) differently: {}.",
                reference.runtime,
                layer.value,
                layer.operators(),
                layer.verdict
            )
        }));
    }
    if let Ok(Comparison { recorded: Some(recorded), .. }) = document.compared {
        let apart = |output: &&RecordedOutput| matches!(output.verdict, Kind::Fusion | Kind::Disagreement);
        notes.extend(
            recorded
                .outputs
                .iter()
                .filter(apart)
                .map(|output| format!("{} has output {} differently: {}.", recorded.path, output.name, output.verdict)),
        );
    }
    if let Ok(layers) = &document.details.layers {
        let suspects = layers.suspects();
        let names: Vec<String> = suspects
            .iter()
            .take(NAMES_SHOWN)
            .filter_map(|layer| {
                layer.suspect.map(|found| format!("{} ({}, by {})", layer.value, found.cause, db(found.excess_db)))
            })
            .collect();
        let more = if suspects.len() > NAMES_SHOWN { ", …" } else { "" };
        if !suspects.is_empty() {
            let count = counted(suspects.len(), "value is", "values are");
            let doubt = layers.doubt().map_or(String::new(), |_| "; there were too few samples to be sure".to_owned());
            notes.push(format!("{count} off by more than the types explain: {}{more}{doubt}.", names.join(", ")));
        }
    }
    // A report says it itself.
    if document.report.is_none() && document.quantized.bytes > document.float.bytes {
        notes.push("The file is larger than the float model.".to_owned());
    }
    let Some(report) = document.report else { return notes };
    let placement = &report.placement;
    if let Some(share) = placement.integer_work.filter(|&share| share < MOST_WORK && placement.integer > 0) {
        let (left, target) = (percent(1.0 - share, 1), &placement.target);
        notes.push(format!(
            "{left} of the multiply-accumulates run on no integer kernel of {target}: little is gained there."
        ));
    }
    if let Some(was) = &placement.half_input {
        notes.push(format!("What stays float is {}.", was.told));
    }
    if let Some(what) = &report.quantized_input {
        notes.push(format!("The input was quantized already; {what}."));
    }
    notes.extend(report.warnings.iter().map(|warning| format!("{}.", capital(warning))));
    notes
}

/// A sentence with a capital at its beginning.
fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map_or(String::new(), |c| c.to_uppercase().to_string());
    format!("{first}{}", letters.as_str())
}
