//! How a tensor's numbers become integers, or floating-point numbers of 8 bits: type, symmetry, how much of the integer range
//! is used.

use super::float8::Float8;
use super::half::HalfType;
use crate::tensor::DataType;
use std::fmt;

/// A type that activations or weights are stored in: integers, or floating-point numbers of 8 bits, which stand beside them
/// wherever a grid is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GridType {
    /// Signed 8 bits.
    Int8,
    /// Unsigned 8 bits.
    Uint8,
    /// Signed 16 bits.
    Int16,
    /// Unsigned 16 bits.
    Uint16,
    /// Signed 4 bits.
    Int4,
    /// Unsigned 4 bits.
    Uint4,
    /// Signed 2 bits.
    Int2,
    /// Unsigned 2 bits.
    Uint2,
    /// Floating-point numbers of 8 bits.
    Float8(Float8),
}

impl GridType {
    /// How many bits one number takes.
    pub fn bits(self) -> u32 {
        match self {
            Self::Int16 | Self::Uint16 => 16,
            Self::Int8 | Self::Uint8 | Self::Float8(_) => 8,
            Self::Int4 | Self::Uint4 => 4,
            Self::Int2 | Self::Uint2 => 2,
        }
    }

    /// The floating-point type, if it is one.
    pub fn float8(self) -> Option<Float8> {
        match self {
            Self::Float8(kind) => Some(kind),
            _ => None,
        }
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        self.float8().is_some()
    }

    /// Of 8 bits, the type that has a sign where this one has none, and none where it has one.
    #[must_use]
    pub fn other_signedness(self) -> Self {
        match self {
            Self::Int8 => Self::Uint8,
            Self::Uint8 => Self::Int8,
            other => other,
        }
    }

    /// The smallest and largest finite number of the type.
    pub fn limits(self) -> (i32, i32) {
        let count = 1 << self.bits();
        match self {
            Self::Int16 | Self::Int8 | Self::Int4 | Self::Int2 => (-count / 2, count / 2 - 1),
            Self::Uint16 | Self::Uint8 | Self::Uint4 | Self::Uint2 => (0, count - 1),
            Self::Float8(kind) => (-kind.largest(), kind.largest()),
        }
    }

    /// The type that tensors of `dtype` are of; `None` for the element types that are none.
    pub fn of(dtype: DataType) -> Option<Self> {
        Some(match dtype {
            DataType::Int16 => Self::Int16,
            DataType::Uint16 => Self::Uint16,
            DataType::Int8 => Self::Int8,
            DataType::Uint8 => Self::Uint8,
            DataType::Int4 => Self::Int4,
            DataType::Uint4 => Self::Uint4,
            DataType::Int2 => Self::Int2,
            DataType::Uint2 => Self::Uint2,
            other => Self::Float8(Float8::of(other)?),
        })
    }

    /// The type that ONNX calls `name`.
    pub fn called(name: &str) -> Option<Self> {
        let floats = [Float8::E4m3fn, Float8::E5m2].map(Self::Float8);
        let integers =
            [Self::Int8, Self::Uint8, Self::Int16, Self::Uint16, Self::Int4, Self::Uint4, Self::Int2, Self::Uint2];
        integers.into_iter().chain(floats).find(|dtype| dtype.to_string() == name)
    }

    /// The tensor element type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int16 => DataType::Int16,
            Self::Uint16 => DataType::Uint16,
            Self::Int8 => DataType::Int8,
            Self::Uint8 => DataType::Uint8,
            Self::Int4 => DataType::Int4,
            Self::Uint4 => DataType::Uint4,
            Self::Int2 => DataType::Int2,
            Self::Uint2 => DataType::Uint2,
            Self::Float8(kind) => kind.data_type(),
        }
    }
}

impl fmt::Display for GridType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data_type().fmt(f)
    }
}

