//! What a model says for people alone: documentation, and notes of the program that exported it.

use super::Model;
use crate::error::Result;
use crate::proto::{GraphProto, NodeProto, SparseTensorProto, StringStringEntryProto, ValueInfoProto};
use prost::Message;

impl Model {
    /// Takes away doc strings, and the metadata of everything within: exporters leave the stack trace behind each node there,
    /// which may be a third of a file. The metadata of the model itself stay, since programs read them.
    pub fn strip(&mut self) {
        self.header.doc_string = None;
        for function in &mut self.header.functions {
            forget(&mut function.doc_string, &mut function.metadata_props);
            function.node.iter_mut().for_each(node);
            function.value_info.iter_mut().for_each(info);
        }
        let graph = &mut self.graph;
        forget(&mut graph.rest.doc_string, &mut graph.rest.metadata_props);
        graph.rest.sparse_initializer.iter_mut().for_each(sparse);
        graph.nodes.iter_mut().flatten().for_each(|one| node(&mut one.proto));
        graph.inputs.iter_mut().chain(&mut graph.outputs).for_each(|(_, stated)| info(stated));
        for value in &mut graph.values {
            value.info.iter_mut().for_each(info);
            value.constant.iter_mut().for_each(|tensor| forget(&mut tensor.doc_string, &mut tensor.metadata_props));
        }
    }

    /// How many bytes of the file [`strip`](Self::strip) would leave out.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn strippable_bytes(&self) -> Result<u64> {
        let mut bare = self.clone();
        bare.strip();
        let (whole, bare) = (self.to_proto()?.encoded_len(), bare.to_proto()?.encoded_len());
        Ok(whole.saturating_sub(bare) as u64)
    }
}

fn forget(doc: &mut Option<String>, metadata: &mut Vec<StringStringEntryProto>) {
    *doc = None;
    metadata.clear();
}

fn info(stated: &mut ValueInfoProto) {
    forget(&mut stated.doc_string, &mut stated.metadata_props);
}

fn sparse(tensor: &mut SparseTensorProto) {
    let parts = tensor.values.iter_mut().chain(&mut tensor.indices);
    parts.for_each(|part| forget(&mut part.doc_string, &mut part.metadata_props));
}

fn node(one: &mut NodeProto) {
    forget(&mut one.doc_string, &mut one.metadata_props);
    for attribute in &mut one.attribute {
        attribute.doc_string = None;
        let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
        tensors.for_each(|tensor| forget(&mut tensor.doc_string, &mut tensor.metadata_props));
        attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors).for_each(sparse);
        attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(body);
    }
}

fn body(graph: &mut GraphProto) {
    forget(&mut graph.doc_string, &mut graph.metadata_props);
    graph.node.iter_mut().for_each(node);
    graph.initializer.iter_mut().for_each(|tensor| forget(&mut tensor.doc_string, &mut tensor.metadata_props));
    graph.sparse_initializer.iter_mut().for_each(sparse);
    graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(info);
}
