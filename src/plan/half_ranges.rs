//! What samples show of nodes in 16 bits: the numbers that float16 does not hold.

use super::{HalfNode, Placement, Plan, ValuePlan};
use crate::ir::{Graph, NodeId, ValueId};
use crate::policy::Matched;
use crate::quant::HalfType;

/// How far beyond the numbers of the samples those of other data may lie.
const MARGIN: f32 = 2.0;

impl Plan {
    /// Asks for the ranges of what nodes in float16 read and make.
    pub(super) fn watch_halves(&mut self, graph: &Graph, matched: &Matched) {
        let mut seen = vec![false; graph.value_bound()];
        let mut watched = Vec::new();
        self.values.iter().for_each(|v| seen[v.id.index()] = true);
        for (id, half) in self.halves().filter(|(_, half)| half.kind == HalfType::Float16) {
            for value in half.values(graph, id) {
                if !std::mem::replace(&mut seen[value.index()], true) {
                    let settings = matched.values[value.index()].activations;
                    watched.push(ValuePlan::observed(graph, value, settings));
                }
            }
        }
        self.watched = watched;
    }

    /// The nodes that compute in 16 bits.
    pub fn halves(&self) -> impl Iterator<Item = (NodeId, &HalfNode)> {
        self.nodes.iter().filter_map(|n| match &n.placement {
            Placement::Half(half) => Some((n.id, half)),
            _ => None,
        })
    }
}

impl HalfNode {
    /// The values that node `id` reads and makes in 16 bits, without constants.
    fn values(&self, graph: &Graph, id: NodeId) -> Vec<ValueId> {
        let node = graph.node(id);
        let inputs = self.inputs.iter().filter_map(|&slot| node.input(slot)).filter(|&v| !graph.is_constant(v));
        inputs.chain(self.outputs.iter().filter_map(|&slot| node.output(slot))).collect()
    }
}

/// The nodes in float16 that samples speak against: they read or make a number that float16 may not hold, or nothing but
/// numbers so small that it loses most of their bits. `range` is that of a value over the samples.
pub fn out_of_range(graph: &Graph, plan: &Plan, range: impl Fn(&str) -> Option<(f32, f32)>) -> Vec<(NodeId, String)> {
    let mut found = Vec::new();
    for (id, half) in plan.halves().filter(|(_, half)| half.kind == HalfType::Float16) {
        let trouble = |value: ValueId| {
            let name = graph.value(value).name();
            let (low, high) = range(name)?;
            let most = high.max(-low);
            if most * MARGIN > half.kind.max() {
                let ends = half.kind.max();
                return Some(format!("{name:?} reaches {most:e} in the samples, and {} ends at {ends:e}", half.kind));
            }
            let tiny = most > 0.0 && most < half.kind.smallest_normal();
            tiny.then(|| format!("{name:?} stays below {most:e} in the samples, where {} has few bits", half.kind))
        };
        found.extend(half.values(graph, id).into_iter().find_map(trouble).map(|why| (id, why)));
    }
    found
}
