//! The grids that a quantized model has, noted while it is turned back.

use super::{Grid, Walk, stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::quant::{GridType, HalfType, KnownBias, KnownConstant, KnownGrids, Params};
use crate::tensor::{DataType, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a model had quantized, by the names of the float values and constants that it became.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The grids.
    pub grids: KnownGrids,
    /// Further grids of activations, each of another type.
    pub also: BTreeMap<String, Vec<Params>>,
    /// Who reads the numbers of an activation that is on a grid as they were before.
    pub direct: BTreeMap<String, Direct>,
    /// Biases stored as int32.
    pub biases: BTreeMap<String, KnownBias>,
    /// What layers make that run on grids that each run finds anew, and their weights.
    pub dynamic: BTreeSet<String>,
    /// Float constants that the model rounds to these grids each time it runs, and which nobody reads as they are.
    pub rounded: BTreeMap<String, KnownConstant>,
    /// What no grid by name can stand for: the name, and why.
    pub lost: Vec<(String, &'static str)>,
}

/// Who reads a float value although it is quantized, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    /// Nodes, by name, or by that of their first output.
    pub nodes: BTreeSet<String>,
    /// Whether something goes by its name: an output of the model, or a body.
    pub by_name: bool,
}

/// The same while values still change their names.
#[derive(Default)]
pub(super) struct Notes {
    activations: Vec<(ValueId, Params)>,
    direct: HashMap<ValueId, (Vec<NodeId>, bool)>,
    constants: Vec<(ValueId, KnownConstant)>,
    biases: Vec<(ValueId, KnownBias)>,
    dynamic: Vec<ValueId>,
    rounded: Vec<(ValueId, KnownConstant)>,
    lost: Vec<(ValueId, &'static str)>,
}

impl Walk<'_> {
    /// Notes that `float` was on `grid`, as integers of the type of `integers` where the zero point does not tell.
    pub(super) fn note_activation(
        &mut self,
        graph: &Graph,
        float: ValueId,
        grid: Grid,
        integers: ValueId,
    ) -> Result<()> {
        let Some(scale) = graph.constant(grid.scale)? else {
            self.notes.lost.push((float, "its scale is computed while the model runs"));
            return Ok(());
        };
        let Some(zeros) = stored::zero_points(graph, grid)? else {
            self.notes.lost.push((float, "its zero point is computed while the model runs"));
            return Ok(());
        };
        let dtype = grid.zero_point.and_then(|zero| graph.element_type(zero));
        let dtype = dtype.or_else(|| stated(graph, integers)).and_then(GridType::of);
        let (Some(dtype), Ok(scales)) = (dtype, scale.to_f32()) else {
            self.notes.lost.push((float, "its integers are of an unusual type"));
            return Ok(());
        };
        let &[scale] = &scales[..] else {
            self.notes.lost.push((float, "it has several scales"));
            return Ok(());
        };
        let zero_point = zeros.first().map_or(0, |&zero| zero as i32);
        self.notes.activations.push((float, Params { dtype, scale, zero_point }));
        // Once it is clear who reads the integers in the place of what, these are no longer told apart.
        self.notes.direct.entry(float).or_insert_with(|| {
            let readers = graph.value(float).readers().map(|(node, _)| node);
            let quantizes = |id: &NodeId| graph.node(*id).op_type() == "QuantizeLinear";
            (readers.filter(|id| !quantizes(id)).collect(), graph.value(float).goes_by_name())
        });
        Ok(())
    }

    /// Notes that the model quantizes the constant `float` while it runs: stored on the same grid it is the same.
    pub(super) fn note_quantized_constant(&mut self, graph: &Graph, float: ValueId, grid: Grid) -> Result<()> {
        let before = self.notes.activations.len();
        self.note_activation(graph, float, grid, float)?;
        for (value, params) in self.notes.activations.split_off(before) {
            let known = KnownConstant { axis: None, block: None, grids: vec![params] };
            self.notes.constants.push((value, known));
        }
        Ok(())
    }

    /// Notes that the model rounds the constant `float` while it runs: `id`, which is still there, makes `integers` of it.
    pub(super) fn note_rounded(
        &mut self,
        graph: &Graph,
        id: NodeId,
        float: ValueId,
        grid: Grid,
        integers: ValueId,
    ) -> Result<()> {
        let quantizes = |one: &Use| matches!(one, Use::Input { node, .. } if graph.node(*node).is("QuantizeLinear"));
        let constants = (graph.constant(grid.scale)?, stored::zero_points(graph, grid)?, graph.constant(float)?);
        let (Some(scales), Some(zeros), Some(rank)) =
            (constants.0, constants.1, constants.2.map(|numbers| numbers.shape().len() as i64))
        else {
            return Ok(());
        };
        let dtype = grid.zero_point.and_then(|zero| graph.element_type(zero));
        let Some(dtype) = dtype.or_else(|| stated(graph, integers)).and_then(GridType::of) else { return Ok(()) };
        if !graph.value(float).uses().iter().all(quantizes) || scales.dtype() != DataType::Float32 {
            return Ok(());
        }
        let attributes = graph.node(id).attributes();
        let axis = attributes.int("axis").unwrap_or(1);
        let block =
            attributes.int("block_size").and_then(|block| usize::try_from(block).ok()).filter(|&block| block > 0);
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        let axis = axis.filter(|_| scales.len() > 1 || block.is_some());
        let zero = |index: usize| zeros.get(index).map_or(0, |&zero| zero as i32);
        let params = |(index, &scale): (usize, &f32)| Params { dtype, scale, zero_point: zero(index) };
        let grids = scales.to_f32()?.iter().enumerate().map(params).collect();
        self.notes.rounded.push((float, KnownConstant { axis, block, grids }));
        Ok(())
    }

    /// Notes that the constant `float` was stored as `integers`, with scales and zero points along `axis`.
    pub(super) fn note_constant(
        &mut self,
        float: ValueId,
        integers: &Tensor,
        (scale, zeros): (&Tensor, &[i64]),
        axis: i64,
        block: i64,
    ) -> Result<()> {
        let scales = scale.to_f32()?;
        let (rank, block) = (integers.shape().len() as i64, usize::try_from(block).ok().filter(|&block| block > 0));
        if integers.dtype() == DataType::Int32 {
            if block.is_none() && zeros.iter().all(|&zero| zero == 0) {
                let integers = integers.to_i64()?.iter().map(|&q| q as i32).collect();
                self.notes.biases.push((float, KnownBias { integers, scales: scales.into_owned() }));
            }
            return Ok(());
        }
        let Some(dtype) = GridType::of(integers.dtype()) else { return Ok(()) };
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        let axis = axis.filter(|_| scales.len() > 1 || block.is_some());
        let zero = |index: usize| zeros.get(index).map_or(0, |&zero| zero as i32);
        let grid = |(index, &scale): (usize, &f32)| Params { dtype, scale, zero_point: zero(index) };
        let grids = scales.iter().enumerate().map(grid).collect();
        self.notes.constants.push((float, KnownConstant { axis, block, grids }));
        Ok(())
    }

    /// Notes a constant that `id` reads on `grid`.
    pub(super) fn note_stored(
        &mut self,
        graph: &Graph,
        float: ValueId,
        (integers, grid): (ValueId, Grid),
        axis: i64,
        block: i64,
    ) -> Result<()> {
        let constants = (graph.constant(integers)?, graph.constant(grid.scale)?, stored::zero_points(graph, grid)?);
        let (Some(integers), Some(scale), Some(zeros)) = constants else { return Ok(()) };
        let kind = HalfType::of(scale.dtype());
        if kind.is_some() && integers.dtype() == DataType::Int32 {
            // A bias of 16 bits, which it stays.
            return Ok(());
        }
        if kind.is_some_and(|kind| !tells_apart(kind, &integers, &zeros)) {
            let why = "its integers are too many to be told apart by numbers of its scale's 16 bits";
            self.notes.lost.push((float, why));
            return Ok(());
        }
        self.note_constant(float, &integers, (&scale, &zeros), axis, block)
    }

    /// Notes a bias that was made float32 from `integers` in steps of `scales`.
    pub(super) fn note_bias(&mut self, float: ValueId, integers: &Tensor, scales: Vec<f32>) -> Result<()> {
        let integers = integers.to_i64()?.iter().map(|&q| q as i32).collect();
        self.notes.biases.push((float, KnownBias { integers, scales }));
        Ok(())
    }

    /// Notes that the constant `float` was on these grids.
    pub(super) fn note_grids(&mut self, float: ValueId, known: KnownConstant) {
        self.notes.constants.push((float, known));
    }

    /// Notes that node `id` is a layer on grids that each run finds anew, by what it makes and by its weight: a bias that is
    /// added behind it may become its own, and then it makes something else.
    pub(super) fn note_dynamic(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        self.notes.dynamic.extend(node.outputs().iter().flatten().copied().chain(node.input(1)));
    }
}

/// Whether numbers of `kind`, each an integer times one scale, say which integer it was.
fn tells_apart(kind: HalfType, integers: &Tensor, zeros: &[i64]) -> bool {
    if GridType::of(integers.dtype()).is_some_and(|dtype| dtype.is_float() || dtype.bits() < 8) {
        return true;
    }
    let Ok(integers) = stored::values(integers) else { return false };
    let largest = |all: &[i64]| all.iter().map(|q| q.abs()).max().unwrap_or(0);
    // An error of less than half a step; the largest of rounding is half of what is tolerated.
    (largest(&integers) + largest(zeros)) as f64 * kind.tolerated() < 1.0
}

/// The type of `integers`, if the node that makes them states it; without a zero point that is uint8.
fn stated(graph: &Graph, integers: ValueId) -> Option<DataType> {
    let Some(producer) = graph.value(integers).producer() else { return Some(DataType::Uint8) };
    let dtype = graph.node(producer).attributes().int("output_dtype").filter(|&dtype| dtype != 0);
    Some(dtype.and_then(|dtype| DataType::from_onnx(i32::try_from(dtype).ok()?)).unwrap_or(DataType::Uint8))
}

impl Notes {
    /// Adds what was noted of `graph`, a `body` or the model's own, to `found`.
    pub fn settle(self, graph: &Graph, body: bool, found: &mut Found) {
        let name = |value: ValueId| graph.value(value).name().to_owned();
        let alive = |value: ValueId| {
            let value = graph.value(value);
            !value.uses().is_empty() && (value.producer().is_some() || value.source() != crate::ir::Source::Nowhere)
        };
        let mut first: HashMap<ValueId, Params> = HashMap::new();
        let mut direct = self.direct;
        for (value, params) in self.activations {
            if !alive(value) {
                continue;
            }
            if body {
                found.lost.push((name(value), "it lies in the body of an If, Loop or Scan"));
                continue;
            }
            if let Some((nodes, by_name)) =
                direct.remove(&value).filter(|(nodes, by_name)| *by_name || !nodes.is_empty())
            {
                let nodes = nodes.into_iter().filter(|&id| graph.get_node(id).is_some());
                let nodes = nodes.map(|id| graph.label(id).to_owned()).collect();
                found.direct.insert(name(value), Direct { nodes, by_name });
            }
            match *first.entry(value).or_insert(params) {
                known if known == params => {
                    found.grids.activations.insert(name(value), params);
                }
                known if known.dtype == params.dtype => found.lost.push((name(value), "it has two grids of one type")),
                _ => {
                    let also = found.also.entry(name(value)).or_default();
                    match also.iter().find(|other| other.dtype == params.dtype) {
                        None => also.push(params),
                        Some(other) if *other == params => {}
                        Some(_) => found.lost.push((name(value), "it has two grids of one type")),
                    }
                }
            }
        }
        found
            .grids
            .constants
            .extend(self.constants.into_iter().filter(|c| alive(c.0)).map(|(v, known)| (name(v), known)));
        found.biases.extend(self.biases.into_iter().filter(|b| alive(b.0)).map(|(value, bias)| (name(value), bias)));
        let rounded = self.rounded.into_iter().filter(|_| !body).filter(|r| alive(r.0));
        found.rounded.extend(rounded.map(|(value, known)| (name(value), known)));
        found.dynamic.extend(self.dynamic.into_iter().map(name));
        found.lost.extend(self.lost.into_iter().filter(|lost| alive(lost.0)).map(|(value, why)| (name(value), why)));
        found.lost.dedup();
    }
}
