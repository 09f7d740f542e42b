//! Nodes that move integers move the floats instead.

use super::{Grid, Real, Walk, float_name, stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::qoperators;
use crate::tensor::Tensor;

impl Walk<'_> {
    /// Any other node: one that reads integers has to be one that moves them.
    pub(super) fn other(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let reads: Vec<_> = node.inputs().iter().enumerate().filter_map(|(s, v)| Some((s, (*v)?))).collect();
        let moved: Vec<_> = reads.iter().filter_map(|&(slot, v)| Some((slot, *self.real.get(&v)?))).collect();
        let Some(&(first, real)) = moved.first() else {
            return self.note_bounds(graph, id);
        };
        let (whole, one) = (["Concat"].iter().any(|op| node.is(op)), first == 0 && moved.len() == 1);
        let moves = node.is("Identity") || node.domain().is_empty() && qoperators::moves_integers(node.op_type());
        if node.is("Shape") || node.is("Size") {
            graph.set_input(id, first, Some(real.float));
            return Ok(());
        }
        if whole {
            for (slot, value) in reads {
                let float = self.float(graph, id, value, real.grid, 0)?;
                graph.set_input(id, slot, Some(float));
            }
        } else if moves && one {
            graph.set_input(id, 0, Some(real.float));
            if graph.node(id).is("Pad") {
                pad_with_float(graph, id, real.grid)?;
            }
        } else {
            return Err(graph.node_error(id, "computes on integers, and no float operator does the same"));
        }
        self.moved(graph, id, real.grid, true)
    }

    /// What `id` made as integers on `grid` it makes as floats now; whether these are activations of their own is said.
    fn moved(&mut self, graph: &mut Graph, id: NodeId, grid: Grid, activations: bool) -> Result<()> {
        // What gives indices too gives them as it did.
        let count = if graph.node(id).is("MaxPool") { 1 } else { graph.node(id).outputs().len() };
        for slot in 0..count {
            let Some(integers) = graph.node(id).output(slot) else { continue };
            if graph.value(integers).goes_by_name() {
                return Err(graph.node_error(id, "its integers are an output of the model, or read by a body"));
            }
            let name = float_name(graph, integers);
            let float = graph.split_output(id, slot, &name);
            self.real.insert(integers, Real { float, grid });
            if activations && graph.is_constant(grid.scale) {
                self.note_activation(graph, float, grid, integers)?;
            }
        }
        self.note_bounds(graph, id)
    }

    /// The floats of `integers` that were only moved since they were stored or fed: found in a table by a Gather, most of
    /// all, or padded as an image.
    pub(super) fn moved_from_start(
        &mut self,
        graph: &mut Graph,
        integers: ValueId,
        grid: Grid,
        axis: i64,
    ) -> Result<Option<ValueId>> {
        let mut chain = Vec::new();
        let mut value = integers;
        while !graph.is_constant(value) && !self.is_fed(graph, value) {
            let mover = graph.value(value).producer().filter(|&id| {
                let node = graph.node(id);
                node.is("Identity") || node.domain().is_empty() && qoperators::moves_integers(node.op_type())
            });
            let Some(mover) = mover else { return Ok(None) };
            let Some(read) = graph.node(mover).input(0) else { return Ok(None) };
            chain.push(mover);
            value = read;
        }
        let fed = self.is_fed(graph, value);
        let several = graph.known_type(grid.scale).is_none_or(|ty| ty.dims.iter().any(|d| *d != Some(1)));
        if several && !chain.first().is_some_and(|&id| chain.len() == 1 && looks_up_rows(graph, id, axis)) {
            let first = chain.first().copied();
            let why = "moves integers with several scales, and not as whole rows of a table";
            return first.map_or(Ok(None), |id| Err(graph.node_error(id, why)));
        }
        for &mover in chain.iter().rev() {
            let Some(read) = graph.node(mover).input(0) else { return Ok(None) };
            let float = self.float(graph, mover, read, grid, -1)?;
            graph.set_input(mover, 0, Some(float));
            if graph.node(mover).is("Pad") {
                pad_with_float(graph, mover, grid)?;
            }
            self.moved(graph, mover, grid, fed)?;
        }
        Ok(self.real.get(&integers).map(|real| real.float))
    }
}

/// Whether a Gather finds rows in a table, of whose columns each has a scale: the scales of what it found lie along `axis`.
fn looks_up_rows(graph: &Graph, id: NodeId, axis: i64) -> bool {
    let node = graph.node(id);
    let rank = |slot: usize| node.input(slot).and_then(|v| graph.rank(v)).map(|rank| rank as i64);
    let Some(table) = rank(0).filter(|_| node.is("Gather")) else { return false };
    let along = node.attributes().int("axis").unwrap_or(0).rem_euclid(table.max(1));
    let last = axis == -1 || rank(1).is_some_and(|indices| axis == table + indices - 2);
    last && along != table - 1
}

/// A Pad of integers pads with an integer, 0 where none is given; what it stands for is a number.
fn pad_with_float(graph: &mut Graph, id: NodeId, grid: Grid) -> Result<()> {
    if graph.node(id).attributes().text("mode").is_some_and(|mode| mode != "constant") {
        return Ok(());
    }
    let padded = match graph.node(id).input(2) {
        Some(value) => graph.constant(value)?.map(|c| c.to_i64().map(|v| v.first().copied())).transpose()?.flatten(),
        None => Some(0),
    };
    let (zeros, scale) = (stored::zero_points(graph, grid)?, graph.constant(grid.scale)?.and_then(|s| s.first_f32()));
    let (Some(padded), Some(zeros), Some(scale)) = (padded, zeros, scale) else {
        return Err(graph.node_error(id, "what it pads with is computed while the model runs"));
    };
    let number = (padded - zeros.first().copied().unwrap_or(0)) as f32 * scale;
    let name = format!("{}_padding", graph.label(id));
    let constant = (number != 0.0).then(|| graph.add_initializer(&name, &Tensor::from_f32(vec![], &[number])));
    graph.set_input(id, 2, constant);
    Ok(())
}
