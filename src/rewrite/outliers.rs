//! Columns of a product that run in float beside the integer rest.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::tensor::Tensor;

/// Gives product `id` weights that are zero for `columns` of what it reads, and returns those columns times their own weights.
/// `read` is what the product reads, in float; `None` when the weight is no constant matrix.
pub(super) fn beside(graph: &mut Graph, id: NodeId, read: ValueId, columns: &[usize]) -> Result<Option<ValueId>> {
    let node = graph.node(id);
    let (turned, Some(value)) = (node.attributes().int("transB").unwrap_or(0) != 0, node.input(1)) else {
        return Ok(None);
    };
    let Some(weight) = graph.constant(value)? else { return Ok(None) };
    let &[rows, width] = weight.shape() else { return Ok(None) };
    let (outputs, summed) = if turned { (rows, width) } else { (width, rows) };
    if let Some(beyond) = columns.iter().find(|&&column| column >= summed) {
        let why =
            format!("reads column {beyond} of what has {summed}: the statistics are of another model; calibrate again");
        return Err(graph.node_error(id, why));
    }
    let mut rest = weight.to_f32()?.into_owned();
    let mut own = Vec::with_capacity(columns.len() * outputs);
    for &column in columns {
        for output in 0..outputs {
            let place = if turned { output * width + column } else { column * width + output };
            own.push(std::mem::take(&mut rest[place]));
        }
    }
    let name = graph.value(value).name().to_owned();
    let rest = graph.add_initializer(&format!("{name}_inliers"), &Tensor::from_f32(vec![rows, width], &rest));
    graph.set_input(id, 1, Some(rest));

    let own = Tensor::from_f32(vec![columns.len(), outputs], &own);
    let own = graph.add_initializer(&format!("{name}_outliers"), &own);
    let indices: Vec<i64> = columns.iter().map(|&column| column as i64).collect();
    let label = graph.label(id).to_owned();
    let indices = graph.add_initializer(&format!("{label}_outliers"), &Tensor::from_i64(vec![indices.len()], &indices));
    let mut add = |op_type: &str, inputs: [ValueId; 2], ints: Vec<(&str, i64)>| {
        let stem = format!("{label}_outliers_{op_type}");
        let inputs = inputs.into_iter().map(Some).collect();
        graph.add_node(NewNode { op_type, name: &stem, inputs, ints }, &format!("{stem}_Output")).1
    };
    let picked = add("Gather", [read, indices], vec![("axis", -1)]);
    Ok(Some(add("MatMul", [picked, own], vec![])))
}

/// Adds `beside` to the first output of node `id`, whose value the sum becomes. Returns the node of the sum.
pub(super) fn join(graph: &mut Graph, id: NodeId, beside: ValueId) -> NodeId {
    let Some(made) = graph.node(id).output(0) else { return id };
    let name = graph.value(made).name().to_owned();
    let part = graph.split_output(id, 0, &format!("{name}_inliers"));
    let stem = format!("{name}_outliers_Add");
    let new = NewNode { op_type: "Add", name: &stem, inputs: vec![Some(part), Some(beside)], ints: vec![] };
    let (sum, _) = graph.add_node(new, &format!("{stem}_Output"));
    graph.take_over_output(sum, 0, made);
    sum
}
