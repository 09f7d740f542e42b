//! Scaled dot-product attention: `Softmax(Q K^T * scale + mask) V`.

use super::view::View;
use super::{Found, Kind};
use crate::ir::{Node, NodeId, ValueId};

/// How many nodes may stand between the product of queries and keys and the Softmax.
const LONGEST: usize = 8;

/// Everything between queries, keys and the Softmax.
pub(super) struct Scores {
    /// The product of queries and keys.
    pub matmul: Option<NodeId>,
    /// What is added to the scores, taken from them, or chosen instead of them, with the condition of the choice; each with
    /// the place on the way where that happens.
    pub beside: Vec<(usize, ValueId)>,
    /// The scores on their way, from the Softmax's input back.
    pub on_the_way: Vec<ValueId>,
    factor: f64,
    nodes: Vec<NodeId>,
}

/// Follows the scores back from `value`, a Softmax's input, to the MatMul that makes them, or as far as they can be told
/// from what is added to them.
pub(super) fn scores(view: View<'_>, mut value: ValueId) -> Scores {
    let mut scores =
        Scores { matmul: None, beside: Vec::new(), on_the_way: Vec::new(), factor: 1.0, nodes: Vec::new() };
    while view.read_once(value) && scores.nodes.len() <= LONGEST {
        let Some(id) = view.graph.value(value).producer() else { break };
        let node = view.graph.node(id);
        if !node.domain().is_empty() {
            break;
        }
        let Some(next) = before(view, node, &mut scores) else {
            let both = view.pair(node).filter(|_| node.is("MatMul"));
            if both.is_some_and(|pair| pair.iter().all(|&v| !view.graph.is_constant(v))) {
                scores.matmul = Some(id);
                scores.nodes.push(id);
            }
            break;
        };
        scores.nodes.push(id);
        scores.on_the_way.push(value);
        value = next;
    }
    scores
}

/// The scores that `node` reads, noting what it does to them.
fn before(view: View<'_>, node: &Node, scores: &mut Scores) -> Option<ValueId> {
    let number = |slot: usize| node.input(slot).and_then(|v| view.number(v));
    let mut operands = |first: usize, beside: &[ValueId]| {
        let (a, b) = (node.input(first)?, node.input(first + 1)?);
        let (score, other) = if looks_like_scores(view, a) || !looks_like_scores(view, b) { (a, b) } else { (b, a) };
        scores.beside.extend(beside.iter().chain([&other]).map(|&v| (scores.on_the_way.len(), v)));
        Some(score)
    };
    match node.op_type() {
        "Reshape" | "Identity" | "Cast" => node.input(0),
        "Mul" | "Div" if number(1).is_some() => {
            let factor = number(1)?;
            scores.factor *= if node.is("Mul") { factor } else { 1.0 / factor };
            node.input(0)
        }
        "Mul" if number(0).is_some() => {
            scores.factor *= number(0)?;
            node.input(1)
        }
        "Max" if number(1).is_some() => node.input(0),
        "Add" => operands(0, &[]),
        "Sub" => {
            scores.beside.push((scores.on_the_way.len(), node.input(1)?));
            node.input(0)
        }
        "Where" => operands(1, &[node.input(0)?]),
        _ => None,
    }
}

/// Whether a product of two computed matrices is a few nodes behind `value`.
fn looks_like_scores(view: View<'_>, mut value: ValueId) -> bool {
    for _ in 0..LONGEST {
        let Some(id) = view.graph.value(value).producer() else { return false };
        let node = view.graph.node(id);
        let input = |slot: usize| node.input(slot).filter(|v| !view.graph.is_constant(*v));
        let next = match node.op_type() {
            "MatMul" => return input(0).is_some() && input(1).is_some(),
            "Mul" | "Div" | "Add" | "Sub" | "Max" => input(0).or(input(1)),
            "Where" => input(1).or(input(2)),
            "Reshape" | "Identity" | "Cast" => input(0),
            _ => None,
        };
        let Some(next) = next else { return false };
        value = next;
    }
    false
}

