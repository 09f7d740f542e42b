//! Bodies of If, Loop and Scan: they stay messages, but the values they read from outside are uses like any other. To be
//! edited a body becomes a graph for a while.

use super::graph::{Graph, NodeId, Use, ValueId};
use crate::error::{Error, Result};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, GraphProto, NodeProto, ValueInfoProto};
use crate::tensor::DataType;
use std::collections::HashSet;

/// How deep bodies may nest. Deeper models are refused rather than overflowing the stack.
const MAX_DEPTH: usize = 64;

/// What the bodies in a node's attributes read from outside, and every name they define themselves.
#[derive(Debug, Default)]
pub struct BodyNames {
    /// Names read from the graph around, in order of first reading.
    pub captured: Vec<String>,
    /// Names defined inside.
    pub defined: Vec<String>,
    /// Whether bodies nest deeper than this module follows.
    pub too_deep: bool,
}

/// Looks into every graph among `attributes`.
pub fn names(attributes: &[AttributeProto]) -> BodyNames {
    let mut found = BodyNames::default();
    let mut seen = HashSet::new();
    visit_attributes(attributes, &mut Vec::new(), &mut seen, &mut found);
    found
}

/// Looks into one body.
pub(super) fn of_body(body: &GraphProto) -> BodyNames {
    let mut found = BodyNames::default();
    visit(body, &mut Vec::new(), &mut HashSet::new(), &mut found);
    found
}

fn visit_attributes(
    attributes: &[AttributeProto],
    scopes: &mut Vec<HashSet<String>>,
    seen: &mut HashSet<String>,
    found: &mut BodyNames,
) {
    for body in all(attributes) {
        visit(body, scopes, seen, found);
    }
}

fn visit(body: &GraphProto, scopes: &mut Vec<HashSet<String>>, seen: &mut HashSet<String>, found: &mut BodyNames) {
    if scopes.len() >= MAX_DEPTH {
        found.too_deep = true;
        return;
    }
    let mut own: HashSet<String> = HashSet::new();
    own.extend(body.input.iter().map(|i| i.name().to_owned()));
    own.extend(body.initializer.iter().map(|t| t.name().to_owned()));
    own.extend(body.sparse_initializer.iter().filter_map(|t| Some(t.values.as_ref()?.name().to_owned())));
    own.extend(body.node.iter().flat_map(|n| n.output.iter().cloned()));
    let mut defined: Vec<_> = own.iter().cloned().collect();
    defined.sort_unstable();
    found.defined.append(&mut defined);
    scopes.push(own);
    let read = body.node.iter().flat_map(|n| &n.input).chain(body.output.iter().filter_map(|o| o.name.as_ref()));
    for name in read {
        let outer = !name.is_empty() && !scopes.iter().any(|s| s.contains(name));
        if outer && seen.insert(name.clone()) {
            found.captured.push(name.clone());
        }
    }
    for node in &body.node {
        visit_attributes(&node.attribute, scopes, seen, found);
    }
    scopes.pop();
}

/// Every body among `attributes`, in file order.
pub fn all(attributes: &[AttributeProto]) -> impl Iterator<Item = &GraphProto> {
    attributes.iter().flat_map(|a| a.g.iter().chain(&a.graphs))
}

/// Every body among `attributes`, in file order.
pub fn all_mut(attributes: &mut [AttributeProto]) -> impl Iterator<Item = &mut GraphProto> {
    attributes.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs))
}

/// Gives what a body reads as `old` from around another name, in the bodies inside of it too.
fn rename(body: &mut GraphProto, old: &str, new: &str) {
    let made = body.node.iter().flat_map(|node| &node.output).any(|name| name == old);
    let stored = body.initializer.iter().any(|tensor| tensor.name() == old);
    if made || stored || body.input.iter().any(|input| input.name() == old) {
        return;
    }
    let outputs = body.output.iter_mut().filter_map(|output| output.name.as_mut());
    let read = body.node.iter_mut().flat_map(|node| &mut node.input).chain(outputs);
    read.filter(|name| *name == old).for_each(|name| new.clone_into(name));
    for node in &mut body.node {
        all_mut(&mut node.attribute).for_each(|inside| rename(inside, old, new));
    }
}

