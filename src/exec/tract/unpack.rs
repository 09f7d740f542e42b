//! Weights that tract has no type or operator for: integers of fewer than 8 bits, floating-point numbers of 8 bits, and scales
//! by block. They are known, so
//! their real numbers are written into the model before tract reads it.

use super::float8;
use super::mend::Scope;
use crate::quant::Cut;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

/// Nothing in the place of a DequantizeLinear of constants that tract cannot run, whose output becomes a constant; the node
/// itself otherwise.
pub fn unpacked(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let attribute = |name: &str| found.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    let constant =
        |slot: usize| found.input.get(slot).filter(|name| !name.is_empty()).and_then(|name| scope.constant(name));
    let Some((integers, scales)) = constant(0).zip(constant(1)) else { return vec![found] };
    let block = attribute("block_size").unwrap_or(0);
    if block == 0 && bits(integers) == Some(8) && float8::kind(integers).is_none() {
        return vec![found];
    }
    let zeros = constant(2);
    let axis = attribute("axis").unwrap_or(1);
    match dequantized(integers, scales, zeros, axis, block) {
        Some(raw_data) => {
            let name = found.output.first().cloned().unwrap_or_default();
            let (dims, data_type) = (integers.dims.clone(), DataType::Float as i32);
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
    let unknown = |t: &TensorProto| bits(t).is_some_and(|bits| bits < 8) || float8::kind(t).is_some();
    initializer.retain(|t| !unknown(t) || read(&t.name));
}

/// The element types of 2 bits, of which the engine's messages know nothing.
const UINT2: i32 = crate::tensor::DataType::Uint2 as i32;
const INT2: i32 = crate::tensor::DataType::Int2 as i32;

fn bits(tensor: &TensorProto) -> Option<usize> {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Int8 | DataType::Uint8 | DataType::Float8e4m3fn | DataType::Float8e5m2) => Some(8),
        Ok(DataType::Int4 | DataType::Uint4) => Some(4),
        Err(_) if matches!(tensor.data_type, UINT2 | INT2) => Some(2),
        _ => None,
    }
}

/// The integers of a tensor, read where they are packed: unpacked they would take eight times the room.
struct Packed<'a> {
    bytes: &'a [u8],
    bits: usize,
    signed: bool,
}

impl<'a> Packed<'a> {
    /// Those of a tensor of `count` elements; `None` where it holds another number.
    fn of(tensor: &'a TensorProto, count: usize) -> Option<Self> {
        let int = |ty: DataType| tensor.data_type == ty as i32;
        let signed = int(DataType::Int8) || int(DataType::Int4) || tensor.data_type == INT2;
        let bits = bits(tensor)?;
        let whole = tensor.raw_data.len() == count.checked_mul(bits)?.div_ceil(8);
        whole.then_some(Self { bytes: &tensor.raw_data, bits, signed })
    }

    fn get(&self, i: usize) -> Option<i32> {
        let each = 8 / self.bits;
        // Upper bits out, then down: with the sign or without.
        let byte = self.bytes.get(i / each)? << (8 - self.bits - i % each * self.bits);
        Some(if self.signed { i32::from(byte as i8 >> (8 - self.bits)) } else { i32::from(byte >> (8 - self.bits)) })
    }
}

/// The bytes of a tensor of type `dtype`.
pub fn bytes_of(tensor: &TensorProto, dtype: DataType) -> Option<&[u8]> {
    (tensor.data_type == dtype as i32 && !tensor.raw_data.is_empty()).then_some(tensor.raw_data.as_slice())
}

