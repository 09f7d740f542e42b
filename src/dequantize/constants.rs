//! Scales, zero points and integers that Constant nodes hold, as some exporters write them.

use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::qoperators;

/// Stores as initializers what Constant nodes make and what is quantized reads, in bodies, too; says how many. Outputs stay as
/// they are.
///
/// # Errors
/// When a body is malformed.
pub(super) fn store(graph: &mut Graph) -> Result<usize> {
    let mut stored = 0;
    for id in graph.node_ids().collect::<Vec<_>>() {
        for index in 0..graph.body_count(id) {
            stored += graph.edit_body(id, index, store)?;
        }
        let node = graph.node(id);
        let Some(made) = node.output(0).filter(|_| node.is("Constant")) else { continue };
        let wanted = graph.value(made).readers().any(|(reader, _)| is_quantized(graph, reader));
        if !wanted && !graph.value(made).is_captured() || graph.value(made).is_output() {
            continue;
        }
        if let Some(tensor) = graph.literal(id) {
            graph.make_constant(made, &tensor);
            stored += 1;
        }
    }
    Ok(stored)
}

fn is_quantized(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    qoperators::is_conversion(node.domain(), node.op_type()) || qoperators::is_quantized(node.domain(), node.op_type())
}
