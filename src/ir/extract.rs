//! Parts of a graph as models of their own.

use super::graph::{Graph, NodeId};
use super::model::Model;
use crate::error::Result;
use crate::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};

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
}
