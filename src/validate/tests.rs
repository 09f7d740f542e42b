//! Measures and thresholds on numbers made by hand.

use super::border::Border;
use super::metrics::{Ranking, Sums};
use super::*;
use crate::ir::build::Builder;
use crate::policy::Thresholds;
use crate::tensor::{DataType, Tensor};

fn error_of(samples: &[(&str, &[f32], &[f32])]) -> OutputError {
    let sums: Vec<_> = samples.iter().map(|(name, a, b)| (*name, Sums::of(a, b))).collect();
    OutputError::of("y", &sums)
}

fn near(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|f| (f - wanted).abs() < 1e-9), "{found:?}, not {wanted}");
}

#[test]
fn measures_follow_their_definitions() {
    let e = error_of(&[("a", &[3.0, 4.0], &[3.0, 3.0]), ("b", &[0.0, 5.0], &[0.0, 5.0])]);
    // Signal 9 + 16 + 25, noise 1, over four elements.
    near(e.sqnr_db, 10.0 * 50f64.log10());
    assert_eq!((e.mse, e.max_abs, e.not_finite, e.identical), (0.25, 1.0, 0, false));
    let first = 21.0 / (25f64 * 18.0).sqrt();
    near(e.cosine, (first + 1.0) / 2.0);
    near(e.cosine_min, first);
    assert_eq!(e.worst_sample.as_deref(), Some("a"));
}

#[test]
fn equal_outputs_have_no_noise() {
    let e = error_of(&[("a", &[1.0, f32::INFINITY], &[1.0, f32::INFINITY]), ("b", &[2.0, 0.0], &[2.0, 0.0])]);
    assert!(e.identical && e.sqnr_db.is_none() && e.mse == 0.0 && e.not_finite == 0);
}

#[test]
fn numbers_that_are_not_finite_are_counted_apart() {
    let e = error_of(&[("a", &[1.0, f32::INFINITY, 2.0], &[1.0, 5.0, f32::NAN])]);
    assert_eq!((e.not_finite, e.identical, e.max_abs), (2, false, 0.0));
    // Engines give NaN other bits.
    let e = error_of(&[("a", &[1.0, f32::NAN], &[1.0, -f32::NAN])]);
    assert_eq!((e.not_finite, e.identical), (0, true));
}

#[test]
fn the_first_of_equally_bad_samples_is_the_worst() {
    let e = error_of(&[("a", &[1.0], &[1.0]), ("b", &[1.0], &[2.0]), ("c", &[1.0], &[0.0])]);
    assert_eq!(e.worst_sample.as_deref(), Some("b"));
}

#[test]
fn an_output_that_became_zero_has_no_cosine_with_what_it_was() {
    let e = error_of(&[("a", &[3.0, 4.0], &[0.0, 0.0])]);
    assert_eq!((e.cosine, e.cosine_min), (Some(0.0), Some(0.0)));
    assert_eq!(error_of(&[("a", &[0.0], &[0.0])]).cosine, None);
}

fn classified(pairs: &[(&[f32], &[f32], Option<u32>)]) -> Option<Classification> {
    let of = |(a, b, label): &(&[f32], &[f32], Option<u32>)| Ranking::of(&[1, a.len()], a, b, *label).expect("scores");
    let rankings: Vec<Ranking> = pairs.iter().map(of).collect();
    Classification::of(("y", false), &rankings.iter().collect::<Vec<_>>())
}

#[test]
fn classifiers_are_compared_with_each_other_and_with_labels() {
    let (six, other) = ([6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 5.0, 4.0, 3.0, 2.0, 6.0]);
    let c =
        classified(&[(&six, &six, Some(0)), (&six, &other, Some(0)), (&six, &other, Some(5)), (&other, &six, None)]);
    let c = c.expect("a classifier");
    assert_eq!((c.top1_agreement, c.top5_agreement), (0.25, 0.25));
    near(c.top1_float, 2.0 / 3.0);
    near(c.top1_quantized, 2.0 / 3.0);
    near(c.top5_float, 2.0 / 3.0);
    near(c.top5_quantized, 2.0 / 3.0);
    let unlabelled = classified(&[(&six, &six, None)]).expect("a classifier");
    assert_eq!((unlabelled.top1_float, unlabelled.top1_agreement), (None, 1.0));
    assert_eq!(classified(&[]), None);
}

