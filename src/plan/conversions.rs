//! Nodes of different integer types beside each other: each reads and makes its own, so a value that crosses from one to the
//! other gets a grid for each.

use super::{Placement, Plan, RangeSource};
use crate::ir::Graph;
use crate::policy::{ActivationSettings, Matched};
use std::collections::HashMap;

impl Plan {
    /// Gives each value the types that its readers want. What integers make keeps its type and is converted; what comes in
    /// float is quantized for each of them. A value whose type a rule states has that one alone.
    pub(super) fn settle_types(&mut self, graph: &Graph, matched: &Matched) {
        let mut wanted: HashMap<usize, Vec<ActivationSettings>> = HashMap::new();
        let mut made = vec![false; self.values.len()];
        // What comes in as integers has the type that it comes in.
        self.io.iter().filter_map(|one| self.index.get(&one.value)).for_each(|&index| made[index] = true);
        for node in &self.nodes {
            let Placement::Integer(integer) = &node.placement else { continue };
            let outputs = graph.node(node.id).outputs().iter().flatten().copied().chain(integer.end);
            outputs.filter_map(|v| self.index.get(&v)).for_each(|&index| made[index] = true);
            let Some(settings) = integer.settings else { continue };
            let inputs = integer.activations.iter().filter_map(|&slot| graph.node(node.id).input(slot));
            for index in inputs.filter_map(|v| self.index.get(&v)) {
                let types = wanted.entry(*index).or_default();
                if types.iter().all(|known| known.scheme.dtype != settings.scheme.dtype) {
                    types.push(settings);
                }
            }
        }
        for (index, made) in made.into_iter().enumerate() {
            let id = self.values[index].id;
            let Some(mut types) = wanted.remove(&index).filter(|_| !matched.values[id.index()].pinned) else {
                continue;
            };
            let root = self.root(id);
            let own = |plan: &Self| plan.value(root).map(|value| value.settings.scheme.dtype);
            let moved = matches!(self.values[index].range, RangeSource::SameAs(_));
            let known = matches!(self.values[index].range, RangeSource::Known(_));
            if !made && !moved && !known && types.iter().all(|ty| Some(ty.scheme.dtype) != own(self)) {
                // Nobody wants the type that it would have: the one that keeps most comes first.
                types.sort_by_key(|ty| std::cmp::Reverse(ty.scheme.dtype.bits()));
                self.values[index].settings = types[0];
            }
            types.retain(|ty| Some(ty.scheme.dtype) != own(self));
            self.values[index].also = types;
        }
    }
}
