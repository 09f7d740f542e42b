//! Floating-point numbers of 8 bits, as ONNX defines them: FLOAT8E4M3FN (4 bits of exponent, 3 of mantissa, no infinities,
//! one NaN for each sign) and FLOAT8E5M2 (as IEEE 754 would have it). P. Micikevicius et al., "FP8 Formats for Deep
//! Learning", 2022.

use crate::tensor::DataType;

/// A floating-point type of 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float8 {
    /// 4 bits of exponent and 3 of mantissa: to 448.
    E4m3fn,
    /// 5 bits of exponent and 2 of mantissa: to 57344.
    E5m2,
}

impl Float8 {
    /// The tensor element type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::E4m3fn => DataType::Float8E4M3Fn,
            Self::E5m2 => DataType::Float8E5M2,
        }
    }

    /// The type with an element type, if there is one.
    pub fn of(dtype: DataType) -> Option<Self> {
        [Self::E4m3fn, Self::E5m2].into_iter().find(|kind| kind.data_type() == dtype)
    }

    /// How many bits of mantissa are stored.
    pub const fn mantissa(self) -> u32 {
        match self {
            Self::E4m3fn => 3,
            Self::E5m2 => 2,
        }
    }

    /// The exponent of the least normal number, which is also that of the subnormal ones.
    const fn least_exponent(self) -> i32 {
        match self {
            Self::E4m3fn => -6,
            Self::E5m2 => -14,
        }
    }

    /// The byte of the largest finite number.
    const fn largest_code(self) -> u8 {
        match self {
            Self::E4m3fn => 0x7e,
            Self::E5m2 => 0x7b,
        }
    }

    /// The largest finite number, a whole one.
    pub const fn largest(self) -> i32 {
        match self {
            Self::E4m3fn => 448,
            Self::E5m2 => 57344,
        }
    }

    /// The byte of the nearest number; of two equally near the one with an even mantissa. What lies beyond the largest finite
    /// number, infinities too, becomes that. NaN stays NaN.
    pub fn encode(self, value: f32) -> u8 {
        let sign = ((value.to_bits() >> 24) & 0x80) as u8;
        if value.is_nan() {
            return sign | 0x7f;
        }
        let (steps, above) = self.steps(value.abs());
        // A mantissa that rounds up to the next power of two carries into the exponent, as it should.
        let code = (above << self.mantissa()) + steps as u32;
        sign | code.min(self.largest_code().into()) as u8
    }

    /// The number of a byte.
    pub fn decode(self, code: u8) -> f32 {
        let (magnitude, mantissa) = (code & 0x7f, self.mantissa());
        let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
        if magnitude > self.largest_code() {
            let infinite = self == Self::E5m2 && magnitude == 0x7c;
            return sign * if infinite { f32::INFINITY } else { f32::NAN };
        }
        let (exponent, fraction) = (magnitude >> mantissa, magnitude & ((1 << mantissa) - 1));
        let whole = if exponent == 0 { fraction } else { fraction | 1 << mantissa };
        let power = self.least_exponent() - mantissa as i32 + i32::from(exponent.max(1)) - 1;
        sign * f32::from(whole) * power_of_two(power)
    }

    /// What [`Float8::decode`] gives of what [`Float8::encode`] makes of `value`.
    pub fn round(self, value: f32) -> f32 {
        self.decode(self.encode(value))
    }

    /// A magnitude in whole steps of the numbers about it, and how far their exponent lies above the least one.
    fn steps(self, magnitude: f32) -> (f32, u32) {
        let magnitude = magnitude.min(self.largest() as f32);
        let exponent = (magnitude.to_bits() >> 23) as i32 - 127;
        let exponent = exponent.max(self.least_exponent());
        // Division by a power of two is exact.
        let steps = (magnitude / power_of_two(exponent - self.mantissa() as i32)).round_ties_even();
        (steps, (exponent - self.least_exponent()) as u32)
    }
}

/// 2 to a power that makes a normal float32.
fn power_of_two(power: i32) -> f32 {
    f32::from_bits(((power + 127) as u32) << 23)
}

#[cfg(test)]
mod tests {
    use super::super::{AxisParams, Blocks, GridType, Params, Scheme, quantize, quantize_axis};
    use super::*;

    const BOTH: [Float8; 2] = [Float8::E4m3fn, Float8::E5m2];

