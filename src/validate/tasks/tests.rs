//! What outputs say, of outputs made by hand.

use super::*;
use crate::ir::build::Builder;
use crate::policy::TaskSettings;
use crate::tensor::Tensor;

/// What the numbers of two models of one output show: of each sample its shape, the float numbers and the quantized ones.
type Shown<'a> = (&'a [usize], &'a [f32], &'a [f32], Option<&'a str>);

fn model(entries: &[(&str, &str)]) -> Model {
    let graph = Builder::new(17).input("x", &[1, 4]).node("Relu", &["x"], &["y"], vec![]).output("y", &[1, 4]);
    let mut model = graph.build();
    entries.iter().for_each(|(key, value)| model.set_metadata(key, value));
    model
}

fn looked(tasks: &Tasks<'_>, samples: &[Shown<'_>]) -> Result<Option<Measure>> {
    let one = |(at, (shape, a, b, text)): (usize, &Shown<'_>)| {
        let input = Tensor::from_f32(vec![1, 2], &[1.0, 0.0]);
        let text = text.map(str::to_owned);
        let sample = Sample { name: format!("s{at}"), inputs: vec![input], label: Some(0), text, recorded: vec![] };
        Ok((sample.name.clone(), tasks.look((0, "y"), shape, [a, b], &sample)?))
    };
    let seen: Vec<(String, Option<Seen>)> = samples.iter().enumerate().map(one).collect::<Result<_>>()?;
    let seen: Vec<_> = seen.iter().map(|(name, seen)| (name.as_str(), seen.as_ref())).collect();
    Ok(tasks.sum_up((0, "y"), &seen))
}

/// A policy with these tasks.
fn with(tasks: TaskSettings) -> Settings {
    Settings { tasks, ..Settings::default() }
}

fn measured(task: TaskName, entries: &[(&str, &str)], samples: &[Shown<'_>]) -> Option<Measure> {
    let settings = with(TaskSettings { task: Some(OneOrEach::One(task)), ..TaskSettings::default() });
    looked(&Tasks::new(&settings, &model(entries)).expect("tasks"), samples).expect("measures")
}

fn near(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-6), "{found:?}, not {wanted}");
}

/// Boxes as columns, with two classes.
fn columns(boxes: &[[f32; 6]]) -> (Vec<usize>, Vec<f32>) {
    let numbers = (0..6).flat_map(|k| boxes.iter().map(move |one| one[k])).collect();
    (vec![1, 6, boxes.len()], numbers)
}

/// A second box on the first one, a box of the other class there, one far away, and three that are too weak.
const BOXES: [[f32; 6]; 7] = [
    [10.0, 10.0, 4.0, 4.0, 0.9, 0.0],
    [10.5, 10.0, 4.0, 4.0, 0.8, 0.0],
    [10.0, 10.0, 4.0, 4.0, 0.0, 0.7],
    [50.0, 50.0, 4.0, 4.0, 0.6, 0.1],
    [90.0, 90.0, 4.0, 4.0, 0.25, 0.1],
    [80.0, 90.0, 4.0, 4.0, 0.2, 0.1],
    [70.0, 90.0, 4.0, 4.0, 0.1, 0.1],
];

