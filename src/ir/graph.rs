//! Nodes, values and who uses what: the read side of the graph. Edits are in `edit.rs`.

use super::attributes::Attributes;
use super::tensors::tensor_from_proto;
use crate::error::{Error, Result};
use crate::proto::{GraphProto, NodeProto, TensorProto, ValueInfoProto};
use crate::tensor::{Tensor, TensorType};
use std::collections::{HashMap, HashSet};

/// A node of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

/// A value (a tensor) of one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(super) u32);

impl NodeId {
    /// A dense index, for side tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl ValueId {
    /// A dense index, for side tables.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Fed by the caller; in a body also what it reads from the graphs around.
    Input,
    /// A constant stored in the graph.
    Initializer,
    /// Output `slot` of a node.
    Node {
        /// The producer.
        node: NodeId,
        /// Which of its outputs.
        slot: usize,
    },
    /// Nowhere: only named by a stale type hint, or cut loose by an edit.
    Nowhere,
}

/// One place that reads a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// Input `slot` of a node.
    Input {
        /// The reader.
        node: NodeId,
        /// Which of its inputs.
        slot: usize,
    },
    /// The body of an If, Loop or Scan node reads it by name.
    Body {
        /// The node that owns the body.
        node: NodeId,
    },
    /// Graph output number `index`.
    Output {
        /// Position among the graph's outputs.
        index: usize,
    },
}

/// A tensor that flows along the graph.
#[derive(Debug, Clone)]
pub struct Value {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) uses: Vec<Use>,
    /// The constant of an initializer; absent for a sparse one.
    pub(super) constant: Option<TensorProto>,
    /// The type that the file states.
    pub(super) info: Option<ValueInfoProto>,
}

impl Value {
    /// The name, unique in the graph.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Who reads it, in no particular order.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// The node that makes it.
    pub fn producer(&self) -> Option<NodeId> {
        match self.source {
            Source::Node { node, .. } => Some(node),
            _ => None,
        }
    }

    /// The nodes that read it as an ordinary input, each with the input's position.
    pub fn readers(&self) -> impl Iterator<Item = (NodeId, usize)> + '_ {
        self.uses.iter().filter_map(|u| match *u {
            Use::Input { node, slot } => Some((node, slot)),
            _ => None,
        })
    }

    /// Whether it is an output of the graph.
    pub fn is_output(&self) -> bool {
        self.uses.iter().any(|u| matches!(u, Use::Output { .. }))
    }

    /// Whether the body of an If, Loop or Scan reads it.
    pub fn is_captured(&self) -> bool {
        self.uses.iter().any(|u| matches!(u, Use::Body { .. }))
    }

    /// Whether its name counts: it is an output of the graph, or a body reads it.
    pub fn goes_by_name(&self) -> bool {
        self.is_output() || self.is_captured()
    }
}

/// An operator applied to values.
#[derive(Debug, Clone)]
pub struct Node {
    /// The message without its inputs and outputs.
    pub(super) proto: NodeProto,
    pub(super) inputs: Vec<Option<ValueId>>,
    pub(super) outputs: Vec<Option<ValueId>>,
    /// Values that bodies in its attributes read.
    pub(super) captured: Vec<ValueId>,
}

impl Node {
    /// The name; may be empty.
    pub fn name(&self) -> &str {
        self.proto.name()
    }

    /// The operator.
    pub fn op_type(&self) -> &str {
        self.proto.op_type()
    }

    /// The operator's domain; empty for ONNX's own.
    pub fn domain(&self) -> &str {
        match self.proto.domain() {
            "ai.onnx" => "",
            other => other,
        }
    }

    /// Which of several functions of one name it calls; empty where there is one.
    pub fn overload(&self) -> &str {
        self.proto.overload()
    }

    /// Whether it is ONNX's operator `op_type`.
    pub fn is(&self, op_type: &str) -> bool {
        self.op_type() == op_type && self.domain().is_empty()
    }

    /// Inputs by position; `None` is an optional one left out.
    pub fn inputs(&self) -> &[Option<ValueId>] {
        &self.inputs
    }

    /// Outputs by position; `None` is an optional one left out.
    pub fn outputs(&self) -> &[Option<ValueId>] {
        &self.outputs
    }

    /// Input number `slot`, if it is there.
    pub fn input(&self, slot: usize) -> Option<ValueId> {
        self.inputs.get(slot).copied().flatten()
    }

    /// Output number `slot`, if it is there.
    pub fn output(&self, slot: usize) -> Option<ValueId> {
        self.outputs.get(slot).copied().flatten()
    }

    /// Values that bodies in its attributes read from this graph.
    pub fn captured(&self) -> &[ValueId] {
        &self.captured
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes(&self.proto.attribute)
    }
}

/// A graph: an arena of nodes and values. Removed nodes leave a hole, so ids stay valid.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) values: Vec<Value>,
    pub(super) by_name: HashMap<String, ValueId>,
    /// Node names, and names that bodies define: fresh names keep clear of both.
    pub(super) reserved: HashSet<String>,
    /// The next number to try for a fresh name, by its stem.
    pub(super) next_suffix: HashMap<String, usize>,
    pub(super) inputs: Vec<(ValueId, ValueInfoProto)>,
    pub(super) outputs: Vec<(ValueId, ValueInfoProto)>,
    /// Initializers in file order.
    pub(super) initializers: Vec<ValueId>,
    /// Values with a type hint, in file order.
    pub(super) hinted: Vec<ValueId>,
    /// Types that were found out and that the file does not state; never saved.
    pub(super) learned: HashMap<ValueId, TensorType>,
    /// The names of the graphs around, outermost first, while this one is a body that is being edited.
    pub(super) around: Vec<HashMap<String, ValueId>>,
    /// Constants that passes leave as they are; never saved.
    pub(super) held: HashSet<ValueId>,
    /// Everything else of the message.
    pub(super) rest: GraphProto,
}

