//! How much arithmetic a node is.

use super::{Role, lookup};
use crate::ir::{Graph, NodeId};
use crate::tensor::TensorType;

/// Multiply-accumulates of a node of role `Compute`, given the type of each value; `None` for other nodes, or when a
/// dimension is not known.
pub fn multiply_accumulates<'a>(graph: &Graph, id: NodeId, ty: impl Fn(&str) -> Option<&'a TensorType>) -> Option<u64> {
    let op = lookup(graph, id).filter(|op| op.role == Role::Compute)?;
    let node = graph.node(id);
    let dims = |value| -> Option<Vec<u64>> {
        let constant = graph.is_constant(value).then(|| graph.stated_type(value)).flatten();
        let known = ty(graph.value(value).name()).or(constant.as_ref())?;
        known.dims.iter().map(|d| d.map(|d| d as u64)).collect()
    };
    let count = |dims: &[u64]| dims.iter().product::<u64>();
    let (input, weight, output) = (dims(node.input(0)?)?, dims(node.input(1)?)?, dims(node.output(0)?)?);
    Some(match op.op_type {
        // Each output number sums over one filter; each input number of a transposed one meets all of its filter.
        "Conv" => count(&output) * count(weight.get(1..)?),
        "ConvTranspose" => count(&input) * count(weight.get(1..)?),
        "Gemm" => {
            count(&output)
                * if node.attributes().int("transA").unwrap_or(0) == 0 { *input.get(1)? } else { *input.first()? }
        }
        _ => count(&output) * *input.last()?,
    })
}
