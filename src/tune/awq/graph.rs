//! Where factors of channels go without an operator more: into what makes the value.

use super::super::equalize::{is_floats, scale};
use crate::error::Result;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::tune::smoothing::Product;

/// What a value is called once its channels are scaled.
fn scaled_name(name: &str) -> String {
    format!("{name}_scaled")
}

/// Whether what makes `value` can take the factors of its `channels`, along the last axis: where nobody reads it but `layers`, a
/// normalization with a scale for each channel, or a product with one.
pub fn absorbs(graph: &Graph, value: ValueId, layers: &[Product], channels: usize) -> bool {
    let own = |one: &Use| matches!(one, Use::Input { node, slot: 0 } if layers.iter().any(|layer| layer.node == *node));
    let alone = graph.value(value).uses().iter().all(own);
    let named = graph.value(value).producer().is_some_and(|node| !graph.node(node).name().is_empty());
    alone && named && places(graph, value, channels).is_some()
}

/// The constants that are to be divided: inputs of the node that makes a value.
fn places(graph: &Graph, value: ValueId, channels: usize) -> Option<Vec<(NodeId, usize)>> {
    let id = graph.value(value).producer()?;
    let node = graph.node(id);
    if !node.domain().is_empty() || node.output(0) != Some(value) {
        return None;
    }
    let along_last = |slot: usize| {
        let constant = node.input(slot).filter(|&value| is_floats(graph, value))?;
        let dims = graph.stated_type(constant)?.dims;
        let before = dims.iter().rev().skip(1).all(|&dim| dim == Some(1));
        (before && dims.last().copied().flatten() == Some(channels)).then_some((id, slot))
    };
    match node.op_type() {
        "LayerNormalization" | "RMSNormalization" => {
            let rank = graph.rank(value).and_then(|rank| i64::try_from(rank).ok());
            let axis = node.attributes().int("axis").unwrap_or(-1);
            if axis != -1 && rank != Some(axis + 1) || node.outputs().iter().skip(1).flatten().next().is_some() {
                return None;
            }
            let scale = along_last(1)?;
            let bias = node.input(2).map(|_| along_last(2));
            Some(match bias {
                Some(bias) => vec![scale, bias?],
                None => vec![scale],
            })
        }
        "Mul" => [0, 1].into_iter().find_map(along_last).map(|place| vec![place]),
        _ => None,
    }
}

/// Divides the channels of `value` by powers of two in what makes it, and multiplies the weights of `layers` by them.
///
/// # Errors
/// When a constant is malformed, or float32 does not hold it then.
pub fn absorb(graph: &mut Graph, value: ValueId, exponents: &[i32], layers: &[Product]) -> Result<()> {
    let channels = exponents.len();
    for place in places(graph, value, channels).unwrap_or_default() {
        scale(graph, place, |index| 2f32.powi(-exponents[index % channels]))?;
    }
    for layer in layers {
        let weight = graph.node(layer.node).input(layer.slot).and_then(|weight| graph.stated_type(weight));
        let count: usize = weight.map_or(0, |ty| ty.dims.iter().flatten().product());
        let columns = if layer.transposed { channels } else { count / channels.max(1) };
        let channel = |index: usize| if layer.transposed { index % columns } else { index / columns };
        scale(graph, (layer.node, layer.slot), |index| 2f32.powi(exponents[channel(index)]))?;
    }
    let name = scaled_name(graph.value(value).name());
    graph.rename(value, &name);
    Ok(())
}