impl Graph {
    /// The node `id`. Panics when it was removed: ids are never kept across the removal of their node.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes[id.index()].as_ref().expect("the node was removed")
    }

    /// The node `id`, unless it was removed.
    pub fn get_node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())?.as_ref()
    }

    /// The value `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// The value called `name`.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.by_name.get(name).copied()
    }

    /// All nodes, in the order of the file, later ones at the end.
    pub fn node_ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len() as u32).map(NodeId).filter(|id| self.nodes[id.index()].is_some())
    }

    /// All values, including those that nothing makes.
    pub fn value_ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// One more than the largest node index: the length of a side table.
    pub fn node_bound(&self) -> usize {
        self.nodes.len()
    }

    /// One more than the largest value index: the length of a side table.
    pub fn value_bound(&self) -> usize {
        self.values.len()
    }

    /// The graph's inputs that the caller must feed, in order: those without a default.
    pub fn inputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().map(|i| i.0).filter(|&v| self.value(v).source == Source::Input)
    }

    /// The graph's outputs, in order.
    pub fn outputs(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.outputs.iter().map(|o| o.0)
    }

    /// Initializers that can be overridden by the caller (they are listed as inputs too), so their number is a default.
    pub fn is_overridable(&self, value: ValueId) -> bool {
        self.value(value).source == Source::Initializer && self.inputs.iter().any(|i| i.0 == value)
    }

    /// What to call a node in a message: its name, or that of its first output.
    pub fn label(&self, id: NodeId) -> &str {
        let node = self.node(id);
        match node.name() {
            "" => node.outputs.iter().flatten().next().map_or("", |&v| self.value(v).name()),
            name => name,
        }
    }

    /// An error about the node `id`.
    pub fn node_error(&self, id: NodeId, message: impl ToString) -> Error {
        Error::node(self.label(id), self.node(id).op_type(), message)
    }

    /// The constant that `value` holds, if it is a dense initializer of numbers; [`Graph::unusual`] has the others. Bytes are
    /// shared, not copied, where the file has them packed.
    ///
    /// # Errors
    /// When the stored tensor is malformed.
    pub fn constant(&self, value: ValueId) -> Result<Option<Tensor>> {
        let numbers = |proto: &&TensorProto| !super::unusual::holds_strings(proto);
        let Some(proto) = self.value(value).constant.as_ref().filter(numbers) else { return Ok(None) };
        tensor_from_proto(proto).map(Some).map_err(|e| Error::value(self.value(value).name(), e))
    }

    /// What a Constant node holds; `None` for strings and sparse tensors, and for one that is malformed.
    pub fn literal(&self, id: NodeId) -> Option<Tensor> {
        let attributes = self.node(id).attributes();
        if attributes.has("value") {
            return attributes.tensor("value").ok().flatten();
        }
        if let Some(v) = attributes.float("value_float") {
            Some(Tensor::from_f32(vec![], &[v]))
        } else if let Some(v) = attributes.int("value_int") {
            Some(Tensor::from_i64(vec![], &[v]))
        } else if let Some(v) = attributes.floats("value_floats") {
            Some(Tensor::from_f32(vec![v.len()], v))
        } else {
            attributes.ints("value_ints").map(|v| Tensor::from_i64(vec![v.len()], v))
        }
    }

    /// Whether `value` is a constant stored in the graph.
    pub fn is_constant(&self, value: ValueId) -> bool {
        self.value(value).source == Source::Initializer
    }

    /// Notes the type of `value`, for [`Graph::known_type`]. It is not written to the file.
    pub fn learn_type(&mut self, value: ValueId, ty: TensorType) {
        self.learned.insert(value, ty);
    }

    /// The type of `value` as far as it was found out, or else as the file states it.
    pub fn known_type(&self, value: ValueId) -> Option<TensorType> {
        self.learned.get(&value).cloned().or_else(|| self.stated_type(value))
    }

    /// How many dimensions `value` has, if that is known.
    pub fn rank(&self, value: ValueId) -> Option<usize> {
        self.known_type(value).map(|ty| ty.dims.len())
    }

    /// The element type of `value` as far as it was found out or the file states it, be its rank known or not.
    pub fn element_type(&self, value: ValueId) -> Option<crate::tensor::DataType> {
        let stated = || {
            let v = self.value(value);
            if let Some(constant) = &v.constant {
                return crate::tensor::DataType::from_onnx(constant.data_type());
            }
            let listed = || self.inputs.iter().chain(&self.outputs).find(|l| l.0 == value).map(|l| &l.1);
            let info = v.info.as_ref().or_else(listed)?;
            super::tensors::stated_element_type(info.r#type.as_ref()?)
        };
        self.learned.get(&value).map(|ty| ty.dtype).or_else(stated)
    }

    /// The type of `value` as far as the file states it.
    pub fn stated_type(&self, value: ValueId) -> Option<TensorType> {
        let v = self.value(value);
        if let Some(t) = &v.constant {
            let dims = t.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
            return Some(TensorType { dtype: crate::tensor::DataType::from_onnx(t.data_type())?, dims });
        }
        let listed = || self.inputs.iter().chain(&self.outputs).find(|l| l.0 == value).map(|l| &l.1);
        let info = v.info.as_ref().or_else(listed)?;
        super::tensors::tensor_type(info.r#type.as_ref()?)
    }
}
