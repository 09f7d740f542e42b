//! Which biases have an int32 form.

use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{Op, Weight};
use crate::tensor::DataType;

/// The bias of an integer node as one number per output channel. `None` when the node has none; `Some(None)` when it is
/// not constant float32, or not one number per channel.
///
/// # Errors
/// When a stored constant is malformed.
#[expect(clippy::option_option, reason = "no bias, and a bias without an int32 form, are two things")]
pub fn per_channel_bias(graph: &Graph, op: &Op, id: NodeId) -> Result<Option<Option<Vec<f32>>>> {
    let node = graph.node(id);
    let Some(value) = op.bias.and_then(|slot| node.input(slot)) else { return Ok(None) };
    let (Some(bias), Some(channels)) = (graph.constant(value)?, output_channels(graph, op, id)?) else {
        return Ok(Some(None));
    };
    let along_last = bias.shape().iter().rev().skip(1).all(|&d| d == 1);
    if bias.dtype() != DataType::Float32 || !along_last {
        return Ok(Some(None));
    }
    let values = bias.to_f32()?;
    Ok(Some(match values.len() {
        1 => Some(vec![values[0]; channels]),
        n if n == channels => Some(values.into_owned()),
        _ => None,
    }))
}

/// Output channels, by the shape of the weight.
fn output_channels(graph: &Graph, op: &Op, id: NodeId) -> Result<Option<usize>> {
    let Some(Weight { slot, .. }) = op.weight else { return Ok(None) };
    let Some(weight) = graph.node(id).input(slot).map(|v| graph.constant(v)).transpose()?.flatten() else {
        return Ok(None);
    };
    let groups = graph.node(id).attributes().int("group").unwrap_or(1);
    let groups = if op.op_type == "ConvTranspose" { usize::try_from(groups).unwrap_or(1) } else { 1 };
    let axis = op.weight_axis(graph, id, weight.shape());
    Ok(axis.map(|axis| weight.shape()[axis] * groups))
}
