//! Along which axis the channels of a value lie, told by what makes or reads it.

use super::Plan;
use crate::ir::Graph;
use crate::ops;
use crate::quant::ChannelAxis;

impl Plan {
    /// Finds the layout of each value. What an operator works on counts more than what the one behind it expects.
    pub(super) fn find_layouts(&mut self, graph: &Graph) {
        let mut layouts: Vec<Option<ChannelAxis>> = vec![None; graph.value_bound()];
        let nodes = self.nodes.iter().filter_map(|n| Some((n.id, ops::lookup(graph, n.id)?)));
        let nodes: Vec<_> = nodes.collect();
        for &(id, op) in &nodes {
            let node = graph.node(id);
            let inherited = || node.inputs().iter().flatten().find_map(|v| layouts[v.index()]);
            let made = op.channel_axis(graph, id).or_else(|| inherited().filter(|_| op.keeps_axes()));
            node.outputs().iter().flatten().for_each(|v| layouts[v.index()] = made);
        }
        for &(id, op) in nodes.iter().rev() {
            let node = graph.node(id);
            let made = node.output(0).and_then(|v| layouts[v.index()]);
            let read = op.channel_axis(graph, id).or(made.filter(|_| op.keeps_axes()));
            for slot in op.activation_slots(graph, id) {
                let input = node.input(slot);
                input.into_iter().for_each(|v| layouts[v.index()] = layouts[v.index()].or(read));
            }
        }
        self.values.iter_mut().for_each(|value| value.layout = layouts[value.id.index()]);
    }
}
