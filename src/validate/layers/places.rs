//! The values that are looked at, with what is known of each.

use super::super::twin;
use super::grid::Grid;
use crate::error::Result;
use crate::exec::Types;
use crate::ir::{Graph, Model, Node, NodeId, ValueId};
use crate::ops::{self, OutputRange, Role};
use crate::quant::{KnownGrids, Params};
use crate::tensor::DataType;
use std::collections::HashSet;

/// A value that both models have.
pub(super) struct Place {
    pub name: String,
    pub node: String,
    pub op_type: String,
    /// Whether only the quantized model has it: then nothing but its grid is looked at.
    pub is_inner: bool,
    /// Whether it comes from bodies, whose weights are not looked at.
    pub has_bodies: bool,
    /// The axis of its channels.
    pub axis: usize,
    /// The square of the step of its weights for each channel, beside that of the mean channel; empty where all have one.
    pub steps: Vec<f64>,
    pub grid: Option<Grid>,
}

impl Place {
    /// A number of it as those see it that read it.
    pub fn read(&self, number: f32) -> f32 {
        self.grid.map_or(number, |grid| grid.read(number))
    }

    /// The same rounded to its grid.
    pub fn rounded(&self, number: f32) -> f32 {
        self.grid.map_or(number, |grid| grid.rounded(number))
    }
}

/// The square of the step of a layer's weights for each output channel, beside the mean of them.
fn steps(graph: &Graph, layer: &Node, grids: &KnownGrids) -> Vec<f64> {
    let known = layer.inputs().iter().flatten().find_map(|&v| grids.constants.get(graph.value(v).name()));
    let Some(known) = known.filter(|known| known.block.is_none() && known.grids.len() > 1) else { return Vec::new() };
    let squares: Vec<f64> = known.grids.iter().map(|grid| f64::from(grid.scale).powi(2)).collect();
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    if mean > 0.0 { squares.into_iter().map(|square| square / mean).collect() } else { Vec::new() }
}

/// The bounds beyond which nobody reads the numbers of `value` as they are, because only clamps read it. What rounds to 16 bits in
/// between counts as nothing.
fn bounds(graph: &Graph, value: ValueId) -> (f32, f32) {
    let all = (f32::NEG_INFINITY, f32::INFINITY);
    let stands_for = past_rounding(graph, value);
    let readers = stands_for.iter().flat_map(|&value| graph.value(value).readers());
    let clamp = |(id, slot): (NodeId, usize)| {
        ops::lookup(graph, id).filter(|_| slot == 0).and_then(|op| op.bounds(graph, id)).unwrap_or(all)
    };
    let read = readers.filter(|&(id, _)| !twin::rounds(graph, id)).map(clamp);
    let by_name = stands_for.iter().any(|&value| graph.value(value).goes_by_name());
    let read = if by_name { None } else { read.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) };
    read.unwrap_or(all)
}

/// Whether `id` only moves numbers that are on the grid `params` before: that is judged where it comes from.
fn is_taken_over(graph: &Graph, id: NodeId, params: Params, on_grid: impl Fn(&str) -> Option<Params>) -> bool {
    let moves = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Movement);
    let before = |read: &ValueId| {
        let rounding = graph.value(*read).producer().filter(|&id| twin::rounds(graph, id));
        rounding.and_then(|id| graph.node(id).input(0))
    };
    let mut read = std::iter::successors(graph.node(id).input(0).filter(|_| moves), before);
    read.any(|read| on_grid(graph.value(read).name()) == Some(params))
}

/// The range that `id` has by its operator, where `params` is the grid of that range.
fn fixed_range(graph: &Graph, id: NodeId, params: Params) -> Option<(f32, f32)> {
    let range = match ops::lookup(graph, id)?.range {
        OutputRange::Calibrated => return None,
        OutputRange::Unit | OutputRange::Closed => (0.0, 1.0),
        OutputRange::Signed => (-1.0, 1.0),
    };
    let (low, high) = params.real_range();
    let near = |a: f32, b: f32| (a - b).abs() <= 2.0 * params.scale;
    (near(low, range.0) && near(high, range.1)).then_some(range)
}

