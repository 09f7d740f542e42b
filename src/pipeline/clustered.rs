//! Weights that were clustered: no repair may give one more values than it has.

use crate::ir::{Graph, NodeId};
use crate::plan::ConstantPlan;
use crate::rewrite::clustered;

/// Whether a constant of a node has few values, each many times.
pub(super) fn is_clustered(graph: &Graph, node: NodeId, constant: &ConstantPlan) -> bool {
    let value = graph.node(node).input(constant.slot);
    let tensor = value.and_then(|value| graph.constant(value).ok()?);
    tensor.is_some_and(|tensor| clustered(&tensor, constant.scheme.dtype.bits()).is_some())
}
