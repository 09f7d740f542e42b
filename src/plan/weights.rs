//! Nodes whose weights alone are stored as integers.

use super::known::Here;
use super::place::{makes_no_floats, policy_reason};
use super::{ConstantPlan, Placement, Stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Op, OutputRange, Role, Slots, Weight};
use crate::policy::{Granularity, NodeSettings, WeightForm, WeightRange, WeightSettings};
use crate::tensor::{DataType, Tensor};
use crate::threads;
use std::sync::atomic::{AtomicBool, Ordering};

/// What becomes of a node whose weight alone is stored as integers.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn placement(graph: &Graph, id: NodeId, settings: &NodeSettings, here: &Here<'_>) -> Result<Placement> {
    Ok(match weights(graph, id, settings)? {
        _ if makes_no_floats(graph, id) => Placement::NoFloats,
        Ok(weights) => Placement::Weight(weights.into_iter().map(|weight| here.apply(graph, id, weight)).collect()),
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
            Ok(tensor) if settings.weights.form == WeightForm::Contrib => {
                match unread(graph, id, weight.slot, tensor.shape(), settings) {
                    None => plans.push(stored(graph, id, op, weight, tensor.shape(), settings)),
                    Some(why) => reason = why,
                }
            }
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
    let unfit = match tensor.dtype() {
        DataType::Float32 if tensor.is_empty() => Some("its weight is empty"),
        DataType::Float32 if is_finite(&tensor) => None,
        DataType::Float32 => Some("its weight holds NaN or infinity"),
        _ => Some("its weight is not float32"),
    };
    Ok(unfit.map_or(Ok(tensor), Err))
}

/// Whether a float32 tensor holds neither NaN nor infinity.
pub(super) fn is_finite(tensor: &Tensor) -> bool {
    let finite = AtomicBool::new(true);
    threads::for_each(tensor.pieces(), |elements| {
        if finite.load(Ordering::Relaxed) {
            // Without a branch for each number: this goes through all of a large model.
            let all = |numbers: &[f32]| numbers.iter().fold(true, |all, v| all & v.is_finite());
            if tensor.with_piece(elements, |numbers| !numbers.chunks(1024).all(all)) {
                finite.store(false, Ordering::Relaxed);
            }
        }
    });
    finite.into_inner()
}

fn form(weights: &WeightSettings) -> Stored {
    match (weights.form, weights.codes) {
        (WeightForm::Qdq, _) => Stored::Plain,
        (WeightForm::Contrib, None) => Stored::InBlocks,
        (WeightForm::Contrib, Some(book)) => Stored::Codes(book),
    }
}

/// Why a weight in blocks has no reader, and what a rule has to say to store it: codes have no other form.
fn no_reader(weights: &WeightSettings) -> &'static str {
    match weights.codes {
        None => {
            "no operator of ONNX Runtime's own domain reads its weight; a rule with weights: { form: qdq } stores it"
        }
        Some(_) => {
            "no operator of ONNX Runtime's own domain reads its weight; a rule with weights: { form: qdq, type: int8, \
             granularity: per_channel } stores it"
        }
    }
}

/// Why no operator of ONNX Runtime's own domain can stand in the place of a node and read its weight in blocks.
fn unread(graph: &Graph, id: NodeId, slot: usize, shape: &[usize], settings: &NodeSettings) -> Option<&'static str> {
    let (node, weights) = (graph.node(id), &settings.weights);
    let [_, columns] = shape else { return Some(no_reader(weights)) };
    let attributes = node.attributes();
    let one = |name: &str| attributes.float(name).is_none_or(|factor| factor == 1.0);
    let flat = node.input(0).and_then(|input| graph.rank(input)) == Some(1);
    if node.is("MatMul") && slot == 1 && !flat {
        return None;
    }
    if node.is("Gemm") && slot == 1 && attributes.int("transA").unwrap_or(0) == 0 && one("alpha") && one("beta") {
        return None;
    }
    if node.is("Gather") && slot == 0 && attributes.int("axis").unwrap_or(0) == 0 && weights.codes.is_none() {
        let uneven = |count: usize| weights.scheme.dtype.bits() == 2 && !count.is_multiple_of(4);
        let zeros = !weights.scheme.symmetric && uneven(columns.div_ceil(weights.block_size));
        return (uneven(*columns) || zeros)
            .then_some("rows of its table, in 2 bits, do not end at whole bytes; a rule with another type stores it");
    }
    Some(no_reader(weights))
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
            // What an operator reads in blocks is filled up to whole ones.
            let padded = weights.form == WeightForm::Contrib;
            let longest = |axis: usize| if padded { usize::MAX } else { shape[axis] };
            (axis, axis.map(|axis| weights.block_size.min(longest(axis))))
        }
    };
    ConstantPlan {
        axis,
        block,
        form: form(&weights),
        least_error: weights.searches(),
        least_norm: weights.range == WeightRange::Hqq,
        // What a recurrent operator made a step before may be negative.
        positive: op.recurrence != Some(weight) && reads_positive(graph, id),
        ..ConstantPlan::weight(weight.slot, weights.scheme)
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
