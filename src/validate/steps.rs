//! The steps of the grids that outputs of a quantized model lie on.

use super::border::Border;
use crate::error::Result;
use crate::ir::{Graph, Model, ValueId};
use crate::ops::{self, Role};

/// The step of each output's grid, in the order of the graph: that of an integer output as its metadata says, else that of the
/// DequantizeLinear, with one scale, that makes it or what is moved into it. `None` for an output without a grid.
///
/// # Errors
/// When the metadata or a scale is malformed.
pub fn of_outputs(model: &Model) -> Result<Vec<Option<f64>>> {
    let noted = Border::of(model)?.steps();
    let graph = &model.graph;
    let step = |(value, noted): (ValueId, Option<f64>)| match noted {
        Some(step) => Ok(Some(step)),
        None => dequantized(graph, value),
    };
    graph.outputs().zip(noted).map(step).collect()
}

fn dequantized(graph: &Graph, mut value: ValueId) -> Result<Option<f64>> {
    // Each turn goes one node back, and a graph has no circle.
    while let Some(id) = graph.value(value).producer() {
        let node = graph.node(id);
        if node.op_type() == "DequantizeLinear" {
            let scale = node.input(1).map(|scale| graph.constant(scale)).transpose()?.flatten();
            let scale = scale.filter(|scale| scale.len() == 1).and_then(|scale| scale.first_f32());
            return Ok(scale.map(f64::from).filter(|scale| *scale > 0.0));
        }
        let moved = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Movement);
        let Some(from) = node.input(0).filter(|_| moved) else { return Ok(None) };
        value = from;
    }
    Ok(None)
}
