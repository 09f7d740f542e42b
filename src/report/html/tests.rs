//! The page of made-up reports.

use super::verdict::{Answer, Verdict, verdict};
use super::*;
use crate::calibrate::Histogram;
use crate::policy::Thresholds;
use crate::quant::{GridType, Params, Scheme};
use crate::report::details::{Distribution, Picture, Spread, WorstSample};
use crate::report::{CalibrationSummary, CorrectionSummary, FloatGroup, HalfInput, RangesSummary, RepairSummary};
use crate::validate::{
    AtLevel, Cause, Classification, Distance, LayerError, Layers, OutputError, Recorded, RecordedOf, RecordedOutput,
    RuntimeOutput, Suspect, ThreeWay, Verdict as Kind,
};

mod layers;
mod sensitivity;
mod whole;

/// A name that would like to be markup.
const HOSTILE: &str = "</title><script>alert(\"1\")</script>'\u{1}\u{202e}&amp;<svg/onload=x>";

const SAMPLES: usize = 10_000;

fn file(bytes: u64) -> FileSummary {
    FileSummary { path: "folder/model.onnx".to_owned(), bytes, sha256: "00ff".to_owned() }
}

fn output(name: &str, sqnr_db: Option<f64>, mse: f64) -> OutputError {
    OutputError {
        name: name.to_owned(),
        identical: sqnr_db.is_none(),
        sqnr_db,
        mse,
        relative_mse: Some(mse),
        max_abs: mse,
        cosine: Some(0.99),
        cosine_min: Some(0.9),
        not_finite: 0,
        worst_sample: None,
    }
}

fn comparison(outputs: Vec<OutputError>, classification: Option<Classification>) -> Comparison {
    Comparison { engine: "engine".to_owned(), samples: SAMPLES, outputs, classification, ..Comparison::default() }
}

fn classes(agreement: f64, accuracy: Option<(f64, f64)>) -> Option<Classification> {
    let fewer = accuracy.map_or(0.0, |(float, quantized)| float - quantized);
    Some(Classification {
        output: "a".to_owned(),
        is_stated: false,
        samples: SAMPLES,
        labelled: if accuracy.is_some() { SAMPLES } else { 0 },
        worsened: (fewer * SAMPLES as f64).round() as usize,
        improved: 0,
        top1_agreement: agreement,
        top5_agreement: 1.0,
        top1_float: accuracy.map(|a| a.0),
        top1_quantized: accuracy.map(|a| a.1),
        top5_float: None,
        top5_quantized: None,
    })
}

fn layer(alone: Option<f64>, excess: f64) -> LayerError {
    LayerError {
        value: HOSTILE.to_owned(),
        node: HOSTILE.to_owned(),
        op_type: "Conv".to_owned(),
        alone_db: alone,
        accumulated_db: alone.map(|db| db - 3.0),
        only_quantized: false,
        weights_excess_db: Some(excess),
        grid_excess_db: None,
        steps_excess_db: None,
        cut_off: None,
        suspect: (excess >= 7.0).then_some(Suspect { cause: Cause::Weights, excess_db: excess }),
    }
}

fn details() -> Details {
    Details {
        thresholds: Thresholds::default(),
        layers: Err("nobody asked".to_owned()),
        values: vec![],
        weights: vec![],
        samples: vec![],
        types: Default::default(),
        policy: String::new(),
        digested: String::new(),
        policy_file: None,
    }
}

fn document<'a>(
    compared: Result<&'a Comparison, &'a str>,
    details: &'a Details,
    files: &'a [FileSummary; 2],
) -> Document<'a> {
    Document { tool: "tare 0", float: &files[0], quantized: &files[1], compared, report: None, details }
}

fn judged(comparison: &Comparison, details: &Details) -> Verdict {
    verdict(&document(Ok(comparison), details, &[file(100), file(30)]))
}

fn answer(comparison: &Comparison, details: &Details) -> Answer {
    judged(comparison, details).answer
}

