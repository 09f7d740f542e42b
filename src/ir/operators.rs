//! Verbs that make a node another one: what an operator was called, and what it gave, in an older operator set.

use super::graph::{Graph, NodeId, Source, ValueId};

impl Graph {
    /// Makes a node run ONNX's operator `op_type`; inputs, outputs and attributes stay.
    pub fn set_op_type(&mut self, node: NodeId, op_type: &str) {
        let proto = &mut self.nodes[node.index()].as_mut().expect("the node was removed").proto;
        proto.op_type = Some(op_type.to_owned());
        proto.domain = None;
    }

    /// Makes a node run `op_type` of `domain`; inputs, outputs and attributes stay.
    pub fn set_operator(&mut self, node: NodeId, domain: &str, op_type: &str) {
        let proto = &mut self.nodes[node.index()].as_mut().expect("the node was removed").proto;
        proto.op_type = Some(op_type.to_owned());
        proto.domain = (!domain.is_empty()).then(|| domain.to_owned());
    }

    /// Calls a node `name`; says whether that was free.
    pub fn rename_node(&mut self, node: NodeId, name: &str) -> bool {
        if self.fresh_name(name) != name && self.reserved.contains(name) {
            return false;
        }
        let proto = &mut self.nodes[node.index()].as_mut().expect("the node was removed").proto;
        proto.name = Some(name.to_owned());
        self.reserved.insert(name.to_owned());
        true
    }

    /// Takes output `slot` from a node; what it made is made by nothing until another node takes it over.
    pub fn drop_output(&mut self, node: NodeId, slot: usize) -> Option<ValueId> {
        let outputs = &mut self.nodes[node.index()].as_mut().expect("the node was removed").outputs;
        let value = outputs.get_mut(slot)?.take()?;
        // An optional output left out at the end is not written at all.
        while outputs.last() == Some(&None) {
            outputs.pop();
        }
        self.values[value.index()].source = Source::Nowhere;
        Some(value)
    }

    /// Takes every attribute away.
    pub fn clear_attributes(&mut self, node: NodeId) {
        self.nodes[node.index()].as_mut().expect("the node was removed").proto.attribute.clear();
    }
}
