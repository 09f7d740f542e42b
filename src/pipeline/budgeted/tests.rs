use super::*;

/// A half of the samples of a classifier, of which so many have labels, became wrong and became right.
fn half(agreement: f64, (labelled, worsened, improved): (usize, usize, usize)) -> Comparison {
    let classes = Classification {
        output: "y".to_owned(),
        is_stated: false,
        samples: 100,
        labelled,
        worsened,
        improved,
        top1_agreement: agreement,
        top5_agreement: 1.0,
        top1_float: None,
        top1_quantized: None,
        top5_float: None,
        top5_quantized: None,
    };
    Comparison { classification: Some(classes), ..Comparison::default() }
}

#[test]
fn first_guesses_count_in_the_worse_half() {
    // Over all of them nothing is lost.
    let lucky = [half(0.9, (100, 2, 8)), half(0.9, (100, 8, 2))];
    assert_eq!(drop(&lucky), Some((0.06, true)));
    let unlabelled = [half(0.9, (0, 0, 0)), half(0.75, (0, 0, 0))];
    assert_eq!(drop(&unlabelled), Some((0.25, false)));
    // A half without labels says nothing where the other has some.
    assert_eq!(drop(&[half(0.5, (0, 0, 0)), half(0.9, (50, 1, 0))]), Some((0.02, true)));
    assert_eq!(drop(&[Comparison::default()]), None);
}

#[test]
fn what_half_of_the_samples_cannot_show_is_said() {
    let said = few(Goal::Top1Drop(0.005), 200).join(" ");
    assert!(said.contains("of half of them one answer is 0.010"), "{said}");
    assert!(few(Goal::Top1Drop(0.005), 400).is_empty());
    assert!(few(Goal::SqnrDb(30.0), 8).join(" ").contains("8 samples, which tell little"));
}
