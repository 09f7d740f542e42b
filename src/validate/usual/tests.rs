//! Limits that are usual, on comparisons made by hand.

use super::super::metrics::{Ranking, Sums};
use super::super::tasks::{Measured, Overlap};
use super::*;

/// So many samples of a classifier: worsened, improved and unchanged ones, with labels or without.
fn classes([worsened, improved, same]: [usize; 3], labelled: bool) -> Classification {
    let (zero, one) = ([1.0, 0.0], [0.0, 1.0]);
    let label = labelled.then_some(0);
    let rank = |a: &[f32], b: &[f32]| Ranking::of(&[1, 2], a, b, label).expect("scores");
    let all: Vec<Ranking> = std::iter::repeat_n(rank(&zero, &one), worsened)
        .chain(std::iter::repeat_n(rank(&one, &zero), improved))
        .chain(std::iter::repeat_n(rank(&zero, &zero), same))
        .collect();
    Classification::of(("y", false), &all.iter().collect::<Vec<_>>()).expect("samples")
}

fn output(name: &str, float: &[f32], quantized: &[f32]) -> OutputError {
    OutputError::of(name, &[("s", Sums::of(float, quantized))])
}

fn comparison(outputs: Vec<OutputError>, classification: Option<Classification>) -> Comparison {
    Comparison { samples: 1, outputs, classification, ..Comparison::default() }
}

fn outcomes(comparison: &Comparison) -> Vec<(&'static str, Outcome)> {
    usual(&Thresholds::default(), comparison).iter().map(|check| (check.threshold, check.outcome)).collect()
}

#[test]
fn a_loss_counts_where_it_is_no_chance() {
    let y = || vec![output("y", &[1.0], &[1.0])];
    for (counts, halves, outcome) in [
        ([0, 0, 20], false, Outcome::Met),
        ([2, 0, 98], false, Outcome::Met),
        // One of few samples says nothing, and neither do as many that became right.
        ([1, 0, 0], false, Outcome::Unsettled),
        ([1, 0, 19], false, Outcome::Unsettled),
        ([40, 37, 23], false, Outcome::Unsettled),
        ([4, 0, 16], false, Outcome::Missed),
        ([60, 10, 930], false, Outcome::Missed),
        ([12, 0, 988], false, Outcome::Met),
        ([12, 0, 988], true, Outcome::Missed),
    ] {
        let compared = Comparison { halves, ..comparison(y(), Some(classes(counts, true))) };
        assert_eq!(outcomes(&compared), [("top1_drop", outcome)], "{counts:?}, {halves}");
    }
}

#[test]
fn what_a_task_loses_is_to_be_looked_at() {
    let masks = |iou: f64| {
        let (iou, worst) = (Some(iou), None);
        let measure = Measure::Segment(Overlap { samples: 1, iou, iou_mean: iou, worst, agreement: 1.0 });
        let task = Measured { output: "y".to_owned(), measure };
        Comparison { tasks: vec![task], ..comparison(vec![output("y", &[1.0], &[1.0])], None) }
    };
    assert_eq!(outcomes(&masks(0.96))[0], ("iou", Outcome::Met));
    assert_eq!(outcomes(&masks(0.94))[0], ("iou", Outcome::Unsettled));
    let stated = Thresholds { iou: Some(0.5), ..Thresholds::default() };
    assert!(usual(&stated, &masks(0.94)).iter().all(|check| check.threshold != "iou"));
}

#[test]
fn without_labels_only_a_large_change_counts() {
    for (counts, outcome) in [
        ([1, 0, 99], Outcome::Met),
        ([1, 0, 9], Outcome::Unsettled),
        ([5, 0, 95], Outcome::Unsettled),
        ([10, 0, 90], Outcome::Unsettled),
        ([20, 0, 80], Outcome::Missed),
    ] {
        let compared = comparison(vec![output("y", &[1.0], &[1.0])], Some(classes(counts, false)));
        assert_eq!(outcomes(&compared), [("top1_agreement", outcome)], "{counts:?}");
    }
}

