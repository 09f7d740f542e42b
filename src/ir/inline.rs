//! Putting the definition of a function in the place of its call.

use super::bodies;
use super::functions::FunctionId;
use super::graph::{Graph, NodeId, Source};
use super::model::Model;
use crate::error::{Error, Result};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Names in a function and what they are called where it is put; an input left out is the empty name.
type Names = HashMap<String, String>;

impl Model {
    /// Replaces node `id` of the main graph, which calls `function`, by the function's nodes under fresh names; returns
    /// these.
    ///
    /// # Errors
    /// When the call does not fit the definition, or the definition is malformed. The graph then stays as it was.
    pub fn inline(&mut self, id: NodeId, function: FunctionId) -> Result<Vec<NodeId>> {
        let function = &self.header.functions[function.0];
        let graph = &mut self.graph;
        check(function).and_then(|()| fits(function, graph, id)).map_err(|why| graph.node_error(id, why))?;
        let call = Call::of(graph, id);
        let nodes = expand(function, graph, call);
        if nodes.iter().any(|node| bodies::names(&node.attribute).too_deep) {
            return Err(graph.node_error(id, "bodies nest too deeply"));
        }
        graph.replace(id, nodes)
    }

    /// Replaces node `id` of the main graph, an If, by the nodes of its body `branch` under fresh names; returns these.
    ///
    /// # Errors
    /// When it has no such body, or one that is malformed or has sparse constants. The graph then stays as it was.
    pub fn take_branch(&mut self, id: NodeId, branch: &str) -> Result<Vec<NodeId>> {
        let graph = &mut self.graph;
        let attribute = graph.node(id).proto.attribute.iter().find(|a| a.name() == branch);
        let captured = attribute.map(|attribute| bodies::names(std::slice::from_ref(attribute)));
        let body =
            attribute.and_then(|attribute| attribute.g.clone()).filter(|body| body.sparse_initializer.is_empty());
        let Some((names, body)) = captured.zip(body).filter(|(names, _)| !names.too_deep) else {
            return Err(graph.node_error(id, format!("has no {branch} that could stand in its place")));
        };
        let definition = FunctionProto {
            input: names.captured.clone(),
            output: body.output.iter().map(|output| output.name().to_owned()).collect(),
            node: body.initializer.into_iter().map(constant_node).chain(body.node).collect(),
            ..FunctionProto::default()
        };
        check(&definition).map_err(|why| graph.node_error(id, why))?;
        // What the branch reads goes by its name.
        let call = Call { inputs: names.captured.into_iter().map(Some).collect(), ..Call::of(graph, id) };
        let nodes = expand(&definition, graph, Call { given: Vec::new(), ..call });
        graph.replace(id, nodes)
    }
}

/// What stands where a definition is put.
struct Call {
    /// What its nodes and values are named after.
    label: String,
    inputs: Vec<Option<String>>,
    outputs: Vec<Option<String>>,
    given: Vec<AttributeProto>,
}

impl Call {
    fn of(graph: &Graph, id: NodeId) -> Self {
        let node = graph.node(id);
        let names =
            |values: &[Option<_>]| values.iter().map(|value| value.map(|v| graph.value(v).name().to_owned())).collect();
        let (inputs, outputs) = (names(node.inputs()), names(node.outputs()));
        Self { label: graph.label(id).to_owned(), inputs, outputs, given: node.proto.attribute.clone() }
    }
}

/// Whether a definition makes each value once, and makes what it reads.
fn check(function: &FunctionProto) -> std::result::Result<(), String> {
    let mut made = HashSet::new();
    let outputs = function.node.iter().flat_map(|n| &n.output).filter(|name| !name.is_empty());
    for name in function.input.iter().chain(outputs) {
        if !made.insert(name.as_str()) {
            return Err(format!("the function it calls makes {name:?} twice"));
        }
    }
    for node in &function.node {
        let captured = bodies::names(&node.attribute).captured;
        if let Some(name) = node.input.iter().chain(&captured).find(|n| !n.is_empty() && !made.contains(n.as_str())) {
            return Err(format!("the function it calls reads {name:?}, which nothing makes"));
        }
    }
    match function.output.iter().find(|name| !made.contains(name.as_str())) {
        Some(name) => Err(format!("the function it calls has an output {name:?}, which nothing makes")),
        None => Ok(()),
    }
}

