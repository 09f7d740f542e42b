//! The search for types that keep a budget: which layers become something else, and which of the assignments that were tried no
//! other beats in both cost and loss.
//!
//! Candidates come in an order of preference. The fewest of them, from the front, that meet the budget are found by halving;
//! from the back each is then left out, or made cheaper, where the budget is met without it. What an assignment is worth is
//! always measured on the whole model: errors of layers do not add up.

mod cost;
mod front;

pub use cost::{cost, in_float};
pub use front::front;

use crate::error::Result;
use crate::policy::BudgetType;
use std::collections::BTreeMap;

/// What candidates become, by their place in the order of preference; the others stay as they are.
pub type Choice = BTreeMap<usize, BudgetType>;

/// The first choice among `count` candidates for which `meets` says that the budget is met and from which nothing can be taken;
/// `None` where not even all of them as the last of `types` meet it. `types` go from the cheapest to the dearest.
///
/// # Errors
/// Those of `meets`.
pub fn search(
    count: usize,
    types: &[BudgetType],
    meets: &mut dyn FnMut(&Choice) -> Result<bool>,
) -> Result<Option<Choice>> {
    if meets(&Choice::new())? {
        return Ok(Some(Choice::new()));
    }
    for (at, &kind) in types.iter().enumerate() {
        let first = |some: usize| (0..some).map(|candidate| (candidate, kind)).collect::<Choice>();
        if count == 0 || !meets(&first(count))? {
            continue;
        }
        let (mut missed, mut met) = (0, count);
        while met - missed > 1 {
            let middle = missed.midpoint(met);
            let half = if meets(&first(middle))? { &mut met } else { &mut missed };
            *half = middle;
        }
        return pruned(first(met), &types[..at], meets).map(Some);
    }
    Ok(None)
}

/// How many assignments [`search`] tries at most, among `count` candidates and so many `types`.
pub fn most_tried(count: usize, types: usize) -> usize {
    1 + types + count.checked_ilog2().map_or(0, |halvings| halvings as usize + 1) + count * types
}

/// `choice`, which meets the budget, without what it meets it without, and with cheaper types where these do.
fn pruned(
    mut choice: Choice,
    cheaper: &[BudgetType],
    meets: &mut dyn FnMut(&Choice) -> Result<bool>,
) -> Result<Choice> {
    let candidates: Vec<usize> = choice.keys().rev().copied().collect();
    for candidate in candidates {
        for kind in std::iter::once(None).chain(cheaper.iter().copied().map(Some)) {
            let mut other = choice.clone();
            match kind {
                None => other.remove(&candidate),
                Some(kind) => other.insert(candidate, kind),
            };
            if meets(&other)? {
                choice = other;
                break;
            }
        }
    }
    Ok(choice)
}

#[cfg(test)]
mod tests;
