//! ONNX's `TensorProto` as it stands alone in a `.pb` file of test data: only the fields that carry numbers.

use crate::error::{Error, Result};
use crate::tensor::{DataType, Tensor, element_count};
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// The message; field numbers are those of `onnx.proto3`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    pub name: String,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// 1 where the elements lie in another file.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// The tensor in the bytes of a `.pb` file.
///
/// # Errors
/// When they are not such a message, or its elements are not as many as its shape needs.
pub(super) fn decode(bytes: Bytes) -> std::result::Result<Tensor, String> {
    let proto = TensorProto::decode(bytes).map_err(|error| format!("not an ONNX tensor: {error}"))?;
    let dtype = DataType::from_onnx(proto.data_type)
        .ok_or_else(|| format!("not an ONNX tensor: there is no data type {}", proto.data_type))?;
    if proto.data_location != 0 {
        return Err("its elements lie in another file, which test data do not do".to_owned());
    }
    let shape = proto.dims.iter().map(|&d| usize::try_from(d)).collect::<std::result::Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("its shape {:?} has a negative size", proto.dims))?;
    let data = match &proto.raw_data {
        Some(raw) if !raw.is_empty() => raw.clone(),
        _ => typed_data(&proto, dtype)?,
    };
    if element_count(&shape).is_none() {
        return Err(format!("its shape {shape:?} is larger than memory can be"));
    }
    Tensor::new(dtype, shape, data).map_err(|error| error.to_string())
}

/// Reads the tensor in the `.pb` file at `path`.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn load_tensor(path: &Path) -> Result<Tensor> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    decode(bytes.into()).map_err(|why| Error::file(path, why))
}

/// Writes `tensor`, called `name`, to a `.pb` file at `path`.
///
/// # Errors
/// When the file cannot be written.
pub fn save_tensor(path: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    std::fs::write(path, encode(name, tensor)).map_err(|e| Error::file(path, format!("cannot be written: {e}")))
}

/// The bytes of a `.pb` file with `tensor`, called `name`.
pub(super) fn encode(name: &str, tensor: &Tensor) -> Vec<u8> {
    let dims = tensor.shape().iter().map(|&d| d as i64).collect();
    let (data_type, raw_data) = (tensor.dtype().onnx(), Some(tensor.bytes().clone()));
    TensorProto { dims, data_type, name: name.to_owned(), raw_data, ..TensorProto::default() }.encode_to_vec()
}

/// The bytes of the elements where they are not raw: each type has one field that may hold it.
fn typed_data(proto: &TensorProto, dtype: DataType) -> std::result::Result<Bytes, String> {
    // ONNX keeps everything below 32 bits in 32-bit integers, of which the low bytes count.
    let low = |bytes: usize| -> Vec<u8> {
        proto.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(bytes)).collect()
    };
    let bytes = match dtype {
        DataType::Float32 => bytemuck::cast_slice(&proto.float_data).to_vec(),
        DataType::Float64 => bytemuck::cast_slice(&proto.double_data).to_vec(),
        DataType::Int64 => bytemuck::cast_slice(&proto.int64_data).to_vec(),
        DataType::Uint64 => bytemuck::cast_slice(&proto.uint64_data).to_vec(),
        DataType::Uint32 => proto.uint64_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(4)).collect(),
        DataType::Int32 => low(4),
        DataType::Int16 | DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => low(2),
        DataType::Int8 | DataType::Uint8 | DataType::Bool => low(1),
        other => return Err(format!("elements of {other} are read from raw_data only, which is empty")),
    };
    Ok(bytes.into())
}
