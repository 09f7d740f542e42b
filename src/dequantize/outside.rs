//! Integers, scales and zero points that bodies of If, Loop and Scan read from around: each body gets its own, so that it can be
//! turned back by itself.

use crate::error::Result;
use crate::ir::{Graph, ValueId};
use crate::qoperators;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// The constants that a body may read from the graphs around it, by name.
type Around = HashMap<String, Tensor>;

/// Gives the bodies of `graph`, which has `around` around it, copies of the constants from around that quantized operators read.
///
/// # Errors
/// When a body or a constant is malformed.
pub(super) fn bring_in(graph: &mut Graph, around: &Around) -> Result<()> {
    for id in graph.node_ids().collect::<Vec<_>>() {
        let mut known = Around::new();
        for &value in graph.node(id).captured() {
            let name = graph.value(value).name();
            let constant = graph.constant(value)?.or_else(|| around.get(name).cloned());
            known.extend(constant.map(|tensor| (name.to_owned(), tensor)));
        }
        for index in (0..graph.body_count(id)).filter(|_| !known.is_empty()) {
            graph.edit_body(id, index, |body| {
                sink(body, &known);
                bring_in(body, &known)
            })?;
        }
    }
    Ok(())
}

fn sink(body: &mut Graph, around: &Around) {
    let mut own: HashMap<ValueId, ValueId> = HashMap::new();
    for id in body.node_ids().collect::<Vec<_>>() {
        let node = body.node(id);
        if !qoperators::is_quantized(node.domain(), node.op_type()) {
            continue;
        }
        for (slot, value) in node.inputs().to_vec().into_iter().enumerate() {
            let Some(value) = value.filter(|&value| !body.is_constant(value)) else { continue };
            let Some(tensor) = around.get(body.value(value).name()) else { continue };
            let copy = *own.entry(value).or_insert_with(|| {
                let stem = body.value(value).name().to_owned();
                body.add_initializer(&stem, tensor)
            });
            body.set_input(id, slot, Some(copy));
        }
    }
}
