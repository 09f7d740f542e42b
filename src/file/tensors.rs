//! A walk over every tensor of a model: initializers, attributes, bodies, functions, training graphs.

use crate::error::Result;
use crate::proto::{GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto};

/// Calls `f` for each tensor of the model, in a fixed order.
///
/// # Errors
/// The first error of `f`.
pub fn for_each(model: &mut ModelProto, f: &mut impl FnMut(&mut TensorProto) -> Result<()>) -> Result<()> {
    let training = model.training_info.iter_mut().flat_map(|t| t.initialization.iter_mut().chain(&mut t.algorithm));
    for graph in model.graph.iter_mut().chain(training) {
        in_graph(graph, f)?;
    }
    model.functions.iter_mut().flat_map(|function| &mut function.node).try_for_each(|node| in_node(node, f))
}

fn in_graph(graph: &mut GraphProto, f: &mut impl FnMut(&mut TensorProto) -> Result<()>) -> Result<()> {
    graph.initializer.iter_mut().try_for_each(&mut *f)?;
    graph.sparse_initializer.iter_mut().try_for_each(|sparse| in_sparse(sparse, f))?;
    graph.node.iter_mut().try_for_each(|node| in_node(node, f))
}

fn in_sparse(sparse: &mut SparseTensorProto, f: &mut impl FnMut(&mut TensorProto) -> Result<()>) -> Result<()> {
    sparse.values.iter_mut().chain(&mut sparse.indices).try_for_each(f)
}

fn in_node(node: &mut NodeProto, f: &mut impl FnMut(&mut TensorProto) -> Result<()>) -> Result<()> {
    for attribute in &mut node.attribute {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *f)?;
        let mut sparse = attribute.sparse_tensor.iter_mut().chain(&mut attribute.sparse_tensors);
        sparse.try_for_each(|s| in_sparse(s, f))?;
        attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|body| in_graph(body, f))?;
    }
    Ok(())
}
