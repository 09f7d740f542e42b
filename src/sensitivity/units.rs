//! Which nodes stand for one another: a layer, or a join, with what only it feeds.

use crate::dequantize::Found;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Role};
use crate::quant::Params;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A layer or a join, and the nodes behind it that read nothing else: an activation function, a pooling, a clamp.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unit {
    /// The node that it begins with.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// All of its nodes.
    pub nodes: Vec<String>,
    /// Its nodes with constants that are rounded, as indices into the layers of the model.
    pub layers: Vec<usize>,
    /// The activations that it reads or makes on a grid, as indices into the grids of the model.
    pub edges: Vec<usize>,
    /// What it reads on a grid, by name.
    pub reads: BTreeSet<String>,
    /// What it makes on a grid, by name.
    pub makes: BTreeSet<String>,
    /// Whether no other quantized unit stands before it.
    pub is_first: bool,
    /// Whether no other quantized unit stands behind it.
    pub is_last: bool,
}

/// The units of a graph, and which node is in which.
#[derive(Default)]
pub struct Units {
    pub all: Vec<Unit>,
    of_node: HashMap<NodeId, usize>,
    /// The units that each reads.
    sources: Vec<BTreeSet<usize>>,
}

/// Whether `id` moves what it reads from the grid where it is to the same one: rounding before and behind it are the same.
pub fn carries(graph: &Graph, id: NodeId, found: &Found) -> bool {
    let grid = |v: ValueId| found.grids.activations.get(graph.value(v).name());
    let node = graph.node(id);
    let read = node.input(0).and_then(grid);
    let made = |v: &ValueId| grid(*v).is_some() && grid(*v) == read;
    ops::lookup(graph, id).is_some_and(|row| row.role == Role::Movement) && node.outputs().iter().flatten().all(made)
}

impl Units {
    /// Those of `graph`, whose nodes are in `order`; nodes of `layers` have rounded constants.
    pub fn of(graph: &Graph, order: &[NodeId], layers: &HashMap<NodeId, usize>) -> Self {
        let mut units = Self::default();
        for &id in order {
            let node = graph.node(id);
            let read: Vec<ValueId> =
                node.inputs().iter().flatten().copied().filter(|&v| !graph.is_constant(v)).collect();
            let sources: BTreeSet<usize> = read.iter().filter_map(|&v| units.maker(graph, v)).collect();
            let role = ops::lookup(graph, id).map(|row| row.role);
            let is_layer = layers.contains_key(&id) || role == Some(Role::Compute);
            let unit = match (sources.len(), is_layer) {
                (0, false) if role == Some(Role::Movement) || read.is_empty() => continue,
                (1, false) => sources.first().copied().unwrap_or_default(),
                _ => {
                    let (name, op_type) = (graph.label(id).to_owned(), node.op_type().to_owned());
                    units.all.push(Unit { node: name, op_type, ..Unit::default() });
                    units.sources.push(sources);
                    units.all.len() - 1
                }
            };
            units.all[unit].nodes.push(graph.label(id).to_owned());
            units.all[unit].layers.extend(layers.get(&id));
            units.of_node.insert(id, unit);
        }
        units
    }

    /// The unit that makes a value.
    pub fn maker(&self, graph: &Graph, value: ValueId) -> Option<usize> {
        self.reader(graph.value(value).producer()?)
    }

    /// The unit that a node is in.
    pub fn reader(&self, id: NodeId) -> Option<usize> {
        self.of_node.get(&id).copied()
    }

    /// The units of which something is quantized: they have rounded constants, make values on grids, or multiply some.
    pub fn quantized(&self, graph: &Graph, found: &Found) -> Vec<bool> {
        let grids = &found.grids.activations;
        let mut quantized: Vec<bool> = self.all.iter().map(|unit| !unit.layers.is_empty()).collect();
        for (&id, &unit) in &self.of_node {
            let node = graph.node(id);
            let on_grid = |values: &[Option<ValueId>]| {
                values.iter().flatten().any(|&v| grids.contains_key(graph.value(v).name()))
            };
            let multiplies = ops::lookup(graph, id).is_some_and(|row| row.role == Role::Compute);
            quantized[unit] |= on_grid(node.outputs()) || multiplies && on_grid(node.inputs());
        }
        quantized
    }

    /// Notes which of the quantized units come first, and which last.
    pub fn settle_ends(&mut self, quantized: &[bool]) {
        let mut behind: Vec<bool> = Vec::with_capacity(self.all.len());
        let mut followed = vec![false; self.all.len()];
        for unit in 0..self.all.len() {
            // Whether some quantized unit stands before it; its sources come before it in the list.
            let before = self.sources[unit].iter().any(|&s| s < unit && (behind[s] || quantized[s]));
            behind.push(before);
            self.all[unit].is_first = !before;
        }
        for unit in (0..self.all.len()).rev() {
            self.all[unit].is_last = !followed[unit];
            let passes = followed[unit] || quantized[unit];
            self.sources[unit].iter().for_each(|&s| followed[s] |= passes);
        }
    }
}

/// Where a value on a grid is rounded: for one of its readers, a unit, or for all that are in none.
#[derive(Debug, Clone)]
pub struct Edge {
    pub value: ValueId,
    pub grid: Params,
    pub maker: Option<usize>,
    pub reader: Option<usize>,
    /// The nodes and which of their inputs.
    pub ends: Vec<(NodeId, usize)>,
}

/// The places of a graph where activations are rounded, in the order of the nodes that read them.
pub fn edges(graph: &Graph, order: &[NodeId], units: &Units, found: &Found) -> Vec<Edge> {
    let mut edges: Vec<Edge> = Vec::new();
    let mut known: HashMap<(ValueId, Option<usize>), usize> = HashMap::new();
    let carriers: HashSet<NodeId> = order.iter().copied().filter(|&id| carries(graph, id, found)).collect();
    for &id in order.iter().filter(|id| !carriers.contains(id)) {
        for (slot, value) in graph.node(id).inputs().iter().enumerate() {
            let Some(value) = *value else { continue };
            let name = graph.value(value).name();
            let Some(&grid) = found.grids.activations.get(name) else { continue };
            if reads_directly(graph, id, found, name) {
                continue;
            }
            let reader = units.reader(id);
            let index = *known.entry((value, reader)).or_insert_with(|| {
                edges.push(Edge { value, grid, maker: units.maker(graph, value), reader, ends: Vec::new() });
                edges.len() - 1
            });
            edges[index].ends.push((id, slot));
        }
    }
    edges
}

/// Whether `id` reads the numbers of a value as they are before they are rounded.
fn reads_directly(graph: &Graph, id: NodeId, found: &Found, value: &str) -> bool {
    let Some(direct) = found.direct.get(value) else { return false };
    let first = graph.node(id).output(0).map_or("", |made| graph.value(made).name());
    direct.nodes.contains(graph.node(id).name()) || direct.nodes.contains(first)
}
