//! The weights of layers, with how each goes over what its layer reads.

use crate::dequantize::Found;
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::tensor::Tensor;
use crate::tune::rounding::{self, Reach, Window};
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
        let Some((reach, groups, outputs_first)) = reach(rounded, id, float.shape()) else { continue };
        let Some(nearest) = rounded.constant(value)? else { continue };
        let sides = [float.clone(), nearest];
        all[layer] = Some(rounding::Weight { reach, groups, outputs_first, sides, known: known.clone() });
    }
    Ok(all)
}

/// How layer `id` goes over what it reads, its groups, and whether the first axis of its weight of shape `shape` is that of its
/// outputs.
pub fn reach(graph: &Graph, id: NodeId, shape: &[usize]) -> Option<(Reach, usize, bool)> {
    let node = graph.node(id);
    let attributes = node.attributes();
    let int = |name: &str, usual: i64| attributes.int(name).unwrap_or(usual);
    match node.op_type() {
        "MatMul" => (shape.len() == 2).then_some((Reach::Rows, 1, false)),
        "Gemm" => {
            let plain = int("transA", 0) == 0 && attributes.float("alpha").is_none_or(|alpha| alpha == 1.0);
            plain.then_some((Reach::Rows, 1, int("transB", 0) != 0))
        }
        "Conv" => {
            if attributes.text("auto_pad").is_some_and(|pad| !["NOTSET", "VALID"].contains(&pad)) {
                return None;
            }
            let taps = shape.get(2..)?.to_vec();
            let each = |name: &str, usual: usize| match attributes.ints(name) {
                Some(stated) => stated.iter().take(taps.len()).map(|&one| usize::try_from(one).ok()).collect(),
                None => Some(vec![usual; taps.len()]),
            };
            let (strides, dilations, before) = (each("strides", 1)?, each("dilations", 1)?, each("pads", 0)?);
            let whole = [&strides, &dilations, &before].iter().all(|all| all.len() == taps.len());
            let groups = usize::try_from(int("group", 1)).ok()?;
            whole.then_some((Reach::Window(Window { taps, strides, dilations, before }), groups, true))
        }
        _ => None,
    }
}
