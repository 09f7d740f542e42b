//! Pairs that ONNX Runtime would write by itself when it loads a model, and that it errs at: behind what moves dequantized int8
//! and is read in float. They change no number, since what was moved is on the grid already.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::ops;
use crate::tensor::DataType;

/// The first opset whose QuantizeLinear has an `output_dtype`, which ONNX Runtime states for its own pairs.
pub(super) const FROM_OPSET: i64 = 21;

/// Writes a pair behind every such node, on the grid of what it reads.
///
/// # Errors
/// When the graph has a circle.
pub(super) fn pair(graph: &mut Graph) -> Result<()> {
    for id in graph.topological()? {
        if !ops::carries_dequantization(graph, id) {
            continue;
        }
        let moved = graph.node(id).input(0).and_then(|value| grid(graph, value));
        let (Some((scale, zero)), Some(output)) = (moved, graph.node(id).output(0)) else { continue };
        let quantizes = |graph: &Graph, node: NodeId| graph.node(node).is("QuantizeLinear");
        let taken: Vec<_> = graph.value(output).readers().filter(|&(node, _)| !quantizes(graph, node)).collect();
        let goes_by_name = graph.value(output).goes_by_name();
        if taken.is_empty() && !goes_by_name {
            continue;
        }
        let name = graph.value(output).name().to_owned();
        let mut add = |op_type: &str, input: ValueId| {
            let node = format!("{name}_{op_type}");
            let inputs = vec![Some(input), Some(scale), Some(zero)];
            graph.add_node(NewNode { op_type, name: &node, inputs, ints: vec![] }, &format!("{node}_Output")).1
        };
        let quantized = add("QuantizeLinear", output);
        let dequantized = add("DequantizeLinear", quantized);
        for (node, slot) in taken {
            graph.set_input(node, slot, Some(dequantized));
        }
        if goes_by_name {
            graph.hand_over_name(output, dequantized, &format!("{name}_QuantizeLinear_Input"));
        }
    }
    Ok(())
}

/// Scale and zero point of what a DequantizeLinear made of int8 on one grid for the whole tensor.
fn grid(graph: &Graph, value: ValueId) -> Option<(ValueId, ValueId)> {
    let node = graph.node(graph.value(value).producer()?);
    let (scale, zero) = (node.input(1)?, node.input(2)?);
    let int8 = graph.element_type(zero) == Some(DataType::Int8);
    let one = graph.is_constant(scale) && graph.rank(scale) == Some(0);
    (node.is("DequantizeLinear") && int8 && one).then_some((scale, zero))
}
