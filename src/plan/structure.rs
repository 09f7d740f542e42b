//! What kind of network a graph is, found by the shape of its parts. It decides about nodes that could be either: eight bits
//! for a residual sum cost a CNN nothing and a transformer everything.

use super::place::Preferences;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Op, Role};
use crate::patterns::{self, Found, Kind};
use std::fmt;

/// The parts that were found.
#[derive(Debug, Clone, Default)]
pub struct Structure {
    /// Scaled dot-product attention.
    pub attention: usize,
    /// Normalizations at run time, spelled out or not: layer and root mean square.
    pub normalizations: usize,
    /// Convolutions.
    pub convolutions: usize,
    /// Joins behind the last layers, as at the end of a detector.
    pub last_joins: usize,
    found: Vec<Found>,
    masks: Vec<bool>,
}

impl Structure {
    /// Looks at a prepared graph.
    pub(super) fn of(graph: &Graph) -> Self {
        let found = patterns::find(graph);
        let count = |kind: fn(&Kind) -> bool| found.iter().filter(|f| kind(&f.kind)).count();
        let spelled = count(is_normalization);
        let rows =
            |what: fn(&Op) -> bool| graph.node_ids().filter(|&id| ops::lookup(graph, id).is_some_and(what)).count();
        Self {
            attention: count(|kind| matches!(kind, Kind::Attention { .. })) + rows(Op::attends),
            normalizations: spelled + rows(Op::normalizes),
            convolutions: rows(Op::convolves),
            last_joins: last_joins(graph),
            masks: patterns::mask_values(graph),
            found,
        }
    }

    /// The nodes that stay float for the sake of what stands around them.
    pub(super) fn preferences(&self, graph: &Graph) -> Preferences {
        let mut preferences: Preferences = vec![None; graph.node_bound()];
        for found in &self.found {
            let Some(what) = computed_in_float(&found.kind) else { continue };
            for id in &found.nodes {
                preferences[id.index()] = Some(format!("it is part of a {what}, which is computed in float"));
            }
        }
        let spelled = self.found.iter().filter(|f| is_normalization(&f.kind)).filter_map(|f| f.inputs.first().copied());
        let whole = graph.node_ids().filter(|&id| normalizes(graph, id)).filter_map(|id| graph.node(id).input(0));
        for value in spelled.chain(whole) {
            if let Some(id) = residual(graph, value) {
                preferences[id.index()]
                    .get_or_insert_with(|| "it feeds a normalization, which needs more than eight bits".to_owned());
            }
        }
        for id in graph.node_ids() {
            let touches = |v: &ValueId| self.masks[v.index()];
            if graph.node(id).outputs().iter().flatten().any(touches) {
                preferences[id.index()] = Some("it makes an attention mask".to_owned());
            }
        }
        preferences
    }
}

fn is_normalization(kind: &Kind) -> bool {
    matches!(kind, Kind::LayerNormalization(_) | Kind::RmsNormalization(_))
}

/// What a pattern is called, if no part of it is to run on integers.
fn computed_in_float(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::HardSigmoid { .. } => "HardSigmoid",
        Kind::HardSwish => "HardSwish",
        Kind::Gelu { .. } => "Gelu",
        Kind::Mish => "Mish",
        Kind::LayerNormalization(_) => "LayerNormalization",
        Kind::RmsNormalization(_) => "RMSNormalization",
        // A Sigmoid and a Mul have integer kernels; attention and gates hold layers, which decide for themselves.
        Kind::Silu | Kind::QuickGelu { .. } | Kind::Attention { .. } | Kind::SqueezeExcite => return None,
    })
}

/// Whether a node divides a tensor by its own spread.
fn normalizes(graph: &Graph, id: NodeId) -> bool {
    ops::lookup(graph, id).is_some_and(Op::normalizes)
}

/// The sum that makes `value`.
fn residual(graph: &Graph, value: ValueId) -> Option<NodeId> {
    let producer = graph.value(value).producer()?;
    ops::lookup(graph, producer).filter(|op| op.role == Role::Arithmetic).map(|_| producer)
}

/// Concat nodes between the last layers and the graph's outputs.
fn last_joins(graph: &Graph) -> usize {
    let mut seen = vec![false; graph.node_bound()];
    let mut open: Vec<NodeId> = graph.outputs().filter_map(|v| graph.value(v).producer()).collect();
    let mut joins = 0;
    while let Some(id) = open.pop() {
        let layer = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Compute);
        if layer || std::mem::replace(&mut seen[id.index()], true) {
            continue;
        }
        let float = |v: ValueId| graph.known_type(v).is_none_or(|ty| ty.dtype.is_float());
        let concat = ops::lookup(graph, id).is_some_and(|op| op.op_type == "Concat");
        joins += usize::from(concat && graph.node(id).output(0).is_some_and(float));
        open.extend(graph.node(id).inputs().iter().flatten().filter_map(|&v| graph.value(v).producer()));
    }
    joins
}

impl fmt::Display for Structure {
    /// One line for each part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if self.attention > 0 || self.normalizations > 0 {
            lines.push(format!(
                "transformer: {} attention, {} normalizations; sums before a normalization and masks stay float",
                self.attention, self.normalizations
            ));
        }
        if self.convolutions > 0 {
            lines.push(format!(
                "convolutional: {} convolutions; sums and gates between them run on integers",
                self.convolutions
            ));
        }
        if self.last_joins > 0 {
            lines.push(format!("head: {} joins behind the last layers stay float", self.last_joins));
        }
        if lines.is_empty() {
            lines.push("layers: no convolution, no attention".to_owned());
        }
        f.write_str(&lines.join("\n"))
    }
}
