//! Operators that the model defines itself, in words that need no messages.

use super::attributes::Attributes;
use super::bodies;
use super::graph::{Graph, NodeId};
use super::model::Model;
use crate::error::Result;
use crate::proto::{FunctionProto, GraphProto, NodeProto, ValueInfoProto};
use std::collections::{BTreeSet, HashMap};

/// A function of one model, until a function is removed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub(super) usize);

impl FunctionId {
    /// A dense index, for side tables.
    pub fn index(self) -> usize {
        self.0
    }
}

/// The functions of a model by what calls them: domain, operator and overload.
#[derive(Debug, Clone, Default)]
pub struct Functions(HashMap<String, FunctionId>);

/// What the definition of a function uses.
#[derive(Debug, Clone, Default)]
pub struct FunctionUses {
    /// Functions that its nodes call, once for each call.
    pub calls: Vec<FunctionId>,
    /// Functions called in bodies of If, Loop and Scan.
    pub calls_in_bodies: Vec<FunctionId>,
    /// How many nodes it has.
    pub nodes: usize,
    /// The domains whose operators it uses; the functions of the model aside.
    pub domains: BTreeSet<String>,
}

/// ONNX's own domain has two names.
fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn key(domain: &str, op_type: &str, overload: &str) -> String {
    format!("{}\0{op_type}\0{overload}", canonical(domain))
}

impl Functions {
    fn of_node(&self, node: &NodeProto) -> Option<FunctionId> {
        self.0.get(&key(node.domain(), node.op_type(), node.overload())).copied()
    }
}

impl Model {
    /// The functions that the model defines.
    pub fn functions(&self) -> Functions {
        let functions = self.header.functions.iter().enumerate();
        Functions(functions.map(|(i, f)| (key(f.domain(), f.name(), f.overload()), FunctionId(i))).collect())
    }

    /// Their ids, in the order of the file.
    pub fn function_ids(&self) -> impl Iterator<Item = FunctionId> + use<> {
        (0..self.header.functions.len()).map(FunctionId)
    }

    pub(super) fn function(&self, id: FunctionId) -> &FunctionProto {
        &self.header.functions[id.0]
    }

    /// What to call a function in a message.
    pub fn function_label(&self, id: FunctionId) -> String {
        let function = self.function(id);
        let parts = [function.domain(), function.name(), function.overload()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".")
    }

    /// The version of `domain` that a function imports.
    pub fn function_opset(&self, id: FunctionId, domain: &str) -> Option<i64> {
        let import = self.function(id).opset_import.iter().find(|o| canonical(o.domain()) == domain)?;
        Some(import.version())
    }

    /// Every domain that a function imports, with its version.
    pub fn function_opsets(&self, id: FunctionId) -> impl Iterator<Item = (&str, i64)> {
        self.function(id).opset_import.iter().map(|o| (o.domain(), o.version()))
    }

    /// The attributes of a function that each call has to state.
    pub fn function_attributes(&self, id: FunctionId) -> &[String] {
        &self.function(id).attribute
    }

    /// The attributes of a function that a call may leave out, with what they are then.
    pub fn function_defaults(&self, id: FunctionId) -> Attributes<'_> {
        Attributes(&self.function(id).attribute_proto)
    }

    /// States that a function uses version `version` of ONNX's own operators. Does nothing when it imports none.
    pub fn set_function_opset(&mut self, id: FunctionId, version: i64) {
        let imports = &mut self.header.functions[id.0].opset_import;
        if let Some(import) = imports.iter_mut().find(|o| canonical(o.domain()).is_empty()) {
            import.version = Some(version);
        }
    }

    /// The function that node `id` of the main graph calls.
    pub fn called_by(&self, functions: &Functions, id: NodeId) -> Option<FunctionId> {
        functions.of_node(&self.graph.node(id).proto)
    }

    /// What the definition of a function uses.
    pub fn function_uses(&self, functions: &Functions, id: FunctionId) -> FunctionUses {
        let nodes = &self.function(id).node;
        let mut uses = FunctionUses { nodes: nodes.len(), ..FunctionUses::default() };
        for node in nodes {
            match functions.of_node(node) {
                Some(called) => uses.calls.push(called),
                None => {
                    uses.domains.insert(canonical(node.domain()).to_owned());
                }
            }
            each_in_bodies(node, &mut |inner| match functions.of_node(inner) {
                Some(called) => uses.calls_in_bodies.push(called),
                None => {
                    uses.domains.insert(canonical(inner.domain()).to_owned());
                }
            });
        }
        uses
    }

    /// Shows the definition of a function to `edit` as a graph, and keeps what `edit` made of it.
    ///
    /// # Errors
    /// Those of `edit`, and when the definition is not a graph; the function then stays as it was.
    pub fn edit_function<T>(&mut self, id: FunctionId, edit: impl FnOnce(&mut Graph) -> Result<T>) -> Result<T> {
        let named = |name: &String| ValueInfoProto { name: Some(name.clone()), ..ValueInfoProto::default() };
        let function = self.function(id);
        let message = GraphProto {
            node: function.node.clone(),
            input: function.input.iter().map(named).collect(),
            output: function.output.iter().map(named).collect(),
            value_info: function.value_info.clone(),
            ..GraphProto::default()
        };
        let mut graph = Graph::within(message, &[])?;
        let result = edit(&mut graph)?;
        let mut message = graph.to_proto()?;
        // A function holds no initializers: its constants are nodes.
        let constants = message.initializer.drain(..).map(super::inline::constant_node);
        let nodes = constants.chain(message.node).collect();
        let function = &mut self.header.functions[id.0];
        (function.node, function.value_info) = (nodes, message.value_info);
        Ok(result)
    }

    /// Removes the functions that nothing calls; says how many.
    pub fn remove_unused_functions(&mut self) -> usize {
        let functions = self.functions();
        let mut used = vec![false; self.header.functions.len()];
        let mut open = Vec::new();
        for id in self.graph.node_ids() {
            open.extend(calls(&functions, &self.graph.node(id).proto));
        }
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut used[id.0], true) {
                open.extend(self.function(id).node.iter().flat_map(|node| calls(&functions, node)));
            }
        }
        let before = used.len();
        let mut used = used.into_iter();
        self.header.functions.retain(|_| used.next().unwrap_or(true));
        before - self.header.functions.len()
    }
}

/// The functions that a node or its bodies call.
fn calls(functions: &Functions, node: &NodeProto) -> Vec<FunctionId> {
    let mut found: Vec<_> = functions.of_node(node).into_iter().collect();
    each_in_bodies(node, &mut |inner| found.extend(functions.of_node(inner)));
    found
}

/// Shows every node in the bodies of `node`, however deep; how deep bodies nest was checked when the model was loaded.
fn each_in_bodies<'a>(node: &'a NodeProto, see: &mut impl FnMut(&'a NodeProto)) {
    let mut open: Vec<&GraphProto> = bodies::all(&node.attribute).collect();
    while let Some(body) = open.pop() {
        for inner in &body.node {
            see(inner);
            open.extend(bodies::all(&inner.attribute));
        }
    }
}
