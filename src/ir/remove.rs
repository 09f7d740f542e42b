//! The verbs that take things out of a graph: nodes, constants and names that nothing needs.

use super::graph::{Graph, NodeId, Source, Use, ValueId};

impl Graph {
    /// Removes a node none of whose outputs is read; says whether it did.
    pub fn remove_if_unused(&mut self, id: NodeId) -> bool {
        let Some(node) = self.get_node(id) else { return false };
        if node.outputs.iter().flatten().any(|&v| !self.value(v).uses.is_empty()) {
            return false;
        }
        self.detach(id);
        true
    }

    /// Takes a node out: its inputs lose a use, its outputs their source.
    pub(super) fn detach(&mut self, id: NodeId) {
        let Some(node) = self.nodes[id.index()].take() else { return };
        for value in node.inputs.iter().flatten().chain(&node.captured) {
            self.values[value.index()]
                .uses
                .retain(|u| !matches!(u, Use::Input { node, .. } | Use::Body { node } if *node == id));
        }
        for &value in node.outputs.iter().flatten() {
            self.values[value.index()].source = Source::Nowhere;
            if self.value(value).uses.is_empty() {
                self.forget(value);
            }
        }
    }

    /// Drops what is said about a value that is no more.
    pub(super) fn forget(&mut self, value: ValueId) {
        self.values[value.index()].constant = None;
        self.values[value.index()].info = None;
    }

    /// Frees the names of values that nothing makes or reads, of which a file only states types.
    pub fn free_unused_names(&mut self) {
        for index in 0..self.values.len() {
            let value = &self.values[index];
            if value.source == Source::Nowhere && value.uses.is_empty() {
                let id = ValueId(index as u32);
                if self.by_name.get(&value.name) == Some(&id) {
                    self.by_name.remove(&value.name);
                }
                self.forget(id);
            }
        }
    }

    /// Removes nodes and constants that no output needs, except constants listed as graph inputs.
    pub fn remove_unused(&mut self) {
        let mut unused: Vec<NodeId> = self.node_ids().collect();
        // Last first; a removed node may free the producers of its inputs.
        while let Some(id) = unused.pop() {
            let Some(node) = self.get_node(id) else { continue };
            let producers: Vec<_> =
                node.inputs.iter().flatten().chain(&node.captured).filter_map(|&v| self.value(v).producer()).collect();
            if self.remove_if_unused(id) {
                unused.extend(producers);
            }
        }
        self.remove_unused_constants();
    }

    /// Removes constants that nothing reads, except those listed as graph inputs.
    pub fn remove_unused_constants(&mut self) {
        let initializers = std::mem::take(&mut self.initializers);
        let (kept, dropped): (Vec<_>, Vec<_>) = initializers
            .into_iter()
            .partition(|&v| !self.value(v).uses.is_empty() || self.inputs.iter().any(|i| i.0 == v));
        self.initializers = kept;
        for value in dropped {
            self.values[value.index()].source = Source::Nowhere;
            self.forget(value);
        }
    }
}
