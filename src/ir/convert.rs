//! The protobuf message of a model to its graph, and back.

use super::bodies;
use super::graph::{Graph, Node, NodeId, Source, Use, Value, ValueId};
use super::model::Model;
use crate::error::{Error, Result};
use crate::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use std::collections::HashSet;

impl Model {
    /// The model that a message describes.
    ///
    /// # Errors
    /// When the message has no graph, or the graph is not one: a value made twice, a value read that nothing makes, a
    /// circle.
    pub fn from_proto(mut proto: ModelProto) -> Result<Self> {
        let missing = || Error::other("the model has no graph: the file is truncated, or not an ONNX model");
        let graph = proto.graph.take().ok_or_else(missing)?;
        Ok(Self { graph: Graph::from_proto(graph)?, header: proto })
    }

    /// The message of the model. Nodes are in an order in which each value is made before it is read.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn to_proto(&self) -> Result<ModelProto> {
        Ok(ModelProto { graph: Some(self.graph.to_proto()?), ..self.header.clone() })
    }
}

impl Graph {
    fn from_proto(proto: GraphProto) -> Result<Self> {
        Self::within(proto, &[])
    }

    /// The graph of a message that reads the values called `captured` from graphs around it.
    pub(super) fn within(mut proto: GraphProto, captured: &[String]) -> Result<Self> {
        let mut graph = Self::default();
        for name in captured {
            graph.define(name, Source::Input)?;
        }
        for info in std::mem::take(&mut proto.input) {
            let id = graph.define(info.name(), Source::Input)?;
            graph.inputs.push((id, info));
        }
        for tensor in std::mem::take(&mut proto.initializer) {
            let id = graph.define_initializer(tensor.name())?;
            graph.values[id.index()].constant = Some(tensor);
            graph.initializers.push(id);
        }
        for tensor in &proto.sparse_initializer {
            let name = tensor.values.as_ref().map(|v| v.name().to_owned()).unwrap_or_default();
            graph.define_initializer(&name)?;
        }
        let nodes = std::mem::take(&mut proto.node);
        for (index, node) in nodes.iter().enumerate() {
            graph.define_outputs(NodeId(index as u32), node)?;
        }
        for (index, node) in nodes.into_iter().enumerate() {
            graph.connect(NodeId(index as u32), node)?;
        }
        for (index, info) in std::mem::take(&mut proto.output).into_iter().enumerate() {
            let id = graph.find(info.name()).filter(|&id| graph.value(id).source != Source::Nowhere);
            let id = id.ok_or_else(|| Error::value(info.name(), "is a graph output, but nothing makes it"))?;
            graph.values[id.index()].uses.push(Use::Output { index });
            graph.outputs.push((id, info));
        }
        for info in std::mem::take(&mut proto.value_info) {
            graph.hint(info);
        }
        graph.rest = proto;
        graph.topological()?;
        Ok(graph)
    }

    pub(super) fn define(&mut self, name: &str, source: Source) -> Result<ValueId> {
        if self.by_name.contains_key(name) {
            return Err(Error::value(name, "is made twice; every value needs one producer"));
        }
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value { name: name.to_owned(), source, uses: Vec::new(), constant: None, info: None });
        self.by_name.insert(name.to_owned(), id);
        Ok(id)
    }

    /// An initializer may carry the name of an input: then it is the input's default.
    fn define_initializer(&mut self, name: &str) -> Result<ValueId> {
        match self.find(name) {
            Some(id) if self.value(id).source == Source::Input => {
                self.values[id.index()].source = Source::Initializer;
                Ok(id)
            }
            _ => self.define(name, Source::Initializer),
        }
    }

    fn define_outputs(&mut self, id: NodeId, proto: &NodeProto) -> Result<()> {
        for (slot, name) in proto.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            self.define(name, Source::Node { node: id, slot })?;
        }
        Ok(())
    }

    pub(super) fn connect(&mut self, id: NodeId, mut proto: NodeProto) -> Result<()> {
        let outputs = std::mem::take(&mut proto.output);
        let outputs: Vec<_> = outputs.iter().map(|name| self.find(name)).collect();
        let label = || proto.name.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| format!("#{}", id.0));
        let mut inputs = Vec::with_capacity(proto.input.len());
        for (slot, name) in proto.input.iter().enumerate() {
            let missing = || Error::node(label(), proto.op_type(), format!("reads {name:?}, which nothing makes"));
            let value = if name.is_empty() { None } else { Some(self.find(name).ok_or_else(missing)?) };
            if let Some(value) = value {
                self.values[value.index()].uses.push(Use::Input { node: id, slot });
            }
            inputs.push(value);
        }
        let names = bodies::names(&proto.attribute);
        if names.too_deep {
            return Err(Error::node(label(), proto.op_type(), "bodies nest too deeply"));
        }
        self.reserved.extend(names.defined);
        self.reserved.insert(proto.name().to_owned());
        let captured: Vec<_> = names.captured.iter().filter_map(|name| self.find(name)).collect();
        for &value in &captured {
            self.values[value.index()].uses.push(Use::Body { node: id });
        }
        proto.input.clear();
        self.nodes.push(Some(Node { proto, inputs, outputs, captured }));
        Ok(())
    }

    /// Keeps a type hint, even one for a name that is not there.
    fn hint(&mut self, info: ValueInfoProto) {
        let id = match self.find(info.name()) {
            Some(id) => id,
            None => {
                let id = ValueId(self.values.len() as u32);
                let name = info.name().to_owned();
                self.by_name.insert(name.clone(), id);
                self.values.push(Value { name, source: Source::Nowhere, uses: Vec::new(), constant: None, info: None });
                id
            }
        };
        if self.values[id.index()].info.is_none() {
            self.hinted.push(id);
        }
        self.values[id.index()].info = Some(info);
    }

    pub(super) fn to_proto(&self) -> Result<GraphProto> {
        let name_of = |v: &Option<ValueId>| v.map(|v| self.value(v).name.clone()).unwrap_or_default();
        let node = |id: &NodeId| {
            let node = self.node(*id);
            let (input, output) = (node.inputs.iter().map(name_of), node.outputs.iter().map(name_of));
            NodeProto { input: input.collect(), output: output.collect(), ..node.proto.clone() }
        };
        let named = |(id, info): &(ValueId, ValueInfoProto)| match self.value(*id).name() {
            // A name left out stays left out.
            name if name == info.name() => info.clone(),
            name => ValueInfoProto { name: Some(name.to_owned()), ..info.clone() },
        };
        // A value whose hint was handed to and fro is listed more than once.
        let mut seen = HashSet::new();
        let hinted = self.hinted.iter().filter(|id| seen.insert(**id));
        let hints = hinted.filter_map(|id| Some((*id, self.value(*id).info.clone()?)));
        Ok(GraphProto {
            node: self.topological()?.iter().map(node).collect(),
            input: self.inputs.iter().map(named).collect(),
            output: self.outputs.iter().map(named).collect(),
            value_info: hints.map(|hint| named(&hint)).collect(),
            initializer: self.initializers.iter().filter_map(|id| self.value(*id).constant.clone()).collect(),
            ..self.rest.clone()
        })
    }
}
