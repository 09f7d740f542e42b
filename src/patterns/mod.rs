//! What exporters spell out in many nodes, recognised by its structure: activations, normalizations, attention,
//! squeeze-and-excitation. Names play no part. A pattern counts only when nothing inside it is read from outside.

mod attention;
mod gates;
mod hard;
mod masks;
mod means;
mod normalization;
mod squeeze;
mod view;

pub use masks::mask_values;

use crate::ir::{Graph, NodeId, ValueId};
use view::View;

/// What a group of nodes computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `x * Sigmoid(x)`, also called Swish.
    Silu,
    /// `x * Sigmoid(alpha * x)`.
    QuickGelu {
        /// 1.702 to approximate GELU.
        alpha: f32,
    },
    /// `max(0, min(1, alpha * x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x * max(0, min(1, x / 6 + 0.5))`.
    HardSwish,
    /// `x` times the normal distribution up to `x`.
    Gelu {
        /// Whether Tanh approximates it; Erf otherwise.
        tanh: bool,
    },
    /// `x * Tanh(Softplus(x))`.
    Mish,
    /// `(x - mean(x)) / sqrt(variance(x) + epsilon) * scale + bias`.
    LayerNormalization(Normalization),
    /// `x / sqrt(mean(x^2) + epsilon) * scale + bias`.
    RmsNormalization(Normalization),
    /// `Softmax(scale * Q K^T + mask) V`. The inputs are queries, keys, values, then the masks.
    Attention {
        /// What the product of queries and keys is multiplied with.
        scale: f32,
        /// What is added to the scores, taken from them or chosen instead of them, and the conditions of such choices.
        masks: Vec<ValueId>,
        /// Whether the keys come transposed already.
        transposed: bool,
    },
    /// A tensor times what small layers make of its means over height and width.
    SqueezeExcite,
}

/// The parameters of a normalization.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// The axes that are normalized, as the model writes them.
    pub axes: Vec<i64>,
    /// Added to the variance.
    pub epsilon: f32,
    /// A constant to multiply with.
    pub scale: Option<ValueId>,
    /// A constant to add.
    pub bias: Option<ValueId>,
    /// Whether the mean's axis is dropped and put back by a Reshape, so that the axes alone do not say where it lies.
    pub reshaped: bool,
}

/// A group of nodes that computes one known thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// What it computes.
    pub kind: Kind,
    /// Its nodes, each after those that it reads.
    pub nodes: Vec<NodeId>,
    /// The values that go in; constants are parameters of the kind.
    pub inputs: Vec<ValueId>,
    /// The value that comes out.
    pub output: ValueId,
}

impl Found {
    fn new(kind: Kind, nodes: Vec<NodeId>, inputs: Vec<ValueId>, output: ValueId) -> Self {
        Self { kind, nodes, inputs, output }
    }

    /// Whether what comes out certainly has the shape of what goes in, as it does from one operator.
    fn is_one_shape(&self, view: View<'_>) -> bool {
        matches!(self.kind, Kind::Attention { .. } | Kind::SqueezeExcite)
            || view.keeps_rank(&self.nodes, self.inputs[0])
    }
}

type Matcher = fn(View<'_>, ValueId) -> Option<Found>;

/// Activations, which other patterns may contain.
const ACTIVATIONS: &[Matcher] = &[hard::hard_sigmoid, hard::hard_swish, gates::matches];

const ALL: &[Matcher] = &[
    attention::matches,
    squeeze::matches,
    normalization::matches,
    hard::hard_sigmoid,
    hard::hard_swish,
    gates::matches,
];

/// All patterns, in the order of their outputs. No node is in two of them: where patterns overlap, the larger one counts, so
/// an activation inside a squeeze-and-excitation block is not told apart. A graph with a circle has none.
pub fn find(graph: &Graph) -> Vec<Found> {
    find_with(graph, ALL)
}

/// The activations alone, inside of larger patterns too: SiLU, QuickGELU, HardSigmoid, HardSwish, GELU and Mish.
pub fn activations(graph: &Graph) -> Vec<Found> {
    find_with(graph, ACTIVATIONS)
}

fn find_with(graph: &Graph, matchers: &[Matcher]) -> Vec<Found> {
    let Ok(order) = graph.topological() else { return Vec::new() };
    let mut position = vec![0; graph.node_bound()];
    for (at, id) in order.iter().enumerate() {
        position[id.index()] = at;
    }
    let view = View { graph };
    let values = order.iter().filter_map(|&id| graph.node(id).output(0));
    let mut found: Vec<Found> = values
        .flat_map(|value| matchers.iter().filter_map(move |matches| matches(view, value)))
        .map(|mut one| {
            one.nodes.sort_by_key(|id| position[id.index()]);
            one.nodes.dedup();
            one
        })
        .filter(|one| view.is_closed(&one.nodes, one.output) && one.is_one_shape(view))
        .collect();
    // Stable, so among patterns of one size the earlier one counts.
    found.sort_by_key(|one| std::cmp::Reverse(one.nodes.len()));
    let mut taken = vec![false; graph.node_bound()];
    found.retain(|one| {
        let free = one.nodes.iter().all(|id| !taken[id.index()]);
        one.nodes.iter().for_each(|id| taken[id.index()] |= free);
        free
    });
    found.sort_by_key(|one| one.nodes.last().map(|id| position[id.index()]));
    found
}

#[cfg(test)]
pub mod tests;