/// The attention around the Softmax that makes `softmax`.
pub(super) fn matches(view: View<'_>, softmax: ValueId) -> Option<Found> {
    let (id, node) = view.made_by(softmax, "Softmax")?;
    let scores = scores(view, node.input(0)?);
    let product = view.graph.node(scores.matmul?);
    let mut nodes = scores.nodes;
    nodes.push(id);
    let mut factor = scores.factor;
    let [query, key] = view.pair(product)?;
    let (query, _) = operand(view, query, &mut factor, &mut nodes);
    let (key, perm) = operand(view, key, &mut factor, &mut nodes);
    if !is_last(view, node, softmax, perm.map(<[i64]>::len)) {
        return None;
    }
    let (product, value) = weighted(view, softmax, &mut nodes)?;
    let output = view.graph.node(product).output(0)?;
    let masks: Vec<_> = scores.beside.into_iter().map(|(_, value)| value).collect();
    let inputs = [query, key, value].into_iter().chain(masks.iter().copied()).collect();
    let kind = Kind::Attention { scale: factor as f32, masks, transposed: perm.is_none() };
    Some(Found::new(kind, nodes, inputs, output))
}

/// What the queries or keys are before they are scaled and transposed for the product, and the transposition.
fn operand<'g>(
    view: View<'g>,
    mut value: ValueId,
    factor: &mut f64,
    nodes: &mut Vec<NodeId>,
) -> (ValueId, Option<&'g [i64]>) {
    let mut transposed = None;
    while view.read_once(value) {
        if let Some((id, node)) = view.made_by(value, "Transpose").filter(|_| transposed.is_none())
            && let Some((perm, input)) = node.attributes().ints("perm").zip(node.input(0))
            && swaps_last(perm)
        {
            nodes.push(id);
            (transposed, value) = (Some(perm), input);
        } else if let Some(p) = view.product(value).filter(|p| p.terms.len() == 1 && p.over.is_empty()) {
            *factor *= p.factor;
            nodes.extend(p.nodes);
            value = p.terms[0];
        } else {
            break;
        }
    }
    (value, transposed)
}

/// Whether a permutation exchanges the last two axes and keeps the others.
fn swaps_last(perm: &[i64]) -> bool {
    let rank = perm.len();
    let wanted = |axis: usize| match rank - axis {
        1 => rank - 2,
        2 => rank - 1,
        _ => axis,
    };
    rank >= 2 && perm.iter().enumerate().all(|(axis, &from)| usize::try_from(from) == Ok(wanted(axis)))
}

/// Whether a Softmax goes along the last axis of its output.
fn is_last(view: View<'_>, node: &Node, output: ValueId, rank: Option<usize>) -> bool {
    let axis = node.attributes().int("axis").unwrap_or(-1);
    let rank = rank.or_else(|| view.graph.stated_type(output).map(|t| t.dims.len()));
    axis == -1 || rank.is_some_and(|rank| axis == rank as i64 - 1)
}

/// The MatMul of the Softmax's output with the values, past what does nothing to it, and these values.
fn weighted(view: View<'_>, mut weights: ValueId, nodes: &mut Vec<NodeId>) -> Option<(NodeId, ValueId)> {
    for _ in 0..LONGEST {
        let mut readers: Vec<_> = view.graph.value(weights).readers().collect();
        // PyTorch guards rows that are masked throughout: Where(IsNaN(weights), 0, weights).
        if let Some(at) = readers.iter().position(|r| view.graph.node(r.0).is("IsNaN")) {
            nodes.push(readers.remove(at).0);
        }
        let &[(id, slot)] = &readers[..] else { return None };
        let node = view.graph.node(id);
        nodes.push(id);
        if node.is("MatMul") && slot == 0 {
            let value = node.input(1).filter(|v| !view.graph.is_constant(*v))?;
            return Some((id, value));
        }
        let passes = match node.op_type() {
            "Dropout" | "Identity" | "Cast" | "Reshape" => slot == 0,
            "Where" => slot == 2 && node.input(1).is_some_and(|v| view.is_number(v, 0.0)),
            _ => false,
        };
        weights = node.output(0).filter(|_| passes && node.domain().is_empty())?;
    }
    None
}
