//! The body of a node as a model of its own.

use super::bodies;
use super::graph::{Graph, NodeId, Source, ValueId};
use super::model::Model;
use super::tensors::{element_type, stated_element_type};
use crate::error::Result;
use crate::proto::{NodeProto, ValueInfoProto};
use crate::tensor::DataType;
use std::collections::HashSet;

/// What a body needs of the graph around it.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// What is to be fed, in order of first reading.
    pub fed: Vec<ValueId>,
    constants: Vec<ValueId>,
    nodes: Vec<NodeId>,
}

impl Graph {
    /// The index of the body that is the attribute `name` of node `id`.
    pub fn body_index(&self, id: NodeId, name: &str) -> Option<usize> {
        let attributes = &self.node(id).proto.attribute;
        let at = attributes.iter().position(|a| a.name() == name && a.g.is_some())?;
        Some(attributes[..at].iter().map(|a| usize::from(a.g.is_some()) + a.graphs.len()).sum())
    }

    /// The names of the inputs of body number `index` of node `id`.
    ///
    /// # Errors
    /// When there is no such body.
    pub fn body_inputs(&self, id: NodeId, index: usize) -> Result<Vec<String>> {
        Ok(self.message(id, index)?.input.iter().map(|input| input.name().to_owned()).collect())
    }

    /// What body number `index` of node `id` needs to run by itself: what it reads from here and `is_fed` says of, and the
    /// constants and nodes that make all else that it reads.
    ///
    /// # Errors
    /// When there is no such body.
    pub fn surroundings(&self, id: NodeId, index: usize, is_fed: impl Fn(ValueId) -> bool) -> Result<Surroundings> {
        let mut found = Surroundings::default();
        let mut open: Vec<ValueId> =
            bodies::of_body(self.message(id, index)?).captured.iter().filter_map(|name| self.find(name)).collect();
        open.reverse();
        let mut seen = HashSet::new();
        while let Some(value) = open.pop() {
            if !seen.insert(value) {
                continue;
            }
            match self.value(value).source {
                Source::Initializer => found.constants.push(value),
                Source::Node { node, .. } if !is_fed(value) => {
                    let made = self.node(node);
                    open.extend(made.inputs.iter().flatten().chain(&made.captured));
                    if !found.nodes.contains(&node) {
                        found.nodes.push(node);
                        // Whatever else it makes is made there, too.
                        seen.extend(made.outputs.iter().flatten());
                    }
                }
                _ => found.fed.push(value),
            }
        }
        Ok(found)
    }
}

impl Model {
    /// Body number `index` of node `id` as a model: its own inputs, of the types `own` where it states none, and behind them
    /// inputs called `fed`, of these types. Of what else it reads from around, `around` has the nodes and constants.
    ///
    /// # Errors
    /// When there is no such body, or it is no graph that could stand by itself.
    pub fn of_body(
        &self,
        (id, index): (NodeId, usize),
        around: &Surroundings,
        own: &[DataType],
        fed: &[(String, DataType)],
    ) -> Result<Self> {
        let graph = &self.graph;
        let mut body = graph.message(id, index)?.clone();
        for (input, &dtype) in body.input.iter_mut().zip(own) {
            if input.r#type.as_ref().and_then(stated_element_type).is_none() {
                input.r#type = Some(element_type(dtype));
            }
        }
        let info = |(name, dtype): &(String, DataType)| ValueInfoProto {
            name: Some(name.clone()),
            r#type: Some(element_type(*dtype)),
            ..ValueInfoProto::default()
        };
        body.input.extend(fed.iter().map(info));
        for &value in &around.constants {
            let constant = graph.value(value).constant.clone();
            let sparse = || graph.node_error(id, "its body reads a sparse constant from around it");
            body.initializer.push(constant.ok_or_else(sparse)?);
        }
        let name = |v: &Option<ValueId>| v.map(|v| graph.value(v).name.clone()).unwrap_or_default();
        body.node.extend(around.nodes.iter().map(|&id| {
            let node = graph.node(id);
            let (input, output) = (node.inputs.iter().map(name).collect(), node.outputs.iter().map(name).collect());
            NodeProto { input, output, ..node.proto.clone() }
        }));
        let mut proto = self.header.clone();
        proto.graph = Some(body);
        Self::from_proto(proto).map_err(|e| graph.node_error(id, format!("in its body: {e}")))
    }
}
