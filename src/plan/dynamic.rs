//! Nodes that run on integers whose scale each run finds anew from the numbers at hand.

use super::known::Here;
use super::nodes::look_up;
use super::place::{makes_no_floats, policy_reason};
use super::recurrent;
use super::weights;
use super::{ConstantPlan, Placement};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Bias, Op, Role};
use crate::policy::{NodeSettings, WeightForm, WeightSettings};
use crate::tensor::DataType;

/// What becomes of a node: a layer with an integer form runs on integers, any other node with weights computes in float from
/// stored integers.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn placement(graph: &Graph, id: NodeId, settings: &NodeSettings, here: &Here<'_>) -> Result<Placement> {
    if makes_no_floats(graph, id) {
        return Ok(Placement::NoFloats);
    }
    if !settings.quantize {
        return Ok(Placement::Float { reason: policy_reason(settings) });
    }
    let op = ops::lookup(graph, id);
    if op.is_some_and(Op::convolves) && !settings.insists && spans_time(graph, id) {
        return Ok(Placement::Float { reason: SIGNAL.to_owned() });
    }
    if let Some(placement) = op.map(|op| recurrent::placement(graph, id, op, settings, here)).transpose()?.flatten() {
        return Ok(placement);
    }
    // Nothing else has an operator of ONNX Runtime's own domain.
    let plain =
        NodeSettings { weights: WeightSettings { form: WeightForm::Qdq, ..settings.weights }, ..settings.clone() };
    let settings = &plain;
    if let Some(weight) = op.map(|op| layer(graph, id, op, settings)).transpose()?.flatten() {
        let axes = op.and_then(|op| weight_axis(graph, id, op, weight.slot));
        let unfit = here.unfit(graph, id, weight.slot, axes.as_slice())?;
        let weight = here.apply(graph, id, weight);
        // Products of floating-point numbers of 8 bits there are none.
        return Ok(match unfit {
            None if !weight.scheme.dtype.is_float() => Placement::Dynamic(weight),
            _ => Placement::Weight(vec![weight]),
        });
    }
    match op {
        // What is looked up in a table stays small, however many rows there are.
        Some(op) if op.role == Role::Lookup && weights::usable(graph, id, 0)?.is_ok_and(|t| t.shape().len() > 1) => {
            look_up(graph, id, op, settings, here)
        }
        _ => weights::placement(graph, id, settings, here),
    }
}

/// The axis of the output channels of the weight at input `slot`.
fn weight_axis(graph: &Graph, id: NodeId, op: &Op, slot: usize) -> Option<usize> {
    let shape: Option<Vec<usize>> = graph.stated_type(graph.node(id).input(slot)?)?.dims.into_iter().collect();
    op.weight_channels(graph, id, &shape?)
}

const SIGNAL: &str =
    "it slides along a signal, which spans more than eight bits, and integers are slower there than floats";

/// Whether a convolution has one axis of positions, as those of sound have.
fn spans_time(graph: &Graph, id: NodeId) -> bool {
    graph.node(id).input(1).and_then(|weight| graph.rank(weight)) == Some(3)
}

/// The weight of a layer that has an integer form.
fn layer(graph: &Graph, id: NodeId, op: &Op, settings: &NodeSettings) -> Result<Option<ConstantPlan>> {
    let Some(weight) = op.weight.filter(|_| op.integer_form.is_some() && (op.unless)(graph, id).is_none()) else {
        return Ok(None);
    };
    let node = graph.node(id);
    let float = |slot: usize| {
        let ty = node.input(slot).and_then(|value| graph.known_type(value));
        ty.is_none_or(|ty| ty.dtype == DataType::Float32)
    };
    let read = node.input(0).filter(|&value| !graph.is_constant(value) && float(0));
    let turned = node.attributes().int("transA").unwrap_or(0) != 0;
    let Some(tensor) = weights::usable(graph, id, weight.slot)?.ok().filter(|_| read.is_some() && !turned) else {
        return Ok(None);
    };
    let shape = tensor.shape();
    let bias = match op.bias {
        Bias::Input(slot) if node.input(slot).is_some() => weights::usable(graph, id, slot)?.is_ok(),
        _ => true,
    };
    if !op.convolves() && shape.len() != 2 || !bias {
        return Ok(None);
    }
    let weights = settings.weights;
    let plan = weights::stored(graph, id, op, weight, shape, settings);
    Ok(Some(ConstantPlan {
        sum_order: op.sum_order(graph, id, shape).filter(|_| weights.guarded()),
        least_error: weights.searches(),
        ..plan
    }))
}
