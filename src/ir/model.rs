//! A whole model: its graph, and what the file says around it.

use super::graph::Graph;
use crate::proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// A model in memory.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The main graph.
    pub graph: Graph,
    /// The message without its graph.
    pub(super) header: ModelProto,
}

impl Model {
    /// The version of the container format.
    pub fn ir_version(&self) -> i64 {
        self.header.ir_version()
    }

    /// Raises the version of the container format to at least `version`.
    pub fn require_ir_version(&mut self, version: i64) {
        self.header.ir_version = Some(self.ir_version().max(version));
    }

    /// The version of `domain` that the model imports; the empty domain is ONNX's own.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let canonical = |d: &str| if d == "ai.onnx" { String::new() } else { d.to_owned() };
        let import = self.header.opset_import.iter().find(|o| canonical(o.domain()) == domain)?;
        Some(import.version())
    }

    /// Every imported domain with its version.
    pub fn opsets(&self) -> impl Iterator<Item = (&str, i64)> {
        self.header.opset_import.iter().map(|o| (o.domain(), o.version()))
    }

    /// States that the model uses version `version` of `domain`.
    pub fn set_opset(&mut self, domain: &str, version: i64) {
        let same = |o: &&mut OperatorSetIdProto| o.domain() == domain || domain.is_empty() && o.domain() == "ai.onnx";
        match self.header.opset_import.iter_mut().find(same) {
            Some(import) => import.version = Some(version),
            None => self
                .header
                .opset_import
                .push(OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) }),
        }
    }

    /// The program that wrote the model, as it says itself.
    pub fn producer(&self) -> String {
        format!("{} {}", self.header.producer_name(), self.header.producer_version()).trim().to_owned()
    }

    /// The metadata entry `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata_props.iter().find(|p| p.key() == key).map(StringStringEntryProto::value)
    }

    /// Every metadata entry, in the order of the file.
    pub fn metadata_entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header.metadata_props.iter().map(|p| (p.key(), p.value()))
    }

    /// Sets the metadata entry `key`, replacing one that is there.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        match self.header.metadata_props.iter_mut().find(|p| p.key() == key) {
            Some(entry) => entry.value = Some(value.to_owned()),
            None => self
                .header
                .metadata_props
                .push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }),
        }
    }

    /// Takes the metadata entry `key` away.
    pub fn remove_metadata(&mut self, key: &str) {
        self.header.metadata_props.retain(|p| p.key() != key);
    }

    /// Whether the model defines operators of its own.
    pub fn has_functions(&self) -> bool {
        !self.header.functions.is_empty()
    }

    /// Whether `op_type` of `domain` is an operator that the model defines itself.
    pub fn defines(&self, domain: &str, op_type: &str) -> bool {
        self.header.functions.iter().any(|f| f.name() == op_type && f.domain() == domain)
    }
}
