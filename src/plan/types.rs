//! The element types of values, as far as they decide whether a node computes with float32 numbers.

use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Half};
use crate::tensor::DataType;

/// What is known of each value's element type, by its index.
pub(super) struct FloatTypes(Vec<Option<DataType>>);

impl FloatTypes {
    /// Collects it: what was found out or is stated, and what follows through operators whose inputs and outputs share a type.
    pub fn of(graph: &Graph, order: &[NodeId]) -> Self {
        let mut types: Vec<_> = graph.value_ids().map(|v| graph.element_type(v)).collect();
        order.iter().for_each(|&id| ops::follow_type(graph, id, &mut types));
        Self(types)
    }

    /// The type that the inputs and outputs of a node share.
    fn shared(&self, graph: &Graph, id: NodeId, row: &Half) -> Option<DataType> {
        let node = graph.node(id);
        if row.attribute.is_some() {
            return row.stated(node);
        }
        row.reads(node).into_iter().find_map(|slot| self.0[node.input(slot)?.index()])
    }

    /// Whether a node computes with floating-point numbers, or may.
    pub fn concerns(&self, graph: &Graph, id: NodeId, row: &Half) -> bool {
        self.shared(graph, id, row).is_none_or(DataType::is_float)
    }

    /// Whether the type that inputs and outputs share is float32. One of them tells: what a body reads from around is not
    /// known by itself.
    pub fn is_float32(&self, graph: &Graph, id: NodeId, row: &Half) -> bool {
        self.shared(graph, id, row) == Some(DataType::Float32)
    }

    /// Whether a value is not known to hold anything but floating-point numbers.
    pub fn may_be_float(&self, value: ValueId) -> bool {
        self.0[value.index()].is_none_or(DataType::is_float)
    }
}
