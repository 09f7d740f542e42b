//! A dense tensor in memory: an element type, a shape, and little-endian bytes in C order.

use crate::error::{Error, Result};
use crate::mapped;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// ONNX element types, with the numbers of `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i32)]
#[expect(missing_docs, reason = "the variants are ONNX's own names")]
pub enum DataType {
    Float32 = 1,
    Uint8 = 2,
    Int8 = 3,
    Uint16 = 4,
    Int16 = 5,
    Int32 = 6,
    Int64 = 7,
    String = 8,
    Bool = 9,
    Float16 = 10,
    Float64 = 11,
    Uint32 = 12,
    Uint64 = 13,
    Complex64 = 14,
    Complex128 = 15,
    Bfloat16 = 16,
    Float8E4M3Fn = 17,
    Float8E4M3FnUz = 18,
    Float8E5M2 = 19,
    Float8E5M2FnUz = 20,
    Uint4 = 21,
    Int4 = 22,
    Float4E2M1 = 23,
    Float8E8M0 = 24,
    Uint2 = 25,
    Int2 = 26,
    Float6E2M3 = 27,
    Float6E3M2 = 28,
}

use DataType::*;

const ALL: [DataType; 28] = [
    Float32,
    Uint8,
    Int8,
    Uint16,
    Int16,
    Int32,
    Int64,
    String,
    Bool,
    Float16,
    Float64,
    Uint32,
    Uint64,
    Complex64,
    Complex128,
    Bfloat16,
    Float8E4M3Fn,
    Float8E4M3FnUz,
    Float8E5M2,
    Float8E5M2FnUz,
    Uint4,
    Int4,
    Float4E2M1,
    Float8E8M0,
    Uint2,
    Int2,
    Float6E2M3,
    Float6E3M2,
];

impl DataType {
    /// The type with ONNX's number `code`, if there is one.
    pub fn from_onnx(code: i32) -> Option<Self> {
        ALL.get(usize::try_from(code).ok()?.checked_sub(1)?).copied()
    }

    /// ONNX's number of the type.
    pub fn onnx(self) -> i32 {
        self as i32
    }

    /// Bits that one element takes in `raw_data`; `None` for strings.
    pub fn bits(self) -> Option<usize> {
        Some(match self {
            String => return None,
            Uint2 | Int2 => 2,
            Uint4 | Int4 | Float4E2M1 => 4,
            Float6E2M3 | Float6E3M2 => 6,
            Uint8 | Int8 | Bool | Float8E4M3Fn | Float8E4M3FnUz | Float8E5M2 | Float8E5M2FnUz | Float8E8M0 => 8,
            Uint16 | Int16 | Float16 | Bfloat16 => 16,
            Float32 | Int32 | Uint32 => 32,
            Float64 | Int64 | Uint64 | Complex64 => 64,
            Complex128 => 128,
        })
    }

    /// Whether the type is a real floating-point type of 16 bits or more.
    pub fn is_float(self) -> bool {
        matches!(self, Float32 | Float16 | Float64 | Bfloat16)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// The element type and shape of a value; `None` is a dimension known only at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DataType,
    /// Dimensions; `None` where the dimension varies.
    pub dims: Vec<Option<usize>>,
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.dims.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect();
        write!(f, "{}[{}]", self.dtype, dims.join(","))
    }
}

/// The number of elements of `shape`, or `None` where it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
}

/// Elements of a piece of a tensor.
const PIECE: usize = 1 << 20;

/// A dense tensor. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DataType,
    shape: Vec<usize>,
    data: Bytes,
}

impl Tensor {
    /// A tensor over `data`: little-endian, C order, sub-byte elements packed from the low bits, no padding between rows.
    ///
    /// # Errors
    /// When the number of bytes is not what type and shape need.
    pub fn new(dtype: DataType, shape: Vec<usize>, data: Bytes) -> Result<Self> {
        let bits = dtype.bits().ok_or_else(|| Error::other("a string tensor has no raw bytes"))?;
        let want = element_count(&shape).and_then(|n| n.checked_mul(bits)).map(|b| b.div_ceil(8));
        if want != Some(data.len()) {
            let want = want.map_or("more than memory can hold".to_owned(), |w| format!("{w}"));
            return Err(Error::other(format!(
                "{dtype} tensor of shape {shape:?} needs {want} bytes, found {}",
                data.len()
            )));
        }
        Ok(Self { dtype, shape, data })
    }

