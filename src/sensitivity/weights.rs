//! The weights of layers, with how each goes over what its layer reads.

use crate::dequantize::Found;
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::tensor::Tensor;
use crate::tune::rounding::{self, Reach};
use std::collections::HashMap;

/// The weights of layers that are on grids in the model `rounded`, and are `others` in float.
///
/// # Errors
/// When one is malformed.
pub(super) fn weights(
    rounded: &Graph,
    others: &HashMap<ValueId, Tensor>,
    found: &Found,
    layers: &HashMap<NodeId, usize>,
) -> Result<Vec<Option<rounding::Weight>>> {
    let mut all = vec![None; layers.len()];
    for (&id, &layer) in layers {
        let Some(value) = rounded.node(id).input(1) else { continue };
        let (Some(float), Some(known)) = (others.get(&value), found.grids.constants.get(rounded.value(value).name()))
        else {
            continue;
        };
        let Some((reach, groups, outputs_first)) = Reach::of(rounded, id, float.shape()) else { continue };
        let Some(nearest) = rounded.constant(value)? else { continue };
        let sides = [float.clone(), nearest];
        all[layer] = Some(rounding::Weight { reach, groups, outputs_first, sides, known: known.clone() });
    }
    Ok(all)
}
