//! Elements of a numpy array become elements of the type that the graph input has.
//!
//! Allowed is what loses nothing, and rounding between floating-point types. Whether an integer fits a narrower type is
//! seen only at its value, so that is checked for every element.

use super::npy::Number;
use crate::tensor::{DataType, Tensor};
use DataType::{Bfloat16, Bool, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
use half::{bf16, f16};

type Converted<T> = std::result::Result<T, String>;

fn is_whole(dtype: DataType) -> bool {
    matches!(dtype, Int8 | Uint8 | Int16 | Uint16 | Int32 | Uint32 | Int64 | Uint64 | Bool)
}

/// Whether an array of `found` may feed an input of `wanted`, its values permitting.
pub(super) fn allowed(found: DataType, wanted: DataType) -> bool {
    found == wanted || wanted.is_float() && (found.is_float() || is_whole(found)) || is_whole(wanted) && is_whole(found)
}

/// A tensor of `wanted` elements from the `raw` bytes of `found` elements; [`allowed`] has said yes to the pair.
///
/// # Errors
/// When a value does not fit the wanted type; says which value.
pub(super) fn convert(mut raw: Vec<u8>, found: Number, wanted: DataType, shape: Vec<usize>) -> Converted<Tensor> {
    if found.big_endian {
        let size = found.dtype.bits().unwrap_or(8) / 8;
        raw.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if found.dtype == Bool {
        for byte in &mut raw {
            *byte = u8::from(*byte != 0);
        }
    }
    let tensor = Tensor::new(found.dtype, shape, raw.into()).map_err(|error| error.to_string())?;
    if found.dtype == wanted {
        return Ok(tensor);
    }
    let bytes = match (found.dtype, wanted) {
        // Exact for up to 16 bits, and rounded between floating-point types as everybody does.
        (Float16 | Bfloat16 | Float64 | Uint8 | Int8 | Uint16 | Int16 | Bool, Float32) => {
            let values = tensor.to_f32().map_err(|error| error.to_string())?;
            bytemuck::cast_slice(&values).to_vec()
        }
        (from, _) if from.is_float() => between_floats(&tensor, wanted)?,
        _ => from_whole(&tensor, wanted)?,
    };
    Tensor::new(wanted, tensor.shape().to_vec(), bytes.into()).map_err(|error| error.to_string())
}

fn between_floats(tensor: &Tensor, wanted: DataType) -> Converted<Vec<u8>> {
    let values = tensor.to_f32().map_err(|error| error.to_string())?;
    Ok(match wanted {
        Float16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Bfloat16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        Float64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
        _ => return Err(unsupported(tensor.dtype(), wanted)),
    })
}

fn from_whole(tensor: &Tensor, wanted: DataType) -> Converted<Vec<u8>> {
    let values = tensor.to_i64().map_err(|error| error.to_string())?;
    match wanted {
        Int8 => narrow::<i8>(&values, wanted),
        Uint8 => narrow::<u8>(&values, wanted),
        Int16 => narrow::<i16>(&values, wanted),
        Uint16 => narrow::<u16>(&values, wanted),
        Int32 => narrow::<i32>(&values, wanted),
        Uint32 => narrow::<u32>(&values, wanted),
        Int64 => narrow::<i64>(&values, wanted),
        Uint64 => narrow::<u64>(&values, wanted),
        Bool => each(&values, wanted, |v| u8::try_from(v).ok().filter(|&b| b <= 1)),
        Float32 => each(&values, wanted, |v| Some(v as f32).filter(|&f| f as i128 == i128::from(v))),
        Float64 => each(&values, wanted, |v| Some(v as f64).filter(|&f| f as i128 == i128::from(v))),
        Float16 => each(&values, wanted, |v| {
            let short = f16::from_f64(v as f64);
            (short.to_f64() as i128 == i128::from(v)).then(|| short.to_bits())
        }),
        Bfloat16 => each(&values, wanted, |v| {
            let short = bf16::from_f64(v as f64);
            (short.to_f64() as i128 == i128::from(v)).then(|| short.to_bits())
        }),
        _ => Err(unsupported(tensor.dtype(), wanted)),
    }
}

fn narrow<T: bytemuck::NoUninit + TryFrom<i64>>(values: &[i64], wanted: DataType) -> Converted<Vec<u8>> {
    each(values, wanted, |v| T::try_from(v).ok())
}

/// The bytes of all values, each through `to`, which has `None` for a value that the type cannot hold.
fn each<T: bytemuck::NoUninit>(values: &[i64], wanted: DataType, to: impl Fn(i64) -> Option<T>) -> Converted<Vec<u8>> {
    let fits = |&v: &i64| to(v).ok_or_else(|| format!("the value {v} cannot be held exactly as {wanted}"));
    let converted: Vec<T> = values.iter().map(fits).collect::<Converted<_>>()?;
    Ok(bytemuck::cast_slice(&converted).to_vec())
}

fn unsupported(found: DataType, wanted: DataType) -> String {
    format!("{found} elements cannot become {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn little(dtype: DataType) -> Number {
        Number { dtype, big_endian: false }
    }

    fn whole(values: &[i64], wanted: DataType) -> Converted<Tensor> {
        convert(bytemuck::cast_slice(values).to_vec(), little(Int64), wanted, vec![values.len()])
    }

    #[test]
    fn integers_are_checked_one_by_one() {
        assert_eq!(whole(&[-1, 7], Int32).expect("fits").to_i64().expect("whole")[..], [-1, 7]);
        let message = whole(&[7, 1 << 40], Int32).expect_err("too large");
        assert!(message.contains("1099511627776") && message.contains("int32"), "{message}");
        assert!(whole(&[-1], Uint8).is_err());
        assert!(whole(&[2], Bool).is_err());
        assert_eq!(whole(&[0, 1], Bool).expect("fits").bytes()[..], [0, 1]);
        assert_eq!(whole(&[1 << 24], Float32).expect("exact").to_f32().expect("real")[..], [16_777_216.0]);
        assert!(whole(&[(1 << 24) + 1], Float32).is_err());
        assert!(whole(&[i64::MAX], Float64).is_err());
        assert!(whole(&[2049], Float16).is_err());
        assert_eq!(whole(&[2048], Float16).expect("exact").to_f32().expect("real")[..], [2048.0]);
    }

    #[test]
    fn floats_are_rounded() {
        let rounded = |value: f64, wanted| -> f32 {
            let tensor = convert(value.to_le_bytes().to_vec(), little(Float64), wanted, vec![]).expect("converts");
            tensor.first_f32().expect("a number")
        };
        assert_eq!(rounded(0.1, Float32).to_bits(), 0.1f32.to_bits());
        assert_eq!(rounded(1.0 + 0.7 / 1024.0, Float16).to_bits(), (1.0f32 + 1.0 / 1024.0).to_bits());
        assert!(rounded(f64::NAN, Float16).is_nan());
        let single = convert(0.1f32.to_le_bytes().to_vec(), little(Float32), Float64, vec![]).expect("converts");
        assert_eq!(single.bytes()[..], f64::from(0.1f32).to_le_bytes());
    }

    #[test]
    fn big_endian_and_odd_bools() {
        let big = Number { dtype: Float32, big_endian: true };
        let tensor = convert(1.5f32.to_be_bytes().to_vec(), big, Float32, vec![1]).expect("converts");
        assert_eq!(tensor.to_f32().expect("real")[..], [1.5]);
        assert_eq!(convert(vec![0, 255], little(Bool), Uint8, vec![2]).expect("converts").bytes()[..], [0, 1]);
    }

    #[test]
    fn only_sensible_pairs_are_allowed() {
        assert!(allowed(Uint8, Float32) && allowed(Float64, Float32) && allowed(Bool, Uint8) && allowed(Int32, Int64));
        assert!(!allowed(Float32, Int64) && !allowed(Float32, Bool) && !allowed(DataType::String, Float32));
        assert!(!allowed(Int64, DataType::Int4));
    }
}
