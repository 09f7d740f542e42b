//! ONNX Runtime's DynamicQuantizeLSTM, whose weights become those of ONNX's LSTM again.

use super::{Grid, Walk, float_name, stored};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::{GridType, KnownConstant, Params};
use crate::tensor::Tensor;

/// Each weight and its scale, behind which comes its zero point.
const WEIGHTS: [(usize, usize); 2] = [(1, 8), (2, 10)];

impl Walk<'_> {
    pub(super) fn recurrent(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        for (slot, grid) in WEIGHTS {
            let node = graph.node(id);
            let (Some(weight), Some(scale)) = (node.input(slot), node.input(grid)) else {
                return Err(graph.node_error(id, "an input is missing"));
            };
            let float = self.gates(graph, id, weight, Grid { scale, zero_point: node.input(grid + 1) })?;
            graph.set_input(id, slot, Some(float));
        }
        for (_, grid) in WEIGHTS {
            graph.set_input(id, grid, None);
            graph.set_input(id, grid + 1, None);
        }
        graph.set_operator(id, "", "LSTM");
        self.note_dynamic(graph, id);
        self.done.operators += 1;
        Ok(())
    }

    /// The weight as float32, made once.
    fn gates(&mut self, graph: &mut Graph, id: NodeId, weight: ValueId, grid: Grid) -> Result<ValueId> {
        if let Some(&known) = self.gates.get(&(weight, grid)) {
            return Ok(known);
        }
        let (Some(integers), Some(scales)) = (graph.constant(weight)?, graph.constant(grid.scale)?) else {
            return Err(graph.node_error(id, "its weight, or the weight's scale, is computed while the model runs"));
        };
        let zeros = stored::zero_points(graph, grid)?;
        let zeros = zeros.ok_or_else(|| graph.node_error(id, "its zero point is computed while the model runs"))?;
        let (numbers, known) = numbers(&integers, &scales, zeros).map_err(|e| graph.node_error(id, e))?;
        self.done.stored += 1;
        let name = float_name(graph, weight);
        let made = graph.add_initializer(&name, &numbers);
        self.gates.insert((weight, grid), made);
        self.note_grids(made, known);
        Ok(made)
    }
}

/// The numbers `[directions, rows, columns]` of integers `[directions, columns, rows]`, and their grids: a scale for each
/// direction, or for each row of it.
fn numbers(integers: &Tensor, scales: &Tensor, zeros: Vec<i64>) -> Result<(Tensor, KnownConstant)> {
    let unfit = || {
        let (scales, shape) = (scales.shape(), integers.shape());
        Error::other(format!("scales of shape {scales:?} and {} zero points do not fit {shape:?}", zeros.len()))
    };
    let &[directions, columns, rows] = integers.shape() else { return Err(unfit()) };
    let by_row = scales.shape() == [directions, rows];
    let each = if by_row { rows } else { 1 };
    let fitting = by_row || scales.shape() == [directions];
    if !fitting || !zeros.is_empty() && zeros.len() != directions * each {
        return Err(unfit());
    }
    let dtype = GridType::of(integers.dtype()).filter(|dtype| dtype.bits() == 8 && !dtype.is_float());
    let dtype = dtype.ok_or_else(|| Error::other(format!("its weights are of type {}", integers.dtype())))?;
    let (q, scales) = (integers.to_i64()?, scales.to_f32()?);
    let grid = |(index, &scale): (usize, &f32)| {
        let zero_point = zeros.get(index).map_or(0, |&zero| zero as i32);
        Params { dtype, scale, zero_point }
    };
    let grids: Vec<Params> = scales.iter().enumerate().map(grid).collect();
    let mut numbers = Vec::with_capacity(q.len());
    for (direction, own) in q.chunks((rows * columns).max(1)).enumerate() {
        for row in 0..rows {
            let grid = grids[direction * each + row % each];
            numbers.extend((0..columns).map(|column| grid.dequantize(own[column * rows + row] as i32)));
        }
    }
    let (axis, block) = match (directions, by_row) {
        (1, false) => (None, None),
        (_, false) => (Some(0), None),
        // Each row of each direction is a block.
        (1, true) => (Some(1), None),
        (_, true) => (Some(2), Some(columns.max(1))),
    };
    Ok((Tensor::from_f32(vec![directions, rows, columns], &numbers), KnownConstant { axis, block, grids }))
}
