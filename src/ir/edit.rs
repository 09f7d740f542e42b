//! The verbs: every change of a graph is one of these. Each keeps names unique and use-lists true.

use super::graph::{Graph, Node, NodeId, Source, Use, Value, ValueId};
use super::tensors::{element_type, tensor_to_proto};
use crate::mapped;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto, ValueInfoProto};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

/// A node to be added: an operator with integer and text attributes.
#[derive(Debug, Clone, Default)]
pub struct NewNode<'a> {
    /// The operator, of ONNX's own domain.
    pub op_type: &'a str,
    /// The name wished for; made unique.
    pub name: &'a str,
    /// Inputs by position.
    pub inputs: Vec<Option<ValueId>>,
    /// Integer attributes.
    pub ints: Vec<(&'a str, i64)>,
}

impl Graph {
    /// A value name that nothing in the graph, its bodies or the graphs around it has: `stem`, or `stem_1`, `stem_2`, ...
    pub fn fresh_name(&mut self, stem: &str) -> String {
        let (by_name, reserved, around) = (&self.by_name, &self.reserved, &self.around);
        let taken = |name: &str| {
            by_name.contains_key(name) || reserved.contains(name) || around.iter().any(|a| a.contains_key(name))
        };
        if !taken(stem) {
            return stem.to_owned();
        }
        let next = self.next_suffix.entry(stem.to_owned()).or_insert(1);
        loop {
            let name = format!("{stem}_{next}");
            *next += 1;
            if !taken(&name) {
                return name;
            }
        }
    }

    fn new_value(&mut self, stem: &str, source: Source) -> ValueId {
        let name = self.fresh_name(stem);
        let id = ValueId(self.values.len() as u32);
        self.by_name.insert(name.clone(), id);
        self.values.push(Value { name, source, uses: Vec::new(), constant: None, info: None });
        id
    }

    /// Adds a constant called `stem`, or as near to it as is free.
    pub fn add_initializer(&mut self, stem: &str, tensor: &Tensor) -> ValueId {
        let id = self.new_value(stem, Source::Initializer);
        let name = self.values[id.index()].name.clone();
        let mut proto = tensor_to_proto(&name, tensor);
        // Of a large model all that is made may be more than memory holds.
        proto.raw_data = proto.raw_data.map(mapped::aside);
        self.values[id.index()].constant = Some(proto);
        self.initializers.push(id);
        id
    }

    /// Adds an input to the graph, behind those that it has, called `stem`, or as near to it as is free.
    pub fn add_input(&mut self, stem: &str, dtype: DataType) -> ValueId {
        let id = self.new_value(stem, Source::Input);
        self.inputs.push((id, input_info(self.value(id).name.clone(), dtype)));
        id
    }

    /// Adds a node with one output called `output`, or as near to it as is free.
    pub fn add_node(&mut self, new: NewNode<'_>, output: &str) -> (NodeId, ValueId) {
        let id = NodeId(self.nodes.len() as u32);
        let name = self.fresh_name(new.name);
        self.reserved.insert(name.clone());
        let attribute = new.ints.iter().map(|&(key, value)| int_attribute(key, value)).collect();
        let proto =
            NodeProto { name: Some(name), op_type: Some(new.op_type.to_owned()), attribute, ..NodeProto::default() };
        for (slot, value) in new.inputs.iter().enumerate() {
            if let Some(value) = value {
                self.values[value.index()].uses.push(Use::Input { node: id, slot });
            }
        }
        let output = self.new_value(output, Source::Node { node: id, slot: 0 });
        self.nodes.push(Some(Node { proto, inputs: new.inputs, outputs: vec![Some(output)], captured: Vec::new() }));
        (id, output)
    }

    /// Points input `slot` of a node to another value, or to none. The node gets more inputs where it has too few.
    pub fn set_input(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        let inputs = &mut self.nodes[node.index()].as_mut().expect("the node was removed").inputs;
        if inputs.len() <= slot {
            inputs.resize(slot + 1, None);
        }
        if let Some(old) = std::mem::replace(&mut inputs[slot], value) {
            // Uses have no order, and moving one costs less than moving all that follow: a value may have thousands.
            let uses = &mut self.values[old.index()].uses;
            if let Some(place) = uses.iter().position(|u| *u == Use::Input { node, slot }) {
                uses.swap_remove(place);
            }
        }
        // An optional input left out at the end is not written at all.
        while self.nodes[node.index()].as_ref().is_some_and(|n| n.inputs.last() == Some(&None)) {
            self.nodes[node.index()].as_mut().expect("the node was removed").inputs.pop();
        }
        if let Some(value) = value {
            self.values[value.index()].uses.push(Use::Input { node, slot });
        }
    }

