//! Where a layer's bias is, and whether it has an int32 form.

use crate::error::Result;
use crate::ir::{Graph, NodeId, Use};
use crate::ops::{self, Bias, Op, Role, Weight};
use crate::tensor::DataType;

/// The node and its input that hold the bias of layer `id`.
pub(super) fn bias_place(graph: &Graph, op: &Op, id: NodeId) -> Result<Option<(NodeId, usize)>> {
    match op.bias {
        Bias::None => Ok(None),
        Bias::Input(slot) => Ok(graph.node(id).input(slot).map(|_| (id, slot))),
        // Runtimes merge the two nodes: the merged one runs on integers only if its bias is int32.
        Bias::AddBehind => {
            let Some(place) = addend_behind(graph, id) else { return Ok(None) };
            let adds = ops::lookup(graph, place.0).is_some_and(|op| op.role == Role::Arithmetic);
            let constant = graph.node(place.0).input(place.1).map(|v| graph.constant(v)).transpose()?.flatten();
            let vector = constant.is_some_and(|t| matches!(t.shape(), [_] | [1, _]));
            let usable = adds
                && vector
                && per_channel_bias(graph, op, id, place)?.is_some_and(|b| b.iter().all(|v| v.is_finite()));
            Ok(usable.then_some(place))
        }
    }
}

/// The Add that alone reads what `id` makes, and its other input.
pub fn addend_behind(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let output = graph.node(id).output(0).map(|v| graph.value(v).uses());
    let Some(&[Use::Input { node, slot }]) = output else { return None };
    graph.node(node).is("Add").then_some((node, 1 - slot.min(1)))
}

/// The input at which layer `id` has no bias, and could have one.
pub(super) fn free_bias(graph: &Graph, op: &Op, id: NodeId) -> Option<usize> {
    match op.bias {
        Bias::Input(slot) if graph.node(id).input(slot).is_none() => Some(slot),
        _ => None,
    }
}

/// The bias of layer `id` that lies at `place`, as one number per output channel; `None` when it is not constant float32,
/// or not one number per channel.
///
/// # Errors
/// When a stored constant is malformed.
pub fn per_channel_bias(graph: &Graph, op: &Op, id: NodeId, place: (NodeId, usize)) -> Result<Option<Vec<f32>>> {
    let Some(value) = graph.node(place.0).input(place.1) else { return Ok(None) };
    let (Some(bias), Some(channels)) = (graph.constant(value)?, output_channels(graph, op, id)?) else {
        return Ok(None);
    };
    let along_last = bias.shape().iter().rev().skip(1).all(|&d| d == 1);
    if bias.dtype() != DataType::Float32 || !along_last {
        return Ok(None);
    }
    let values = bias.to_f32()?;
    Ok(match values.len() {
        1 => Some(vec![values[0]; channels]),
        n if n == channels => Some(values.into_owned()),
        _ => None,
    })
}

/// Output channels, by the shape of the weight.
fn output_channels(graph: &Graph, op: &Op, id: NodeId) -> Result<Option<usize>> {
    let Some(Weight { slot, .. }) = op.weight else { return Ok(None) };
    let Some(weight) = graph.node(id).input(slot).map(|v| graph.constant(v)).transpose()?.flatten() else {
        return Ok(None);
    };
    let axis = op.weight_axis(graph, id, weight.shape());
    Ok(axis.map(|axis| weight.shape()[axis].saturating_mul(op.groups(graph, id))))
}