#[test]
fn boxes_are_the_same_where_class_and_place_are() {
    let (shape, float) = columns(&BOXES);
    let mut other = BOXES;
    other[3][0] = 53.0; // A seventh of the two boxes is in both.
    other[6][5] = 0.3; // One more.
    let (_, quantized) = columns(&other);
    let samples: [Shown<'_>; 2] = [(&shape, &float, &float, None), (&shape, &float, &quantized, None)];
    let Some(Measure::Yolo(found)) = measured(TaskName::Yolo, &[], &samples) else { panic!("boxes") };
    assert_eq!((found.float, found.quantized, found.same), (6, 7, 5));
    near(found.f1, 10.0 / 13.0);
    near(found.f1_mean, (1.0 + 4.0 / 7.0) / 2.0);
    assert_eq!(found.worst.map(|worst| worst.sample).as_deref(), Some("s1"));
    // 9 over 56 numbers of place and size, 0.04 over 28 scores.
    near(Some(found.boxes.mse), 9.0 / 56.0);
    near(Some(found.scores.mse), 0.04 / 28.0);
}

#[test]
fn rows_of_boxes_are_boxes_and_objectness_multiplies_their_scores() {
    let numbers: Vec<f32> = BOXES.iter().flat_map(|&[x, y, w, h, a, b]| [x, y, w, h, 0.5, 2.0 * a, 2.0 * b]).collect();
    let rows: Shown<'_> = (&[1, 7, 7], &numbers, &numbers, None);
    let named = [("names", "{0: 'a: b', 1: \"c's\"}")];
    // As many boxes as numbers of each: only the classes tell. Along the first axis objectness would be one of the numbers of x.
    let tall: Vec<f32> = [&numbers[..], &[0.0; 7]].concat();
    let tall: Shown<'_> = (&[1, 8, 7], &tall, &tall, None);
    for entries in [&named[..], &[]] {
        let Some(Measure::Yolo(found)) = measured(TaskName::Yolo, entries, &[tall]) else { panic!("boxes") };
        assert_eq!((found.float, found.same, found.f1), (3, 3, Some(1.0)), "{entries:?}");
    }
    assert!(measured(TaskName::Yolo, &named, &[rows]).is_some());
}

#[test]
fn nothing_found_is_no_f1() {
    let empty: Shown<'_> = (&[1, 6, 7], &[0.0; 42], &[0.0; 42], None);
    let Some(Measure::Yolo(found)) = measured(TaskName::Yolo, &[], &[empty]) else { panic!("boxes") };
    assert_eq!((found.f1, found.f1_mean, found.worst), (None, None, None));
}

#[test]
fn masks_are_what_is_above_a_number() {
    let one: Shown<'_> = (&[1, 1, 2, 2], &[0.9, 0.31, 0.3, 0.0], &[0.9, 0.29, 0.4, 0.1], None);
    let same: Shown<'_> = (&[1, 1, 1, 2], &[0.9, 0.0], &[0.8, 0.0], None);
    let none: Shown<'_> = (&[1, 1, 1, 1], &[0.0], &[0.0], None);
    let Some(Measure::Segment(masks)) = measured(TaskName::Segment, &[], &[one, same, none]) else { panic!("masks") };
    near(masks.iou, 2.0 / 4.0);
    near(masks.iou_mean, (1.0 / 3.0 + 1.0) / 2.0);
    near(Some(masks.agreement), 5.0 / 7.0);
    assert_eq!(masks.worst.map(|worst| worst.sample).as_deref(), Some("s0"));
}

#[test]
fn pixels_have_the_class_of_the_highest_score_on_either_axis() {
    // Three classes for four pixels: 0, 1, 1 and 1 become 0, 0, 1 and 1, and the third does not occur.
    let (float, quantized) = ([0, 1, 1, 1], [0, 0, 1, 1]);
    let (last, last_q) = (steps(3, &float), steps(3, &quantized));
    let turned = |rows: &[f32]| (0..12).map(|k| rows[k % 4 * 3 + k / 4]).collect::<Vec<f32>>();
    let (first, first_q) = (turned(&last), turned(&last_q));
    let mut samples: Vec<Shown<'_>> =
        vec![(&[1, 3, 1, 4], &first, &first_q, None), (&[1, 4, 1, 3], &last, &last_q, None)];
    // More classes than pixels to a side.
    samples.extend([(&[1, 3, 2, 2][..], &first[..], &first_q[..], None), (&[1, 2, 2, 3], &last, &last_q, None)]);
    for sample in samples {
        let Some(Measure::SegmentClasses(masks)) = measured(TaskName::SegmentClasses, &[], &[sample]) else {
            panic!("masks")
        };
        near(masks.iou, (1.0 / 2.0 + 2.0 / 3.0) / 2.0);
        assert_eq!(masks.agreement, 0.75);
    }
}

/// Scores whose highest class at each step is one of `steps`.
fn steps(classes: usize, steps: &[usize]) -> Vec<f32> {
    steps.iter().flat_map(|&best| (0..classes).map(move |class| f32::from(u8::from(class == best)))).collect()
}

#[test]
fn text_is_what_ctc_leaves_of_the_steps() {
    // "aab b", "ab b" with a space, which is class 4, and "ab".
    let (a, b, c) =
        (steps(5, &[1, 0, 1, 1, 2, 4, 2]), steps(5, &[1, 1, 0, 2, 2, 4, 2]), steps(5, &[0, 1, 1, 1, 1, 2, 0]));
    let shape = [1, 7, 5];
    let samples: [Shown<'_>; 3] =
        [(&shape, &a, &a, Some("aabb")), (&shape, &a, &b, Some("aa bb")), (&[7, 1, 5], &b, &c, Some("ab"))];
    let entries = [("character", "a\nb\nc")];
    let Some(Measure::Ctc(text)) = measured(TaskName::Ctc, &entries, &samples) else { panic!("text") };
    near(Some(text.matches), 1.0 / 3.0);
    // Five characters against four, and four against two.
    near(Some(text.similarity), (1.0 + 4.0 / 5.0 + 2.0 / 4.0) / 3.0);
    near(Some(text.step_agreement), (7.0 + 4.0 + 1.0) / 21.0);
    assert_eq!(text.worst.map(|worst| worst.sample).as_deref(), Some("s2"));
    near(text.accuracy_float, 2.0 / 3.0);
    near(text.accuracy_quantized, 2.0 / 3.0);
    let Some(Measure::Ctc(blind)) = measured(TaskName::Ctc, &[], &samples) else { panic!("text") };
    assert_eq!((blind.accuracy_float, blind.matches), (None, text.matches));
}

#[test]
fn embeddings_are_compared_by_their_neighbours() {
    let near_x: Shown<'_> = (&[1, 2], &[1.0, 0.1], &[1.0, 0.1], None);
    let at_x: Shown<'_> = (&[1, 2], &[3.0, 0.0], &[3.0, 0.0], None);
    let turned: Shown<'_> = (&[1, 2], &[0.0, 2.0], &[1.0, -0.1], None);
    let Some(Measure::Embed(found)) = measured(TaskName::Embed, &[], &[near_x, at_x, turned]) else { panic!("text") };
    // The third one is nearest to the first, then to the second, which stays nearest to the first.
    near(found.agreement, 2.0 / 3.0);
    assert_eq!(found.worst.map(|worst| worst.sample).as_deref(), Some("s2"));
    let two = measured(TaskName::Embed, &[], &[near_x, at_x]);
    assert!(matches!(two, Some(Measure::Embed(Neighbours { agreement: None, .. }))));
}

#[test]
fn of_steps_those_count_that_the_mask_shows() {
    // The input is [1, 0], and is no mask unless it is called so.
    let tokens: Shown<'_> = (&[1, 2, 2], &[1.0, 0.0, 9.0, 9.0], &[1.0, 0.0, 9.0, -9.0], None);
    let settings = with(TaskSettings { task: Some(OneOrEach::One(TaskName::Embed)), ..TaskSettings::default() });
    let mut tasks = Tasks::new(&settings, &model(&[])).expect("tasks");
    let cosine = |tasks: &Tasks<'_>| match looked(tasks, &[tokens]).expect("measures") {
        Some(Measure::Embed(found)) => found.cosine,
        other => panic!("{other:?}"),
    };
    assert!(cosine(&tasks) < 0.5);
    tasks.mask = Some(0);
    near(Some(cosine(&tasks)), 1.0);
}

#[test]
fn the_task_follows_from_structure_where_that_leaves_no_doubt() {
    let detector = [("task", "detect"), ("names", "{0: 'a', 1: 'b'}")];
    let (shape, boxes) = columns(&BOXES);
    let boxes: Shown<'_> = (&shape, &boxes, &boxes, None);
    assert!(matches!(measured(TaskName::Auto, &detector, &[boxes]), Some(Measure::Yolo(_))));
    // Without the metadata, or with another number of classes, it may be anything.
    assert_eq!(measured(TaskName::Auto, &[], &[boxes]), None);
    assert_eq!(
        measured(TaskName::Auto, &[("task", "detect"), ("names", "{0: 1, 1: 2, 2: 3, 3: 4, 4: 5}")], &[boxes]),
        None
    );
    let text = steps(5, &[1, 0, 2]);
    let text: Shown<'_> = (&[1, 3, 5], &text, &text, None);
    assert!(matches!(measured(TaskName::Auto, &[("character", "a\nb\nc")], &[text]), Some(Measure::Ctc(_))));
    assert_eq!(measured(TaskName::Auto, &[("character", "a\nb")], &[text]), None);
    let scores: Shown<'_> = (&[1, 3], &[1.0, 0.0, 0.0], &[1.0, 0.0, 0.0], None);
    assert!(matches!(measured(TaskName::Auto, &[], &[scores]), Some(Measure::Classify(_))));
    assert_eq!(measured(TaskName::None, &[], &[scores]), None);
}

#[test]
fn an_output_that_a_task_cannot_read_is_named() {
    let flat: Shown<'_> = (&[4], &[0.0; 4], &[0.0; 4], None);
    for task in [TaskName::Classify, TaskName::Ctc, TaskName::Embed, TaskName::SegmentClasses, TaskName::Yolo] {
        let settings = with(TaskSettings { task: Some(OneOrEach::One(task)), ..TaskSettings::default() });
        let why =
            looked(&Tasks::new(&settings, &model(&[])).expect("tasks"), &[flat]).expect_err("refused").to_string();
        assert!(why.contains(&format!("the task {task} reads")) && why.contains("[4]") && why.contains('y'), "{why}");
    }
    let other = OneOrEach::Each([("z".to_owned(), TaskName::Yolo)].into());
    let settings = with(TaskSettings { task: Some(other), ..TaskSettings::default() });
    let why = Tasks::new(&settings, &model(&[])).err().expect("refused").to_string();
    assert!(why.contains("\"z\"") && why.contains("[\"y\"]"), "{why}");
    let settings = with(TaskSettings { charset: Some("missing.txt".into()), ..TaskSettings::default() });
    assert!(Tasks::new(&settings, &model(&[])).err().expect("refused").to_string().contains("missing.txt"));
}

#[test]
fn a_dictionary_of_names_is_counted() {
    for (text, count) in [
        ("{0: 'a', 1: 'b'}", Some(2)),
        ("{0: 'it\\'s: x', 1: \"c's\"}", Some(2)),
        ("{}", None),
        ("['a']", None),
        ("{0: 'a", None),
        ("", None),
    ] {
        assert_eq!(entries(text), count, "{text}");
    }
}
