//! `TensorProto` and `TypeProto` to and from the plain types of `tensor.rs`.

use crate::error::{Error, Result};
use crate::proto::tensor_shape_proto::dimension::Value as Dim;
use crate::proto::type_proto::{self, Value as Kind};
use crate::proto::{TensorProto, TypeProto};
use crate::tensor::{DataType, Tensor, TensorType, element_count};
use bytes::Bytes;

/// The tensor that a message holds. `raw_data` is shared, typed fields are packed.
///
/// # Errors
/// When the element type is unknown or a string, or the elements are not as many as the shape says.
pub fn tensor_from_proto(proto: &TensorProto) -> Result<Tensor> {
    let code = proto.data_type();
    let dtype = DataType::from_onnx(code).ok_or_else(|| Error::other(format!("unknown tensor element type {code}")))?;
    let shape = proto.dims.iter().map(|&d| usize::try_from(d)).collect::<std::result::Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| Error::other(format!("a tensor dimension is negative: {:?}", proto.dims)))?;
    if proto.segment.is_some() {
        return Err(Error::other("the tensor is stored in segments, which no runtime reads"));
    }
    match &proto.raw_data {
        Some(raw) => Tensor::new(dtype, shape, raw.clone()),
        None => {
            let data = packed_elements(proto, dtype)?;
            if element_count(&shape) == Some(0) {
                return Tensor::new(dtype, shape, Bytes::new());
            }
            Tensor::new(dtype, shape, data)
        }
    }
}

/// The typed field of the message as little-endian bytes.
fn packed_elements(proto: &TensorProto, dtype: DataType) -> Result<Bytes> {
    fn pack<T, const N: usize>(values: &[T], bytes: impl Fn(&T) -> [u8; N]) -> Bytes {
        values.iter().flat_map(bytes).collect()
    }
    use DataType::*;
    Ok(match dtype {
        Float32 | Complex64 => pack(&proto.float_data, |v| v.to_le_bytes()),
        Float64 | Complex128 => pack(&proto.double_data, |v| v.to_le_bytes()),
        Int64 => pack(&proto.int64_data, |v| v.to_le_bytes()),
        Uint64 => pack(&proto.uint64_data, |v| v.to_le_bytes()),
        Uint32 => pack(&proto.uint64_data, |v| (*v as u32).to_le_bytes()),
        Int32 => pack(&proto.int32_data, |v| v.to_le_bytes()),
        // Narrower types sit in int32 fields, one element each; half floats as their bits.
        Int16 | Uint16 | Float16 | Bfloat16 => pack(&proto.int32_data, |v| (*v as u16).to_le_bytes()),
        String => return Err(Error::other("a tensor of strings has no numbers")),
        // Bytes, and types below 8 bits, which are packed already.
        _ => pack(&proto.int32_data, |v| [*v as u8]),
    })
}

/// The message of `tensor`, under `name`, with `raw_data`.
pub fn tensor_to_proto(name: &str, tensor: &Tensor) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(tensor.dtype().onnx()),
        dims: tensor.shape().iter().map(|&d| d as i64).collect(),
        raw_data: Some(tensor.bytes().clone()),
        ..TensorProto::default()
    }
}

/// The tensor type that a message states, if it is a dense tensor of known rank.
pub(super) fn tensor_type(proto: &TypeProto) -> Option<TensorType> {
    let Some(Kind::TensorType(tensor)) = &proto.value else { return None };
    let dims = tensor.shape.as_ref()?.dim.iter();
    let dims = dims.map(|d| match d.value {
        Some(Dim::DimValue(n)) => usize::try_from(n).ok(),
        _ => None,
    });
    Some(TensorType { dtype: DataType::from_onnx(tensor.elem_type())?, dims: dims.collect() })
}

/// The element type of a tensor type.
pub(super) fn stated_element_type(proto: &TypeProto) -> Option<DataType> {
    let Some(Kind::TensorType(tensor)) = &proto.value else { return None };
    DataType::from_onnx(tensor.elem_type())
}

/// Changes the element type of a tensor type; other types stay.
pub(super) fn set_element_type(proto: &mut TypeProto, dtype: DataType) {
    if let Some(Kind::TensorType(tensor)) = &mut proto.value {
        tensor.elem_type = Some(dtype.onnx());
    }
}

/// The message of a tensor type of unknown rank.
pub(super) fn element_type(dtype: DataType) -> TypeProto {
    let tensor = type_proto::Tensor { elem_type: Some(dtype.onnx()), shape: None };
    TypeProto { value: Some(Kind::TensorType(tensor)), denotation: None }
}