fn fits(function: &FunctionProto, graph: &Graph, id: NodeId) -> std::result::Result<(), String> {
    let node = graph.node(id);
    let counts =
        [("inputs", node.inputs.len(), function.input.len()), ("outputs", node.outputs.len(), function.output.len())];
    if let Some((what, given, defined)) = counts.into_iter().find(|(_, given, defined)| given > defined) {
        return Err(format!("has {given} {what}, but the function it calls has {defined}"));
    }
    // A function may hand an input through; one that was left out cannot be.
    let left_out =
        |name: &str| function.input.iter().position(|i| i == name).is_some_and(|slot| node.input(slot).is_none());
    let wanted = function.output.iter().enumerate().filter(|(slot, _)| node.output(*slot).is_some());
    match wanted.map(|(_, name)| name).find(|name| left_out(name)) {
        Some(name) => Err(format!("leaves out {name:?}, which the function it calls hands through as an output")),
        None => Ok(()),
    }
}

/// The nodes of a checked function, in the names of the graph that calls it.
fn expand(function: &FunctionProto, graph: &mut Graph, call: Call) -> Vec<NodeProto> {
    let Call { label, inputs, outputs, given } = call;
    // Those at the end may be left out.
    let inputs = inputs.into_iter().chain(std::iter::repeat(None)).take(function.input.len());
    let given = [&function.attribute_proto, &given].into_iter().flatten();
    let given: HashMap<String, AttributeProto> = given.map(|a| (a.name().to_owned(), a.clone())).collect();

    let mut names: Names = function.input.iter().cloned().zip(inputs.map(Option::unwrap_or_default)).collect();
    // What the function hands through, or out twice, needs a node to make the other name.
    let mut copies = Vec::new();
    for (inner, outer) in function.output.iter().zip(outputs) {
        let Some(outer) = outer else { continue };
        match names.get(inner) {
            Some(from) => copies.push((from.clone(), outer)),
            None => {
                names.insert(inner.clone(), outer);
            }
        }
    }
    for name in function.node.iter().flat_map(|n| &n.output).filter(|name| !name.is_empty()) {
        if !names.contains_key(name) {
            names.insert(name.clone(), reserve(graph, &format!("{label}_{name}")));
        }
    }
    let mut nodes = function.node.clone();
    for node in &mut nodes {
        rename_node(node, &label, &mut names, graph);
        // Only now: the call's own bodies are written in the names of the graph already.
        bind(&mut node.attribute, &given);
    }
    for (from, to) in copies {
        let name = reserve(graph, &format!("{label}_Identity"));
        let op_type = Some("Identity".to_owned());
        nodes.push(NodeProto {
            name: Some(name),
            op_type,
            input: vec![from],
            output: vec![to],
            ..NodeProto::default()
        });
    }
    nodes
}

fn reserve(graph: &mut Graph, stem: &str) -> String {
    let name = graph.fresh_name(stem);
    graph.reserved.insert(name.clone());
    name
}

fn rename_node(node: &mut NodeProto, label: &str, names: &mut Names, graph: &mut Graph) {
    // A node without a name gets one too: an engine may give many nodes the same.
    let own = if node.name().is_empty() { node.op_type() } else { node.name() };
    node.name = Some(reserve(graph, &format!("{label}_{own}")));
    for name in node.input.iter_mut().chain(&mut node.output) {
        rename(name, names);
    }
    for body in bodies::all_mut(&mut node.attribute) {
        rename_body(body, label, names, graph);
    }
}

