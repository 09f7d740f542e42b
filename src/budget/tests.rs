use super::*;
use BudgetType::{Float32, Int16};

/// Searches where each candidate takes its part of a loss away, half of it as integers of 16 bits. Returns what was found, and
/// how many assignments were tried.
fn found(parts: &[f64], types: &[BudgetType], loss: f64) -> (Option<Choice>, usize) {
    let mut tried = 0;
    let all: f64 = parts.iter().sum();
    let choice = search(parts.len(), types, &mut |choice| {
        tried += 1;
        let taken = |(&at, kind): (&usize, &BudgetType)| parts[at] * if *kind == Int16 { 0.5 } else { 1.0 };
        Ok(all - choice.iter().map(taken).sum::<f64>() <= loss)
    });
    assert!(tried <= most_tried(parts.len(), types.len()), "{tried}");
    (choice.expect("no errors"), tried)
}

#[test]
fn nothing_changes_where_the_budget_is_met_as_it_is() {
    assert_eq!(found(&[1.0, 2.0], &[Float32], 3.0), (Some(Choice::new()), 1));
}

#[test]
fn the_fewest_from_the_front_are_taken_and_those_that_are_of_no_use_left_out() {
    let parts = [5.0, 0.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0];
    let (choice, tried) = found(&parts, &[Float32], 5.0);
    assert_eq!(choice, Some(Choice::from([(0, Float32), (2, Float32), (3, Float32)])));
    assert!(tried <= 9, "{tried}");
    // What takes nothing away is never left in, wherever it stands.
    let (choice, _) = found(&[0.0, 0.0, 4.0], &[Float32], 0.0);
    assert_eq!(choice, Some(Choice::from([(2, Float32)])));
}

#[test]
fn cheaper_types_come_first_and_mix_with_dearer_ones() {
    assert_eq!(found(&[4.0, 4.0], &[Int16, Float32], 6.0).0, Some(Choice::from([(0, Int16)])));
    // Both as 16 bits leave 4: too much; one of them in float and the other in 16 bits leave 2.
    assert_eq!(found(&[4.0, 4.0], &[Int16, Float32], 2.0).0, Some(Choice::from([(0, Float32), (1, Int16)])));
}

#[test]
fn what_cannot_be_met_is_none() {
    assert_eq!(found(&[4.0, 4.0], &[Int16], 1.0).0, None);
    assert_eq!(found(&[], &[Float32], -1.0).0, None);
}

#[test]
fn an_error_ends_the_search() {
    let why = || crate::error::Error::other("stopped");
    assert!(search(3, &[Float32], &mut |_| Err(why())).is_err());
}

#[test]
fn the_front_holds_what_nothing_beats_from_the_cheapest_on() {
    let tried = [(3.0, 1.0), (1.0, 5.0), (2.0, 5.0), (2.0, 3.0), (4.0, 1.0), (5.0, f64::NAN), (3.0, 2.0)];
    assert_eq!(front(&tried), [1, 3, 0]);
    assert!(front(&[]).is_empty());
}
