//! What multiplies a value by a smooth gate made of it: SiLU, QuickGELU, GELU and Mish.

use super::view::{Line, View, near};
use super::{Found, Kind};
use crate::ir::{NodeId, ValueId};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// The factor of the cube in the tanh approximation of GELU (Hendrycks and Gimpel, 2016).
const CUBE: f64 = 0.044_715;

/// `x * gate`, where the gate is a line over something that one node made of something.
struct Gated {
    x: ValueId,
    /// With the other factors of the product multiplied in.
    gate: Line,
    nodes: Vec<NodeId>,
}

/// The product that makes `value`, both ways round.
fn gated(view: View<'_>, value: ValueId) -> Vec<Gated> {
    let read = |at: usize| {
        let product = view.product(value).filter(|p| p.terms.len() == 2 && p.over.is_empty())?;
        let mut gate = view.line(product.terms[1 - at]);
        gate.factor *= product.factor;
        gate.shift *= product.factor;
        let nodes = product.nodes.iter().chain(&gate.nodes).copied().collect();
        Some(Gated { x: product.terms[at], gate, nodes })
    };
    [0, 1].into_iter().filter_map(read).collect()
}

/// The smooth activation that ends in `value`.
pub(super) fn matches(view: View<'_>, value: ValueId) -> Option<Found> {
    gated(view, value).into_iter().find_map(|mut gated| {
        let kind = sigmoid(view, &mut gated).or_else(|| gelu(view, &mut gated)).or_else(|| mish(view, &mut gated))?;
        Some(Found::new(kind, gated.nodes, vec![gated.x], value))
    })
}

/// `x * Sigmoid(alpha * x)`
fn sigmoid(view: View<'_>, gated: &mut Gated) -> Option<Kind> {
    let (id, node) = view.made_by(gated.gate.of, "Sigmoid")?;
    let mut inside = Vec::new();
    let [zero, alpha, square, cube] = view.polynomial(node.input(0)?, gated.x, &mut inside)?;
    if !near(gated.gate.factor, 1.0) || [gated.gate.shift, zero, square, cube] != [0.0; 4] || alpha == 0.0 {
        return None;
    }
    gated.nodes.push(id);
    gated.nodes.extend(inside);
    Some(if near(alpha, 1.0) { Kind::Silu } else { Kind::QuickGelu { alpha: alpha as f32 } })
}

/// `0.5 x (1 + Erf(x / sqrt(2)))`, or `0.5 x (1 + Tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`
fn gelu(view: View<'_>, gated: &mut Gated) -> Option<Kind> {
    let (tanh, (id, node)) = match view.made_by(gated.gate.of, "Erf") {
        Some(erf) => (false, erf),
        None => (true, view.made_by(gated.gate.of, "Tanh")?),
    };
    let mut inside = Vec::new();
    let polynomial = view.polynomial(node.input(0)?, gated.x, &mut inside)?;
    // Both functions are odd: a sign before them is as good as one inside.
    let factor = gated.gate.factor;
    let [zero, one, square, cube] = polynomial.map(|c| c * factor.signum());
    let wanted = if tanh { FRAC_2_PI.sqrt() } else { FRAC_1_SQRT_2 };
    let outside = near(factor.abs(), 0.5) && near(gated.gate.shift, 0.5);
    let bend = if tanh { near(cube, wanted * CUBE) } else { cube == 0.0 };
    if !(outside && near(one, wanted) && bend && zero == 0.0 && square == 0.0) {
        return None;
    }
    gated.nodes.push(id);
    gated.nodes.extend(inside);
    Some(Kind::Gelu { tanh })
}

/// `x * Tanh(Softplus(x))`, where Softplus may be written as `Log(1 + Exp(x))`
fn mish(view: View<'_>, gated: &mut Gated) -> Option<Kind> {
    let (tanh, node) = view.made_by(gated.gate.of, "Tanh")?;
    let softplus = node.input(0)?;
    let nodes = match view.made_by(softplus, "Softplus") {
        Some((id, node)) => (node.input(0)? == gated.x).then_some(vec![tanh, id])?,
        None => {
            let (log, node) = view.made_by(softplus, "Log")?;
            let sum = view.line(node.input(0)?);
            let (exp, node) = view.made_by(sum.of, "Exp")?;
            let plus_one = near(sum.factor, 1.0) && near(sum.shift, 1.0) && node.input(0)? == gated.x;
            let mut nodes = plus_one.then_some(vec![tanh, log, exp])?;
            nodes.extend(sum.nodes);
            nodes
        }
    };
    if !near(gated.gate.factor, 1.0) || gated.gate.shift != 0.0 {
        return None;
    }
    gated.nodes.extend(nodes);
    Some(Kind::Mish)
}
