//! What conversions change about nodes: what they take into the layer before it, and what they spell out.

use super::pairing::{is_between, operator, source};
use crate::ir::{Graph, Node, NodeId, ValueId};
use crate::qoperators;
use std::collections::{HashMap, HashSet};

/// So many nodes back it is looked whether a value follows from constants, or from another value.
const FAR: usize = 6;
/// The operator that is spelled out as a product of a value with what a clamp leaves of it.
const SPELLED: &str = "HardSwish";

/// The operator of a node; of one on integers, of what it stands for.
pub(super) fn stood_for(node: &Node) -> String {
    let form = qoperators::find(node.domain(), node.op_type());
    form.map_or_else(|| operator(node), |form| form.float.to_owned())
}

/// Whether `value` follows from constants alone, as far as is looked.
fn is_fixed(graph: &Graph, value: ValueId, far: usize) -> bool {
    if graph.is_constant(value) {
        return true;
    }
    let Some(id) = graph.value(value).producer().filter(|_| far > 0) else { return false };
    let node = graph.node(id);
    node.captured().is_empty() && node.inputs().iter().flatten().all(|&read| is_fixed(graph, read, far - 1))
}

/// What a node reads, where conversions take it into the layer before it: a clamp, a normalization, a padding, what adds or
/// multiplies by constants, or what changes nothing; or puts it before a Softmax of another opset.
pub(super) fn taken(graph: &Graph, id: NodeId) -> Option<ValueId> {
    const TAKEN: [&str; 9] =
        ["Relu", "Clip", "BatchNormalization", "Pad", "Identity", "Dropout", "Cast", "HardSigmoid", "Flatten"];
    let node = graph.node(id);
    if TAKEN.iter().any(|op_type| node.is(op_type)) {
        return node.input(0);
    }
    let either = node.is("Add") || node.is("Mul");
    if !either && !node.is("Sub") && !node.is("Div") {
        return None;
    }
    let (x, y) = node.input(0).zip(node.input(1))?;
    match (is_fixed(graph, x, FAR), is_fixed(graph, y, FAR)) {
        (false, true) => Some(x),
        (true, false) if either => Some(y),
        _ => None,
    }
}

/// What such a node reads that makes `value`.
pub(super) fn past(graph: &Graph, value: ValueId) -> Option<ValueId> {
    graph.value(value).producer().and_then(|id| taken(graph, id))
}

/// What nodes count as where what conversions change is passed over.
pub(super) struct Loose {
    /// What the last node of each HardSwish that is spelled out computes it of.
    products: HashMap<NodeId, ValueId>,
    /// The other nodes of such.
    parts: HashSet<NodeId>,
}

impl Loose {
    /// Those of `graph`.
    pub fn of(graph: &Graph, order: &[NodeId]) -> Self {
        let mut this = Self { products: HashMap::new(), parts: HashSet::new() };
        for &id in order {
            if let Some((of, parts)) = spelled(graph, id) {
                this.products.insert(id, of);
                let divided = scaled_behind(graph, id).filter(|_| !parts.iter().any(|&part| scales(graph, part)));
                this.parts.extend(parts.into_iter().chain(divided));
            }
        }
        this
    }

    /// The operator that a node stands for.
    pub fn operator(&self, graph: &Graph, id: NodeId) -> String {
        let own = || stood_for(graph.node(id));
        match (self.products.contains_key(&id), self.parts.contains(&id)) {
            (true, _) => SPELLED.to_owned(),
            (_, true) => format!("{} of {SPELLED}", own()),
            _ => own(),
        }
    }

    /// What a HardSwish reads of which this is the last node.
    pub fn product_of(&self, id: NodeId) -> Option<ValueId> {
        self.products.get(&id).copied()
    }

    /// The operator that a node is one of several to spell out.
    pub fn part_of(&self, id: NodeId) -> Option<&'static str> {
        (self.products.contains_key(&id) || self.parts.contains(&id)).then_some(SPELLED)
    }
}

/// What the HardSwish is of that a Mul is the last node of, and its other nodes: an addition of a constant, and mostly a Clip that a
/// grid may have taken in, or a HardSigmoid.
fn spelled(graph: &Graph, id: NodeId) -> Option<(ValueId, Vec<NodeId>)> {
    let node = graph.node(id);
    if !node.is("Mul") {
        return None;
    }
    let (x, y) = node.input(0).zip(node.input(1))?;
    let (x, y) = (source(graph, x), source(graph, y));
    gate(graph, y, x).map(|parts| (x, parts)).or_else(|| gate(graph, x, y).map(|parts| (y, parts)))
}

/// Whether a node multiplies or divides by a constant, or does so within.
fn scales(graph: &Graph, id: NodeId) -> bool {
    ["Mul", "Div", "HardSigmoid"].iter().any(|op_type| graph.node(id).is(op_type))
}

/// The division by a constant that alone reads what a node makes.
fn scaled_behind(graph: &Graph, id: NodeId) -> Option<NodeId> {
    let made = graph.node(id).output(0)?;
    let mut readers = graph.value(made).readers();
    let (Some((reader, 0)), None) = (readers.next(), readers.next()) else { return None };
    let divides = graph.node(reader).is("Div") || graph.node(reader).is("Mul");
    (divides && !graph.value(made).is_output()).then_some(reader).filter(|&reader| taken(graph, reader) == Some(made))
}

/// The nodes that make `gate` of `value`, where that is what HardSwish multiplies it by.
fn gate(graph: &Graph, gate: ValueId, value: ValueId) -> Option<Vec<NodeId>> {
    let mut parts = Vec::new();
    let mut here = gate;
    while here != value {
        let id = graph.value(here).producer().filter(|_| parts.len() < FAR)?;
        here = source(graph, taken(graph, id)?);
        parts.push(id);
    }
    let adds = |id: &NodeId| graph.node(*id).is("Add") || graph.node(*id).is("HardSigmoid");
    parts.iter().any(adds).then_some(parts)
}

/// Whether a node is passed over where only what is the same in a loose sense counts, by its input number `at`.
pub(super) fn passes(graph: &Graph, id: NodeId, at: usize, loose: bool) -> bool {
    let node = graph.node(id);
    if is_between(graph, id) {
        return at == 0;
    }
    loose && taken(graph, id).is_some_and(|value| node.input(at) == Some(value))
}
