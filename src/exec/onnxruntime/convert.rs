//! Tensors to and from ONNX Runtime's.

use crate::error::{Error, Result};
use crate::tensor::{DataType, Tensor, element_count};
use bytemuck::{NoUninit, Pod};
use bytes::Bytes;
use half::{bf16, f16};
use ort::memory::Allocator;
use ort::session::SessionInputValue;
use ort::tensor::{PrimitiveTensorElementType, TensorElementType as Kind};
use ort::value::{DynValue, Tensor as OrtTensor, ValueType};
use std::fmt::Debug;

/// A copy of the tensor for ONNX Runtime.
///
/// # Errors
/// When it has no tensors of this type.
pub fn to_ort(tensor: &Tensor) -> Result<SessionInputValue<'static>> {
    match tensor.dtype() {
        DataType::Float32 => plain::<f32>(tensor),
        DataType::Float64 => plain::<f64>(tensor),
        DataType::Uint8 => plain::<u8>(tensor),
        DataType::Uint16 => plain::<u16>(tensor),
        DataType::Uint32 => plain::<u32>(tensor),
        DataType::Uint64 => plain::<u64>(tensor),
        DataType::Int8 => plain::<i8>(tensor),
        DataType::Int16 => plain::<i16>(tensor),
        DataType::Int32 => plain::<i32>(tensor),
        DataType::Int64 => plain::<i64>(tensor),
        DataType::Bool => owned(tensor, tensor.bytes().iter().map(|&b| b != 0).collect::<Vec<bool>>()),
        DataType::Float16 => owned(tensor, bits(tensor).into_iter().map(f16::from_bits).collect()),
        DataType::Bfloat16 => owned(tensor, bits(tensor).into_iter().map(bf16::from_bits).collect()),
        other => Err(Error::Engine(format!("ONNX Runtime is not given tensors of type {other} here"))),
    }
}

fn bits(tensor: &Tensor) -> Vec<u16> {
    bytemuck::pod_collect_to_vec(tensor.bytes())
}

fn plain<T: Pod + PrimitiveTensorElementType + Debug>(tensor: &Tensor) -> Result<SessionInputValue<'static>> {
    owned(tensor, bytemuck::pod_collect_to_vec::<u8, T>(tensor.bytes()))
}

fn owned<T: PrimitiveTensorElementType + Debug + Clone + 'static>(
    tensor: &Tensor,
    elements: Vec<T>,
) -> Result<SessionInputValue<'static>> {
    let shape: Vec<i64> = tensor.shape().iter().map(|&d| d as i64).collect();
    // Without an element there is nothing to take over.
    let value = match elements.is_empty() {
        true => OrtTensor::<T>::new(&Allocator::default(), shape),
        false => OrtTensor::from_array((shape, elements)),
    };
    Ok(value.map_err(|e| Error::Engine(format!("ONNX Runtime does not take a tensor: {e}")))?.into())
}

/// A copy of the value for us.
///
/// # Errors
/// When it is no tensor of numbers of 8 bits or more.
pub fn from_ort(value: &DynValue) -> Result<Tensor> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(Error::Engine(format!("an output is no tensor, but {}", value.dtype())));
    };
    match ty {
        Kind::Float32 => read::<f32>(value, DataType::Float32),
        Kind::Float64 => read::<f64>(value, DataType::Float64),
        Kind::Uint8 => read::<u8>(value, DataType::Uint8),
        Kind::Uint16 => read::<u16>(value, DataType::Uint16),
        Kind::Uint32 => read::<u32>(value, DataType::Uint32),
        Kind::Uint64 => read::<u64>(value, DataType::Uint64),
        Kind::Int8 => read::<i8>(value, DataType::Int8),
        Kind::Int16 => read::<i16>(value, DataType::Int16),
        Kind::Int32 => read::<i32>(value, DataType::Int32),
        Kind::Int64 => read::<i64>(value, DataType::Int64),
        Kind::Bool => read::<bool>(value, DataType::Bool),
        Kind::Float16 => halves::<f16>(value, DataType::Float16, |v| v.to_bits()),
        Kind::Bfloat16 => halves::<bf16>(value, DataType::Bfloat16, |v| v.to_bits()),
        other => Err(Error::Engine(format!("an output is a tensor of type {other}, which cannot be read"))),
    }
}

/// The elements of a float32 value where they lie, with their shape; `None` for one of another type.
pub fn floats(value: &DynValue) -> Option<(Vec<usize>, &[f32])> {
    matches!(value.dtype(), ValueType::Tensor { ty: Kind::Float32, .. }).then(|| extracted(value).ok()).flatten()
}

fn read<T: NoUninit + PrimitiveTensorElementType>(value: &DynValue, dtype: DataType) -> Result<Tensor> {
    let (shape, elements) = extracted::<T>(value)?;
    Tensor::new(dtype, shape, Bytes::copy_from_slice(bytemuck::cast_slice(elements)))
}

fn halves<T: PrimitiveTensorElementType>(value: &DynValue, dtype: DataType, bits: fn(&T) -> u16) -> Result<Tensor> {
    let (shape, elements) = extracted::<T>(value)?;
    let bits: Vec<u16> = elements.iter().map(bits).collect();
    Tensor::new(dtype, shape, Bytes::copy_from_slice(bytemuck::cast_slice(&bits)))
}

fn extracted<T: PrimitiveTensorElementType>(value: &DynValue) -> Result<(Vec<usize>, &[T])> {
    // Of a tensor without elements `ort` 2.0.0-rc.10 makes a slice that is not aligned, which aborts the program.
    if let ValueType::Tensor { shape, .. } = value.dtype()
        && shape.contains(&0)
    {
        return Ok((sizes(shape)?, &[]));
    }
    let (shape, elements) =
        value.try_extract_tensor::<T>().map_err(|e| Error::Engine(format!("an output cannot be read: {e}")))?;
    Ok((sizes(shape)?, elements))
}

fn sizes(shape: &[i64]) -> Result<Vec<usize>> {
    let sizes: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
    sizes
        .filter(|sizes| element_count(sizes).is_some())
        .ok_or_else(|| Error::Engine(format!("an output has the shape {shape:?}")))
}
