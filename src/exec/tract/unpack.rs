//! Weights that tract has no type or operator for: integers of fewer than 8 bits, and scales by block. They are known, so
//! their real numbers are written into the model before tract reads it.

use super::mend::Scope;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Nothing in the place of a DequantizeLinear of constants that tract cannot run, whose output becomes a constant; the node
/// itself otherwise.
pub fn unpacked(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let attribute = |name: &str| found.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    let constant = |slot: usize| {
        let name = found.input.get(slot).filter(|name| !name.is_empty())?;
        scope.initializers.iter().find(|t| t.name == *name)
    };
    let Some((integers, scales)) = constant(0).zip(constant(1)) else { return vec![found] };
    let block = attribute("block_size").unwrap_or(0);
    if block == 0 && bits(integers) == Some(8) {
        return vec![found];
    }
    let zeros = constant(2);
    let axis = attribute("axis").unwrap_or(1);
    match dequantized(integers, scales, zeros, axis, block) {
        Some(values) => {
            let name = found.output.first().cloned().unwrap_or_default();
            let (dims, data_type) = (integers.dims.clone(), DataType::Float as i32);
            let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            scope.initializers.push(TensorProto { name, dims, data_type, raw_data, ..TensorProto::default() });
            vec![]
        }
        None => vec![found],
    }
}

/// Takes out the integers that were unpacked: tract stops at a type that it does not know, even where nobody reads it.
pub fn forget(graph: &mut GraphProto) {
    let GraphProto { initializer, node, .. } = graph;
    let read = |name: &String| node.iter().any(|n| n.input.contains(name));
    initializer.retain(|t| bits(t) != Some(4) || read(&t.name));
}

fn bits(tensor: &TensorProto) -> Option<usize> {
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int8 | DataType::Uint8 => Some(8),
        DataType::Int4 | DataType::Uint4 => Some(4),
        _ => None,
    }
}

/// The integers of a tensor of `count` elements.
fn integers(tensor: &TensorProto, count: usize) -> Option<Vec<i32>> {
    let signed = matches!(DataType::try_from(tensor.data_type).ok()?, DataType::Int8 | DataType::Int4);
    let bits = bits(tensor)?;
    if tensor.raw_data.len() != (count * bits).div_ceil(8) {
        return None;
    }
    let each = 8 / bits;
    let one = |i: usize| {
        let shift = 8 - bits - i % each * bits;
        // Upper bits out, then down: with the sign or without.
        let byte = tensor.raw_data[i / each] << shift;
        if signed { i32::from(byte as i8 >> (8 - bits)) } else { i32::from(byte >> (8 - bits)) }
    };
    Some((0..count).map(one).collect())
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let (chunks, rest) = tensor.raw_data.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// `(q - zero) * scale`, with the scale of the tensor, of the index along the axis, or of the block; `None` where the
/// constants do not fit each other.
fn dequantized(
    quantized: &TensorProto,
    scales: &TensorProto,
    zeros: Option<&TensorProto>,
    axis: i64,
    block: i64,
) -> Option<Vec<f32>> {
    let shape: Vec<usize> = quantized.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let quantized = integers(quantized, count)?;
    let scales = floats(scales)?;
    let zeros = match zeros {
        Some(zeros) => integers(zeros, scales.len())?,
        None => vec![0; scales.len()],
    };
    let rank = shape.len() as i64;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&a| a < shape.len());
    let (length, inner) = match axis {
        Some(axis) => (shape[axis], shape[axis + 1..].iter().product::<usize>().max(1)),
        None => (1, 1),
    };
    let grid = |i: usize| match usize::try_from(block) {
        _ if scales.len() == 1 => 0,
        Ok(block) if block > 0 => {
            let (outer, at) = (i / inner / length, i / inner % length);
            (outer * length.div_ceil(block) + at / block) * inner + i % inner
        }
        _ => i / inner % length,
    };
    if count > 0 && (axis.is_none() && scales.len() != 1 || grid(count - 1) >= scales.len()) {
        return None;
    }
    let value = |(i, &q): (usize, &i32)| {
        let grid = grid(i);
        Some((q - zeros.get(grid)?) as f32 * scales.get(grid)?)
    };
    quantized.iter().enumerate().map(value).collect()
}