#[test]
fn of_equal_scores_the_first_class_leads() {
    let c = classified(&[(&[1.0, 1.0], &[1.0, 0.5], Some(0))]).expect("a classifier");
    assert_eq!((c.top1_agreement, c.top1_float), (1.0, Some(1.0)));
}

#[test]
fn only_one_row_of_scores_is_a_classifiers() {
    for (shape, is) in [
        (&[1, 4][..], true),
        (&[1, 4, 1, 1], true),
        (&[4], false),
        (&[2, 2], false),
        (&[1, 2, 2], false),
        (&[4, 1], false),
    ] {
        let scores = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(Ranking::of(shape, &scores, &scores, None).is_some(), is, "{shape:?}");
    }
    assert!(Ranking::of(&[1, 1], &[1.0], &[1.0], None).is_none());
}

fn comparison(outputs: Vec<OutputError>, classification: Option<Classification>) -> Comparison {
    Comparison { samples: 1, outputs, classification, ..Comparison::default() }
}

/// The names of what `thresholds` misses.
fn missed(thresholds: &Thresholds, comparison: Option<&Comparison>) -> Vec<&'static str> {
    // Those that are usual have tests of their own.
    let alone = Thresholds { defaults: Some(false), ..*thresholds };
    misses(&checks(&alone, comparison)).iter().map(|m| m.threshold).collect()
}

fn all(lenient: bool) -> Thresholds {
    let (least, most) = if lenient { (0.1, 10.0) } else { (2.0, -2.0) };
    Thresholds {
        top1_drop: Some(most),
        top1_agreement: Some(least),
        top5_agreement: Some(least),
        f1: None,
        iou: None,
        text_match: None,
        neighbours: None,
        sqnr_db: Some(if lenient { 3.0 } else { 90.0 }),
        cosine: Some(least),
        mse: Some(most),
        relative_mse: Some(most),
        defaults: None,
        max_abs: Some(most),
    }
}

const NAMES: [&str; 8] =
    ["top1_drop", "top1_agreement", "top5_agreement", "sqnr_db", "cosine", "mse", "relative_mse", "max_abs"];

#[test]
fn thresholds_are_met_missed_or_not_asked_for() {
    let scores = [3.0, 2.0, 1.0];
    let measured =
        comparison(vec![error_of(&[("a", &[3.0, 4.0], &[3.0, 3.0])])], classified(&[(&scores, &scores, Some(0))]));
    assert_eq!(missed(&all(true), Some(&measured)), [""; 0]);
    assert_eq!(missed(&all(false), Some(&measured)), NAMES);
    assert_eq!(missed(&Thresholds::default(), Some(&measured)), [""; 0]);
}

#[test]
fn a_threshold_that_is_just_met_is_met() {
    let measured = comparison(vec![error_of(&[("a", &[2.0, 2.0], &[2.0, 1.0])])], None);
    assert_eq!(
        missed(&Thresholds { mse: Some(0.5), max_abs: Some(1.0), ..Thresholds::default() }, Some(&measured)),
        [""; 0]
    );
}

#[test]
fn what_cannot_be_measured_is_missed() {
    for miss in misses(&checks(&all(true), None)) {
        assert_eq!(miss.found, None);
    }
    assert_eq!(missed(&all(true), None), NAMES);
    let unlabelled =
        comparison(vec![error_of(&[("a", &[3.0], &[3.5])])], classified(&[(&[1.0, 2.0], &[1.0, 2.0], None)]));
    assert_eq!(missed(&all(true), Some(&unlabelled)), ["top1_drop"]);
    let broken = comparison(vec![error_of(&[("a", &[3.0, 1.0], &[3.0, f32::NAN])])], None);
    assert_eq!(missed(&all(true), Some(&broken)), NAMES);
}

