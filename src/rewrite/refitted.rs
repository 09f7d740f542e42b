//! Refitted layers: gains go into the scales of weights, shifts into biases.

use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{Bias, Op};
use crate::plan::{ConstantPlan, IntegerNode, addend_behind, per_channel_bias};
use crate::quant::Params;
use crate::tensor::Tensor;
use crate::tune::Refit;

/// Where the int32 bias of layer `id` is that takes the shifts; a layer without one gets one of zeros. Where a bias stays float32,
/// it has the shifts already, and there is none here.
///
/// # Errors
/// When a stored constant is malformed.
pub fn place(
    graph: &mut Graph,
    op: &Op,
    id: NodeId,
    node: &IntegerNode,
    refit: &Refit,
) -> Result<Option<(NodeId, usize)>> {
    if node.bias.is_some() || refit.shifts.iter().all(|&shift| shift == 0.0) {
        return Ok(node.bias);
    }
    let label = graph.label(id).to_owned();
    let channels = refit.shifts.len();
    if let Some(slot) = node.free_bias {
        let zeros =
            graph.add_initializer(&format!("{label}_bias"), &Tensor::from_f32(vec![channels], &vec![0.0; channels]));
        graph.set_input(id, slot, Some(zeros));
        return Ok(Some((id, slot)));
    }
    let float = match op.bias {
        Bias::Input(slot) => Some((id, slot)),
        Bias::AddBehind => addend_behind(graph, id),
        Bias::None => None,
    };
    let Some(place) = float else { return Ok(None) };
    let Some(value) = graph.node(place.0).input(place.1) else { return Ok(None) };
    if let Some(own) = per_channel_bias(graph, op, id, place)?.filter(|own| own.len() == channels) {
        let stated = graph.constant(value)?.filter(|stated| stated.len() == channels);
        let shape = stated.map_or_else(|| vec![channels], |stated| stated.shape().to_vec());
        let shifted = Tensor::from_f32(shape, &bias(&own, refit, place.0 == id));
        let shifted = graph.add_initializer(&format!("{label}_bias"), &shifted);
        graph.set_input(place.0, place.1, Some(shifted));
    }
    Ok(None)
}

/// A weight with the gains in it, and in the scales of its `grids`, where each channel has its own: its integers stay the same.
///
/// # Errors
/// When it is malformed.
pub fn weight(weight: &Tensor, plan: &ConstantPlan, grids: &mut [Params], refit: &Refit) -> Result<Tensor> {
    let Some(axis) = plan.axis.filter(|_| grids.len() == refit.gains.len()) else { return Ok(weight.clone()) };
    grids.iter_mut().zip(&refit.gains).for_each(|(grid, gain)| grid.scale *= gain);
    let shape = weight.shape();
    let inner: usize = shape[axis + 1..].iter().product();
    let mut numbers = weight.to_f32()?.into_owned();
    for (at, block) in numbers.chunks_mut(inner.max(1)).enumerate() {
        let gain = refit.gains[at % grids.len()];
        block.iter_mut().for_each(|x| *x *= gain);
    }
    Ok(Tensor::from_f32(shape.to_vec(), &numbers))
}

/// A bias with the shifts in it. The gain is also its own where it is `inside` of what was refitted.
pub fn bias(bias: &[f32], refit: &Refit, inside: bool) -> Vec<f32> {
    let both = refit.gains.iter().zip(&refit.shifts);
    let one = |(&bias, (&gain, &shift)): (&f32, (&f32, &f32))| if inside { gain * bias + shift } else { bias + shift };
    bias.iter().zip(both).map(one).collect()
}