fn rename(name: &mut String, names: &Names) {
    if let Some(new) = names.get(name) {
        name.clone_from(new);
    }
}

/// Renames what a body reads from around it, and, so that nothing hides a name of the graph, also what is its own.
fn rename_body(body: &mut GraphProto, label: &str, names: &mut Names, graph: &mut Graph) {
    let inputs = body.input.iter().map(|i| i.name().to_owned());
    let constants = body.initializer.iter().map(|t| t.name().to_owned());
    let sparse = body.sparse_initializer.iter().filter_map(|t| Some(t.values.as_ref()?.name().to_owned()));
    let made = body.node.iter().flat_map(|n| n.output.iter().cloned());
    let own: HashSet<String> = inputs.chain(constants).chain(sparse).chain(made).filter(|n| !n.is_empty()).collect();
    let mut own: Vec<_> = own.into_iter().collect();
    own.sort_unstable();
    // Another body may use the same names for other things.
    let mut hidden = Vec::with_capacity(own.len());
    for name in own {
        let new = reserve(graph, &format!("{label}_{name}"));
        let old = names.insert(name.clone(), new);
        hidden.push((name, old));
    }
    let infos = body.input.iter_mut().chain(&mut body.output).chain(&mut body.value_info);
    let tensors =
        body.initializer.iter_mut().chain(body.sparse_initializer.iter_mut().filter_map(|t| t.values.as_mut()));
    for name in infos.map(|i| &mut i.name).chain(tensors.map(|t| &mut t.name)).flatten() {
        rename(name, names);
    }
    for node in &mut body.node {
        rename_node(node, label, names, graph);
    }
    for (name, old) in hidden {
        match old {
            Some(old) => names.insert(name, old),
            None => names.remove(&name),
        };
    }
}

/// Puts the attributes of the call, or their defaults, where the definition refers to them; one that was left out is left
/// out there, too.
fn bind(attributes: &mut Vec<AttributeProto>, given: &HashMap<String, AttributeProto>) {
    attributes.retain_mut(|attribute| {
        if attribute.ref_attr_name().is_empty() {
            for body in bodies::all_mut(std::slice::from_mut(attribute)) {
                body.node.iter_mut().for_each(|node| bind(&mut node.attribute, given));
            }
            return true;
        }
        let Some(value) = given.get(attribute.ref_attr_name()) else { return false };
        let (name, doc_string) = (attribute.name.take(), attribute.doc_string.take());
        *attribute = AttributeProto { name, doc_string, ..value.clone() };
        true
    });
}

/// A node that makes what the initializer is.
pub(super) fn constant_node(tensor: TensorProto) -> NodeProto {
    let output = vec![tensor.name().to_owned()];
    let value = AttributeProto {
        name: Some("value".to_owned()),
        r#type: Some(AttributeType::Tensor as i32),
        t: Some(TensorProto { name: None, ..tensor }),
        ..AttributeProto::default()
    };
    NodeProto { op_type: Some("Constant".to_owned()), output, attribute: vec![value], ..NodeProto::default() }
}

impl Graph {
    /// Puts nodes in the place of another one; they make what it made.
    fn replace(&mut self, id: NodeId, nodes: Vec<NodeProto>) -> Result<Vec<NodeId>> {
        self.detach(id);
        let first = self.nodes.len();
        let ids: Vec<_> = (first..first + nodes.len()).map(|index| NodeId(index as u32)).collect();
        for (&id, node) in ids.iter().zip(&nodes) {
            for (slot, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                let source = Source::Node { node: id, slot };
                match self.find(name) {
                    Some(value) if self.value(value).source == Source::Nowhere => {
                        self.values[value.index()].source = source;
                    }
                    Some(_) => return Err(Error::value(name, "is made twice; every value needs one producer")),
                    None => {
                        self.define(name, source)?;
                    }
                }
            }
        }
        for (&id, node) in ids.iter().zip(nodes) {
            self.connect(id, node)?;
        }
        Ok(ids)
    }
}
