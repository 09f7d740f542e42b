//! What tells nodes apart whatever they are called: what they state and store, and what becomes of what they make.

use super::loose::{Loose, passes, stood_for, taken};
use super::pairing::{is_between, operator, source};
use crate::error::Result;
use crate::ir::{Graph, Node, NodeId, ValueId};
use crate::qoperators::{self, Part};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// So many nodes ahead is looked at most.
const FAR: usize = 12;

/// What is known of the nodes of a graph.
pub(super) struct Structure {
    /// Values that follow from constants alone, by index.
    constant: Vec<bool>,
    /// What a node states and the numbers that it reads, by its index.
    own: Vec<u64>,
    /// The operator and the shape of the weights of layers, by their index.
    weights: Vec<Option<u64>>,
    /// What becomes of what it makes, so many nodes ahead, by its index; as it stands, and loosely.
    ahead: [Vec<Vec<u64>>; 2],
    /// What nodes are in a loose sense.
    pub loose: Loose,
}

/// What nodes have to have in common to belong together, beside their operator and what they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Likeness {
    /// What they state, and the numbers that they read.
    own: bool,
    /// What comes so many nodes behind.
    ahead: usize,
    /// Whether operators on integers count as what they stand for, and what conversions take away and add is passed over.
    pub loose: bool,
    /// Whether nodes that read nothing but constants are told by them.
    pub of_constants: bool,
}

impl Likeness {
    /// Of nodes that read nothing but constants.
    pub const CONSTANTS: Self = Self { own: true, ahead: 0, loose: false, of_constants: true };

    /// The closest first. Conversions have other numbers than what they are made of, but the same nodes behind most of their nodes.
    pub fn all() -> Vec<Self> {
        let of = |own, loose| move |ahead| Self { own, ahead, loose, of_constants: false };
        let own = [FAR, 3].map(of(true, false));
        let behind = [FAR, 8, 6, 5, 4, 3, 2, 1].map(of(false, false));
        let reads = [of(true, false)(0), of(false, false)(0)];
        let loose = [8, 6, 5, 4, 3, 2, 1, 0].map(of(false, true));
        own.into_iter().chain(behind).chain(reads).chain(loose).collect()
    }
}

impl Structure {
    /// That of `graph`, whose nodes stand in this order.
    ///
    /// # Errors
    /// When a constant is malformed.
    pub fn of(graph: &Graph, order: &[NodeId]) -> Result<Self> {
        let mut constant = vec![false; graph.value_bound()];
        graph.value_ids().filter(|&value| graph.is_constant(value)).for_each(|value| constant[value.index()] = true);
        let mut own = vec![0; graph.node_bound()];
        let mut weights = vec![None; graph.node_bound()];
        for &id in order {
            let node = graph.node(id);
            if node.inputs().iter().flatten().chain(node.captured()).all(|value| constant[value.index()]) {
                node.outputs().iter().flatten().for_each(|value| constant[value.index()] = true);
            }
            own[id.index()] = stated(graph, id)?;
            let computed = node.outputs().iter().flatten().any(|value| !constant[value.index()]);
            if computed {
                weights[id.index()] = shape_of_weights(graph, id)?.map(|shape| hashed(&(stood_for(node), shape)));
            }
        }
        let loose = Loose::of(graph, order);
        let ahead = [None, Some(&loose)].map(|loose| ahead(graph, order, loose));
        Ok(Self { weights, ahead, constant, own, loose })
    }

    /// Whether `value` follows from constants alone.
    pub fn is_constant(&self, value: ValueId) -> bool {
        self.constant[value.index()]
    }

    /// What layers have in common that do the same with weights of one shape; `None` of what is no layer.
    pub fn weights(&self, id: NodeId) -> Option<u64> {
        self.weights[id.index()]
    }

    /// What another node has to have, too, to be as like as that.
    pub fn mark(&self, id: NodeId, likeness: Likeness) -> u64 {
        let own = if likeness.own { self.own[id.index()] } else { 0 };
        hashed(&(own, self.ahead[usize::from(likeness.loose)][likeness.ahead][id.index()]))
    }
}

