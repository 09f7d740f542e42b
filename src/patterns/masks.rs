//! Attention masks: values near minus infinity, which no integer grid holds.

use super::attention;
use super::view::View;
use crate::ir::{Graph, NodeId, Use, ValueId};

/// Added to a score, a number this large leaves nothing of it: exporters write 1e4 (float16), 65504, 3.4e38 or infinity.
const EXTREME: f32 = 1e4;

/// Which values, by index, are attention masks, are computed only to become one, or are scores with a mask in them: none of
/// these may be put on an integer grid.
///
/// A mask is what is added to the input of a Softmax, taken from it or chosen instead of it, and is made from numbers of
/// 10000 and more, or is fed by the caller.
pub fn mask_values(graph: &Graph) -> Vec<bool> {
    let mut masks = vec![false; graph.value_bound()];
    let Ok(order) = graph.topological() else { return masks };
    let view = View { graph };
    let mut scores_with_mask = Vec::new();
    let mut known = vec![None; graph.value_bound()];
    for id in graph.node_ids() {
        let node = graph.node(id);
        let Some(input) = node.input(0).filter(|_| node.is("Softmax")) else { continue };
        let scores = attention::scores(view, input);
        let mut is_mask = |value| holds_extremes(graph, value, &mut known) || is_fed(graph, value);
        let found: Vec<_> = scores.beside.into_iter().filter(|&(_, value)| is_mask(value)).collect();
        // From the first mask on, the scores hold its numbers.
        let way = found.iter().map(|&(place, _)| place + 1).max().unwrap_or(0);
        scores_with_mask.extend(scores.on_the_way.into_iter().take(way));
        found.iter().for_each(|(_, value)| masks[value.index()] = true);
    }
    spread_back(graph, order, &mut masks);
    for value in scores_with_mask {
        masks[value.index()] = true;
    }
    masks
}

/// Whether `value` is, or is computed from, a constant that holds an extreme number. What a layer or a Softmax computes is
/// not looked behind. `known` keeps the answers.
fn holds_extremes(graph: &Graph, value: ValueId, known: &mut [Option<bool>]) -> bool {
    let mut open = vec![value];
    while let Some(&value) = open.last() {
        if known[value.index()].is_some() {
            open.pop();
            continue;
        }
        let Some(id) = graph.value(value).producer() else {
            known[value.index()] = Some(is_extreme(graph, value));
            open.pop();
            continue;
        };
        let node = graph.node(id);
        let behind = !["MatMul", "Gemm", "Conv", "ConvTranspose", "Softmax", "Shape"].iter().any(|op| node.is(op));
        let inputs = || node.inputs().iter().flatten().filter(|_| behind);
        let height = open.len();
        open.extend(inputs().filter(|v| known[v.index()].is_none()));
        if open.len() == height {
            known[value.index()] = Some(inputs().any(|v| known[v.index()] == Some(true)));
            open.pop();
        }
    }
    known[value.index()] == Some(true)
}

fn is_extreme(graph: &Graph, value: ValueId) -> bool {
    let float = graph.stated_type(value).is_some_and(|t| t.dtype.is_float());
    let Some(tensor) = graph.constant(value).ok().flatten().filter(|_| float) else { return false };
    tensor.to_f32().is_ok_and(|numbers| numbers.iter().any(|n| n.abs() >= EXTREME))
}

/// Whether a graph input arrives at `value` with nothing but its layout and type changed.
fn is_fed(graph: &Graph, mut value: ValueId) -> bool {
    const LAYOUT: [&str; 7] = ["Cast", "Expand", "Identity", "Reshape", "Slice", "Transpose", "Unsqueeze"];
    for _ in 0..LAYOUT.len() {
        let Some(id) = graph.value(value).producer() else { break };
        let node = graph.node(id);
        let input = node.input(0).filter(|_| LAYOUT.iter().any(|op| node.is(op)));
        let Some(input) = input else { return false };
        value = input;
    }
    graph.value(value).source() == crate::ir::Source::Input
}

/// Adds what is computed for masks alone.
fn spread_back(graph: &Graph, order: Vec<NodeId>, masks: &mut [bool]) {
    let mut for_masks = vec![false; graph.node_bound()];
    for id in order.into_iter().rev() {
        for_masks[id.index()] = is_for_masks(graph, id, masks);
        if !for_masks[id.index()] {
            continue;
        }
        for &value in graph.node(id).inputs().iter().flatten() {
            // Readers come later in the order, so all of them are known but those that are none of the masks' business.
            let inside = |one: &Use| matches!(one, Use::Input { node, .. } if for_masks[node.index()]);
            masks[value.index()] |= graph.value(value).uses().iter().all(inside);
        }
    }
}

/// Whether all that a node makes is for masks.
fn is_for_masks(graph: &Graph, id: NodeId, masks: &[bool]) -> bool {
    let outputs = graph.node(id).outputs();
    outputs.iter().any(Option::is_some) && outputs.iter().flatten().all(|v| masks[v.index()])
}
