//! Weights, constant operands and biases as integers with a DequantizeLinear behind them.

use super::contrib::Operators;
use super::weights::{Around, grids, in_blocks};
use super::{pieces, refitted, rounded};
use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::mapped;
use crate::ops;
use crate::plan::{ConstantPlan, IntegerNode, Stored as Form, per_channel_bias};
use crate::quant::{self, KnownBias, Moments, Params};
use crate::resolve::Resolved;
use crate::tensor::Tensor;
use crate::tune::rounding::Rounding;
use bytes::Bytes;
use std::collections::HashMap;

/// A constant on the grids it was put on: one DequantizeLinear serves every node that wants the same.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    value: ValueId,
    axis: Option<usize>,
    block: Option<usize>,
    dtype: quant::GridType,
    /// Empty for blocks that are chosen, which are as many as a thirty-second of the weights: theirs are known by how they are made.
    grids: Vec<(u32, i32)>,
    made: Option<(quant::Scheme, [bool; 2])>,
    /// How many axes its scales have behind that of the channels.
    behind: usize,
}

/// Integers, scales and zero points of a constant, as initializers.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub integers: ValueId,
    pub scale: ValueId,
    zero_point: ValueId,
}

/// Quantizes constants, each combination of constant and grids once.
#[derive(Default)]
pub(super) struct Constants {
    stored: HashMap<Key, Stored>,
    dequantized: HashMap<Key, ValueId>,
    operators: Operators,
    /// Biases whose integers are known.
    biases: HashMap<ValueId, KnownBias>,
}

impl Constants {
    /// Stores constants; these biases had integers before.
    pub fn knowing(biases: &HashMap<ValueId, KnownBias>) -> Self {
        Self { biases: biases.clone(), ..Self::default() }
    }

    /// Quantizes the constant inputs of `id`, then its bias. `input` is the grid of its activation input, and `moments` are
    /// that input's mean and variance.
    pub fn quantize(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        node: &IntegerNode,
        input: Option<Params>,
        moments: Option<&Moments>,
        resolved: &Resolved,
    ) -> Result<()> {
        let Some(op) = ops::lookup(graph, id) else { return Ok(()) };
        let refit = resolved.refit(id);
        let place = match refit {
            Some(refit) => refitted::place(graph, op, id, node, refit)?,
            None => node.bias,
        };
        let bias = match place {
            Some(place) => per_channel_bias(graph, op, id, place)?.zip(input),
            None => None,
        };
        for plan in &node.constants {
            let Some(value) = graph.node(id).input(plan.slot) else { continue };
            let Some(mut tensor) = graph.constant(value)? else { continue };
            let bias = bias.as_ref().filter(|_| plan.is_weight);
            let largest = plan.summed.and_then(|(value, axis)| resolved.channel_maxima(value, axis)).unwrap_or(&[]);
            let by_channel = plan.summed.and_then(|(value, axis)| resolved.channel_moments(value, axis));
            let moments = by_channel.or(moments);
            let around = Around { largest, moments, bias: bias.map(|(b, p)| (b.as_slice(), p.scale)) };
            let mut grids = grids(&tensor, plan, &around)?;
            let known;
            let plan = match resolved.rounding(id).filter(|_| plan.is_weight) {
                Some(rounding) => {
                    (tensor, known) = rounded::moved(&tensor, plan, &grids, rounding)?;
                    &known
                }
                None => plan,
            };
            let refitted = match (refit, bias, place) {
                (Some(refit), Some((bias, input)), Some(place)) if place.0 == id => {
                    // What was refitted had the bias as it was rounded.
                    Some(refitted::bias(&quant::quantize_bias(bias, input.scale, &grids).numbers(), refit, true))
                }
                (Some(refit), Some((bias, _)), Some(_)) => Some(refitted::bias(bias, refit, false)),
                _ => None,
            };
            if let Some(refit) = refit.filter(|_| plan.is_weight) {
                tensor = refitted::weight(&tensor, plan, &mut grids, refit)?;
            }
            let dequantized = self.constant(graph, value, &tensor, plan, &grids)?;
            graph.set_input(id, plan.slot, Some(dequantized));
            if let (Some((bias, input)), Some(place)) = (bias, place) {
                self.bias(graph, place, refitted.as_deref().unwrap_or(bias), input.scale, &grids)?;
            }
        }
        Ok(())
    }

    /// Stores the table of lookup `id` as integers, and dequantizes what the lookup gives.
    pub fn look_up(&mut self, graph: &mut Graph, id: NodeId, plan: &ConstantPlan) -> Result<()> {
        let (Some(value), Some(output)) = (graph.node(id).input(plan.slot), graph.node(id).output(0)) else {
            return Ok(());
        };
        let Some(tensor) = graph.constant(value)? else { return Ok(()) };
        let grids = grids(&tensor, plan, &Around::default())?;
        let stored = self.store(graph, Key::new(value, plan, &grids), &tensor, plan, &grids)?;
        let name = graph.value(output).name().to_owned();
        graph.set_input(id, plan.slot, Some(stored.integers));
        let found = graph.split_output(id, 0, &format!("{name}_quantized"));
        let stored = Stored { integers: found, ..stored };
        // The columns of the table are the last axis of what is looked up, however many axes the indices have.
        let (node, _) = dequantize(graph, &name, stored, plan.axis.map(|_| -1), None);
        graph.take_over_output(node, 0, output);
        Ok(())
    }

