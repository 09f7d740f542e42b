//! Nodes whose weights alone are stored as integers.

use super::place::{makes_no_floats, policy_reason};
use super::{ConstantPlan, Placement};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Op, OutputRange, Role, Slots, Weight};
use crate::policy::{Granularity, NodeSettings};
use crate::tensor::{DataType, Tensor};

/// What becomes of a node whose weight alone is stored as integers.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn placement(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<Placement> {
    Ok(match weights(graph, id, settings)? {
        _ if makes_no_floats(graph, id) => Placement::NoFloats,
        Ok(weights) => Placement::Weight(weights),
        Err(reason) => Placement::Float { reason },
    })
}

/// How the weights of a node are stored, or why it has none to store.
fn weights(
    graph: &Graph,
    id: NodeId,
    settings: &NodeSettings,
) -> Result<std::result::Result<Vec<ConstantPlan>, String>> {
    if !settings.quantize {
        return Ok(Err(policy_reason(settings)));
    }
    let Some(op) = ops::lookup(graph, id) else { return Ok(Err(NO_WEIGHTS.to_owned())) };
    let (mut plans, mut reason) = (Vec::new(), NO_WEIGHTS);
    for weight in op.weights() {
        match usable(graph, id, weight.slot)? {
            Ok(tensor) => plans.push(stored(graph, id, op, weight, tensor.shape(), settings)),
            Err(why) => reason = why,
        }
    }
    Ok(if plans.is_empty() { Err(reason.to_owned()) } else { Ok(plans) })
}

/// Why a node is float to which nothing could be done.
pub const NO_WEIGHTS: &str = "it has no weights";

/// The weight at input `slot`, or why its numbers cannot be integers.
pub(super) fn usable(graph: &Graph, id: NodeId, slot: usize) -> Result<std::result::Result<Tensor, &'static str>> {
    let value = graph.node(id).input(slot).filter(|&value| graph.is_constant(value));
    let tensor = value.map(|value| graph.constant(value)).transpose()?.flatten();
    let Some(tensor) = tensor else { return Ok(Err("its weight is not a constant")) };
    let unfit = match tensor.to_f32() {
        _ if tensor.dtype() != DataType::Float32 => Some("its weight is not float32"),
        Ok(numbers) if numbers.is_empty() => Some("its weight is empty"),
        Ok(numbers) if numbers.iter().all(|v| v.is_finite()) => None,
        _ => Some("its weight holds NaN or infinity"),
    };
    Ok(unfit.map_or(Ok(tensor), Err))
}

/// How the weight `weight` of a node, of shape `shape`, is stored.
pub(super) fn stored(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    weight: Weight,
    shape: &[usize],
    settings: &NodeSettings,
) -> ConstantPlan {
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
        slot: weight.slot,
        scheme: weights.scheme,
        axis,
        block,
        is_weight: true,
        sum_order: None,
        least_error: weights.searches(),
        summed: None,
        positive: reads_positive(graph, id),
        split: None,
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
