//! What an adapter works on, and the few things that most of them do.

use super::types::Known;
use crate::error::{Error, Result};
use crate::ir::{Attributes, Graph, NewNode, Node, NodeId, ValueId};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

/// A node to be rewritten, and what is known around it.
pub struct Site<'a> {
    /// The graph of the node: the main one, a body, or a function.
    pub graph: &'a mut Graph,
    /// The node.
    pub id: NodeId,
    /// The operator set that it is written in.
    pub version: i64,
    /// The types of the values that were there before the first node was rewritten; nothing where the node is written
    /// in operator set 13 or later.
    pub known: &'a Known,
}

impl Site<'_> {
    pub fn node(&self) -> &Node {
        self.graph.node(self.id)
    }

    pub fn attributes(&self) -> Attributes<'_> {
        self.node().attributes()
    }

    /// An error about the node.
    pub fn error(&self, message: impl ToString) -> Error {
        self.graph.node_error(self.id, message)
    }

    /// The value of an input that may not be left out.
    pub fn input(&self, slot: usize) -> Result<ValueId> {
        self.node().input(slot).ok_or_else(|| self.error(format!("has no input {slot}")))
    }

    /// Takes an attribute of integers away.
    pub fn take_ints(&mut self, name: &str) -> Option<Vec<i64>> {
        let values = self.attributes().ints(name)?.to_vec();
        self.graph.remove_attribute(self.id, name);
        Some(values)
    }

    /// Takes an attribute away that is a float.
    pub fn take_float(&mut self, name: &str) -> Option<f32> {
        let value = self.attributes().float(name);
        self.graph.remove_attribute(self.id, name);
        value
    }

    /// A float of the node's element type: that of its first input.
    pub fn scalar(&self, what: &str, value: f32) -> Result<Tensor> {
        let dtype = self.known.dtype(self.input(0)?);
        let dtype = dtype.ok_or_else(|| {
            self.error(format!(
                "its {what} has to become a tensor of its input's element type, which the model does not tell; state the \
                 types of the model's values (onnx.shape_inference), or export it with opset 13 or later"
            ))
        })?;
        scalar(dtype, value).ok_or_else(|| self.error(format!("its {what} is a float, but its input {dtype}")))
    }

    /// Adds a constant that is called after the node.
    pub fn constant(&mut self, what: &str, tensor: &Tensor) -> ValueId {
        let stem = format!("{}_{what}", self.graph.label(self.id));
        self.graph.add_initializer(&stem, tensor)
    }

    /// Gives the node a constant as input.
    pub fn set_constant(&mut self, slot: usize, what: &str, tensor: &Tensor) {
        let value = self.constant(what, tensor);
        self.graph.set_input(self.id, slot, Some(value));
    }

    /// Gives the node integers as input.
    pub fn set_ints(&mut self, slot: usize, what: &str, values: &[i64]) {
        self.set_constant(slot, what, &Tensor::from_i64(vec![values.len()], values));
    }

    /// Adds a node called after this one; returns it and what it makes.
    pub fn add(&mut self, op_type: &str, inputs: Vec<Option<ValueId>>, ints: Vec<(&str, i64)>) -> (NodeId, ValueId) {
        let name = format!("{}_{op_type}", self.graph.label(self.id));
        self.graph.add_node(NewNode { op_type, name: &name, inputs, ints }, &format!("{name}_Output"))
    }

    /// Puts a node behind node `id`, whose first output it takes over; it reads what `id` made first, and then `inputs`.
    pub fn behind(&mut self, id: NodeId, op_type: &str, inputs: &[ValueId]) -> NodeId {
        let output = self.graph.node(id).output(0);
        let stem = format!("{}_{}_Output", self.graph.label(self.id), self.graph.node(id).op_type());
        let made = self.graph.split_output(id, 0, &stem);
        let inputs = std::iter::once(made).chain(inputs.iter().copied()).map(Some).collect();
        let (new, _) = self.add(op_type, inputs, vec![]);
        if let Some(output) = output {
            self.graph.take_over_output(new, 0, output);
        }
        new
    }
}

/// One float of a floating-point type.
fn scalar(dtype: DataType, value: f32) -> Option<Tensor> {
    let bytes = match dtype {
        DataType::Float32 => Bytes::copy_from_slice(&value.to_le_bytes()),
        DataType::Float64 => Bytes::copy_from_slice(&f64::from(value).to_le_bytes()),
        DataType::Float16 => Bytes::copy_from_slice(&half::f16::from_f32(value).to_le_bytes()),
        DataType::Bfloat16 => Bytes::copy_from_slice(&half::bf16::from_f32(value).to_le_bytes()),
        _ => return None,
    };
    Tensor::new(dtype, vec![], bytes).ok()
}