    /// Stores a weight as integers. Its scales, one for each channel, have `behind` axes of length 1 behind them.
    pub fn store_for_product(
        &mut self,
        graph: &mut Graph,
        value: ValueId,
        tensor: &Tensor,
        plan: &ConstantPlan,
        grids: &[Params],
        behind: usize,
    ) -> Result<Stored> {
        let behind = if plan.axis.is_some() { behind } else { 0 };
        self.store(graph, Key { behind, ..Key::new(value, plan, grids) }, tensor, plan, grids)
    }

    /// Stores the weight of a node as integers, and dequantizes it ahead of the node.
    pub fn store_weight(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        plan: &ConstantPlan,
        rounding: Option<&Rounding>,
    ) -> Result<()> {
        let Some(value) = graph.node(id).input(plan.slot) else { return Ok(()) };
        let Some(mut tensor) = graph.constant(value)? else { return Ok(()) };
        if plan.form != Form::Plain {
            return self.operators.store_weight(graph, id, plan, value, &tensor);
        }
        let chosen = plan.block.is_some() && plan.known.is_none();
        let grids = if chosen { vec![] } else { grids(&tensor, plan, &Around::default())? };
        let known;
        let plan = match rounding.filter(|_| plan.slot == 1) {
            Some(rounding) => {
                (tensor, known) = rounded::moved(&tensor, plan, &grids, rounding)?;
                &known
            }
            None => plan,
        };
        let dequantized = self.constant(graph, value, &tensor, plan, &grids)?;
        graph.set_input(id, plan.slot, Some(dequantized));
        Ok(())
    }

    /// Stores a constant that is on its grids already for all who still read it in float.
    pub fn keep(&mut self, graph: &mut Graph, value: ValueId, plan: &ConstantPlan) -> Result<()> {
        if graph.value(value).readers().next().is_none() {
            return Ok(());
        }
        let readers: Vec<_> = graph.value(value).readers().collect();
        let Some(tensor) = graph.constant(value)? else { return Ok(()) };
        let grids = grids(&tensor, plan, &Around::default())?;
        let dequantized = self.constant(graph, value, &tensor, plan, &grids)?;
        readers.into_iter().for_each(|(node, slot)| graph.set_input(node, slot, Some(dequantized)));
        Ok(())
    }

