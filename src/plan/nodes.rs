//! What becomes of each node on grids that calibration finds.

use super::bias::{bias_place, per_channel_bias};
use super::place;
use super::place::{Candidate, Placed};
use super::weights;
use super::{ConstantPlan, IntegerNode, Placement, Stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops;
use crate::ops::{Op, Role};
use crate::policy::{ALIKE, BiasType, Granularity, NodeSettings};
use crate::quant::GridType;
use crate::target::Target;
use crate::tensor::DataType;

/// Takes back integer nodes and lookups whose constants have no integer form.
pub(super) fn settle_constants(graph: &Graph, id: NodeId, placed: &mut Placed) -> Result<()> {
    let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { return Ok(()) };
    if !placed.integer[id.index()] && op.role != Role::Lookup {
        return Ok(());
    }
    for slot in op.activation_slots(graph, id).into_iter().chain(op.weight.map(|w| w.slot)) {
        let Some(value) = graph.node(id).input(slot).filter(|&v| graph.is_constant(v)) else { continue };
        let why = match graph.constant(value)? {
            None => Some("a constant input is sparse"),
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

pub(super) fn placement(
    graph: &Graph,
    id: NodeId,
    settings: &NodeSettings,
    placed: &Placed,
    target: &dyn Target,
) -> Result<Placement> {
    match &placed.candidates[id.index()] {
        Some(Candidate::Yes(op)) if placed.integer[id.index()] => {
            integer_node(graph, id, op, settings, placed, target).map(Placement::Integer)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Clamp => Ok(clamp(graph, id, op, placed)),
        // Gather takes no floating-point numbers of 8 bits: the whole table is dequantized ahead of it.
        Some(Candidate::Yes(op)) if op.role == Role::Lookup && settings.weights.scheme.dtype.is_float() => {
            weights::placement(graph, id, settings)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Lookup => Ok(Placement::Lookup(table(graph, id, op, settings)?)),
        Some(Candidate::NoFloats) => Ok(Placement::NoFloats),
        Some(Candidate::No(reason)) => Ok(Placement::Float { reason: reason.clone() }),
        _ => Ok(Placement::Float { reason: "no integer node reads its output".to_owned() }),
    }
}

/// The table that a lookup reads, with a scale for each column unless the columns are what is looked up.
pub(super) fn table(graph: &Graph, id: NodeId, op: &Op, settings: &NodeSettings) -> Result<ConstantPlan> {
    let table = graph.node(id).input(0).map(|v| graph.constant(v)).transpose()?.flatten();
    let rank = table.map_or(0, |t| t.shape().len());
    let axis = graph.node(id).attributes().int("axis").unwrap_or(0);
    let columns = axis == -1 || axis + 1 == rank as i64;
    let per_channel = settings.weights.granularity == Granularity::PerChannel && !columns && rank > 0;
    let (slot, mut scheme) = (op.weight.map_or(0, |w| w.slot), settings.weights.scheme);
    // Where they have one type, ONNX Runtime puts a float Add of what was looked up and its QuantizeLinear together, and then
    // fails at the scales. The same grid in the other type keeps it from that.
    if per_channel && scheme.symmetric && scheme.dtype == settings.activations.scheme.dtype {
        scheme.dtype = scheme.dtype.other_signedness();
    }
    let axis = per_channel.then(|| rank - 1);
    Ok(ConstantPlan {
        slot,
        scheme,
        axis,
        block: None,
        is_weight: true,
        form: Stored::Plain,
        sum_order: None,
        summed: None,
        positive: false,
        split: None,
        least_error: false,
    })
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
    target: &dyn Target,
) -> Result<IntegerNode> {
    let activations = place::dynamic_inputs(graph, op, id);
    let slots = op.activation_slots(graph, id);
    let weight_slot =
        op.weight.map(|w| w.slot).filter(|&s| graph.node(id).input(s).is_some_and(|v| graph.is_constant(v)));
    let mut constants = Vec::new();
    for slot in slots.into_iter().filter(|s| !activations.contains(s) && Some(*s) != weight_slot) {
        // A constant operand beside an activation takes the activation's type: kernels want both alike.
        constants.push(ConstantPlan {
            slot,
            scheme: settings.activations.scheme,
            axis: None,
            block: None,
            is_weight: false,
            form: Stored::Plain,
            sum_order: None,
            summed: None,
            positive: false,
            split: None,
            least_error: false,
        });
    }
    if let Some(slot) = weight_slot {
        let value = graph.node(id).input(slot).map(|v| graph.constant(v)).transpose()?.flatten();
        let shape = value.map(|t| t.shape().to_vec()).unwrap_or_default();
        // In a transposed convolution of groups, channels at the same place of their groups share an index, and so a scale.
        let per_channel = settings.weights.granularity == Granularity::PerChannel;
        let scheme = settings.weights.scheme;
        let eight_bits = scheme.dtype == GridType::Int8 && scheme.symmetric && !scheme.reduce_range;
        let guarded = settings.weights.avoid_saturation && eight_bits && settings.activations.scheme.dtype.bits() == 8;
        let sum_order = op.sum_order(graph, id, &shape).filter(|_| guarded);
        let axis = op.weight_axis(graph, id, &shape).filter(|_| per_channel);
        check_alike(graph, id, settings)?;
        let least_error = settings.weights.searches();
        constants.push(ConstantPlan {
            slot,
            scheme: settings.weights.scheme,
            axis,
            block: None,
            is_weight: true,
            form: Stored::Plain,
            sum_order,
            summed: None,
            positive: false,
            split: None,
            least_error,
        });
    }
    let bias = match settings.weights.bias {
        BiasType::Int32 if !settings.weights.scheme.dtype.is_float() => bias_place(graph, op, id)?,
        BiasType::Int32 | BiasType::Float32 => None,
    };
    let demanded = placed.ends(graph, id).iter().any(|v| placed.demanded[v.index()]);
    let quantized_output = demanded || target.needs_quantized_output(graph, id);
    Ok(IntegerNode {
        activations,
        settings: (op.role != Role::Movement).then_some(settings.activations),
        constants,
        bias: bias.filter(|(node, _)| *node == id || !quantized_output && !placed.integer[node.index()]),
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
