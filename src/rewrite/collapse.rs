//! Quantizers of what was just dequantized, on the same grid: the integers are there already.

use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};

/// Takes out each QuantizeLinear that makes integers of what a DequantizeLinear made of the same ones.
///
/// # Errors
/// When a constant is malformed.
pub fn collapse(graph: &mut Graph) -> Result<()> {
    for id in graph.topological()? {
        if graph.get_node(id).is_none_or(|node| node.op_type() != "QuantizeLinear") {
            continue;
        }
        let node = graph.node(id);
        let before = node.input(0).and_then(|value| graph.value(value).producer());
        let before = before.filter(|&node| graph.node(node).op_type() == "DequantizeLinear");
        let (Some(before), Some(made)) = (before, node.output(0)) else { continue };
        let Some(integers) = graph.node(before).input(0).filter(|&value| !graph.is_constant(value)) else { continue };
        if !same(graph, id, before)? {
            continue;
        }
        graph.redirect_readers(made, integers);
        let named = graph.value(made).goes_by_name();
        // An output that is also an input needs a node between.
        if named && graph.value(integers).producer().is_some() && !graph.value(integers).is_output() {
            graph.hand_over_name(made, integers, &format!("{}_again", graph.value(made).name()));
        }
        graph.remove_if_unused(id);
    }
    graph.remove_unused();
    Ok(())
}

/// Whether two nodes have the same scale and zero point.
fn same(graph: &Graph, one: NodeId, other: NodeId) -> Result<bool> {
    let equal = |slot: usize| -> Result<bool> {
        let constant = |id: NodeId| graph.node(id).input(slot).map(|v: ValueId| graph.constant(v)).transpose();
        let (one, other) = (constant(one)?.flatten(), constant(other)?.flatten());
        Ok(one.zip(other).is_some_and(|(a, b)| a.dtype() == b.dtype() && a.bytes() == b.bytes()))
    };
    Ok(equal(1)? && equal(2)?)
}
