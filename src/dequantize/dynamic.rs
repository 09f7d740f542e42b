//! What quantizers of dynamic models write: activations are quantized while the model runs, multiplied as integers, and the
//! sums scaled back.

use super::forms::{add_behind, become_float};
use super::{Grid, Real, Walk, float_name, replace, stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::tensor::Tensor;

impl Walk<'_> {
    pub(super) fn dynamic_quantizer(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let (Some(float), Some(integers), Some(scale)) = (node.input(0), node.output(0), node.output(1)) else {
            return Ok(());
        };
        self.real.insert(integers, Real { float, grid: Grid { scale, zero_point: node.output(2) } });
        self.done.quantizers += 1;
        Ok(())
    }

    /// MatMulInteger or ConvInteger with the Cast and Mul behind it.
    pub(super) fn accumulated(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let float = if graph.node(id).op_type() == "ConvInteger" { "Conv" } else { "MatMul" };
        let node = graph.node(id);
        let input = node.input(0).and_then(|v| self.real.get(&v).copied());
        let (Some(input), Some(weight)) = (input, node.input(1)) else {
            return Err(graph.node_error(id, "its first input is not quantized by a node of the model"));
        };
        let zero_point = node.input(3);
        let Some((scaled, scale)) = scaled_back(graph, id, input.grid.scale) else {
            let why = "its sums are not cast to float and multiplied by the scales of its inputs";
            return Err(graph.node_error(id, why));
        };
        let weight = self.scaled(graph, id, (weight, zero_point), scale, float == "Conv")?;
        let Some(output) = graph.node(scaled).output(0) else { return Ok(()) };
        become_float(graph, id, float, &[Some(input.float), Some(weight)]);
        let name = format!("{}_product", float_name(graph, output));
        let Some(sums) = graph.node(id).output(0) else { return Ok(()) };
        let cast = graph.value(sums).readers().next().map(|(cast, _)| cast);
        let product = graph.split_output(id, 0, &name);
        self.note_dynamic(graph, id);
        replace(graph, scaled, output, product);
        graph.remove_if_unused(scaled);
        cast.iter().for_each(|&cast| {
            graph.remove_if_unused(cast);
        });
        self.done.operators += 1;
        Ok(())
    }

    /// ONNX Runtime's operator that is all of it.
    pub(super) fn dynamic_product(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let node = graph.node(id);
        let (Some(float), Some(weight), Some(scale)) = (node.input(0), node.input(1), node.input(2)) else {
            return Err(graph.node_error(id, "an input is missing"));
        };
        let (zero_point, bias) = (node.input(3), node.input(4));
        let weight = self.scaled(graph, id, (weight, zero_point), scale, false)?;
        become_float(graph, id, "MatMul", &[Some(float), Some(weight)]);
        self.note_dynamic(graph, id);
        add_behind(graph, id, bias);
        self.done.operators += 1;
        Ok(())
    }

    /// The stored weight as float32. Its scales may have the shape that they are multiplied with.
    fn scaled(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        (weight, zero_point): (ValueId, Option<ValueId>),
        scale: ValueId,
        convolves: bool,
    ) -> Result<ValueId> {
        let axis = if convolves { 0 } else { -1 };
        let (Some(integers), Some(scales)) = (graph.constant(weight)?, graph.constant(scale)?) else {
            return Err(graph.node_error(id, "its weight, or the weight's scale, is computed while the model runs"));
        };
        let zeros = stored::zero_points(graph, Grid { scale, zero_point })?;
        let zeros = zeros.ok_or_else(|| graph.node_error(id, "its zero point is computed while the model runs"))?;
        let (count, mut zeros) = (scales.len(), zeros);
        // One zero point may serve all channels.
        if zeros.len() == 1 && count > 1 {
            zeros = vec![zeros[0]; count];
        }
        let scales = scales.reshaped(if count == 1 { vec![] } else { vec![count] });
        let numbers: Tensor = stored::of(&integers, &scales, &zeros, axis, 0).map_err(|e| graph.node_error(id, e))?;
        self.done.stored += 1;
        let name = float_name(graph, weight);
        let made = graph.add_initializer(&name, &numbers);
        self.note_constant(made, &integers, (&scales, &zeros), axis, 0)?;
        Ok(made)
    }
}

/// The Mul that scales the sums of `id` back, and the scale of the weight, if the other one is `input`.
fn scaled_back(graph: &Graph, id: NodeId, input: ValueId) -> Option<(NodeId, ValueId)> {
    let alone = |value: ValueId, op_type: &str| match graph.value(value).uses() {
        [Use::Input { node, slot }] if graph.node(*node).is(op_type) => Some((*node, *slot)),
        _ => None,
    };
    let (cast, _) = alone(graph.node(id).output(0)?, "Cast")?;
    let (scaled, slot) = alone(graph.node(cast).output(0)?, "Mul")?;
    let factor = graph.node(scaled).input(1 - slot.min(1))?;
    let product = graph.value(factor).producer().filter(|&node| graph.node(node).is("Mul"))?;
    let (a, b) = (graph.node(product).input(0)?, graph.node(product).input(1)?);
    let weight = if a == input { b } else { a };
    ((a == input || b == input) && graph.is_constant(weight)).then_some((scaled, weight))
}
