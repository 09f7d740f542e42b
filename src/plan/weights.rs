//! Nodes whose weights alone are stored as integers.

use super::place::{makes_no_floats, policy_reason};
use super::{ConstantPlan, Placement};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Op, OutputRange, Role, Slots};
use crate::policy::{Granularity, NodeSettings, WeightRange};
use crate::tensor::{DataType, Tensor};

/// What becomes of a node whose weight alone is stored as integers.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn placement(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<Placement> {
    Ok(match weight(graph, id, settings)? {
        _ if makes_no_floats(graph, id) => Placement::NoFloats,
        Ok(weight) => Placement::Weight(weight),
        Err(reason) => Placement::Float { reason },
    })
}

/// How the weight of a node is stored, or why it has none to store.
fn weight(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<std::result::Result<ConstantPlan, String>> {
    if !settings.quantize {
        return Ok(Err(policy_reason(settings)));
    }
    let found = ops::lookup(graph, id).and_then(|op| Some((op, op.weight?.slot)));
    let Some((op, slot)) = found else { return Ok(Err("it has no weights".to_owned())) };
    let value = graph.node(id).input(slot).filter(|&value| graph.is_constant(value));
    let tensor = value.map(|value| graph.constant(value)).transpose()?.flatten();
    Ok(match tensor {
        None => Err("its weight is not a constant".to_owned()),
        Some(tensor) => match unfit(&tensor) {
            Some(why) => Err(why.to_owned()),
            None => Ok(stored(graph, id, op, slot, tensor.shape(), settings)),
        },
    })
}

fn unfit(weight: &Tensor) -> Option<&'static str> {
    match weight.to_f32() {
        _ if weight.dtype() != DataType::Float32 => Some("its weight is not float32"),
        Ok(numbers) if numbers.is_empty() => Some("its weight is empty"),
        Ok(numbers) if numbers.iter().all(|v| v.is_finite()) => None,
        _ => Some("its weight holds NaN or infinity"),
    }
}

fn stored(graph: &Graph, id: NodeId, op: &Op, slot: usize, shape: &[usize], settings: &NodeSettings) -> ConstantPlan {
    let weights = settings.weights;
    let (axis, block) = match weights.granularity {
        Granularity::PerTensor => (None, None),
        // What is looked up is a row: a scale for each, as if it were an output channel.
        Granularity::PerChannel if op.role == Role::Lookup => (Some(0).filter(|_| shape.len() > 1), None),
        Granularity::PerChannel => (op.weight_channels(graph, id, shape), None),
        Granularity::PerBlock => {
            let axis = op.block_axis(graph, id, shape);
            (axis, axis.map(|axis| weights.block_size.min(shape[axis])))
        }
    };
    ConstantPlan {
        slot,
        scheme: weights.scheme,
        axis,
        block,
        is_weight: true,
        sum_order: None,
        least_error: weights.range == WeightRange::LeastError,
        summed: None,
        positive: reads_positive(graph, id),
    }
}

/// Whether what a layer reads cannot be negative: a clamp made it, whatever moved it or averaged it since.
fn reads_positive(graph: &Graph, layer: NodeId) -> bool {
    let mut value = graph.node(layer).input(0);
    // A chain ends at the graph's inputs at the latest.
    while let Some(node) = value.and_then(|value| graph.value(value).producer()) {
        let Some(op) = ops::lookup(graph, node) else { return false };
        match op.role {
            Role::Clamp => return op.bounds(graph, node).is_some_and(|(low, _)| low >= 0.0),
            Role::Movement => {}
            Role::Arithmetic if op.activations == Slots::First && op.range == OutputRange::Calibrated => {}
            _ => return false,
        }
        value = graph.node(node).input(0);
    }
    false
}
