//! What a DequantizeLinear stands for: integers and their grid.

use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::qoperators::{Channels, Form, Part};
use crate::tensor::{DataType, Tensor, element_count};

/// Scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grid {
    pub scale: ValueId,
    pub zero_point: ValueId,
}

impl Grid {
    /// That of a QuantizeLinear or DequantizeLinear.
    pub fn of(graph: &Graph, node: NodeId) -> Option<Self> {
        let node = graph.node(node);
        Some(Self { scale: node.input(1)?, zero_point: node.input(2)? })
    }
}

/// What an input reads through a DequantizeLinear.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    pub integers: ValueId,
    pub grid: Grid,
    axis: i64,
}

impl Operand {
    /// Input `slot` of `id`, if it is read through a DequantizeLinear without blocks.
    pub fn of(graph: &Graph, id: NodeId, slot: usize) -> Option<Self> {
        let dequantize = graph.value(graph.node(id).input(slot)?).producer()?;
        let node = graph.node(dequantize);
        if !node.is("DequantizeLinear") || node.attributes().int("block_size").unwrap_or(0) != 0 {
            return None;
        }
        let axis = node.attributes().int("axis").unwrap_or(1);
        Some(Self { integers: node.input(0)?, grid: Grid::of(graph, dequantize)?, axis })
    }

    /// The type of its integers, which have 8 bits.
    pub fn dtype(&self, graph: &Graph) -> std::result::Result<DataType, String> {
        match graph.known_type(self.grid.zero_point).map(|ty| ty.dtype) {
            Some(dtype @ (DataType::Uint8 | DataType::Int8)) => Ok(dtype),
            Some(dtype) => Err(format!("operators on integers take 8 bits, not {dtype}")),
            None => Err("the type of its integers is not known".to_owned()),
        }
    }

    /// How many scales there are.
    fn scales(&self, graph: &Graph) -> Option<usize> {
        let dims: Option<Vec<usize>> = graph.known_type(self.grid.scale)?.dims.into_iter().collect();
        element_count(&dims?)
    }

    /// The numbers of stored integers of 32 bits whose scales lie along `axis`.
    pub fn numbers(&self, graph: &Graph, axis: usize) -> Result<Option<Tensor>> {
        let (Some(integers), Some(scales)) = (graph.constant(self.integers)?, graph.constant(self.grid.scale)?) else {
            return Ok(None);
        };
        if integers.dtype() != DataType::Int32 || integers.shape().len() <= axis {
            return Ok(None);
        }
        let (values, scales) = (integers.to_i64()?, scales.to_f32()?);
        let numbers: Vec<f32> = values.iter().zip(scales.iter().cycle()).map(|(&q, &scale)| q as f32 * scale).collect();
        let fits = scales.len() == 1 || scales.len() == values.len();
        Ok(fits.then(|| Tensor::from_f32(integers.shape().to_vec(), &numbers)))
    }
}

/// Whether `form` takes what `id` reads.
pub(super) fn fit(
    graph: &Graph,
    id: NodeId,
    form: &Form,
    parts: &[Part],
    operands: &[Option<Operand>],
) -> std::result::Result<(), String> {
    let mut first = None;
    for part in parts {
        let slot = match *part {
            Part::Integers(slot) => slot,
            // Left out, or to be there as integers.
            Part::Bias(slot) if graph.node(id).input(slot).is_some() && operands[slot].is_none() => {
                return Err("its bias is not int32".to_owned());
            }
            _ => continue,
        };
        let operand =
            operands.get(slot).copied().flatten().ok_or_else(|| format!("its input {slot} is not quantized"))?;
        let dtype = operand.dtype(graph)?;
        let weight = form.weight.filter(|_| slot == 1);
        match first {
            None => first = Some(dtype),
            Some(first) if first == dtype || weight.is_some() && first == DataType::Uint8 => {}
            Some(first) => return Err(format!("ONNX Runtime has no kernel for {first} with {dtype}")),
        }
        if operand.scales(graph) != Some(1) {
            let rank = graph.known_type(operand.integers).map_or(0, |ty| ty.dims.len() as i64);
            let axis = match weight {
                Some(Channels::Axis(axis)) => axis.rem_euclid(rank.max(1)),
                Some(Channels::OfGemm) => i64::from(graph.node(id).attributes().int("transB").unwrap_or(0) == 0),
                None => return Err(format!("its input {slot} has a scale for each channel")),
            };
            if operand.axis.rem_euclid(rank.max(1)) != axis {
                return Err(format!("its weights have their scales along axis {}, not {axis}", operand.axis));
            }
        }
    }
    Ok(())
}

/// Whether `bias` is in steps of the product of the scales of the first two operands, bit for bit.
pub(super) fn is_on_products(graph: &Graph, bias: &Operand, operands: &[Option<Operand>]) -> Result<bool> {
    let scales =
        |operand: Option<&Operand>| operand.map(|o| graph.constant(o.grid.scale)).transpose().map(Option::flatten);
    let input = scales(operands.first().and_then(Option::as_ref))?;
    let weight = scales(operands.get(1).and_then(Option::as_ref))?;
    let (Some(bias), Some(input), Some(weight)) = (scales(Some(bias))?, input, weight) else { return Ok(false) };
    let (bias, input, weight) = (bias.to_f32()?, input.to_f32()?, weight.to_f32()?);
    let [input] = input[..] else { return Ok(false) };
    let same = bias.iter().zip(weight.iter()).all(|(bias, weight)| bias.to_bits() == (input * weight).to_bits());
    Ok(bias.len() == weight.len() && same)
}