    fn from_pod<T: bytemuck::Pod + Send + 'static>(dtype: DataType, shape: Vec<usize>, values: &[T]) -> Self {
        assert_eq!(element_count(&shape), Some(values.len()), "shape {shape:?} and {} values", values.len());
        Self { dtype, shape, data: Bytes::copy_from_slice(bytemuck::cast_slice(values)) }
    }

    /// A float32 tensor. Panics when `shape` and the number of values differ.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self::from_pod(Float32, shape, values)
    }

    /// An int64 tensor. Panics when `shape` and the number of values differ.
    pub fn from_i64(shape: Vec<usize>, values: &[i64]) -> Self {
        Self::from_pod(Int64, shape, values)
    }

    /// An int32 tensor. Panics when `shape` and the number of values differ.
    pub fn from_i32(shape: Vec<usize>, values: &[i32]) -> Self {
        Self::from_pod(Int32, shape, values)
    }

    /// Element type.
    pub fn dtype(&self) -> DataType {
        self.dtype
    }

    /// Shape; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no element at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, as in ONNX's `raw_data`.
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The same elements in another shape of as many elements. Panics when the counts differ.
    #[must_use]
    pub fn reshaped(mut self, shape: Vec<usize>) -> Self {
        assert_eq!(element_count(&shape), Some(self.len()), "reshape {:?} to {shape:?}", self.shape);
        self.shape = shape;
        self
    }

    /// The same numbers, as float32 where they are of 16 bits.
    ///
    /// # Errors
    /// When its bytes are not those of its shape.
    pub fn widened(&self) -> Result<Self> {
        match self.dtype {
            Float16 | Bfloat16 => Ok(Self::from_f32(self.shape.clone(), &self.to_f32()?)),
            _ => Ok(self.clone()),
        }
    }

    /// The elements as `T`, borrowed where the bytes are aligned.
    fn view<T: bytemuck::Pod>(&self) -> Cow<'_, [T]> {
        match bytemuck::try_cast_slice(&self.data) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&self.data)),
        }
    }

    /// The elements as float32: borrowed where they are, widened or rounded from another real type otherwise.
    ///
    /// # Errors
    /// When the type is not a real number type of 8 bits or more.
    pub fn to_f32(&self) -> Result<Cow<'_, [f32]>> {
        Ok(match self.dtype {
            Float32 => self.view::<f32>(),
            Float16 => self.view::<u16>().iter().map(|&v| half::f16::from_bits(v).to_f32()).collect(),
            Bfloat16 => self.view::<u16>().iter().map(|&v| half::bf16::from_bits(v).to_f32()).collect(),
            Float64 => self.view::<f64>().iter().map(|&v| v as f32).collect(),
            Uint8 | Bool => self.data.iter().map(|&v| f32::from(v)).collect(),
            Int8 => self.view::<i8>().iter().map(|&v| f32::from(v)).collect(),
            Uint16 => self.view::<u16>().iter().map(|&v| f32::from(v)).collect(),
            Int16 => self.view::<i16>().iter().map(|&v| f32::from(v)).collect(),
            Int32 => self.view::<i32>().iter().map(|&v| v as f32).collect(),
            Uint32 => self.view::<u32>().iter().map(|&v| v as f32).collect(),
            Int64 => self.view::<i64>().iter().map(|&v| v as f32).collect(),
            Uint64 => self.view::<u64>().iter().map(|&v| v as f32).collect(),
            other => return Err(Error::other(format!("{other} elements cannot be read as float32"))),
        })
    }

    /// Some of the elements of a float32 tensor, in C order: borrowed where the bytes are aligned, so that a large tensor can
    /// be read piece by piece whatever its place in the file. Panics where the tensor has another type or fewer elements.
    fn f32_slice(&self, elements: Range<usize>) -> Cow<'_, [f32]> {
        assert_eq!(self.dtype, Float32, "the elements are not float32");
        let bytes = self.f32_bytes(elements);
        match bytemuck::try_cast_slice(bytes) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
        }
    }

    /// The bytes of some of the elements of a float32 tensor.
    fn f32_bytes(&self, elements: Range<usize>) -> &[u8] {
        &self.data[elements.start * size_of::<f32>()..elements.end * size_of::<f32>()]
    }

    /// A matrix with its axes exchanged, as float32. What is no matrix stays as it is.
    ///
    /// # Errors
    /// As [`Tensor::to_f32`].
    pub fn transposed(&self) -> Result<Self> {
        let &[rows, columns] = self.shape() else { return Ok(self.clone()) };
        let numbers = self.to_f32()?;
        let mut turned = vec![0f32; numbers.len()];
        // In squares, so that what is read and what is written both stay in the cache.
        const SIDE: usize = 32;
        for top in (0..rows).step_by(SIDE) {
            for left in (0..columns).step_by(SIDE) {
                for row in top..(top + SIDE).min(rows) {
                    for column in left..(left + SIDE).min(columns) {
                        turned[column * rows + row] = numbers[row * columns + column];
                    }
                }
            }
        }
        Ok(Self::from_f32(vec![columns, rows], &turned))
    }

    /// The elements of a float32 tensor in pieces that are worth a turn of a thread.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = Range<usize>> + Send + use<> {
        let count = self.len();
        (0..count.div_ceil(PIECE)).map(move |piece| piece * PIECE..((piece + 1) * PIECE).min(count))
    }

    /// Shows some of the elements of a float32 tensor. Of a mapped file they are in memory no longer than that. Panics
    /// where the tensor has another type or fewer elements.
    pub fn with_piece<T>(&self, elements: Range<usize>, look: impl FnOnce(&[f32]) -> T) -> T {
        let seen = look(&self.f32_slice(elements.clone()));
        mapped::let_go(self.f32_bytes(elements));
        seen
    }

    /// The elements as int64.
    ///
    /// # Errors
    /// When the type is not an integer type of 8 to 64 bits or bool, or a uint64 is past `i64::MAX`.
    pub fn to_i64(&self) -> Result<Cow<'_, [i64]>> {
        Ok(match self.dtype {
            Int64 => self.view::<i64>(),
            Uint8 | Bool => self.data.iter().map(|&v| i64::from(v)).collect(),
            Int8 => self.view::<i8>().iter().map(|&v| i64::from(v)).collect(),
            Uint16 => self.view::<u16>().iter().map(|&v| i64::from(v)).collect(),
            Int16 => self.view::<i16>().iter().map(|&v| i64::from(v)).collect(),
            Int32 => self.view::<i32>().iter().map(|&v| i64::from(v)).collect(),
            Uint32 => self.view::<u32>().iter().map(|&v| i64::from(v)).collect(),
            Uint64 => {
                let wide: std::result::Result<Vec<i64>, _> =
                    self.view::<u64>().iter().map(|&v| i64::try_from(v)).collect();
                Cow::Owned(wide.map_err(|_| Error::other("a uint64 element is past the int64 range"))?)
            }
            other => return Err(Error::other(format!("{other} elements cannot be read as int64"))),
        })
    }

    /// The first element as float32, if there is one and it is a real number.
    pub fn first_f32(&self) -> Option<f32> {
        self.to_f32().ok()?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_turned() {
        let numbers: Vec<f32> = (0..70 * 33).map(|i| i as f32).collect();
        let turned = Tensor::from_f32(vec![70, 33], &numbers).transposed().expect("numbers");
        assert_eq!(turned.shape(), [33, 70]);
        let found = turned.to_f32().expect("numbers");
        assert!((0..70 * 33).all(|i| found[i] == numbers[i % 70 * 33 + i / 70]));
    }
}
