//! Tensors and element types to and from tract's.

use crate::tensor::{DataType, Tensor, TensorType};
use bytes::Bytes;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

const TYPES: [(DataType, DatumType); 13] = [
    (DataType::Float32, DatumType::F32),
    (DataType::Float16, DatumType::F16),
    (DataType::Float64, DatumType::F64),
    (DataType::Bool, DatumType::Bool),
    (DataType::Uint8, DatumType::U8),
    (DataType::Uint16, DatumType::U16),
    (DataType::Uint32, DatumType::U32),
    (DataType::Uint64, DatumType::U64),
    (DataType::Int8, DatumType::I8),
    (DataType::Int16, DatumType::I16),
    (DataType::Int32, DatumType::I32),
    (DataType::Int64, DatumType::I64),
    // Shapes are symbolic integers inside tract; concrete ones come out as int64.
    (DataType::Int64, DatumType::TDim),
];

/// tract's element type for ours.
pub fn datum_type(dtype: DataType) -> TractResult<DatumType> {
    let found = TYPES.iter().find(|(ours, _)| *ours == dtype);
    found.map(|(_, theirs)| *theirs).with_context(|| format!("tract has no {dtype} tensors"))
}

/// What is known of a value of type `ty`. `symbol` names a dimension that varies: with a name tract can calculate, while a
/// dimension of which nothing is known ends its analysis at the first broadcast.
pub fn fact(ty: &TensorType, mut symbol: impl FnMut() -> TDim) -> TractResult<InferenceFact> {
    let dims: TVec<TDim> = ty.dims.iter().map(|d| d.map_or_else(&mut symbol, |d| d.to_dim())).collect();
    Ok(InferenceFact::dt_shape(datum_type(ty.dtype)?, &dims))
}

/// The type that a fact tells, if it tells element type and rank.
pub fn tensor_type(fact: &InferenceFact) -> Option<TensorType> {
    let theirs = fact.datum_type.concretize()?;
    let (dtype, _) = TYPES.iter().find(|(_, t)| *t == theirs.unquantized())?;
    fact.shape.rank().concretize()?;
    let dims = fact.shape.dims().map(|d| d.concretize()?.to_usize().ok());
    Some(TensorType { dtype: *dtype, dims: dims.collect() })
}

/// A copy of the tensor for tract.
pub fn to_tract(tensor: &Tensor) -> TractResult<tract_onnx::prelude::Tensor> {
    // SAFETY of the bytes: the element count was checked when the tensor was made, and every bit pattern is a number.
    let dtype = datum_type(tensor.dtype())?;
    if dtype == DatumType::Bool && tensor.bytes().iter().any(|&b| b > 1) {
        bail!("a bool tensor holds bytes other than 0 and 1");
    }
    #[expect(unsafe_code, reason = "tract's only constructor from bytes; see above")]
    unsafe {
        tract_onnx::prelude::Tensor::from_raw_dt(dtype, tensor.shape(), tensor.bytes())
    }
}

/// A copy of the tensor for us.
pub fn from_tract(value: &tract_onnx::prelude::Tensor) -> TractResult<Tensor> {
    let unquantized = value.datum_type().unquantized();
    let found = TYPES.iter().find(|(_, theirs)| *theirs == unquantized);
    let (ours, _) = found.with_context(|| format!("no ONNX type for tract's {unquantized:?}"))?;
    let cast;
    let plain = if unquantized == DatumType::TDim {
        cast = value.cast_to::<i64>()?;
        &*cast
    } else {
        value
    };
    let bytes = Bytes::copy_from_slice(plain.try_as_plain_ram()?.as_bytes());
    Tensor::new(*ours, plain.shape().to_vec(), bytes).map_err(|e| format_err!("{e}"))
}
