//! Q/DQ of types that ONNX's operators take from opset 21 on, as those of ONNX Runtime's own domain: for models that stay at
//! an older opset.

use crate::error::Result;
use crate::ir::{Graph, Model, NodeId};
use crate::qoperators::MICROSOFT;
use crate::tensor::DataType;

/// The first operator set whose QuantizeLinear and DequantizeLinear take 16 and 4 bits.
const SINCE: i64 = 21;
/// The first version of the container format that has 4 bits.
const FOUR_BITS: i64 = 10;

/// Moves QuantizeLinear and DequantizeLinear nodes that `model` has at an opset too old for their types to ONNX Runtime's
/// domain, where they read and give the same.
///
/// # Errors
/// When a body is malformed.
pub fn to_contrib(model: &mut Model) -> Result<()> {
    if model.opset("").is_none_or(|opset| opset >= SINCE) {
        return Ok(());
    }
    let mut found = Found::default();
    walk(&mut model.graph, &mut found)?;
    if found.any && model.opset(MICROSOFT).is_none() {
        model.set_opset(MICROSOFT, 1);
    }
    if found.four_bits {
        model.require_ir_version(FOUR_BITS);
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    any: bool,
    four_bits: bool,
}

fn walk(graph: &mut Graph, found: &mut Found) -> Result<()> {
    for id in graph.node_ids().collect::<Vec<_>>() {
        for index in 0..graph.body_count(id) {
            graph.edit_body(id, index, |body| walk(body, found))?;
        }
        let Some(four_bits) = four_bits_or_wide(graph, id) else { continue };
        found.any = true;
        found.four_bits |= four_bits;
        let op_type = graph.node(id).op_type().to_owned();
        graph.set_operator(id, MICROSOFT, &op_type);
    }
    Ok(())
}

/// For a node that has to move: whether its integers have 4 bits, and not 16.
fn four_bits_or_wide(graph: &Graph, id: NodeId) -> Option<bool> {
    let node = graph.node(id);
    if !node.is("QuantizeLinear") && !node.is("DequantizeLinear") {
        return None;
    }
    // Of the type of the integers.
    match graph.known_type(node.input(2)?)?.dtype {
        DataType::Int16 | DataType::Uint16 => Some(false),
        DataType::Int4 | DataType::Uint4 => Some(true),
        _ => None,
    }
}
