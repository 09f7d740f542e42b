//! Which integers an input may hold: those that its tables have rows for.

use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Role};

/// The rows of the smallest table that the integers of `input` index, on their way through what only moves them; `None` where they
/// index none.
pub fn rows(graph: &Graph, input: ValueId) -> Option<usize> {
    let (mut open, mut seen) = (vec![input], vec![false; graph.value_bound()]);
    let mut least: Option<usize> = None;
    while let Some(value) = open.pop() {
        if std::mem::replace(&mut seen[value.index()], true) {
            continue;
        }
        for (node, slot) in graph.value(value).readers() {
            if let Some(rows) = indexed(graph, node, slot) {
                least = Some(least.map_or(rows, |least| least.min(rows)));
            } else if slot == 0 && moves(graph, node) {
                open.extend(graph.node(node).outputs().iter().flatten().copied());
            }
        }
    }
    least
}

fn moves(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let moved = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Movement);
    moved || node.is("Cast") || node.is("Identity")
}

/// How many rows there are to choose from where node `id` reads indices as input `slot`.
fn indexed(graph: &Graph, id: NodeId, slot: usize) -> Option<usize> {
    let node = graph.node(id);
    let dims = |slot: usize| node.input(slot).and_then(|table| shape(graph, table));
    match (node.op_type(), slot) {
        ("Gather", 1) => {
            let dims = dims(0)?;
            let axis = node.attributes().int("axis").unwrap_or(0);
            let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
            dims.get(usize::try_from(axis).ok()?).copied()
        }
        ("OneHot", 0) => {
            let depth = graph.constant(node.input(1)?).ok()??;
            depth.first_f32().filter(|depth| *depth >= 1.0).map(|depth| depth as usize)
        }
        // ONNX Runtime's: words, then segments; their tables come behind them.
        ("EmbedLayerNormalization", 0 | 1) => dims(if slot == 0 { 2 } else { 4 })?.first().copied(),
        _ => None,
    }
}

/// The shape of a constant, or of what is made of one by DequantizeLinear and its like.
fn shape(graph: &Graph, mut value: ValueId) -> Option<Vec<usize>> {
    loop {
        if let Ok(Some(constant)) = graph.constant(value) {
            return Some(constant.shape().to_vec());
        }
        let node = graph.node(graph.value(value).producer()?);
        if let Some(tensor) = node.attributes().tensor("value").ok()?.filter(|_| node.is("Constant")) {
            return Some(tensor.shape().to_vec());
        }
        if !["DequantizeLinear", "Identity", "Cast"].contains(&node.op_type()) {
            return None;
        }
        value = node.input(0)?;
    }
}
