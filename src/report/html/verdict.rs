//! May it ship? What was measured, against the limits of the policy or, where it has none, against those of the field.

use super::text::{counted, db, number, percent};
use super::{Document, classes};
use crate::policy::Thresholds;
use crate::validate::{Check, Comparison, RecordedOutput, RuntimeOutput, Verdict as Kind, checks};

/// The loss in top-1 accuracy that is usual for integers of 8 bits, and for numbers of 16 bits, as shares.
const USUAL_DROP: f64 = 0.02;
const USUAL_DROP_HALF: f64 = 0.005;
/// The mean squared error that is usual for outputs that are no classes.
const USUAL_MSE: f64 = 0.01;
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
    let told = thresholds != Thresholds::default();
    let notes = notes(document);
    let comparison = match document.compared {
        Ok(comparison) => comparison,
        Err(why) => {
            let checks = checks(&thresholds, None);
            let missed = if checks.is_empty() { "" } else { " The limits of the policy could not be checked." };
            let sentence = format!("The two models were not compared: {why}.{missed}");
            let limits = if told { "the policy".to_owned() } else { String::new() };
            return Verdict { answer: Answer::Unknown, sentence, checks, limits, notes };
        }
    };
    let (limits, thresholds) = match told {
        true => ("the policy".to_owned(), thresholds),
        false => usual(comparison, document.details.halves),
    };
    let checks = checks(&thresholds, Some(comparison));
    let missed: Vec<String> = checks.iter().filter(|check| !check.met).map(missed).collect();
    let broken = comparison.outputs.iter().any(|output| output.not_finite > 0);
    let quietest = comparison.outputs.iter().filter_map(|output| output.sqnr_db).reduce(f64::min);
    let noisy = quietest.is_some_and(|db| db < NOISY_DB);
    let refused = comparison.reference.as_ref().and_then(|r| Some((&r.runtime, r.default.refused.as_ref()?)));
    let is_missed = |name: &str| checks.iter().any(|check| !check.met && check.threshold == name);
    let open = if noisy { Answer::No } else { Answer::Open };
    let (answer, sentence) = if broken {
        (Answer::No, "An output is NaN or infinite where the float model's is not.".to_owned())
    } else if let Some((runtime, why)) = refused {
        (Answer::No, format!("{runtime} does not run the model: {why}."))
    } else if missed.is_empty() && !told && noisy {
        let db = db(quietest.unwrap_or_default());
        let why = format!("The usual limit is met, but SQNR of {db} says that noise is a large part of an output.");
        (Answer::Open, why)
    } else if missed.is_empty() {
        let answer = if notes.is_empty() { Answer::Yes } else { Answer::YesBut };
        let samples = counted(comparison.samples, "sample", "samples");
        let one = if checks.len() == 1 { "The limit" } else { "Every limit" };
        (answer, format!("{one} of {limits} is met on {samples}."))
    } else if told || is_missed("top1_drop") {
        (Answer::No, format!("{}.", missed.join("; ")))
    } else if let (true, Some(classes)) = (is_missed("top1_agreement"), classes(comparison)) {
        let changed = percent(1.0 - classes.top1_agreement, 1);
        let why = "whether to the worse is not known without labels: name some to settle it";
        (open, format!("The first guess changed for {changed} of the samples; {why}."))
    } else {
        let why = "That limit is for outputs about as large as 1: state limits that suit this model";
        (open, format!("{}. {why}.", missed.join("; ")))
    };
    Verdict { answer, sentence, checks, limits, notes }
}

/// The limits that are usual in the field for what was compared.
fn usual(comparison: &Comparison, halves: bool) -> (String, Thresholds) {
    let (drop, kind) = if halves { (USUAL_DROP_HALF, "16 bits") } else { (USUAL_DROP, "8 bits") };
    let mut limits = Thresholds::default();
    let labelled = classes(comparison).map(|classes| classes.top1_float.is_some());
    match labelled {
        Some(true) => limits.top1_drop = Some(drop),
        // Accuracy cannot fall by more than the share of the samples whose first guess changed.
        Some(false) => limits.top1_agreement = Some(1.0 - drop),
        None => {}
    }
    // Classes are those of the first output alone.
    if labelled.is_none() || comparison.outputs.len() > 1 {
        limits.mse = Some(USUAL_MSE);
    }
    let what = if labelled.is_some() { format!(" for {kind}") } else { String::new() };
    (format!("the field{what} (the policy has none)"), limits)
}

/// What a check is called, and a number of its kind.
pub fn named(check: &Check, value: f64) -> (&'static str, String) {
    match check.threshold {
        "top1_drop" => ("Drop in top-1 accuracy", format!("{} points", number(value * 100.0))),
        "top1_agreement" => ("Same first guess as the float model", percent(value, 2)),
        "top5_agreement" => ("First guess among the float model's five", percent(value, 2)),
        "sqnr_db" if value == f64::INFINITY => ("SQNR of the worst output", "no difference".to_owned()),
        "sqnr_db" if value == f64::NEG_INFINITY => ("SQNR of the worst output", "no signal".to_owned()),
        "sqnr_db" => ("SQNR of the worst output", db(value)),
        "cosine" => ("Cosine of the worst output", format!("{value:.5}")),
        "mse" => ("Mean squared error of the worst output", number(value)),
        "max_abs" => ("Largest error of a single number", number(value)),
        other => (other, number(value)),
    }
}

/// Whether a check demands at most what it names, and not at least.
pub fn bounds_above(check: &Check) -> bool {
    matches!(check.threshold, "top1_drop" | "mse" | "max_abs")
}

fn missed(check: &Check) -> String {
    let (name, wanted) = named(check, check.wanted);
    let side = if bounds_above(check) { "at most" } else { "at least" };
    match check.found {
        Some(found) => format!("{name} is {}, wanted {side} {wanted}", named(check, found).1),
        None => format!("{name} could not be measured, wanted {side} {wanted}"),
    }
}

/// What to look at.
fn notes(document: &Document<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if let Ok(comparison) = document.compared
        && comparison.samples < FEW_SAMPLES
    {
        let one = match classes(comparison) {
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
            .map(|layer| format!("{} ({}, by {})", layer.value, layer.cause(), db(layer.excess_db())))
            .collect();
        let more = if suspects.len() > NAMES_SHOWN { ", …" } else { "" };
        if !suspects.is_empty() {
            let layers = counted(suspects.len(), "value is", "values are");
            notes.push(format!("{layers} off by more than the types explain: {}{more}.", names.join(", ")));
        }
    }
    if document.quantized.bytes >= document.float.bytes {
        notes.push("The file is not smaller than the float model.".to_owned());
    }
    let Some(report) = document.report else { return notes };
    let placement = &report.placement;
    if let Some(share) = placement.integer_work.filter(|&share| share < MOST_WORK && placement.integer > 0) {
        let (left, target) = (percent(1.0 - share, 1), &placement.target);
        notes.push(format!(
            "{left} of the multiply-accumulates run on no integer kernel of {target}: little is gained there."
        ));
    }
    if let Some(what) = &report.quantized_input {
        notes.push(format!("The input was quantized already; {what}."));
    }
    notes.extend(report.warnings.iter().map(|warning| {
        let mut letters = warning.chars();
        let first = letters.next().map_or(String::new(), |c| c.to_uppercase().to_string());
        format!("{first}{}.", letters.as_str())
    }));
    notes
}
