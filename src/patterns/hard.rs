//! Activations made of straight lines: HardSigmoid and HardSwish.

use super::view::{View, near};
use super::{Found, Kind};
use crate::ir::{NodeId, ValueId};

/// `clamp(alpha * x + beta, 0, 1)`
struct Gate {
    x: ValueId,
    alpha: f64,
    beta: f64,
    nodes: Vec<NodeId>,
}

/// The gate that `value`, multiplied by `factor`, is.
fn gate(view: View<'_>, value: ValueId, factor: f64) -> Option<Gate> {
    if let Some((id, node)) = view.made_by(value, "HardSigmoid") {
        let attribute = |name, default: f32| f64::from(node.attributes().float(name).unwrap_or(default));
        let (alpha, beta) = (attribute("alpha", 0.2), attribute("beta", 0.5));
        return near(factor, 1.0).then_some(Gate { x: node.input(0)?, alpha, beta, nodes: vec![id] });
    }
    let clamp = view.clamp(value)?;
    let line = view.line(clamp.of);
    // A product of zero with an absent bound is no number, and near to nothing.
    let bounded = clamp.low == 0.0 && near(factor * clamp.high, 1.0);
    let (alpha, beta) = (factor * line.factor, factor * line.shift);
    let nodes: Vec<_> = clamp.nodes.into_iter().chain(line.nodes).collect();
    bounded.then_some(Gate { x: line.of, alpha, beta, nodes })
}

/// The HardSigmoid spelled out that ends in `value`: `Clip(x + 3, 0, 6) / 6` and its like.
pub(super) fn hard_sigmoid(view: View<'_>, value: ValueId) -> Option<Found> {
    let (inner, factor, mut nodes) = match view.product(value) {
        Some(p) if p.terms.len() == 1 && p.over.is_empty() => (p.terms[0], p.factor, p.nodes),
        Some(_) => return None,
        None => (value, 1.0, Vec::new()),
    };
    if view.made_by(inner, "HardSigmoid").is_some() {
        return None;
    }
    let gate = gate(view, inner, factor)?;
    // A Clip to 0..1 alone is a Clip.
    let bare = near(gate.alpha, 1.0) && gate.beta == 0.0;
    nodes.extend(gate.nodes);
    let kind = Kind::HardSigmoid { alpha: gate.alpha as f32, beta: gate.beta as f32 };
    (gate.alpha > 0.0 && !bare).then(|| Found::new(kind, nodes, vec![gate.x], value))
}

/// The HardSwish spelled out that ends in `value`: `x * Clip(x + 3, 0, 6) / 6`, divided wherever.
pub(super) fn hard_swish(view: View<'_>, value: ValueId) -> Option<Found> {
    let product = view.product(value).filter(|p| p.terms.len() == 2 && p.over.is_empty())?;
    [[0, 1], [1, 0]].into_iter().find_map(|[x, other]| {
        let gate = gate(view, product.terms[other], product.factor)?;
        let is = gate.x == product.terms[x] && near(gate.alpha, 1.0 / 6.0) && near(gate.beta, 0.5);
        let nodes = product.nodes.iter().chain(&gate.nodes).copied().collect();
        is.then(|| Found::new(Kind::HardSwish, nodes, vec![gate.x], value))
    })
}