fn no_body(index: usize) -> Error {
    Error::other(format!("the node has no body number {index}"))
}

impl Graph {
    /// How many bodies node `id` has.
    pub fn body_count(&self, id: NodeId) -> usize {
        self.node(id).proto.attribute.iter().map(|a| usize::from(a.g.is_some()) + a.graphs.len()).sum()
    }

    /// Body number `index` of node `id` as a graph. What it reads from this graph, or from one around it, is a value of the
    /// body that nothing in it makes. Ids are those that [`Graph::edit_body`] shows.
    ///
    /// # Errors
    /// When there is no such body, or it is not a graph.
    pub fn body(&self, id: NodeId, index: usize) -> Result<Self> {
        let message = self.message(id, index)?;
        let captured = of_body(message).captured;
        Self::within(message.clone(), &captured).map_err(|e| self.node_error(id, format!("in its body: {e}")))
    }

    /// Shows body number `index` of node `id` to `edit` as a graph, and keeps what `edit` made of it. What the body reads
    /// from this graph, or from one around it, is a value of the body that nothing in it makes. Names that `edit` gives
    /// are fresh in all of these graphs.
    ///
    /// # Errors
    /// Those of `edit`; when there is no such body, or it is not a graph, which then is lost.
    pub fn edit_body<T>(&mut self, id: NodeId, index: usize, edit: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let message = std::mem::take(self.body_mut(id, index).ok_or_else(|| no_body(index))?);
        let captured = of_body(&message).captured;
        let mut body =
            Self::within(message, &captured).map_err(|e| self.node_error(id, format!("in its body: {e}")))?;
        self.lend_names(&mut body);
        let result = edit(&mut body);
        self.take_names_back(&mut body);
        let message = body.to_proto()?;
        if let Some(place) = self.body_mut(id, index) {
            *place = message;
        }
        self.capture_anew(id);
        result
    }

    /// Makes a node of the same operator, with no other attribute than a body called `attribute`, of what node `id` was: the
    /// body holds that node, and has an input for each of its inputs, of these element types, and an output for each of its
    /// outputs.
    pub fn nest(&mut self, id: NodeId, attribute: &str, inputs: &[Option<DataType>]) {
        let label = self.label(id).to_owned();
        let counts = [self.node(id).inputs.len(), self.node(id).outputs.len()];
        let [input, output] = counts.map(|count| {
            let name = |i| {
                let name = self.fresh_name(&format!("{label}_{attribute}_{i}"));
                self.reserved.insert(name.clone());
                name
            };
            (0..count).map(name).collect::<Vec<_>>()
        });
        let named = |name: &String| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() };
        let types = inputs.iter().map(|dtype| dtype.map(super::tensors::element_type)).chain(std::iter::repeat(None));
        let typed = |(name, r#type): (&String, _)| ValueInfoProto { r#type, ..named(name) };
        let Some(node) = &mut self.nodes[id.index()] else { return };
        let mut body = GraphProto {
            name: Some(format!("{label}_{attribute}")),
            input: input.iter().zip(types).map(typed).collect(),
            output: output.iter().map(named).collect(),
            ..GraphProto::default()
        };
        let around = NodeProto {
            name: node.proto.name.clone(),
            op_type: node.proto.op_type.clone(),
            domain: node.proto.domain.clone(),
            ..NodeProto::default()
        };
        let inside = std::mem::replace(&mut node.proto, around);
        body.node.push(NodeProto { name: None, input, output, ..inside });
        node.proto.attribute.push(AttributeProto {
            name: Some(attribute.to_owned()),
            r#type: Some(AttributeType::Graph as i32),
            g: Some(body),
            ..AttributeProto::default()
        });
        self.capture_anew(id);
    }

