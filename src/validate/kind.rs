//! What sets a quantized model apart from a float one.

use crate::error::Result;
use crate::ir::{Graph, Model};
use crate::prepare;
use crate::qoperators;

/// Whether numbers of 16 bits are all that sets `model` apart from one in float32: of these less loss is usual.
///
/// # Errors
/// When a body is malformed.
pub(super) fn has_halves_alone(model: &Model) -> Result<bool> {
    Ok(!has_integers(&model.graph)? && prepare::has_halves(&mut model.clone().graph)?)
}

/// Whether an operator in a graph or its bodies quantizes, dequantizes, or computes on integers.
fn has_integers(graph: &Graph) -> Result<bool> {
    for id in graph.node_ids() {
        let node = graph.node(id);
        if qoperators::is_quantized(node.domain(), node.op_type()) {
            return Ok(true);
        }
        for index in 0..graph.body_count(id) {
            if has_integers(&graph.body(id, index)?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::Builder;
    use crate::tensor::Tensor;

    #[test]
    fn numbers_of_16_bits_count_where_there_are_no_integers() {
        let graph = || Builder::new(17).input("x", &[1, 4]).output("y", &[1, 4]);
        let has = |graph: Builder| has_halves_alone(&graph.build()).expect("told");
        let cast = |to: i64| vec![crate::ir::build::int("to", to)];
        assert!(!has(graph().node("Relu", &["x"], &["y"], vec![])));
        let half = || graph().node("Cast", &["x"], &["h"], cast(10));
        assert!(has(half().node("Cast", &["h"], &["y"], cast(1))));
        let scale = Tensor::from_f32(vec![], &[0.5]);
        let quantized = half().node("Cast", &["h"], &["f"], cast(1)).constant("s", &scale);
        let quantized = quantized.node("QuantizeLinear", &["f", "s"], &["q"], vec![]);
        assert!(!has(quantized.node("DequantizeLinear", &["q", "s"], &["y"], vec![])));
    }
}