#[test]
fn of_several_outputs_the_worst_counts() {
    let (good, bad) = (error_of(&[("a", &[9.0], &[9.0])]), error_of(&[("a", &[9.0, 1.0], &[1.0, 1.0])]));
    let thresholds = Thresholds { sqnr_db: Some(20.0), mse: Some(1.0), ..Thresholds::default() };
    assert_eq!(missed(&thresholds, Some(&comparison(vec![good.clone()], None))), [""; 0]);
    for outputs in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        assert_eq!(missed(&thresholds, Some(&comparison(outputs, None))), ["sqnr_db", "mse"]);
    }
}

#[test]
fn an_output_that_became_zero_misses_every_least_value() {
    let zeroed = comparison(vec![error_of(&[("a", &[3.0, 4.0], &[0.0, 0.0])])], None);
    let thresholds = Thresholds { sqnr_db: Some(1.0), cosine: Some(0.5), ..Thresholds::default() };
    assert_eq!(missed(&thresholds, Some(&zeroed)), ["sqnr_db", "cosine"]);
    let raised = comparison(vec![error_of(&[("a", &[0.0, 0.0], &[3.0, 4.0])])], None);
    assert_eq!(missed(&thresholds, Some(&raised)), ["sqnr_db", "cosine"]);
}

/// What the model with the entry `text` for its uint8 input makes of numbers.
fn fed(text: &str, numbers: &[f32]) -> crate::error::Result<Vec<f32>> {
    let net = Builder::new(13).input("x", &[1, 3, 1, -1]).node("Identity", &["x"], &["y"], vec![]);
    let mut model = net.output("y", &[1, 3, 1, -1]).build();
    let input = model.graph.find("x").expect("an input");
    model.graph.set_element_type(input, DataType::Uint8);
    model.set_metadata("tare.io.x", text);
    let sample = Tensor::from_f32(vec![1, 3, 1, numbers.len() / 3], numbers);
    let fed = Border::of(&model)?.quantize(&[sample])?;
    assert_eq!(fed[0].dtype(), DataType::Uint8);
    Ok(fed[0].to_f32()?.into_owned())
}

#[test]
fn integer_inputs_are_fed_what_their_entry_says() {
    let numbers = [0.0, 1.0, 0.0, 1.0, -2.0, 100.0];
    assert_eq!(fed(r#"{"scale":0.5,"zero_point":3}"#, &numbers).expect("bytes"), [3.0, 5.0, 3.0, 5.0, 0.0, 203.0]);
    let one = r#"{"scale":[0.5],"zero_point":[3.4],"axis":0}"#;
    assert_eq!(fed(one, &numbers).expect("bytes"), [3.0, 5.0, 3.0, 5.0, 0.0, 203.0]);
    let each = r#"{"scale":[0.5,0.25,-1.0],"zero_point":[3.4,100.2,110.0],"axis":1}"#;
    assert_eq!(fed(each, &numbers).expect("bytes"), [3.0, 5.0, 100.0, 104.0, 112.0, 10.0]);
    for wrong in [
        "{}",
        r#"{"scale":0.0,"zero_point":3}"#,
        r#"{"scale":1.0,"zero_point":256}"#,
        r#"{"scale":[],"zero_point":[],"axis":1}"#,
        r#"{"scale":[1.0],"zero_point":[1.0,2.0],"axis":1}"#,
        r#"{"scale":[0.0],"zero_point":[1.0],"axis":1}"#,
        r#"{"scale":[1.0,1.0],"zero_point":[1.0,1.0],"axis":7}"#,
        r#"{"scale":[1.0],"zero_point":[1.0],"axis":1,"more":1}"#,
    ] {
        assert!(fed(wrong, &numbers).is_err(), "{wrong}");
    }
}
