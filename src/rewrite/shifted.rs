//! Layers that compute in float, or on grids that each run finds anew, with other means: shifts go into their float biases.

use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Bias};
use crate::plan::{Placement, Plan, addend_behind, per_channel_bias};
use crate::resolve::Resolved;
use crate::tensor::Tensor;

/// Adds what is resolved of the layers of `plan` to their biases. One that only stores its weights gets a bias where it has none.
///
/// # Errors
/// When a stored constant is malformed.
pub fn shift(graph: &mut Graph, plan: &Plan, resolved: &Resolved) -> Result<()> {
    for node in &plan.nodes {
        let adds = match node.placement {
            Placement::Weight(_) => true,
            Placement::Dynamic(_) => false,
            _ => continue,
        };
        if let Some(refit) = resolved.refit(node.id) {
            shift_layer(graph, node.id, &refit.shifts, adds)?;
        }
    }
    Ok(())
}

fn shift_layer(graph: &mut Graph, id: NodeId, shifts: &[f32], adds: bool) -> Result<()> {
    let Some(op) = ops::lookup(graph, id) else { return Ok(()) };
    let place = match op.bias {
        Bias::Input(slot) => Some((id, slot)),
        Bias::AddBehind => addend_behind(graph, id),
        Bias::None => None,
    };
    let Some(place) = place else { return Ok(()) };
    let name = format!("{}_bias", graph.label(id));
    let Some(value) = graph.node(place.0).input(place.1) else {
        if adds {
            let shifts = graph.add_initializer(&name, &Tensor::from_f32(vec![shifts.len()], shifts));
            graph.set_input(place.0, place.1, Some(shifts));
        }
        return Ok(());
    };
    let Some(own) = per_channel_bias(graph, op, id, place)?.filter(|own| own.len() == shifts.len()) else {
        return Ok(());
    };
    let stated = graph.constant(value)?.filter(|stated| stated.len() == shifts.len());
    let shape = stated.map_or_else(|| vec![shifts.len()], |stated| stated.shape().to_vec());
    let sums: Vec<f32> = own.iter().zip(shifts).map(|(own, shift)| own + shift).collect();
    let shifted = graph.add_initializer(&name, &Tensor::from_f32(shape, &sums));
    graph.set_input(place.0, place.1, Some(shifted));
    Ok(())
}