#[test]
fn the_error_is_measured_by_the_range_of_the_output() {
    // A tenth of the range is a hundredth of its square.
    let of =
        |size: f32, error: f32| outcomes(&comparison(vec![output("y", &[size, 0.0], &[size + error, error])], None));
    for size in [1.0, 300.0, 1e-3] {
        assert_eq!(of(size, size * 0.09), [("relative_mse", Outcome::Met)]);
        assert_eq!(of(size, size * 0.11), [("relative_mse", Outcome::Missed)]);
    }
    // Nothing can be said of what is always 0.
    assert_eq!(of(0.0, 1.0), []);
    let broken = comparison(vec![output("y", &[1.0], &[f32::NAN])], None);
    assert_eq!(outcomes(&broken), [("relative_mse", Outcome::Missed)]);
    assert_eq!(broken.faults().len(), 1);
}

#[test]
fn of_several_outputs_the_worst_is_named_and_boxes_and_scores_are_apart() {
    let two = || vec![output("a", &[1.0], &[1.0]), output("b", &[1.0], &[1.2])];
    let checks = usual(&Thresholds::default(), &comparison(two(), None));
    assert_eq!((checks.len(), checks[0].output.as_deref()), (1, Some("b")));
    // Guesses of the first of several outputs say nothing of the model, unless there are labels.
    let guessed = classes([9, 0, 1], false);
    assert_eq!(outcomes(&comparison(two(), Some(guessed))), [("relative_mse", Outcome::Missed)]);

    let (float, quantized) = ([320.0, 10.0, 10.0, 10.0, 0.9], [320.0, 10.0, 10.0, 10.0, 0.5]);
    let mut boxes = comparison(vec![output("y", &float, &quantized)], None);
    assert_eq!(outcomes(&boxes), [("relative_mse", Outcome::Met)]);
    let parts = |range: std::ops::Range<usize>| output("y, part", &float[range.clone()], &quantized[range]);
    let found = super::super::Detections {
        samples: 1,
        float: 1,
        quantized: 1,
        same: 1,
        f1: Some(1.0),
        f1_mean: Some(1.0),
        worst: None,
        boxes: parts(0..4),
        scores: parts(4..5),
    };
    boxes.tasks.push(Measured { output: "y".to_owned(), measure: Measure::Yolo(found) });
    assert_eq!(outcomes(&boxes), [("f1", Outcome::Met), ("relative_mse", Outcome::Missed)]);
}

#[test]
fn what_the_policy_states_takes_the_place_of_what_is_usual() {
    let bad = || comparison(vec![output("y", &[1.0], &[2.0])], None);
    let with = |thresholds: Thresholds| usual(&thresholds, &bad()).len();
    assert_eq!(with(Thresholds::default()), 1);
    assert_eq!(with(Thresholds { sqnr_db: Some(1.0), ..Thresholds::default() }), 1);
    for other in [
        Thresholds { mse: Some(5.0), ..Thresholds::default() },
        Thresholds { relative_mse: Some(5.0), ..Thresholds::default() },
        Thresholds { defaults: Some(false), ..Thresholds::default() },
    ] {
        assert_eq!(with(other), 0);
    }
    let lost = comparison(vec![output("y", &[1.0], &[1.0])], Some(classes([9, 0, 1], true)));
    for other in [
        Thresholds { top1_drop: Some(1.0), ..Thresholds::default() },
        Thresholds { top1_agreement: Some(0.0), ..Thresholds::default() },
    ] {
        assert_eq!(usual(&other, &lost), []);
    }
}

#[test]
fn texts_that_are_not_read_any_more_are_a_loss_of_accuracy() {
    let text = |worsened: usize| super::super::TextMatch {
        samples: 100,
        matches: 0.6,
        step_agreement: 0.9,
        similarity: 0.9,
        worst: None,
        labelled: 100,
        worsened,
        improved: 0,
        accuracy_float: Some(0.9),
        accuracy_quantized: Some(0.9 - worsened as f64 / 100.0),
    };
    for (worsened, outcome) in [(2, Outcome::Met), (4, Outcome::Unsettled), (10, Outcome::Missed)] {
        let mut compared = comparison(vec![output("y", &[1.0], &[1.0])], None);
        compared.tasks.push(Measured { output: "y".to_owned(), measure: Measure::Ctc(text(worsened)) });
        assert_eq!(outcomes(&compared), [("top1_drop", outcome), ("relative_mse", Outcome::Met)]);
        let stated = Thresholds { top1_drop: Some(0.03), defaults: Some(false), ..Thresholds::default() };
        let checks = super::super::checks(&stated, Some(&compared));
        assert_eq!((checks.len(), checks[0].is_met()), (1, worsened < 3));
    }
}