#[test]
fn a_recording_that_disagrees_is_shown_and_noted() {
    let apart = |verdict| {
        let away = || Distance {
            count: 1000,
            identical: false,
            sqnr_db: Some(12.5),
            max_abs: 3.0,
            steps: Some(40.0),
            not_finite: 0,
            worst_sample: None,
        };
        let one = RecordedOutput {
            name: HOSTILE.to_owned(),
            verdict,
            of: Some(RecordedOf::Quantized),
            step: 0.1,
            float_to_own: away(),
            recorded_to_float: away(),
            recorded_to_own: away(),
            recorded_to_disable_all: None,
            recorded_to_default: None,
        };
        let recorded = Recorded { path: "phone.npz".to_owned(), outputs: vec![one] };
        Comparison { recorded: Some(recorded), ..comparison(vec![output("y", Some(30.0), 0.005)], None) }
    };
    let (details, files) = (details(), [file(100), file(30)]);
    let seen = apart(Kind::Disagreement);
    assert_eq!(answer(&seen, &details), Answer::No);
    assert_eq!(answer(&apart(Kind::Fusion), &details), Answer::YesBut);
    let shown = page(&document(Ok(&seen), &details, &files));
    assert!(shown.contains("As phone.npz has it") && shown.contains("12.5 dB") && !shown.contains(HOSTILE), "{shown}");
    assert_eq!(answer(&apart(Kind::Quantization), &details), Answer::Yes);
}

#[test]
fn the_limits_of_the_field_decide_where_the_policy_has_none() {
    let of = |agreement, accuracy| comparison(vec![output("a", Some(30.0), 0.5)], classes(agreement, accuracy));
    let halved = |comparison: Comparison| Comparison { halves: true, ..comparison };
    let whole = details();
    assert_eq!(answer(&of(0.9, Some((0.95, 0.94))), &whole), Answer::Yes);
    assert_eq!(answer(&halved(of(0.9, Some((0.95, 0.94)))), &whole), Answer::No);
    assert_eq!(answer(&of(0.9, Some((0.95, 0.92))), &whole), Answer::No);
    // Without labels no more can have been lost than what changed.
    assert_eq!(answer(&of(0.985, None), &whole), Answer::Yes);
    assert_eq!(answer(&halved(of(0.985, None)), &whole), Answer::Open);
    assert_eq!(answer(&of(0.9, None), &whole), Answer::Open);
    let told = judged(&of(0.9, None), &whole);
    assert!(told.sentence.contains("10.0 %") && told.limits == "the field", "{told:?}");
    let plain = |sqnr, mse| comparison(vec![output("a", sqnr, mse), output("b", None, 0.0)], None);
    assert_eq!(answer(&plain(Some(30.0), 0.001), &whole), Answer::Yes);
    assert_eq!(answer(&plain(Some(30.0), 0.02), &whole), Answer::No);
    assert_eq!(answer(&plain(Some(3.0), 0.02), &whole), Answer::No);
    assert_eq!(answer(&plain(Some(3.0), 0.001), &whole), Answer::Open);
    assert_eq!(answer(&plain(None, 0.0), &whole), Answer::Yes);
}

#[test]
fn guesses_of_the_first_of_several_outputs_say_nothing_of_the_others() {
    let two = |mse| comparison(vec![output("a", None, 0.0), output("b", Some(15.0), mse)], classes(1.0, None));
    assert_eq!(answer(&two(0.5), &details()), Answer::No);
    assert_eq!(answer(&two(0.001), &details()), Answer::Yes);
    let page = page(&document(Ok(&two(0.5)), &details(), &[file(100), file(30)]));
    assert!(page.contains("<dt>Signal to noise</dt><dd><b>15.0 dB</b>"), "{page}");
}

#[test]
fn the_limits_of_the_policy_come_before_those_of_the_field() {
    let strict = Details { thresholds: Thresholds { sqnr_db: Some(40.0), ..Thresholds::default() }, ..details() };
    let good = comparison(vec![output("a", Some(30.0), 0.001)], classes(1.0, Some((0.9, 0.9))));
    let verdict = judged(&good, &strict);
    assert_eq!((verdict.answer, verdict.limits.as_str()), (Answer::No, "the policy and the field"));
    assert!(verdict.sentence.contains("30.0 dB, wanted at least 40.0 dB"), "{}", verdict.sentence);
    // What cannot be measured is not met.
    let labels = Details { thresholds: Thresholds { top1_drop: Some(0.1), ..Thresholds::default() }, ..details() };
    let without = comparison(vec![output("a", Some(30.0), 0.001)], classes(1.0, None));
    assert_eq!(answer(&without, &labels), Answer::No);
}

