//! Nodes of different integer types beside each other: each reads and makes its own, so a value that crosses from one to the
//! other gets a grid for each.

use super::{IntegerNode, NodePlan, Placement, Plan, RangeSource, ValuePlan};
use crate::ir::Graph;
use crate::policy::{ActivationSettings, Matched};

impl Plan {
    /// Gives each value the types that its readers want. What integers make keeps its type and is converted; what comes in
    /// float is quantized for each of them. An output that is to be of another type than its layer makes is converted, too.
    pub(super) fn settle_types(&mut self, graph: &Graph, matched: &Matched) {
        self.make_outputs_as_read();
        let made = self.made_as_integers(graph);
        for (index, mut types) in self.wanted_types(graph).into_iter().enumerate() {
            let value = &self.values[index];
            let root = self.root(value.id);
            let own = |plan: &Self| plan.value(root).map(|value| value.settings.scheme.dtype);
            let has_own = matches!(value.range, RangeSource::SameAs(_) | RangeSource::Known(_));
            let free = !made[index] && !has_own && !matched.values[value.id.index()].pinned;
            // Where nobody wants the type that it would have, the one that keeps most comes first.
            if let Some(&widest) = types.iter().filter(|_| free).rev().max_by_key(|ty| ty.scheme.dtype.bits())
                && types.iter().all(|ty| Some(ty.scheme.dtype) != own(self))
            {
                self.values[index].settings = widest;
            }
            types.retain(|ty| Some(ty.scheme.dtype) != own(self));
            self.values[index].also = types;
        }
        self.widen_weights(graph);
    }

    /// Lets a layer whose output is to be another type of as many bits make the type that it reads.
    fn make_outputs_as_read(&mut self) {
        for node in &self.nodes {
            let Placement::Integer(IntegerNode { settings: Some(settings), end: Some(end), .. }) = &node.placement
            else {
                continue;
            };
            let output = self.io.iter().any(|one| one.output.is_some() && one.value == *end);
            if let Some(value) = self.index.get(end).filter(|_| output).map(|&index| &mut self.values[index])
                && matches!(value.range, RangeSource::Observed | RangeSource::Fixed(_) | RangeSource::Given(..))
            {
                value.settings.scheme.dtype = settings.scheme.dtype;
            }
        }
    }

    /// Whether each value is made by integers, or comes in as such: it has the type that it comes in.
    fn made_as_integers(&self, graph: &Graph) -> Vec<bool> {
        let outside = self.io.iter().map(|one| one.value);
        let made = self.nodes.iter().filter_map(|node| match &node.placement {
            Placement::Integer(integer) => {
                Some(graph.node(node.id).outputs().iter().flatten().copied().chain(integer.end))
            }
            _ => None,
        });
        let mut all = vec![false; self.values.len()];
        outside.chain(made.flatten()).filter_map(|v| self.index.get(&v)).for_each(|&index| all[index] = true);
        all
    }

    /// The types in which nodes read each value.
    fn wanted_types(&self, graph: &Graph) -> Vec<Vec<ActivationSettings>> {
        let mut wanted: Vec<Vec<ActivationSettings>> = vec![Vec::new(); self.values.len()];
        for node in &self.nodes {
            let Placement::Integer(integer) = &node.placement else { continue };
            let Some(settings) = integer.settings else { continue };
            let inputs = integer.activations.iter().filter_map(|&slot| graph.node(node.id).input(slot));
            for index in inputs.filter_map(|value| self.index.get(&value).copied()) {
                if wanted[index].iter().all(|known| known.scheme.dtype != settings.scheme.dtype) {
                    wanted[index].push(settings);
                }
            }
        }
        wanted
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
