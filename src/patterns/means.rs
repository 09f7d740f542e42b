//! Means, and what is left of a value without its mean: what normalizations are made of.

use super::view::{View, near};
use crate::ir::{NodeId, ValueId};

/// How many layout nodes may stand between a mean and where it is used.
const LONGEST_LAYOUT: usize = 3;

/// A mean along axes.
pub(super) struct Mean {
    pub of: ValueId,
    pub axes: Vec<i64>,
    /// For a sum times a number: that number, which has to be one over the number of elements.
    pub part: Option<f64>,
    pub reshaped: bool,
    pub nodes: Vec<NodeId>,
}

/// ReduceMean, or ReduceSum times a number, with its axes told.
pub(super) fn mean(view: View<'_>, value: ValueId) -> Option<Mean> {
    let mut nodes = Vec::new();
    let reduced = without_layout(view, value, &mut nodes);
    let mut reshaped = reduced != value;
    let (part, reduced) = match view.product(reduced) {
        Some(p) if p.terms.len() == 1 && p.over.is_empty() => {
            nodes.extend(p.nodes);
            (Some(p.factor), p.terms[0])
        }
        _ => (None, reduced),
    };
    let (id, node) = view.made_by(reduced, if part.is_some() { "ReduceSum" } else { "ReduceMean" })?;
    nodes.push(id);
    let axes = match node.input(1) {
        Some(axes) => view.graph.constant(axes).ok()??.to_i64().ok()?.into_owned(),
        None => node.attributes().ints("axes")?.to_vec(),
    };
    reshaped |= node.attributes().int("keepdims") == Some(0);
    Some(Mean { of: node.input(0)?, axes, part, reshaped, nodes }).filter(|m| !m.axes.is_empty())
}

/// What stands before nodes that only lay it out anew; JAX writes the kept axes of a mean so.
pub(super) fn without_layout(view: View<'_>, mut value: ValueId, nodes: &mut Vec<NodeId>) -> ValueId {
    for _ in 0..LONGEST_LAYOUT {
        let made = ["Reshape", "Expand", "Unsqueeze"].iter().find_map(|op| view.made_by(value, op));
        let Some((id, input)) = made.and_then(|(id, node)| Some((id, node.input(0)?))) else { break };
        nodes.push(id);
        value = input;
    }
    value
}

/// `Sub(x, mean of x)`: what is centred, along which axes.
pub(super) fn centred(view: View<'_>, value: ValueId) -> Option<(ValueId, Mean, NodeId)> {
    let (id, node) = view.made_by(value, "Sub")?;
    let [x, subtracted] = view.pair(node)?;
    let mean = mean(view, subtracted)?;
    (mean.of == x).then_some((x, mean, id))
}

/// What is squared, by Pow or by a product with itself.
pub(super) fn square(view: View<'_>, value: ValueId) -> Option<(ValueId, NodeId)> {
    if let Some((id, node)) = view.made_by(value, "Pow") {
        let [base, exponent] = view.pair(node)?;
        return view.is_number(exponent, 2.0).then_some((base, id));
    }
    let (id, node) = view.made_by(value, "Mul")?;
    let [a, b] = view.pair(node)?;
    if a == b {
        return Some((a, id));
    }
    None
}

/// Whether a sum times a number is a mean over as many elements as the scale has.
pub(super) fn parts_agree(mean: &Mean, scale: Option<ValueId>, view: View<'_>) -> bool {
    let Some(part) = mean.part else { return true };
    let dims = scale.and_then(|s| view.graph.stated_type(s)).map(|t| t.dims);
    let count = dims.and_then(|dims| dims.into_iter().try_fold(1usize, |n, d| n.checked_mul(d?)));
    count.is_some_and(|n| near(part * n as f64, 1.0))
}