    /// The value of a body that stands for what is called `name` in a graph around it.
    pub fn capture(&mut self, name: &str) -> ValueId {
        if let Some(known) = self.find(name) {
            return known;
        }
        let id = ValueId(self.values.len() as u32);
        self.by_name.insert(name.to_owned(), id);
        let (name, source) = (name.to_owned(), super::graph::Source::Input);
        self.values.push(super::graph::Value { name, source, uses: Vec::new(), constant: None, info: None });
        id
    }

    /// Lets every body that reads `from` from around read `to` instead.
    pub fn redirect_captured(&mut self, from: ValueId, to: ValueId) {
        let (old, new) = (self.value(from).name.clone(), self.value(to).name.clone());
        for id in self.node_ids().filter(|&id| self.node(id).captured.contains(&from)).collect::<Vec<_>>() {
            if let Some(node) = &mut self.nodes[id.index()] {
                all_mut(&mut node.proto.attribute).for_each(|body| rename(body, &old, &new));
            }
            self.capture_anew(id);
        }
    }

    /// Gives `value` the name `name` wherever it goes by it, too; says whether that was free.
    pub fn rename_throughout(&mut self, value: ValueId, name: &str) -> bool {
        if self.fresh_name(name) != name {
            return false;
        }
        let old = self.value(value).name.clone();
        self.rename(value, name);
        let readers = self.value(value).uses.iter().filter_map(|one| match one {
            Use::Body { node } => Some(*node),
            _ => None,
        });
        for id in readers.collect::<Vec<_>>() {
            if let Some(node) = &mut self.nodes[id.index()] {
                all_mut(&mut node.proto.attribute).for_each(|body| rename(body, &old, name));
            }
        }
        true
    }

    /// Body number `index` of node `id`.
    pub(super) fn message(&self, id: NodeId, index: usize) -> Result<&GraphProto> {
        all(&self.node(id).proto.attribute).nth(index).ok_or_else(|| no_body(index))
    }

    fn body_mut(&mut self, id: NodeId, index: usize) -> Option<&mut GraphProto> {
        all_mut(&mut self.nodes[id.index()].as_mut()?.proto.attribute).nth(index)
    }

    /// Moves the names to a body, which costs nothing however many there are.
    fn lend_names(&mut self, body: &mut Self) {
        let own = std::mem::replace(&mut body.reserved, std::mem::take(&mut self.reserved));
        body.reserved.extend(own);
        body.next_suffix = std::mem::take(&mut self.next_suffix);
        body.around = std::mem::take(&mut self.around);
        body.around.push(std::mem::take(&mut self.by_name));
    }

    /// What names were lent come back, and those that the body has now are reserved.
    fn take_names_back(&mut self, body: &mut Self) {
        self.by_name = body.around.pop().unwrap_or_default();
        self.around = std::mem::take(&mut body.around);
        self.next_suffix = std::mem::take(&mut body.next_suffix);
        self.reserved = std::mem::take(&mut body.reserved);
        let inside = body.by_name.keys().filter(|name| !self.by_name.contains_key(*name));
        self.reserved.extend(inside.cloned());
    }

    /// Brings up to date what the bodies of node `id` read.
    fn capture_anew(&mut self, id: NodeId) {
        let Some(node) = self.get_node(id) else { return };
        let captured: Vec<ValueId> =
            names(&node.proto.attribute).captured.iter().filter_map(|name| self.find(name)).collect();
        if captured == node.captured {
            return;
        }
        let one = Use::Body { node: id };
        for value in node.captured.clone() {
            self.values[value.index()].uses.retain(|u| *u != one);
        }
        for value in &captured {
            self.values[value.index()].uses.push(one);
        }
        if let Some(node) = &mut self.nodes[id.index()] {
            node.captured = captured;
        }
    }
}
