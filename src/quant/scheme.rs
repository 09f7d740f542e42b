//! How a tensor's numbers become integers: type, symmetry, how much of the integer range is used.

use crate::tensor::DataType;
use std::fmt;

/// An integer type that activations or weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntType {
    /// Signed 8 bits.
    Int8,
    /// Unsigned 8 bits.
    Uint8,
}

impl IntType {
    /// The smallest and largest number of the type.
    pub fn limits(self) -> (i32, i32) {
        match self {
            Self::Int8 => (-128, 127),
            Self::Uint8 => (0, 255),
        }
    }

    /// The tensor element type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Uint8 => DataType::Uint8,
        }
    }
}

impl fmt::Display for IntType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.data_type().fmt(f)
    }
}

/// How real numbers map to integers, before any range is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheme {
    /// The integer type.
    pub dtype: IntType,
    /// Whether the grid is symmetric about zero: zero point 0 (signed) or 128 (unsigned).
    pub symmetric: bool,
    /// Whether one bit is left unused, for x86 kernels whose 16-bit sums saturate (CPUs without VNNI).
    pub reduce_range: bool,
}

impl Scheme {
    /// The smallest and largest integer that the scheme maps a range onto.
    ///
    /// A symmetric scheme gives up the lowest number, so that both sides reach equally far (LiteRT's quantization
    /// specification asks for -127..127 in int8 weights).
    pub fn limits(self) -> (i32, i32) {
        let (min, max) = self.dtype.limits();
        let (min, max) = if self.symmetric { (min + 1, max) } else { (min, max) };
        if !self.reduce_range {
            return (min, max);
        }
        match (self.dtype, self.symmetric) {
            (IntType::Int8, true) => (-63, 63),
            (IntType::Int8, false) => (-64, 63),
            (IntType::Uint8, true) => (65, 191),
            (IntType::Uint8, false) => (0, 127),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symmetry = if self.symmetric { "symmetric" } else { "asymmetric" };
        write!(f, "{} {symmetry}{}", self.dtype, if self.reduce_range { " 7-bit" } else { "" })
    }
}