#[test]
fn what_was_not_compared_is_not_known_and_what_is_not_finite_is_no() {
    let details = details();
    let files = [file(100), file(30)];
    let unknown = verdict(&document(Err("there are no samples"), &details, &files));
    assert_eq!(unknown.answer, Answer::Unknown);
    assert!(unknown.sentence.contains("there are no samples"), "{}", unknown.sentence);
    let mut broken = comparison(vec![output("a", Some(60.0), 0.0)], None);
    broken.outputs[0].not_finite = 1;
    assert_eq!(answer(&broken, &details), Answer::No);
}

#[test]
fn what_a_runtime_refuses_is_no_and_what_it_computes_differently_is_noted() {
    let distance = Distance {
        count: 1000,
        identical: true,
        sqnr_db: None,
        max_abs: 0.0,
        steps: None,
        not_finite: 0,
        worst_sample: None,
    };
    let by = |refused: Option<&str>, verdict| {
        let seen = RuntimeOutput {
            name: HOSTILE.to_owned(),
            verdict,
            step: 0.1,
            float_to_own: distance.clone(),
            own_to_disable_all: None,
            float_to_disable_all: None,
            own_to_default: Some(distance.clone()),
            float_to_default: Some(Distance { identical: false, sqnr_db: Some(7.5), ..distance.clone() }),
        };
        let reference = ThreeWay {
            runtime: "Runtime 1".to_owned(),
            disable_all: AtLevel { refused: None },
            default: AtLevel { refused: refused.map(str::to_owned) },
            outputs: vec![seen],
            layers: None,
        };
        let mut compared = comparison(vec![output("a", Some(60.0), 0.0)], None);
        compared.reference = Some(reference);
        compared
    };
    let refused = by(Some("no kernel"), Kind::Refused);
    let told = judged(&refused, &details());
    assert!(
        told.answer == Answer::No && told.sentence.contains("Runtime 1 does not run the model: no kernel"),
        "{told:?}"
    );
    let fused = by(None, Kind::Fusion);
    let told = judged(&fused, &details());
    assert!(told.answer == Answer::YesBut && told.notes[0].contains("fusion of the runtime"), "{told:?}");
    assert_eq!(answer(&by(None, Kind::Rounding), &details()), Answer::Yes);
    let page = page(&document(Ok(&fused), &details(), &[file(100), file(30)]));
    assert!(page.contains("7.5 dB") && page.contains("not run") && !page.contains("<script>"), "{page}");
}

#[test]
fn few_samples_suspects_and_a_larger_file_are_noted() {
    let mut few = comparison(vec![output("a", Some(30.0), 0.001)], None);
    few.samples = 20;
    let layers = Layers::new(16, vec![layer(Some(30.0), 9.0), layer(Some(40.0), 0.0)], vec![]);
    let details = Details { layers: Ok(layers), ..details() };
    let verdict = verdict(&document(Ok(&few), &details, &[file(30), file(31)]));
    assert_eq!((verdict.answer, verdict.notes.len()), (Answer::YesBut, 3));
    assert!(verdict.notes[0].contains("20 samples") && verdict.notes[1].contains("its weights or bias, by 9.0 dB"));
}

#[test]
fn the_text_and_json_doubt_suspects_of_few_samples() {
    let told = |samples: usize, excess: f64| {
        let layers = Layers::new(samples, vec![layer(Some(30.0), excess)], vec![]);
        let json = serde_json::to_value(&layers).expect("JSON");
        (layers.to_string().contains("give 16 or more (--data, --samples)"), json["few_samples"].is_string())
    };
    assert_eq!([told(15, 9.0), told(15, 0.0), told(16, 9.0)], [(true, true), (false, true), (false, false)]);
}

#[test]
fn layers_come_last_in_the_text() {
    let layers = Layers::new(16, vec![layer(Some(30.0), 0.0)], vec![]);
    let compared = comparison(vec![output("y", Some(30.0), 0.005)], classes(0.99, Some((0.9, 0.9))));
    let text = Comparison { layers: Some(layers), ..compared }.to_string();
    let (before, after) = text.split_once("\nlayers ").expect("layers");
    assert!(before.contains("agreement") && !after.contains("agreement"), "{text}");
}