/// The numbers of a float32 tensor.
pub fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let (chunks, rest) = tensor.raw_data.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The bytes of `(q - zero) * scale` in float32, with the scale of the tensor, of the index along the axis, or of the block;
/// `None` where the constants do not fit each other.
fn dequantized(
    quantized: &TensorProto,
    scales: &TensorProto,
    zeros: Option<&TensorProto>,
    axis: i64,
    block: i64,
) -> Option<Vec<u8>> {
    let shape: Vec<usize> = quantized.dims.iter().map(|&d| usize::try_from(d).ok()).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
    let float = float8::kind(quantized);
    let quantized = Packed::of(quantized, count)?;
    let scales = floats(scales)?;
    let zeros = match zeros {
        Some(zeros) => Some(Packed::of(zeros, scales.len())?),
        None => None,
    };
    let rank = shape.len() as i64;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok().filter(|&a| a < shape.len());
    let cut = match scales.len() {
        1 => Cut::new(&shape, None, None),
        _ => Cut::new(&shape, Some(axis?), usize::try_from(block).ok().filter(|&block| block > 0)),
    }?;
    let mut bytes = Vec::with_capacity(count.checked_mul(size_of::<f32>())?);
    // Where there are elements, no size is zero.
    for i in 0..count {
        let grid = cut.grid(i);
        let zero = zeros.as_ref().map_or(Some(0), |zeros| zeros.get(grid))?;
        let steps = match float {
            // Its zero point is zero.
            Some(kind) => kind.decode(*quantized.bytes.get(i)?),
            None => (quantized.get(i)? - zero) as f32,
        };
        let value = steps * scales.get(grid)?;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(data_type: DataType, dims: &[i64], raw_data: &[u8]) -> TensorProto {
        TensorProto {
            data_type: data_type as i32,
            dims: dims.to_vec(),
            raw_data: raw_data.to_vec(),
            ..Default::default()
        }
    }

    fn scales(dims: &[i64], values: &[f32]) -> TensorProto {
        tensor(DataType::Float, dims, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>())
    }

    fn values(bytes: Option<Vec<u8>>) -> Vec<f32> {
        bytes.expect("constants that fit").chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    #[test]
    fn nibbles_have_signs_zero_points_and_blocks() {
        // 1, -1, 7, -8, 3
        let signed = tensor(DataType::Int4, &[5], &[0xf1, 0x87, 0x03]);
        assert_eq!(values(dequantized(&signed, &scales(&[], &[2.0]), None, 1, 0)), [2.0, -2.0, 14.0, -16.0, 6.0]);
        let by_block = values(dequantized(&signed, &scales(&[3], &[1.0, 10.0, 100.0]), None, 0, 2));
        assert_eq!(by_block, [1.0, -1.0, 70.0, -80.0, 300.0]);
        let twos = |code: i32, dims: &[i64], bytes: &[u8]| TensorProto {
            data_type: code,
            ..tensor(DataType::Int8, dims, bytes)
        };
        // 0, 1, 2 or -2, 3 or -1, and 1 in the next byte.
        let found = |code| values(dequantized(&twos(code, &[5], &[0b1110_0100, 1]), &scales(&[], &[3.0]), None, 1, 0));
        assert_eq!((found(UINT2), found(INT2)), (vec![0.0, 3.0, 6.0, 9.0, 3.0], vec![0.0, 3.0, -6.0, -3.0, 3.0]));
        let (integers, zero) = (twos(UINT2, &[3], &[0b11_1001]), twos(UINT2, &[2], &[0b0111]));
        assert_eq!(values(dequantized(&integers, &scales(&[2], &[1.0, 5.0]), Some(&zero), 0, 2)), [-2.0, -1.0, 10.0]);
        let (unsigned, zero) = (tensor(DataType::Uint4, &[2, 1], &[0xf1]), tensor(DataType::Uint4, &[2], &[0x81]));
        assert_eq!(values(dequantized(&unsigned, &scales(&[2], &[1.0, 1.0]), Some(&zero), 0, 0)), [0.0, 7.0]);
    }

    #[test]
    fn constants_that_do_not_fit_are_left_to_the_engine() {
        let two = scales(&[2], &[1.0, 2.0]);
        let eight = |dims: &[i64], count: usize| tensor(DataType::Int8, dims, &vec![1; count]);
        for (integers, axis, block) in [
            (eight(&[4], 3), 0, 0),
            (eight(&[4], 4), 1, 0),
            (eight(&[4], 4), 0, 1),
            (eight(&[-4], 4), 0, 2),
            (eight(&[1 << 61], 0), 0, 2),
            (eight(&[i64::MAX, 4], 4), 0, 2),
            (tensor(DataType::Int4, &[1 << 62], &[]), 0, i64::MAX),
        ] {
            assert!(dequantized(&integers, &two, None, axis, block).is_none(), "{:?}", integers.dims);
        }
        assert!(dequantized(&eight(&[4], 4), &two, Some(&eight(&[3], 3)), 0, 2).is_none());
        assert!(values(dequantized(&eight(&[0, 3], 0), &two, None, 0, 2)).is_empty());
    }
}
