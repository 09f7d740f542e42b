//! What becomes of each node on grids that calibration finds.

use super::bias::{bias_place, free_bias, per_channel_bias};
use super::known::Here;
use super::place;
use super::place::{Candidate, Placed};
use super::weights;
use super::{ConstantPlan, IntegerNode, Placement};
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::ops::{Op, Role};
use crate::policy::{ALIKE, BiasType, Granularity, NodeSettings};
use crate::quant::GridType;
use crate::target::Target;
use crate::tensor::DataType;

/// Takes back integer nodes and lookups whose constants have no integer form.
pub(super) fn settle_constants(graph: &Graph, id: NodeId, placed: &mut Placed, here: &Here<'_>) -> Result<()> {
    let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { return Ok(()) };
    if !placed.integer[id.index()] && op.role != Role::Lookup {
        return Ok(());
    }
    for slot in op.activation_slots(graph, id).into_iter().chain(op.weight.map(|w| w.slot)) {
        let Some(value) = graph.node(id).input(slot).filter(|&v| graph.is_constant(v)) else { continue };
        let why = match graph.constant(value)? {
            None => Some("a constant input is sparse or of strings"),
            Some(t) if t.dtype() != DataType::Float32 => Some("a constant input is not float32"),
            Some(t) if t.is_empty() => Some("a constant input is empty"),
            Some(t) if op.role == Role::Lookup && t.shape().len() < 2 => Some("its table has no rows"),
            Some(t) if !weights::is_finite(&t) => Some("a constant input holds NaN or infinity"),
            Some(_) => None,
        };
        if let Some(why) = why {
            place::reject(placed, id, why);
            return Ok(());
        }
        let axis = op.weight.filter(|w| w.slot == slot).and_then(|_| value_axis(graph, op, id, value));
        let unfit = if op.role == Role::Lookup { None } else { here.unfit(graph, id, slot, axis.as_slice())? };
        if let Some(why) = unfit {
            place::reject(placed, id, why);
            return Ok(());
        }
    }
    if let Some(place) = bias_place(graph, op, id)? {
        match per_channel_bias(graph, op, id, place)? {
            None => place::reject(placed, id, "its bias is not one float32 constant per channel"),
            Some(bias) if bias.iter().any(|b| !b.is_finite()) => {
                place::reject(placed, id, "its bias holds NaN or infinity");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The axis of the output channels of the weight `value` of a node.
fn value_axis(graph: &Graph, op: &Op, id: NodeId, value: ValueId) -> Option<usize> {
    let shape: Option<Vec<usize>> = graph.stated_type(value)?.dims.into_iter().collect();
    op.weight_axis(graph, id, &shape?)
}

pub(super) fn placement(
    graph: &Graph,
    id: NodeId,
    settings: &NodeSettings,
    placed: &Placed,
    here: &Here<'_>,
    target: &dyn Target,
) -> Result<Placement> {
    match &placed.candidates[id.index()] {
        Some(Candidate::Yes(op)) if placed.integer[id.index()] => {
            integer_node(graph, id, op, settings, placed, here, target).map(Placement::Integer)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Clamp => Ok(clamp(graph, id, op, placed)),
        // Of types that Gather does not take the whole table is dequantized ahead of it.
        Some(Candidate::Yes(op)) if op.role == Role::Lookup && !is_looked_up(settings.weights.scheme.dtype) => {
            weights::placement(graph, id, settings, here)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Lookup => look_up(graph, id, op, settings, here),
        Some(Candidate::NoFloats) => Ok(Placement::NoFloats),
        Some(Candidate::No(reason)) => Ok(Placement::Float { reason: reason.clone() }),
        _ => Ok(Placement::Float { reason: place::UNREAD.to_owned() }),
    }
}

/// What becomes of a lookup in a table. On grids that are known, what is looked up may not be easy to dequantize: then the whole
/// table is.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn look_up(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    settings: &NodeSettings,
    here: &Here<'_>,
) -> Result<Placement> {
    let wanted = table(graph, id, op, settings)?;
    let found = here.apply(graph, id, wanted.clone());
    let last = graph.node(id).input(found.slot).and_then(|table| graph.rank(table)).map(|rank| rank.saturating_sub(1));
    let columns = found.axis.is_none() || found.axis == last && !looks_up_columns(graph, id, last.unwrap_or(0) + 1);
    let fits = found.block.is_none() && is_looked_up(found.scheme.dtype) && columns;
    let safe = found.axis.is_none() || found.scheme.dtype != settings.activations.scheme.dtype;
    if found.known.is_some() && !(fits && safe) {
        return Ok(Placement::Weight(vec![found]));
    }
    Ok(Placement::Lookup(found))
}

/// Whether Gather takes a table of this type: not of floating-point numbers of 8 bits, nor of fewer bits.
fn is_looked_up(dtype: GridType) -> bool {
    dtype.bits() >= 8 && !dtype.is_float()
}

/// Whether the axis along which a lookup finds things is the last one.
fn looks_up_columns(graph: &Graph, id: NodeId, rank: usize) -> bool {
    let axis = graph.node(id).attributes().int("axis").unwrap_or(0);
    axis == -1 || axis + 1 == rank as i64
}

/// The table that a lookup reads, with a scale for each column unless the columns are what is looked up.
pub(super) fn table(graph: &Graph, id: NodeId, op: &Op, settings: &NodeSettings) -> Result<ConstantPlan> {
    let table = graph.node(id).input(0).map(|v| graph.constant(v)).transpose()?.flatten();
    let rank = table.map_or(0, |t| t.shape().len());
    let columns = looks_up_columns(graph, id, rank);
    let per_channel = settings.weights.granularity == Granularity::PerChannel && !columns && rank > 0;
    let (slot, mut scheme) = (op.weight.map_or(0, |w| w.slot), settings.weights.scheme);
    // Where they have one type, ONNX Runtime puts a float Add of what was looked up and its QuantizeLinear together, and then
    // fails at the scales. The same grid in the other type keeps it from that.
    if per_channel && scheme.symmetric && scheme.dtype == settings.activations.scheme.dtype {
        scheme.dtype = scheme.dtype.other_signedness();
    }
    let axis = per_channel.then(|| rank - 1);
    Ok(ConstantPlan { axis, ..ConstantPlan::weight(slot, scheme) })
}

/// A clamp vanishes into the integer node whose chain it ends.
fn clamp(graph: &Graph, id: NodeId, op: &Op, placed: &Placed) -> Placement {
    let mut before = id;
    let into = loop {
        let producer = graph.node(before).input(0).and_then(|v| graph.value(v).producer());
        match producer {
            Some(node) if placed.clamps[node.index()].contains(&id) => break Some(node),
            Some(node) if ops::lookup(graph, node).is_some_and(|op| op.role == Role::Clamp) => before = node,
            _ => break None,
        }
    };
    match (into.filter(|node| placed.integer[node.index()]), op.bounds(graph, id)) {
        (Some(into), Some((low, high))) => Placement::Clamp { into, low, high },
        _ => Placement::Float { reason: "it does not follow an integer node that only it reads".to_owned() },
    }
}

fn integer_node(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    settings: &NodeSettings,
    placed: &Placed,
    here: &Here<'_>,
    target: &dyn Target,
) -> Result<IntegerNode> {
    let activations = place::dynamic_inputs(graph, op, id);
    let slots = op.activation_slots(graph, id);
    let weight_slot =
        op.weight.map(|w| w.slot).filter(|&s| graph.node(id).input(s).is_some_and(|v| graph.is_constant(v)));
    let mut constants = Vec::new();
    for slot in slots.into_iter().filter(|s| !activations.contains(s) && Some(*s) != weight_slot) {
        // A constant operand beside an activation takes the activation's type: kernels want both alike.
        let plan = ConstantPlan::weight(slot, settings.activations.scheme);
        constants.push(ConstantPlan { is_weight: false, ..plan });
    }
    if let Some(slot) = weight_slot {
        let value = graph.node(id).input(slot).map(|v| graph.constant(v)).transpose()?.flatten();
        let shape = value.map(|t| t.shape().to_vec()).unwrap_or_default();
        // In a transposed convolution of groups, channels at the same place of their groups share an index, and so a scale.
        let per_channel = settings.weights.granularity == Granularity::PerChannel;
        let scheme = settings.weights.scheme;
        let sum_order = op.sum_order(graph, id, &shape).filter(|_| settings.weights.guarded());
        let axis = op.weight_axis(graph, id, &shape).filter(|_| per_channel);
        if !here.knows(graph, id, slot) {
            check_alike(graph, id, settings)?;
        }
        let least_error = settings.weights.searches();
        constants.push(ConstantPlan { axis, sum_order, least_error, ..ConstantPlan::weight(slot, scheme) });
    }
    let constants: Vec<_> = constants.into_iter().map(|plan| here.apply(graph, id, plan)).collect();
    let weight = constants.iter().find(|constant| constant.is_weight);
    let in_floats = weight.map_or(settings.weights.scheme, |weight| weight.scheme).dtype.is_float();
    let (bias, free_bias) = match settings.weights.bias {
        BiasType::Int32 if !in_floats => (bias_place(graph, op, id)?, free_bias(graph, op, id)),
        BiasType::Int32 | BiasType::Float32 => (None, None),
    };
    let demanded = placed.ends(graph, id).iter().any(|v| placed.demanded[v.index()]);
    let quantized_output = demanded || target.needs_quantized_output(graph, id);
    Ok(IntegerNode {
        activations,
        settings: (op.role != Role::Movement).then_some(settings.activations),
        constants,
        bias: bias.filter(|(node, _)| *node == id || !quantized_output && !placed.integer[node.index()]),
        free_bias,
        clamps: placed.clamps[id.index()].clone(),
        end: placed.ends(graph, id).first().copied(),
        quantized_output,
    })
}

/// Whether weight and activations of a node are both integers, or both floating-point numbers of 8 bits: runtimes have kernels
/// for either.
fn check_alike(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<()> {
    let (weights, activations) = (settings.weights.scheme.dtype, settings.activations.scheme.dtype);
    if weights.is_float() == activations.is_float() {
        return Ok(());
    }
    let why = format!("has weights of {weights} and activations of {activations} by the policy; {ALIKE}");
    Err(graph.node_error(id, why))
}