fn hashed(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The shape of the first stored tensor of two axes or more that a node reads.
fn shape_of_weights(graph: &Graph, id: NodeId) -> Result<Option<Vec<usize>>> {
    for &value in graph.node(id).inputs().iter().flatten() {
        let value = source(graph, value);
        let stated = graph.value(value).producer().map(|id| graph.node(id)).filter(|node| node.is("Constant"));
        let tensor = match stated {
            Some(node) => node.attributes().tensor("value")?,
            None => graph.constant(value)?,
        };
        if let Some(shape) = tensor.map(|tensor| tensor.shape().to_vec()).filter(|shape| shape.len() > 1) {
            return Ok(Some(shape));
        }
    }
    Ok(None)
}

/// What a node states, and the numbers that it reads.
fn stated(graph: &Graph, id: NodeId) -> Result<u64> {
    let node = graph.node(id);
    let mut names: Vec<&str> = node.attributes().names().collect();
    names.sort_unstable();
    let mut hasher = DefaultHasher::new();
    for name in names {
        (name, node.attributes().shown(name)).hash(&mut hasher);
        if let Some(tensor) = node.attributes().tensor(name)? {
            tensor.bytes().hash(&mut hasher);
        }
    }
    for (slot, value) in node.inputs().iter().enumerate() {
        let Some(value) = value.map(|value| source(graph, value)) else { continue };
        if let Some(tensor) = graph.constant(value)? {
            (slot, tensor.dtype(), tensor.shape(), tensor.bytes()).hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

/// What becomes of what each node makes, for each number of nodes ahead. What leads numbers to integers and back is passed over, and
/// where that is `loose`, what conversions take away.
fn ahead(graph: &Graph, order: &[NodeId], loose: Option<&Loose>) -> Vec<Vec<u64>> {
    let passed = |id: NodeId| is_between(graph, id) || loose.is_some() && taken(graph, id).is_some();
    let is_passed: Vec<bool> = {
        let mut all = vec![false; graph.node_bound()];
        order.iter().for_each(|&id| all[id.index()] = passed(id));
        all
    };
    let mut operators = vec![0; graph.node_bound()];
    for &id in order {
        let node = graph.node(id);
        operators[id.index()] = hashed(&loose.map_or_else(|| operator(node), |loose| loose.operator(graph, id)));
    }
    let mut all = vec![vec![0u64; graph.node_bound()]];
    for turn in 0..FAR {
        let now = &all[turn];
        let mut next = now.clone();
        // Readers come behind, so those that are passed over are up to date when they are asked.
        for &id in order.iter().rev() {
            let mut marks = Vec::new();
            for (slot, value) in graph.node(id).outputs().iter().enumerate() {
                let Some(value) = *value else { continue };
                let place = graph.outputs().position(|output| graph.value(value).is_output() && output == value);
                marks.extend(place.map(|place| hashed(&("output", place))));
                let behind = graph.value(value).readers().filter_map(|(reader, at)| match is_passed[reader.index()] {
                    true => passes(graph, reader, at, loose.is_some()).then(|| next[reader.index()]),
                    false => {
                        let at = match loose {
                            Some(loose) if loose.product_of(reader).is_some() => 0,
                            Some(_) => operand(graph.node(reader), at),
                            None => at,
                        };
                        Some(hashed(&(slot, at, operators[reader.index()], now[reader.index()])))
                    }
                });
                marks.extend(behind);
            }
            marks.sort_unstable();
            marks.dedup();
            // One reader behind what is passed over is one reader.
            next[id.index()] = match marks[..] {
                [one] if is_passed[id.index()] => one,
                _ => hashed(&marks),
            };
        }
        all.push(next);
    }
    all
}

/// Which input of the operator that a node stands for its input number `at` is.
fn operand(node: &Node, at: usize) -> usize {
    let form = qoperators::find(node.domain(), node.op_type());
    let part = form.and_then(|form| form.inputs_of(node.inputs().len()).get(at).copied());
    match part {
        Some(Part::Integers(slot) | Part::Plain(slot)) => slot,
        _ => at,
    }
}

/// The longest common subsequence of two lists, by their marks; nothing where it would take too long.
pub(super) fn longest(one: &[(NodeId, u64)], two: &[(NodeId, u64)]) -> Vec<(NodeId, NodeId)> {
    /// Entries of the table of lengths.
    const MOST: usize = 1 << 24;
    let width = two.len() + 1;
    if (one.len() + 1).saturating_mul(width) > MOST {
        return Vec::new();
    }
    let mut lengths = vec![0u32; (one.len() + 1) * width];
    for (i, (_, mark)) in one.iter().enumerate().rev() {
        for (j, (_, other)) in two.iter().enumerate().rev() {
            lengths[i * width + j] = match mark == other {
                true => lengths[(i + 1) * width + j + 1] + 1,
                false => lengths[(i + 1) * width + j].max(lengths[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < one.len() && j < two.len() {
        if one[i].1 == two[j].1 {
            pairs.push((one[i].0, two[j].0));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}