    /// The definition, in float64: sign, exponent with its bias, mantissa.
    fn by_definition(kind: Float8, code: u8) -> f64 {
        let (bits, bias) = if kind == Float8::E4m3fn { (3, 7) } else { (2, 15) };
        let sign = if code >= 128 { -1.0 } else { 1.0 };
        let exponent = i32::from(code & 0x7f) >> bits;
        let mantissa = f64::from(code & ((1 << bits) - 1)) / f64::from(1 << bits);
        match (kind, exponent, code & 0x7f) {
            (Float8::E4m3fn, _, 0x7f) | (Float8::E5m2, 31, 0x7d..) => f64::NAN,
            (Float8::E5m2, 31, _) => sign * f64::INFINITY,
            (_, 0, _) => sign * mantissa * 2f64.powi(1 - bias),
            _ => sign * (1.0 + mantissa) * 2f64.powi(exponent - bias),
        }
    }

    #[test]
    fn every_byte_is_the_number_of_its_definition_and_comes_back() {
        for kind in BOTH {
            for code in 0..=255 {
                let (number, expected) = (kind.decode(code), by_definition(kind, code));
                assert!(f64::from(number) == expected || number.is_nan() && expected.is_nan(), "{kind:?} {code:#x}");
                if number.is_finite() {
                    assert_eq!(kind.encode(number), code, "{kind:?} {number}");
                }
            }
            assert_eq!(kind.decode(kind.largest_code()), kind.largest() as f32);
            assert!(kind.round(f32::NAN).is_nan());
        }
    }

    #[test]
    fn numbers_between_two_go_to_the_nearer_and_ties_to_even() {
        for kind in BOTH {
            for code in 0..kind.largest_code() {
                let (low, high) = (kind.decode(code), kind.decode(code + 1));
                // Exact: both have few bits.
                let middle = f32::midpoint(low, high);
                let beside = |step: i32| f32::from_bits(middle.to_bits().wrapping_add_signed(step));
                let even = if code % 2 == 0 { code } else { code + 1 };
                assert_eq!(
                    [beside(-1), middle, beside(1)].map(|v| kind.encode(v)),
                    [code, even, code + 1],
                    "{low} {high}"
                );
                assert_eq!(kind.encode(-middle), even | 0x80);
            }
        }
    }

    #[test]
    fn arrays_of_every_form_hold_the_bytes_of_single_numbers() {
        let values: Vec<f32> = (0..240).map(|i: i32| ((i * 7919 % 1009) as f32 / 90.0 - 5.0).powi(3)).collect();
        for kind in BOTH {
            let scheme = Scheme::new(GridType::Float8(kind), false);
            let one = Params::from_range(-130.0, 90.0, scheme);
            assert_eq!((one.scale, one.zero_point), (130.0 / kind.largest() as f32, 0));
            assert_eq!(
                (one.quantize(-200.0), one.dequantize(one.quantize(-200.0))),
                (kind.largest_code() as i32 | 0x80, -one.scale * kind.largest() as f32)
            );
            let single: Vec<u8> = values.iter().map(|v| one.quantize(*v) as u8).collect();
            assert_eq!(quantize(&values, &one), single);
            for shape in [&[240, 1][..], &[1, 240], &[6, 40], &[4, 5, 12]] {
                for axis in 0..shape.len() {
                    let inner: usize = shape[axis + 1..].iter().product();
                    let params = AxisParams::min_max(&values, shape, axis, scheme);
                    for (i, q) in quantize_axis(&values, shape, &params).into_iter().enumerate() {
                        assert_eq!(i32::from(q), params.channels[i / inner % shape[axis]].quantize(values[i]));
                    }
                    let blocks = Blocks::new(shape, axis, 1);
                    let grids = blocks.min_max(&values, scheme);
                    // Each number alone on its grid is the largest of the type.
                    for (q, v) in blocks.quantize(&values, &grids).into_iter().zip(&values) {
                        let largest = kind.largest_code() | if *v < 0.0 { 0x80 } else { 0 };
                        assert_eq!(q, if *v == 0.0 { 0 } else { largest }, "{v}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_lies_beyond_saturates_and_what_is_tiny_is_zero() {
        for kind in BOTH {
            for v in [kind.largest() as f32 * 1.01, 1e30, f32::MAX, f32::INFINITY] {
                assert_eq!([kind.encode(v), kind.encode(-v)], [kind.largest_code(), kind.largest_code() | 0x80]);
            }
            assert_eq!([1e-12, f32::from_bits(1), 0.0, -0.0, -1e-40].map(|v| kind.encode(v)), [0, 0, 0, 0x80, 0x80]);
        }
    }
}
