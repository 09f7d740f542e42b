//! Tensors made of numbers.

use super::SEED;
use super::kinds::Input;
use crate::chance::Chance;
use crate::error::{Error, Result};
use crate::inputs::Meaning;
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};

/// Chance for input number `input` of the case called `name`.
pub fn chance(name: &str, input: usize) -> Chance {
    Chance::named(name, u64::from(SEED) ^ (input as u64).rotate_left(32))
}

/// An integer from `low` to `high`.
pub fn id(chance: &mut Chance, low: i64, high: i64) -> i64 {
    let count = u64::try_from(high - low).unwrap_or(0) + 1;
    low + i64::try_from(chance.bits() % count).unwrap_or(0)
}

/// A tensor of what `input` takes. Numbers that stand for integers on a grid are those that the grid has, so that both models are
/// given the same.
///
/// # Errors
/// When the type is none that samples have.
pub fn of_numbers(input: &Input, shape: Vec<usize>, numbers: &[f64]) -> Result<Tensor> {
    let floats = || Tensor::from_f32(shape.clone(), &numbers.iter().map(|&v| v as f32).collect::<Vec<_>>());
    macro_rules! whole {
        ($kind:ty) => {{
            let bytes = numbers.iter().flat_map(|&v| (v as $kind).to_le_bytes()).collect::<Vec<u8>>();
            Tensor::new(input.dtype, shape, bytes.into())
        }};
    }
    match input.dtype {
        DataType::Float32 => on_grid(floats(), input.meaning.as_ref()),
        DataType::Float16 | DataType::Bfloat16 => match HalfType::of(input.dtype) {
            Some(half) => half.tensor(&floats()),
            None => Ok(floats()),
        },
        DataType::Float64 => whole!(f64),
        DataType::Uint8 => whole!(u8),
        DataType::Int8 => whole!(i8),
        DataType::Uint16 => whole!(u16),
        DataType::Int16 => whole!(i16),
        DataType::Uint32 => whole!(u32),
        DataType::Int32 => whole!(i32),
        DataType::Uint64 => whole!(u64),
        DataType::Int64 => whole!(i64),
        DataType::Bool => {
            let bytes: Vec<u8> = numbers.iter().map(|&v| u8::from(v != 0.0)).collect();
            Tensor::new(DataType::Bool, shape, bytes.into())
        }
        other => Err(Error::value(&input.name, format!("is of {other}, of which no crash test can be made"))),
    }
}

/// The numbers of `tensor` that the model's integers stand for.
fn on_grid(tensor: Tensor, meaning: Option<&Meaning>) -> Result<Tensor> {
    let Some(meaning) = meaning else { return Ok(tensor) };
    let integers = meaning.quantize(&tensor)?;
    match meaning {
        Meaning::Grid(_) => meaning.dequantize(integers),
        Meaning::Levels(levels) => {
            let (shape, several) = (integers.shape().to_vec(), levels.scale.len() > 1);
            let inner: usize = if several { shape.iter().skip(levels.axis + 1).product() } else { 1 };
            let channel = |index: usize| index / inner.max(1) % levels.scale.len();
            let number = |(index, &level): (usize, &f32)| {
                let c = channel(index);
                ((f64::from(level) - levels.zero[c]) * levels.scale[c]) as f32
            };
            let numbers: Vec<f32> = integers.to_f32()?.iter().enumerate().map(number).collect();
            Ok(Tensor::from_f32(shape, &numbers))
        }
    }
}

/// `tensor` at another size: each element is that of the original at the same place in proportion, zeros where there is none.
///
/// # Errors
/// When elements do not take whole bytes.
pub fn resized(tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if tensor.shape() == shape {
        return Ok(tensor.clone());
    }
    let bits = tensor.dtype().bits().filter(|bits| bits % 8 == 0);
    let size = bits.ok_or_else(|| Error::other(format!("{} cannot be resized", tensor.dtype())))? / 8;
    let count: usize = shape.iter().product();
    let mut bytes = vec![0u8; count * size];
    if !tensor.is_empty() {
        for (index, element) in bytes.chunks_exact_mut(size).enumerate() {
            // The place in the original, axis by axis from the last one.
            let (mut rest, mut from, mut stride) = (index, 0, 1);
            for (&now, &was) in shape.iter().zip(tensor.shape()).rev() {
                from += rest % now * was / now * stride;
                (rest, stride) = (rest / now, stride * was);
            }
            element.copy_from_slice(&tensor.bytes()[from * size..(from + 1) * size]);
        }
    }
    Tensor::new(tensor.dtype(), shape.to_vec(), bytes.into())
}
