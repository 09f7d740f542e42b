//! Parts of a graph as models of their own.

use super::graph::{Graph, NodeId, Source, ValueId};
use super::model::Model;
use crate::error::Result;
use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use std::collections::HashSet;

/// A container format that every opset this project writes can live in.
const IR_VERSION: i64 = 8;

impl Model {
    /// A model without inputs that computes node `id` from its constant inputs; `None` when one is not constant.
    ///
    /// # Errors
    /// When a constant is malformed.
    pub fn of_constant_node(graph: &Graph, id: NodeId, opset: i64) -> Result<Option<Self>> {
        let node = graph.node(id);
        let mut initializers = Vec::new();
        for &value in node.inputs().iter().flatten() {
            let Some(constant) = &graph.value(value).constant else { return Ok(None) };
            if initializers.iter().all(|other: &crate::proto::TensorProto| other.name != constant.name) {
                initializers.push(constant.clone());
            }
        }
        let name = |v: &Option<_>| v.map(|v| graph.value(v).name.clone()).unwrap_or_default();
        let output: Vec<String> = node.outputs.iter().map(name).collect();
        let infos = output.iter().map(|o| ValueInfoProto { name: Some(o.clone()), ..ValueInfoProto::default() });
        let graph = GraphProto {
            name: Some("constant".to_owned()),
            output: infos.collect(),
            initializer: initializers,
            node: vec![NodeProto { input: node.inputs.iter().map(name).collect(), output, ..node.proto.clone() }],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(opset) };
        let proto = ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![opset],
            graph: Some(graph),
            ..ModelProto::default()
        };
        Self::from_proto(proto).map(Some)
    }

    /// The part of the model that computes `wanted`, and its outputs too where `outputs` says so; otherwise it has none.
    /// It has all inputs of the model in their order, so that it is fed the same samples.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn part(&self, wanted: &[ValueId], outputs: bool) -> Result<Self> {
        let graph = &self.graph;
        let roots = wanted.iter().copied().chain(graph.outputs().filter(|_| outputs));
        let needed = graph.ancestors(roots);
        let name = |v: ValueId| graph.value(v).name.as_str();
        let values: HashSet<&str> = graph.value_ids().filter(|v| needed[v.index()]).map(name).collect();
        let fed: HashSet<&str> = graph.inputs().map(name).collect();
        let mut proto = self.to_proto()?;
        if let Some(part) = &mut proto.graph {
            part.node.retain(|node| node.output.iter().any(|o| values.contains(o.as_str())));
            part.initializer.retain(|tensor| values.contains(tensor.name()));
            part.sparse_initializer.retain(|t| t.values.as_ref().is_some_and(|v| values.contains(v.name())));
            // An input that had a default must not become one that has to be fed.
            part.input.retain(|input| fed.contains(input.name()) || values.contains(input.name()));
            part.value_info.retain(|info| values.contains(info.name()));
            part.quantization_annotation.clear();
            if !outputs {
                part.output.clear();
            }
        }
        Self::from_proto(proto)
    }
}

impl Graph {
    /// Which values, by index, the values `of` depend on, themselves included. What bodies of If, Loop and Scan read counts.
    pub fn ancestors(&self, of: impl IntoIterator<Item = ValueId>) -> Vec<bool> {
        let mut needed = vec![false; self.value_bound()];
        let mut open: Vec<ValueId> = of.into_iter().collect();
        while let Some(value) = open.pop() {
            if std::mem::replace(&mut needed[value.index()], true) {
                continue;
            }
            if let Source::Node { node, .. } = self.value(value).source {
                let node = self.node(node);
                open.extend(node.inputs.iter().flatten().chain(&node.captured));
            }
        }
        needed
    }
}
