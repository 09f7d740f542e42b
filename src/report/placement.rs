//! What became of the nodes, in numbers and groups.

use crate::exec::Types;
use crate::ir::{Graph, NodeId, Source};
use crate::ops;
use crate::plan::{Placement, Plan, WasHalf};
use crate::qoperators;
use crate::resolve::Resolved;
use crate::target::Target;
use serde::Serialize;

/// Nodes that stay float for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FloatGroup {
    /// Their operator.
    pub op_type: String,
    /// Why.
    pub reason: String,
    /// Their names.
    pub nodes: Vec<String>,
}

/// The numbers of 16 bits that a model had itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HalfInput {
    /// Their type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether what stays float, and scales, are of this type; they are float32 otherwise.
    pub kept: bool,
    /// The same in words.
    #[serde(skip)]
    pub told: String,
}

impl HalfInput {
    fn of(was: WasHalf) -> Self {
        Self { kind: was.kind.to_string(), kept: was.kept, told: was.to_string() }
    }
}

/// Where a plan puts its nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlacementSummary {
    /// The runtime whose rules were followed.
    pub target: String,
    /// Nodes of the prepared graph that compute with floats; those that make shapes, indices or conditions do not count.
    pub nodes: usize,
    /// Nodes that run on integers.
    pub integer: usize,
    /// Nodes that compute in float from weights stored as integers.
    #[serde(skip_serializing_if = "is_zero")]
    pub stored: usize,
    /// Nodes that compute in floating-point numbers of 16 bits.
    #[serde(skip_serializing_if = "is_zero")]
    pub half: usize,
    /// Of a model whose numbers were of 16 bits: their type, and whether what stays float has it still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_input: Option<HalfInput>,
    /// Clamps that vanished into the grid of the node before them.
    pub absorbed: usize,
    /// Share of the multiply-accumulates that run on integers, between 0 and 1; `None` when shapes are not known.
    pub integer_work: Option<f64>,
    /// What stays float, and why.
    pub float: Vec<FloatGroup>,
}

/// Sums up a plan. Without `resolved` every clamp that may vanish counts as vanished.
pub fn summarize(
    plan: &Plan,
    graph: &Graph,
    target: &dyn Target,
    resolved: Option<&Resolved>,
    types: Option<&Types>,
) -> PlacementSummary {
    let mut summary = PlacementSummary {
        target: target.name().to_owned(),
        nodes: 0,
        integer: 0,
        stored: 0,
        half: 0,
        half_input: plan.was_half.map(HalfInput::of),
        absorbed: 0,
        integer_work: None,
        float: Vec::new(),
    };
    let (mut integer_work, mut work) = (0u64, 0u64);
    plan.walk(graph, &mut |graph, node| {
        summary.nodes += 1;
        let ty = |name: &str| types.and_then(|t| t.get(name));
        let own = ops::multiply_accumulates(graph, node.id, ty).unwrap_or(0);
        work += own;
        match &node.placement {
            Placement::Integer(_) | Placement::Dynamic(_) | Placement::Recurrent(_) => {
                summary.integer += 1;
                let taken = match &node.placement {
                    Placement::Integer(integer) => {
                        let weights = integer.constants.iter().filter(|constant| constant.is_weight);
                        let read = integer.settings.map(|settings| settings.scheme.dtype);
                        read.into_iter()
                            .chain(weights.map(|weight| weight.scheme.dtype))
                            .all(|dtype| target.takes(dtype))
                    }
                    _ => true,
                };
                if taken && target.has_integer_kernel(graph, node.id) {
                    integer_work += own;
                }
            }
            Placement::NoFloats => summary.nodes -= 1,
            Placement::Lookup(_) => summary.integer += 1,
            Placement::Half(_) => summary.half += 1,
            Placement::Weight(_) => summary.stored += 1,
            Placement::Clamp { .. } if resolved.is_none_or(|r| r.absorbed.contains(&node.id)) => summary.absorbed += 1,
            Placement::Clamp { .. } => {
                summary.keep_float(&node.op_type, "the grid before it does not end within its bounds", &node.name);
            }
            // Nothing is computed where the caller's integers stand for the numbers of a grid that they stay on.
            Placement::Float { .. } if is_border(plan, graph, node.id) => summary.nodes -= 1,
            Placement::Float { reason } => summary.keep_float(&node.op_type, reason, &node.name),
        }
    });
    summary.integer_work = (work > 0).then(|| integer_work as f64 / work as f64);
    summary
}

/// Whether a node does nothing but make the numbers of integers that the caller feeds, which are on a grid.
fn is_border(plan: &Plan, graph: &Graph, id: NodeId) -> bool {
    let Some(node) = graph.get_node(id).filter(|node| qoperators::is_quantized(node.domain(), node.op_type())) else {
        return false;
    };
    let fed = node.input(0).is_some_and(|value| graph.value(value).source() == Source::Input);
    fed && node.output(0).is_some_and(|value| plan.value(value).is_some())
}

pub(super) fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl FloatGroup {
    /// Every node of it, and why they stay float.
    pub fn in_full(&self) -> String {
        format!("{} x {}: {} ({})", self.nodes.len(), self.op_type, self.reason, self.nodes.join(", "))
    }
}

impl PlacementSummary {
    fn keep_float(&mut self, op_type: &str, reason: &str, name: &str) {
        match self.float.iter_mut().find(|g| g.op_type == op_type && g.reason == reason) {
            Some(group) => group.nodes.push(name.to_owned()),
            None => self.float.push(FloatGroup {
                op_type: op_type.to_owned(),
                reason: reason.to_owned(),
                nodes: vec![name.to_owned()],
            }),
        }
    }
}
