//! Nodes of different integer types beside each other: each reads and makes its own, so a value that crosses from one to the
//! other gets a grid for each.

use super::{IntegerNode, NodePlan, Placement, Plan, RangeSource, ValuePlan};
use crate::ir::Graph;
use crate::policy::{ActivationSettings, Matched};
use std::collections::HashMap;

impl Plan {
    /// Gives each value the types that its readers want. What integers make keeps its type and is converted; what comes in
    /// float is quantized for each of them. A value whose type a rule states is read in that one, but by nodes that read
    /// several activations: those of a join are all of its own type.
    pub(super) fn settle_types(&mut self, graph: &Graph, matched: &Matched) {
        let mut wanted: HashMap<usize, Vec<ActivationSettings>> = HashMap::new();
        let pinned = |plan: &Self, index: usize| matched.values[plan.values[index].id.index()].pinned;
        let mut made = vec![false; self.values.len()];
        // What comes in as integers has the type that it comes in.
        self.io.iter().filter_map(|one| self.index.get(&one.value)).for_each(|&index| made[index] = true);
        for node in &self.nodes {
            let Placement::Integer(integer) = &node.placement else { continue };
            let outputs = graph.node(node.id).outputs().iter().flatten().copied().chain(integer.end);
            outputs.filter_map(|v| self.index.get(&v)).for_each(|&index| made[index] = true);
            let Some(settings) = integer.settings else { continue };
            let inputs = integer.activations.iter().filter_map(|&slot| graph.node(node.id).input(slot));
            let inputs: Vec<usize> = inputs.filter_map(|v| self.index.get(&v).copied()).collect();
            let dtype = |index: usize| pinned(self, index).then(|| self.values[index].settings.scheme.dtype);
            let alike = inputs.first().is_some_and(|&first| inputs.iter().all(|&index| dtype(index) == dtype(first)));
            // One type that rules give all that it reads is that of the join, too.
            let joins = integer.activations.len() > 1 && !alike;
            for index in inputs.into_iter().filter(|&index| joins || !pinned(self, index)) {
                let types = wanted.entry(index).or_default();
                if types.iter().all(|known| known.scheme.dtype != settings.scheme.dtype) {
                    types.push(settings);
                }
            }
        }
        for (index, made) in made.into_iter().enumerate() {
            let id = self.values[index].id;
            let Some(mut types) = wanted.remove(&index) else { continue };
            let root = self.root(id);
            let own = |plan: &Self| plan.value(root).map(|value| value.settings.scheme.dtype);
            let moved = matches!(self.values[index].range, RangeSource::SameAs(_));
            let known = matches!(self.values[index].range, RangeSource::Known(_));
            if !made
                && !moved
                && !known
                && !pinned(self, index)
                && types.iter().all(|ty| Some(ty.scheme.dtype) != own(self))
            {
                // Nobody wants the type that it would have: the one that keeps most comes first.
                types.sort_by_key(|ty| std::cmp::Reverse(ty.scheme.dtype.bits()));
                self.values[index].settings = types[0];
            }
            types.retain(|ty| Some(ty.scheme.dtype) != own(self));
            self.values[index].also = types;
        }
        self.widen_weights(graph);
    }

    /// Lets weights be as large as they are where what they multiply is not of 8 bits: those kernels add in more than 16 bits.
    fn widen_weights(&mut self, graph: &Graph) {
        let bits = |value| {
            let value: &ValuePlan = &self.values[*self.index.get(&value)?];
            value.also.iter().chain([&value.settings]).map(|settings| settings.scheme.dtype.bits()).min()
        };
        let wide = |node: &NodePlan, integer: &IntegerNode| {
            let read = integer.activations.first().and_then(|&slot| graph.node(node.id).input(slot));
            read.and_then(bits).is_some_and(|bits| bits > 8)
        };
        let wide: Vec<bool> = self
            .nodes
            .iter()
            .map(|node| matches!(&node.placement, Placement::Integer(integer) if wide(node, integer)))
            .collect();
        for (node, _) in self.nodes.iter_mut().zip(wide).filter(|(_, wide)| *wide) {
            if let Placement::Integer(integer) = &mut node.placement {
                integer.constants.iter_mut().for_each(|constant| constant.sum_order = None);
            }
        }
    }
}
