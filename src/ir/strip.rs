//! What a model says for people alone: documentation, and notes of the program that exported it.

use super::Model;
use crate::error::Result;
use crate::proto::{GraphProto, NodeProto, SparseTensorProto, StringStringEntryProto, TensorProto, ValueInfoProto};
use prost::Message;

/// The key under which PyTorch's exporter leaves on each node which lines of Python made it.
const TRACE: &str = "pkg.torch.onnx.stack_trace";

impl Model {
    /// Takes away doc strings, and the metadata of everything within: of some files a third. The metadata of the model itself
    /// stay, since programs read them. Returns how many bytes of the file that were, about.
    pub fn strip(&mut self) -> u64 {
        Stripper { all: true, bytes: 0 }.model(self)
    }

    /// Takes away the stack traces that exporters leave behind nodes, which show files of the machine that the model was exported
    /// on. Returns how many bytes of the file that were, about.
    pub fn strip_traces(&mut self) -> u64 {
        Stripper { all: false, bytes: 0 }.model(self)
    }

    /// How many bytes of the file [`strip`](Self::strip) would leave out.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn strippable_bytes(&self) -> Result<u64> {
        let mut bare = self.clone();
        bare.strip();
        Ok(self.encoded_bytes()?.saturating_sub(bare.encoded_bytes()?))
    }

    /// How many bytes its file has.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn encoded_bytes(&self) -> Result<u64> {
        Ok(self.to_proto()?.encoded_len() as u64)
    }
}

/// Goes through a model and takes away what is said for people.
struct Stripper {
    /// All of it, or stack traces alone.
    all: bool,
    bytes: u64,
}

impl Stripper {
    fn model(mut self, model: &mut Model) -> u64 {
        if self.all {
            self.bytes += model.header.doc_string.take().map_or(0, |text| text.len() as u64);
        }
        for function in &mut model.header.functions {
            self.forget(&mut function.doc_string, &mut function.metadata_props);
            function.node.iter_mut().for_each(|one| self.node(one));
            function.value_info.iter_mut().for_each(|one| self.info(one));
        }
        let graph = &mut model.graph;
        self.forget(&mut graph.rest.doc_string, &mut graph.rest.metadata_props);
        graph.rest.sparse_initializer.iter_mut().for_each(|one| self.sparse(one));
        graph.nodes.iter_mut().flatten().for_each(|one| self.node(&mut one.proto));
        graph.inputs.iter_mut().chain(&mut graph.outputs).for_each(|(_, stated)| self.info(stated));
        for value in &mut graph.values {
            value.info.iter_mut().for_each(|one| self.info(one));
            value.constant.iter_mut().for_each(|one| self.forget(&mut one.doc_string, &mut one.metadata_props));
        }
        self.bytes
    }

    fn forget(&mut self, doc: &mut Option<String>, metadata: &mut Vec<StringStringEntryProto>) {
        if self.all {
            self.bytes += doc.take().map_or(0, |text| text.len() as u64);
        }
        metadata.retain(|entry| {
            let kept = !self.all && entry.key() != TRACE;
            self.bytes += if kept { 0 } else { entry.encoded_len() as u64 };
            kept
        });
    }

    fn info(&mut self, stated: &mut ValueInfoProto) {
        self.forget(&mut stated.doc_string, &mut stated.metadata_props);
    }

    fn sparse(&mut self, tensor: &mut SparseTensorProto) {
        let parts = tensor.values.iter_mut().chain(&mut tensor.indices);
        parts.for_each(|part| self.tensor(part));
    }

    fn tensor(&mut self, tensor: &mut TensorProto) {
        self.forget(&mut tensor.doc_string, &mut tensor.metadata_props);
    }

    fn node(&mut self, one: &mut NodeProto) {
        self.forget(&mut one.doc_string, &mut one.metadata_props);
        for attribute in &mut one.attribute {
            if self.all {
                self.bytes += attribute.doc_string.take().map_or(0, |text| text.len() as u64);
            }
            attribute.t.iter_mut().chain(&mut attribute.tensors).for_each(|tensor| self.tensor(tensor));
            attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors).for_each(|one| self.sparse(one));
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(|graph| self.body(graph));
        }
    }

    fn body(&mut self, graph: &mut GraphProto) {
        self.forget(&mut graph.doc_string, &mut graph.metadata_props);
        graph.node.iter_mut().for_each(|one| self.node(one));
        graph.initializer.iter_mut().for_each(|tensor| self.tensor(tensor));
        graph.sparse_initializer.iter_mut().for_each(|one| self.sparse(one));
        let infos = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        infos.for_each(|one| self.info(one));
    }
}
