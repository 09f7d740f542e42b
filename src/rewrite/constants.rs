//! Weights, constant operands and biases as integers with a DequantizeLinear behind them.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::ops;
use crate::plan::{ConstantPlan, IntegerNode, per_channel_bias};
use crate::quant::{self, AxisParams, Params};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use std::collections::HashMap;

/// A constant on the grids it was put on: one DequantizeLinear serves every node that wants the same.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    value: ValueId,
    axis: Option<usize>,
    dtype: quant::IntType,
    grids: Vec<(u32, i32)>,
}

/// Quantizes constants, each combination of constant and grids once.
#[derive(Default)]
pub(super) struct Constants {
    dequantized: HashMap<Key, ValueId>,
}

impl Constants {
    /// Quantizes the constant inputs of `id`, then its bias. `input` is the grid of its activation input.
    pub fn quantize(&mut self, graph: &mut Graph, id: NodeId, node: &IntegerNode, input: Option<Params>) -> Result<()> {
        let Some(op) = ops::lookup(graph, id) else { return Ok(()) };
        let bias = match node.bias {
            Some(place) => per_channel_bias(graph, op, id, place)?.zip(input),
            None => None,
        };
        for plan in &node.constants {
            let Some(value) = graph.node(id).input(plan.slot) else { continue };
            let Some(tensor) = graph.constant(value)? else { continue };
            let bias = bias.as_ref().filter(|_| plan.is_weight);
            let grids = grids(&tensor, plan, bias.map(|(b, p)| (b.as_slice(), p.scale)))?;
            let dequantized = self.constant(graph, value, &tensor, plan, &grids)?;
            graph.set_input(id, plan.slot, Some(dequantized));
            if let (Some((bias, input)), Some(place)) = (bias, node.bias) {
                quantize_bias(graph, place, bias, input.scale, &grids);
            }
        }
        Ok(())
    }

    fn constant(
        &mut self,
        graph: &mut Graph,
        value: ValueId,
        tensor: &Tensor,
        plan: &ConstantPlan,
        grids: &[Params],
    ) -> Result<ValueId> {
        let bits = grids.iter().map(|p| (p.scale.to_bits(), p.zero_point)).collect();
        let key = Key { value, axis: plan.axis, dtype: plan.scheme.dtype, grids: bits };
        if let Some(&known) = self.dequantized.get(&key) {
            return Ok(known);
        }
        let numbers = tensor.to_f32()?;
        let integers = match plan.axis {
            Some(axis) => {
                quant::quantize_axis(&numbers, tensor.shape(), &AxisParams { axis, channels: grids.to_vec() })
            }
            None => quant::quantize(&numbers, &grids[0]),
        };
        let dtype = plan.scheme.dtype.data_type();
        let integers = Tensor::new(dtype, tensor.shape().to_vec(), Bytes::from(integers))?;
        let zeros: Vec<u8> = grids.iter().map(|p| p.zero_point as u8).collect();
        let shape = if plan.axis.is_some() { vec![grids.len()] } else { vec![] };
        let zeros = Tensor::new(dtype, shape.clone(), Bytes::from(zeros))?;
        let scales: Vec<f32> = grids.iter().map(|p| p.scale).collect();
        let scales = Tensor::from_f32(shape, &scales);
        let name = graph.value(value).name().to_owned();
        let dequantized = dequantize(graph, &name, &integers, &scales, &zeros, plan.axis);
        self.dequantized.insert(key, dequantized);
        Ok(dequantized)
    }
}

fn quantize_bias(graph: &mut Graph, (node, slot): (NodeId, usize), bias: &[f32], input_scale: f32, weights: &[Params]) {
    let Some(value) = graph.node(node).input(slot) else { return };
    let name = graph.value(value).name().to_owned();
    let quantized = quant::quantize_bias(bias, input_scale, weights);
    let per_channel = quantized.scales.len() > 1;
    let shape = if per_channel { vec![quantized.scales.len()] } else { vec![] };
    let integers = Tensor::from_i32(vec![bias.len()], &quantized.values);
    let zeros = Tensor::from_i32(shape.clone(), &vec![0; quantized.scales.len()]);
    let scales = Tensor::from_f32(shape, &quantized.scales);
    let dequantized = dequantize(graph, &name, &integers, &scales, &zeros, per_channel.then_some(0));
    graph.set_input(node, slot, Some(dequantized));
}

/// The grids of a constant: one, or one for each channel. A weight's are widened where the bias asks for it.
fn grids(tensor: &Tensor, plan: &ConstantPlan, bias: Option<(&[f32], f32)>) -> Result<Vec<Params>> {
    debug_assert_eq!(tensor.dtype(), DataType::Float32);
    let numbers = tensor.to_f32()?;
    let mut grids = match plan.axis {
        Some(axis) => AxisParams::min_max(&numbers, tensor.shape(), axis, plan.scheme).channels,
        None => vec![AxisParams::min_max(&numbers, &[1, numbers.len()], 0, plan.scheme).channels[0]],
    };
    if let Some(order) = plan.sum_order {
        let safe = quant::pair_safe_scales(&numbers, tensor.shape(), order);
        let one = grids.len() == 1;
        for (channel, scale) in safe.into_iter().enumerate() {
            let grid = &mut grids[if one { 0 } else { channel }];
            grid.scale = grid.scale.max(scale);
        }
    }
    let Some((bias, input_scale)) = bias else { return Ok(grids) };
    let one = grids.len() == 1;
    for (channel, &b) in bias.iter().enumerate() {
        let grid = &mut grids[if one { 0 } else { channel }];
        grid.scale = quant::guard_weight_scale(grid.scale, input_scale, b);
    }
    Ok(grids)
}

fn dequantize(
    graph: &mut Graph,
    name: &str,
    integers: &Tensor,
    scales: &Tensor,
    zeros: &Tensor,
    axis: Option<usize>,
) -> ValueId {
    let integers = graph.add_initializer(&format!("{name}_quantized"), integers);
    let scales = graph.add_initializer(&format!("{name}_scale"), scales);
    let zeros = graph.add_initializer(&format!("{name}_zero_point"), zeros);
    let new = NewNode {
        op_type: "DequantizeLinear",
        name: &format!("{name}_DequantizeLinear"),
        inputs: vec![Some(integers), Some(scales), Some(zeros)],
        ints: axis.map(|axis| ("axis", axis as i64)).into_iter().collect(),
    };
    graph.add_node(new, &format!("{name}_DequantizeLinear_Output")).1
}