    /// Points every node input that reads `from` to `to`. Bodies and graph outputs, which go by name, stay.
    pub fn redirect_readers(&mut self, from: ValueId, to: ValueId) {
        // All at once: taking each use out by itself would be quadratic in the number of readers.
        let uses = std::mem::take(&mut self.values[from.index()].uses);
        let (moved, stay): (Vec<_>, Vec<_>) = uses.into_iter().partition(|u| matches!(u, Use::Input { .. }));
        for one in &moved {
            if let Use::Input { node, slot } = *one {
                self.nodes[node.index()].as_mut().expect("the node was removed").inputs[slot] = Some(to);
            }
        }
        self.values[from.index()].uses = stay;
        self.values[to.index()].uses.extend(moved);
    }

    /// `to` takes over the name of `from`, and with it what goes by name: graph outputs and what bodies read. `from` gets
    /// a name made from `stem`.
    pub fn hand_over_name(&mut self, from: ValueId, to: ValueId, stem: &str) {
        let fresh = self.fresh_name(stem);
        let name = std::mem::replace(&mut self.values[from.index()].name, fresh.clone());
        let dropped = std::mem::replace(&mut self.values[to.index()].name, name.clone());
        self.by_name.remove(&dropped);
        self.by_name.insert(name, to);
        self.by_name.insert(fresh, from);
        let (by_name, rest): (Vec<_>, Vec<_>) =
            self.value(from).uses.iter().partition(|u| matches!(u, Use::Output { .. } | Use::Body { .. }));
        self.values[from.index()].uses = rest;
        for moved in &by_name {
            match *moved {
                Use::Output { index } => self.outputs[index].0 = to,
                Use::Body { node } => {
                    let node = self.nodes[node.index()].as_mut().expect("the node was removed");
                    node.captured.iter_mut().filter(|v| **v == from).for_each(|v| *v = to);
                }
                Use::Input { .. } => {}
            }
        }
        self.values[to.index()].uses.extend(by_name);
        if let Some(info) = self.values[from.index()].info.take() {
            self.hinted.push(to);
            self.values[to.index()].info = Some(info);
        }
        for id in [from, to] {
            let name = self.values[id.index()].name.clone();
            if let Some(constant) = &mut self.values[id.index()].constant {
                constant.name = Some(name);
            }
        }
    }

    /// Output `slot` of `node` now makes `value`, whose former producer is removed; what the output made before must have
    /// no other reader than that producer. This is how a node is fused into the one before it.
    pub fn take_over_output(&mut self, node: NodeId, slot: usize, value: ValueId) {
        if let Some(former) = self.value(value).producer() {
            self.detach(former);
        }
        let outputs = &mut self.nodes[node.index()].as_mut().expect("the node was removed").outputs;
        if let Some(old) = outputs[slot].replace(value) {
            self.values[old.index()].source = Source::Nowhere;
            self.forget(old);
        }
        self.values[value.index()].source = Source::Node { node, slot };
    }

    /// Gives `value`, which no graph output and no body reads by name, another name: `stem`, or as near to it as is free.
    /// What is known of its type stays.
    pub fn rename(&mut self, value: ValueId, stem: &str) {
        let fresh = self.fresh_name(stem);
        let old = std::mem::replace(&mut self.values[value.index()].name, fresh.clone());
        self.by_name.remove(&old);
        if let Some(constant) = &mut self.values[value.index()].constant {
            constant.name = Some(fresh.clone());
        }
        self.by_name.insert(fresh, value);
    }

    /// Output `slot` of `node` makes a new value, called `stem` or as near to it as is free; what it made before is made by
    /// nothing until another node takes it over.
    pub fn split_output(&mut self, node: NodeId, slot: usize, stem: &str) -> ValueId {
        let value = self.new_value(stem, Source::Node { node, slot });
        let outputs = &mut self.nodes[node.index()].as_mut().expect("the node was removed").outputs;
        if let Some(old) = outputs[slot].replace(value) {
            self.values[old.index()].source = Source::Nowhere;
        }
        value
    }

    /// Gives a node one more output, called `stem` or as near to it as is free.
    pub fn add_output(&mut self, node: NodeId, stem: &str) -> ValueId {
        let slot = self.node(node).outputs.len();
        let value = self.new_value(stem, Source::Node { node, slot });
        self.nodes[node.index()].as_mut().expect("the node was removed").outputs.push(Some(value));
        value
    }

    /// Turns `value` into a constant. A node that made it is removed when nothing else of it is read.
    pub fn make_constant(&mut self, value: ValueId, tensor: &Tensor) {
        let name = self.value(value).name.clone();
        if self.value(value).constant.is_none() {
            self.initializers.push(value);
        }
        self.values[value.index()].constant = Some(tensor_to_proto(&name, tensor));
        self.make_otherwise(value, Source::Initializer);
    }

