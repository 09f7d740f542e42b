//! One grid, as encodings give it: an offset counted from the lowest of unsigned integers, or a zero point of a named type.

use crate::error::{Error, Result};
use crate::quant::{GridType, Params};

/// The width of the sums that biases are added to: no grid of its own.
pub(super) const BIAS_BITS: f64 = 32.0;

/// The scale as float32.
///
/// # Errors
/// When it is no positive number that float32 holds in full.
pub(super) fn scale(scale: f64) -> Result<f32> {
    let step = scale as f32;
    if scale > 0.0 && step.is_normal() {
        return Ok(step);
    }
    Err(Error::other(format!("scale must be a positive number that float32 holds; found {scale}")))
}

/// The grid of unsigned integers of which `real = (q + offset) * scale`.
///
/// # Errors
/// When there is no integer type of `bits` bits, or one of the numbers makes no grid of it.
pub(super) fn unsigned(bits: f64, step: f64, offset: f64) -> Result<Params> {
    let dtype = match bits {
        2.0 => GridType::Uint2,
        4.0 => GridType::Uint4,
        8.0 => GridType::Uint8,
        16.0 => GridType::Uint16,
        _ => return Err(Error::other(format!("has {bits} bits; expected 2, 4, 8 or 16"))),
    };
    let (_, most) = dtype.limits();
    if offset.fract() != 0.0 || !(-f64::from(most)..=0.0).contains(&offset) {
        let why = format!("offset must be a whole number from -{most} to 0; found {offset}");
        return Err(Error::other(why));
    }
    Ok(Params { dtype, scale: scale(step)?, zero_point: -(offset as i32) })
}

/// The same numbers as signed integers. Where a grid leaves out the lowest integer to reach equally far on both sides, zero is
/// the integer 0 all the same: kernels want that of weights.
pub(super) fn symmetric(grid: Params) -> Params {
    let signed = match grid.dtype {
        GridType::Uint2 => GridType::Int2,
        GridType::Uint4 => GridType::Int4,
        GridType::Uint8 => GridType::Int8,
        GridType::Uint16 => GridType::Int16,
        signed => signed,
    };
    let grid = grid.stored_as(signed);
    Params { zero_point: if grid.zero_point == -1 { 0 } else { grid.zero_point }, ..grid }
}

/// The grid of the type called `dtype` of which `real = (q - zero_point) * scale`.
///
/// # Errors
/// When there is no such type, or one of the numbers makes no grid of it.
pub(super) fn of_type(dtype: GridType, step: f64, zero_point: f64) -> Result<Params> {
    let (low, high) = if dtype.is_float() { (0, 0) } else { dtype.limits() };
    if zero_point.fract() != 0.0 || !(f64::from(low)..=f64::from(high)).contains(&zero_point) {
        let why = format!("y_zero_point must be a whole number from {low} to {high}; found {zero_point}");
        return Err(Error::other(why));
    }
    Ok(Params { dtype, scale: scale(step)?, zero_point: zero_point as i32 })
}