/// How real numbers map to integers, before any range is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// The integer type.
    pub dtype: GridType,
    /// Whether the grid is symmetric about zero: zero point 0 (signed) or 128 (unsigned). Floating-point numbers always are.
    pub symmetric: bool,
    /// Whether one bit is left unused, for x86 kernels whose 16-bit sums saturate (CPUs without VNNI).
    pub reduce_range: bool,
    /// Whether the step is a power of two, so that rescaling is a shift.
    pub power_of_two: bool,
    /// The type of 16 bits that steps are numbers of, where they are not any float32 numbers.
    pub scales: Option<HalfType>,
}

impl Scheme {
    /// The scheme that uses all of its type, with any step.
    pub const fn new(dtype: GridType, symmetric: bool) -> Self {
        Self {
            dtype,
            symmetric: symmetric || matches!(dtype, GridType::Float8(_)),
            reduce_range: false,
            power_of_two: false,
            scales: None,
        }
    }

    /// The least step that the scheme has and that is not below `scale`, which is not negative.
    pub fn step(self, scale: f64) -> f64 {
        let scale = if self.power_of_two { next_power_of_two(scale) } else { scale };
        self.scales.map_or(scale, |kind| kind.round_up(scale))
    }

    /// The smallest and largest integer that the scheme maps a range onto.
    ///
    /// A symmetric scheme gives up the lowest number, so that both sides reach equally far (LiteRT's quantization
    /// specification asks for -127..127 in int8 weights).
    pub fn limits(self) -> (i32, i32) {
        let (min, max) = self.dtype.limits();
        if self.dtype.is_float() {
            return (min, max);
        }
        let (min, max) = if self.symmetric { (min + 1, max) } else { (min, max) };
        if !self.reduce_range {
            return (min, max);
        }
        // Half of the numbers: those about the middle, or where zero may lie anywhere, the lower half of an unsigned type.
        let (quarter, middle) = ((max - min + 2) / 4, (max + min + 1) / 2);
        match self.symmetric {
            true => (middle - quarter + 1, middle + quarter - 1),
            false if min == 0 => (0, 2 * quarter - 1),
            false => (middle - quarter, middle + quarter - 1),
        }
    }
}

/// The least power of two that is not below `scale`; what is no number above zero stays as it is.
fn next_power_of_two(scale: f64) -> f64 {
    let power = scale.log2().ceil().exp2();
    if power.is_normal() { power } else { scale }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symmetry = if self.symmetric { "symmetric" } else { "asymmetric" };
        let (bits, steps) =
            (if self.reduce_range { " 7-bit" } else { "" }, if self.power_of_two { " shift" } else { "" });
        write!(f, "{} {symmetry}{bits}{steps}", self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_type_less_what_the_scheme_gives_up() {
        use GridType::{Int2, Int4, Int8, Int16, Uint2, Uint4, Uint8, Uint16};
        let limits = |dtype, symmetric, reduce_range| Scheme { reduce_range, ..Scheme::new(dtype, symmetric) }.limits();
        let all = [(Int8, [(-127, 127), (-128, 127)]), (Uint8, [(1, 255), (0, 255)])];
        let fours = [(Int4, [(-7, 7), (-8, 7)]), (Uint4, [(1, 15), (0, 15)])];
        let wide = [(Int16, [(-32_767, 32_767), (-32_768, 32_767)]), (Uint16, [(1, 65_535), (0, 65_535)])];
        let twos = [(Int2, [(-1, 1), (-2, 1)]), (Uint2, [(1, 3), (0, 3)])];
        for (dtype, expected) in all.into_iter().chain(fours).chain(twos).chain(wide) {
            assert_eq!([limits(dtype, true, false), limits(dtype, false, false)], expected, "{dtype}");
        }
        let halves = [(Int8, [(-63, 63), (-64, 63)]), (Uint8, [(65, 191), (0, 127)])];
        for (dtype, expected) in halves {
            assert_eq!([limits(dtype, true, true), limits(dtype, false, true)], expected, "{dtype}");
        }
    }
}