    /// Stores the biases that have integers for all who still read them in float.
    pub fn keep_biases(&mut self, graph: &mut Graph) -> Result<()> {
        let mut biases: Vec<_> = std::mem::take(&mut self.biases).into_iter().collect();
        biases.sort_unstable_by_key(|(value, _)| *value);
        for (value, known) in biases {
            let readers: Vec<_> = graph.value(value).readers().collect();
            let Some(tensor) = graph.constant(value)?.filter(|_| !readers.is_empty()) else { continue };
            let (dims, count) = (tensor.shape().to_vec(), known.scales.len());
            let along = count == 1 || dims.last() == Some(&count);
            if !along || !known.is_of(&tensor.to_f32()?, &known.scales) {
                continue;
            }
            let axis = (count > 1).then_some(dims.len() as i64 - 1);
            let shape = if count > 1 { vec![count] } else { vec![] };
            let name = graph.value(value).name().to_owned();
            let integers = Tensor::from_i32(dims, &known.integers);
            let zeros = Tensor::from_i32(shape.clone(), &vec![0; count]);
            let stored = Stored::new(graph, &name, &integers, &Tensor::from_f32(shape, &known.scales), &zeros);
            let (_, dequantized) = dequantize(graph, &name, stored, axis, None);
            readers.into_iter().for_each(|(node, slot)| graph.set_input(node, slot, Some(dequantized)));
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
        let key = Key::new(value, plan, grids);
        if let Some(&known) = self.dequantized.get(&key) {
            return Ok(known);
        }
        let stored = self.store(graph, key.clone(), tensor, plan, grids)?;
        let name = graph.value(value).name().to_owned();
        let axis = plan.axis.map(|axis| axis as i64);
        let (_, dequantized) = dequantize(graph, &name, stored, axis, plan.block);
        self.dequantized.insert(key, dequantized);
        Ok(dequantized)
    }

    /// Stores the bias at input `slot` of `node` as int32.
    fn bias(
        &self,
        graph: &mut Graph,
        (node, slot): (NodeId, usize),
        bias: &[f32],
        input_scale: f32,
        weights: &[Params],
    ) -> Result<()> {
        let Some(value) = graph.node(node).input(slot) else { return Ok(()) };
        // An Add behind the layer broadcasts it: there a row stays a row.
        let row = graph.node(node).is("Add").then(|| graph.constant(value)).transpose()?.flatten();
        let row = row.filter(|t| t.len() == bias.len()).map(|t| t.shape().to_vec());
        let dims = row.unwrap_or_else(|| vec![bias.len()]);
        let axis = dims.len() as i64 - 1;
        let name = graph.value(value).name().to_owned();
        let mut quantized = quant::quantize_bias(bias, input_scale, weights);
        if let Some(known) = self.biases.get(&value).filter(|known| known.is_of(bias, &quantized.scales)) {
            quantized.values.clone_from(&known.integers);
        } else if !quantized.holds(bias) {
            // Steps that are known may be too short for it: then it stays float32.
            return Ok(());
        }
        let per_channel = quantized.scales.len() > 1;
        let shape = if per_channel { vec![quantized.scales.len()] } else { vec![] };
        let integers = Tensor::from_i32(dims, &quantized.values);
        let zeros = Tensor::from_i32(shape.clone(), &vec![0; quantized.scales.len()]);
        let scales = Tensor::from_f32(shape, &quantized.scales);
        let stored = Stored::new(graph, &name, &integers, &scales, &zeros);
        let (_, dequantized) = dequantize(graph, &name, stored, per_channel.then_some(axis), None);
        graph.set_input(node, slot, Some(dequantized));
        Ok(())
    }

    /// The initializers of a constant on its grids.
    fn store(
        &mut self,
        graph: &mut Graph,
        key: Key,
        tensor: &Tensor,
        plan: &ConstantPlan,
        grids: &[Params],
    ) -> Result<Stored> {
        if let Some(&known) = self.stored.get(&key) {
            return Ok(known);
        }
        let mut shape = tensor.shape().to_vec();
        let (dtype, bits) = (plan.scheme.dtype.data_type(), plan.scheme.dtype.bits());
        let made;
        let (grids, integers) = match (plan.axis, plan.block) {
            (Some(axis), Some(size)) => {
                let (found, integers) = in_blocks(tensor, plan, (axis, size), bits)?;
                made = found;
                (made.as_slice(), integers)
            }
            (axis, _) => (grids, quant::pack(pieces::quantize(tensor, axis, grids)?, bits)),
        };
        mapped::let_go(tensor.bytes());
        let integers = Tensor::new(dtype, shape.clone(), Bytes::from(integers))?;
        match (plan.axis, plan.block) {
            (Some(axis), Some(size)) => shape[axis] = shape[axis].div_ceil(size),
            (Some(_), None) => shape = std::iter::once(grids.len()).chain(std::iter::repeat_n(1, key.behind)).collect(),
            (None, _) => shape.clear(),
        }
        let zeros = match bits {
            // Without an allocation for each: blocks are many.
            ..=8 => quant::pack(grids.iter().map(|grid| grid.zero_point as u8).collect(), bits),
            _ => grids.iter().flat_map(Params::zero_point_bytes).collect(),
        };
        let zeros = Tensor::new(dtype, shape.clone(), Bytes::from(zeros))?;
        let scales: Vec<f32> = grids.iter().map(|p| p.scale).collect();
        let name = graph.value(key.value).name().to_owned();
        let stored = Stored::new(graph, &name, &integers, &Tensor::from_f32(shape, &scales), &zeros);
        self.stored.insert(key, stored);
        Ok(stored)
    }
}

impl Key {
    fn new(value: ValueId, plan: &ConstantPlan, grids: &[Params]) -> Self {
        let grids = grids.iter().map(|p| (p.scale.to_bits(), p.zero_point)).collect();
        let made =
            plan.block.filter(|_| plan.known.is_none()).map(|_| (plan.scheme, [plan.least_error, plan.least_norm]));
        Self { value, axis: plan.axis, block: plan.block, dtype: plan.scheme.dtype, grids, made, behind: 0 }
    }
}

impl Stored {
    fn new(graph: &mut Graph, name: &str, integers: &Tensor, scales: &Tensor, zeros: &Tensor) -> Self {
        Self {
            integers: graph.add_initializer(&format!("{name}_quantized"), integers),
            scale: graph.add_initializer(&format!("{name}_scale"), scales),
            zero_point: graph.add_initializer(&format!("{name}_zero_point"), zeros),
        }
    }
}

/// A DequantizeLinear of stored integers.
fn dequantize(
    graph: &mut Graph,
    name: &str,
    stored: Stored,
    axis: Option<i64>,
    block: Option<usize>,
) -> (NodeId, ValueId) {
    let new = NewNode {
        op_type: "DequantizeLinear",
        name: &format!("{name}_DequantizeLinear"),
        inputs: vec![Some(stored.integers), Some(stored.scale), Some(stored.zero_point)],
        ints: axis.map(|axis| ("axis", axis)).into_iter().chain(block.map(|b| ("block_size", b as i64))).collect(),
    };
    graph.add_node(new, &format!("{name}_DequantizeLinear_Output"))
}