    /// Turns `value` into an input of the graph, behind those that it has. A node that made it is removed when nothing else of
    /// it is read.
    pub fn make_input(&mut self, value: ValueId, dtype: DataType) {
        self.inputs.push((value, input_info(self.value(value).name.clone(), dtype)));
        self.make_otherwise(value, Source::Input);
    }

    /// Takes `value` from the node that made it, if one did, and gives it another source.
    fn make_otherwise(&mut self, value: ValueId, source: Source) {
        let producer = self.value(value).producer();
        self.values[value.index()].source = source;
        self.values[value.index()].info = None;
        let Some(producer) = producer else { return };
        let node = self.nodes[producer.index()].as_mut().expect("the node was removed");
        node.outputs.iter_mut().filter(|o| **o == Some(value)).for_each(|o| *o = None);
        self.remove_if_unused(producer);
    }

    /// Replaces the number of a constant, keeping its name.
    pub fn replace_constant(&mut self, value: ValueId, tensor: &Tensor) {
        let name = self.value(value).name.clone();
        self.values[value.index()].constant = Some(tensor_to_proto(&name, tensor));
    }

    /// Takes initializers out of the list of graph inputs, so that they are constants to every runtime; says how many.
    pub fn unlist_default_inputs(&mut self) -> usize {
        let before = self.inputs.len();
        let values = &self.values;
        self.inputs.retain(|(value, _)| values[value.index()].source == Source::Input);
        before - self.inputs.len()
    }

    /// Gives a node an integer attribute, replacing one of that name.
    pub fn set_int(&mut self, node: NodeId, name: &str, value: i64) {
        self.set_attribute(node, int_attribute(name, value));
    }

    /// Gives a node a float attribute, replacing one of that name.
    pub fn set_float(&mut self, node: NodeId, name: &str, value: f32) {
        let r#type = Some(AttributeType::Float as i32);
        self.set_attribute(
            node,
            AttributeProto { name: Some(name.to_owned()), r#type, f: Some(value), ..Default::default() },
        );
    }

    /// Gives a node a list of integers as an attribute, replacing one of that name.
    pub fn set_ints(&mut self, node: NodeId, name: &str, values: &[i64]) {
        let r#type = Some(AttributeType::Ints as i32);
        let ints = values.to_vec();
        self.set_attribute(node, AttributeProto { name: Some(name.to_owned()), r#type, ints, ..Default::default() });
    }

    /// Gives a node a text attribute, replacing one of that name.
    pub fn set_text(&mut self, node: NodeId, name: &str, value: &str) {
        let r#type = Some(AttributeType::String as i32);
        let s = Some(Bytes::copy_from_slice(value.as_bytes()));
        self.set_attribute(node, AttributeProto { name: Some(name.to_owned()), r#type, s, ..Default::default() });
    }

    /// Gives a node a tensor attribute, replacing one of that name.
    pub fn set_tensor(&mut self, node: NodeId, name: &str, value: &Tensor) {
        let r#type = Some(AttributeType::Tensor as i32);
        let t = Some(tensor_to_proto("", value));
        self.set_attribute(node, AttributeProto { name: Some(name.to_owned()), r#type, t, ..Default::default() });
    }

    /// Changes the element type in all that is said of the type of `value`.
    pub fn set_element_type(&mut self, value: ValueId, dtype: DataType) {
        let listed = self.inputs.iter_mut().chain(&mut self.outputs).filter(|l| l.0 == value).map(|l| &mut l.1);
        let info = self.values[value.index()].info.iter_mut();
        for ty in listed.chain(info).filter_map(|info| info.r#type.as_mut()) {
            super::tensors::set_element_type(ty, dtype);
        }
        if let Some(learned) = self.learned.get_mut(&value) {
            learned.dtype = dtype;
        }
    }

    /// Takes an attribute away.
    pub fn remove_attribute(&mut self, node: NodeId, name: &str) {
        let node = self.nodes[node.index()].as_mut().expect("the node was removed");
        node.proto.attribute.retain(|a| a.name() != name);
    }

    fn set_attribute(&mut self, node: NodeId, attribute: AttributeProto) {
        let attributes = &mut self.nodes[node.index()].as_mut().expect("the node was removed").proto.attribute;
        match attributes.iter_mut().find(|a| a.name == attribute.name) {
            Some(old) => *old = attribute,
            None => attributes.push(attribute),
        }
    }
}

/// What a graph says of an input whose shape is not known.
fn input_info(name: String, dtype: DataType) -> ValueInfoProto {
    ValueInfoProto { name: Some(name), r#type: Some(element_type(dtype)), ..ValueInfoProto::default() }
}

fn int_attribute(name: &str, value: i64) -> AttributeProto {
    let r#type = Some(AttributeType::Int as i32);
    AttributeProto { name: Some(name.to_owned()), r#type, i: Some(value), ..AttributeProto::default() }
}