/// `value`, and what it is rounded to.
fn past_rounding(graph: &Graph, value: ValueId) -> Vec<ValueId> {
    let mut values = vec![value];
    let mut next = 0;
    while let Some(&value) = values.get(next) {
        let rounding = graph.value(value).readers().map(|(id, _)| id).filter(|&id| twin::rounds(graph, id));
        values.extend(rounding.filter_map(|id| graph.node(id).output(0)));
        next += 1;
    }
    values
}

/// The float values that both models have, in an order of computation.
pub(super) fn places(
    original: &Model,
    (restored, cuts): (&Model, &[NodeId]),
    types: &Types,
    grids: &KnownGrids,
) -> Result<Vec<Place>> {
    let on_grid = |name: &str| grids.activations.get(name).copied();
    let graph = &restored.graph;
    let common = |name: &str| {
        let value = original.graph.find(name).filter(|&value| !original.graph.is_constant(value))?;
        let stands_for_numbers = |value| graph.element_type(value).is_none_or(DataType::is_float);
        graph.find(name).filter(|&value| stands_for_numbers(value))?;
        types.get(name).is_some_and(|ty| ty.dtype == DataType::Float32).then_some(value)
    };
    let mut places = Vec::new();
    for value in graph.inputs() {
        let name = graph.value(value).name();
        if let (Some(_), Some(grid)) = (common(name), on_grid(name)) {
            let (node, op_type) = (String::new(), String::new());
            let (name, steps) = (name.to_owned(), Vec::new());
            let grid = Some(Grid { params: grid, bounds: bounds(graph, value), fixed: None });
            places.push(Place { name, node, op_type, is_inner: false, has_bodies: false, axis: 1, steps, grid });
        }
    }
    // What comes from bodies before the next value that both models have.
    let mut from_bodies: HashSet<ValueId> = HashSet::new();
    for id in graph.topological()? {
        let node = graph.node(id);
        let reads = node.inputs().iter().flatten();
        let has_bodies = graph.body_count(id) > 0 || reads.clone().any(|read| from_bodies.contains(read));
        for &value in node.outputs().iter().flatten() {
            let name = graph.value(value).name();
            let made = common(name).and_then(|value| original.graph.value(value).producer());
            let rank = made.and_then(|_| types.get(name)).map(|ty| ty.dims.len());
            if rank.is_none() {
                from_bodies.extend(has_bodies.then_some(value));
            }
            // What has a grid of its own is looked at even where only the quantized model has it.
            let is_inner = rank.is_none();
            let elsewhere = original.graph.find(name).is_some();
            if is_inner && (elsewhere || on_grid(name).is_none()) {
                continue;
            }
            let rank = rank.unwrap_or_default();
            let before = node.input(0).filter(|_| cuts.contains(&id)).and_then(|value| graph.value(value).producer());
            let maker = before.or_else(|| twin::rounded_by(graph, id)).unwrap_or(id);
            let grid = on_grid(name).filter(|&params| !is_taken_over(graph, maker, params, on_grid));
            let grid = grid.map(|params| Grid {
                params,
                bounds: bounds(graph, value),
                fixed: fixed_range(graph, maker, params),
            });
            let maker = graph.node(maker);
            places.push(Place {
                name: name.to_owned(),
                node: if maker.name().is_empty() { name } else { maker.name() }.to_owned(),
                op_type: maker.op_type().to_owned(),
                is_inner,
                has_bodies,
                // Products have their channels last, everything that convolves has them behind the batch.
                axis: if maker.op_type() == "MatMul" || rank < 3 { rank.saturating_sub(1) } else { 1 },
                steps: steps(graph, maker, grids),
                grid,
            });
        }
    }
    Ok(places)
}
