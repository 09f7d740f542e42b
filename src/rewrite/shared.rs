//! Constants that several bodies have alike: one in the graph around serves them all, as it did before they were quantized.

use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use std::collections::HashMap;

/// What is smaller is not worth a name in the graph around.
const LEAST_BYTES: usize = 1024;

/// What makes two constants alike.
type Key = (DataType, Vec<usize>, Bytes);

/// Moves constants that more than one body of `graph` has, however deep, into `graph` itself.
///
/// # Errors
/// When a constant is malformed.
pub(super) fn share(graph: &mut Graph) -> Result<()> {
    let mut found = Vec::new();
    collect(graph, &mut found)?;
    let mut times: HashMap<Key, usize> = HashMap::new();
    found.iter().for_each(|(_, tensor)| *times.entry(key(tensor)).or_default() += 1);
    let mut outside: HashMap<Key, String> = HashMap::new();
    for (name, tensor) in found {
        let key = key(&tensor);
        if times[&key] > 1 && !outside.contains_key(&key) {
            let value = graph.add_initializer(&format!("{name}_shared"), &tensor);
            outside.insert(key, graph.value(value).name().to_owned());
        }
    }
    if !outside.is_empty() {
        replace(graph, &outside)?;
    }
    Ok(())
}

/// The large constants in the bodies of the nodes of `graph`, in their order, with their names.
fn collect(graph: &Graph, found: &mut Vec<(String, Tensor)>) -> Result<()> {
    for (id, index) in bodies(graph) {
        let body = graph.body(id, index)?;
        found.extend(large(&body)?.into_iter().map(|(value, tensor)| (body.value(value).name().to_owned(), tensor)));
        collect(&body, found)?;
    }
    Ok(())
}

fn bodies(graph: &Graph) -> Vec<(NodeId, usize)> {
    graph.node_ids().flat_map(|id| (0..graph.body_count(id)).map(move |index| (id, index))).collect()
}

/// The constants of a body that are worth it. One that is handed on as an output has to be its own, and so have those that
/// engines unpack where they stand: of fewer than 8 bits, of float8, or in blocks. Recurrent operators read theirs as they are.
fn large(body: &Graph) -> Result<Vec<(ValueId, Tensor)>> {
    let mut all = Vec::new();
    for value in body.value_ids().filter(|&v| body.is_constant(v) && !body.value(v).is_output()) {
        let tensor = body.constant(value)?.filter(|tensor| tensor.bytes().len() >= LEAST_BYTES);
        let plain = tensor.as_ref().is_some_and(|tensor| tensor.to_f32().is_ok());
        let in_blocks = |(reader, _)| {
            let node = body.node(reader);
            let recurrent = || ops::is_contrib_form(node.domain(), node.op_type());
            node.attributes().has("block_size") || !node.domain().is_empty() && !recurrent()
        };
        if !plain || body.value(value).readers().any(in_blocks) {
            continue;
        }
        all.extend(tensor.map(|tensor| (value, tensor)));
    }
    Ok(all)
}

fn key(tensor: &Tensor) -> Key {
    (tensor.dtype(), tensor.shape().to_vec(), tensor.bytes().clone())
}

/// Lets the bodies of `graph` read what `outside` names instead of their own.
fn replace(graph: &mut Graph, outside: &HashMap<Key, String>) -> Result<()> {
    for (id, index) in bodies(graph) {
        graph.edit_body(id, index, |body| {
            for (value, tensor) in large(body)? {
                if let Some(name) = outside.get(&key(&tensor)) {
                    let around = body.capture(name);
                    body.redirect_readers(value, around);
                }
            }
            replace(body, outside)?;
            body.remove_unused();
            Ok(())
        })?;
    }
    Ok(())
}
