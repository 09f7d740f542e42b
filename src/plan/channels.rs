//! Which values calibration looks at channel by channel: those that layers sum over. How large the products of two neighbours
//! get depends on how large the two channels get.

use super::{Placement, Plan, RangeSource};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Role};
use crate::quant::ChannelAxis;

impl Plan {
    /// Asks for the channels of each value that an integer layer reads, whatever the policy says of saturation: statistics
    /// serve other policies, too.
    pub(super) fn ask_for_channels(&mut self, graph: &Graph) {
        let observes = self.values.iter().any(|value| value.range == RangeSource::Observed);
        // Where the numbers of a moved value come from, channel by channel.
        let mut origins: Vec<Option<ValueId>> = vec![None; graph.value_bound()];
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let Placement::Integer(integer) = &node.placement else { continue };
            let Some((op, input)) = ops::lookup(graph, node.id).zip(graph.node(node.id).input(0)) else { continue };
            let origin = origins[input.index()].unwrap_or(input);
            if op.role == Role::Movement && op.keeps_second_axis() {
                let made = graph.node(node.id).output(0).filter(|_| integer.quantized_output);
                made.into_iter().for_each(|v| origins[v.index()] = Some(origin));
                continue;
            }
            let weight = integer
                .constants
                .iter()
                .position(|c| c.is_weight && c.known.is_none() && own_weight(graph, node.id, c.slot));
            let Some((weight, axis)) = weight.zip(op.summed_axis(graph, node.id)) else { continue };
            let source = if axis == ChannelAxis::Second { origin } else { input };
            // Who states a range wants nothing observed there. That the grid of an integer input is known says nothing of what
            // it holds.
            let observed = self.value(self.root(source)).is_some_and(|root| match root.range {
                RangeSource::Observed => true,
                RangeSource::Grid { .. } => {
                    observes && self.io.iter().any(|one| one.output.is_none() && one.value == root.id)
                }
                _ => false,
            });
            let Some(&index) = self.index.get(&source).filter(|_| observed) else { continue };
            self.values[index].channels.get_or_insert(axis);
            if let Placement::Integer(integer) = &mut self.nodes[at].placement {
                integer.constants[weight].summed = Some((source, axis));
            }
        }
    }
}

/// Whether `node` sums over the weight at input `slot` in pairs, and nothing else reads it: a weight that layers share must
/// not become one for each of them.
fn own_weight(graph: &Graph, node: NodeId, slot: usize) -> bool {
    let Some((op, weight)) = ops::lookup(graph, node).zip(graph.node(node).input(slot)) else { return false };
    let dims = graph.stated_type(weight).map(|ty| ty.dims).unwrap_or_default();
    let shape: Option<Vec<usize>> = dims.into_iter().collect();
    graph.value(weight).uses().len() == 1 && shape.is_some_and(|shape| op.sum_order(graph, node, &shape).is_some())
}
