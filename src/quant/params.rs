//! Scale and zero point of one grid, from a range.

use super::scheme::{GridType, Scheme};

/// One affine grid: `real = scale * (q - zero_point)`. Of floating-point numbers of 8 bits the zero point is 0, and the steps
/// are as long as theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// The integer type.
    pub dtype: GridType,
    /// The step, a positive normal float32.
    pub scale: f32,
    /// The integer that stands for zero; 0 of a floating-point type.
    pub zero_point: i32,
}

impl Params {
    /// The grid of `scheme` that covers `[low, high]`, widened to hold zero: zero is always represented exactly.
    ///
    /// A range without extent (nothing but zeros was seen), or one so small that its step would not be a normal float32,
    /// gets the step 1: every value in it rounds to zero, and products of scales stay far from underflow.
    pub fn from_range(low: f32, high: f32, scheme: Scheme) -> Self {
        let (low, high) = (f64::from(low).min(0.0), f64::from(high).max(0.0));
        let (qmin, qmax) = scheme.limits();
        let (scale, zero_point) = if scheme.symmetric || scheme.dtype.is_float() {
            let half = f64::from(qmax - qmin) / 2.0;
            (scheme.step(high.max(-low) / half), (qmin + qmax) / 2)
        } else {
            let scale = scheme.step((high - low) / f64::from(qmax - qmin));
            let zero = round_half_even(f64::from(qmin) - low / scale);
            (scale, if zero.is_finite() { zero as i32 } else { qmin })
        };
        let scale = scale.min(f64::from(f32::MAX)) as f32;
        if scale < f32::MIN_POSITIVE {
            return Self { dtype: scheme.dtype, scale: 1.0, zero_point: zero_point.clamp(qmin, qmax) };
        }
        Self { dtype: scheme.dtype, scale, zero_point: zero_point.clamp(qmin, qmax) }
    }

    /// Whether it is a grid of its type.
    ///
    /// # Errors
    /// When it is not: what is wrong, and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let (dtype, zero) = (self.dtype, self.zero_point);
        if !self.scale.is_normal() || self.scale < 0.0 {
            return Err(format!("scale {}; expected a positive number that is not denormal", self.scale));
        }
        let (low, high) = dtype.limits();
        if dtype.is_float() && zero != 0 {
            return Err(format!("zero point {zero}; that of {dtype} is 0"));
        }
        if !dtype.is_float() && !(low..=high).contains(&zero) {
            return Err(format!("zero point {zero}; that of {dtype} lies from {low} to {high}"));
        }
        Ok(())
    }

    /// The same real numbers stored as `dtype`, where that differs in its sign alone; the grid itself where it does not.
    #[must_use]
    pub fn stored_as(self, dtype: GridType) -> Self {
        if self.dtype.is_float() || dtype.is_float() || self.dtype.bits() != dtype.bits() {
            return self;
        }
        Self { dtype, zero_point: self.zero_point + dtype.limits().0 - self.dtype.limits().0, ..self }
    }

    /// The zero point as it is stored: in as many bytes as the type has, one for types of fewer than 8 bits.
    pub fn zero_point_bytes(&self) -> Vec<u8> {
        let bytes = self.zero_point.to_le_bytes();
        bytes[..self.dtype.bits().div_ceil(8) as usize].to_vec()
    }

    /// The integer of `value`: `saturate(round_half_even(value / scale) + zero_point)`. NaN becomes the lowest integer. Of a
    /// floating-point type the byte that stands for the nearest number.
    pub fn quantize(&self, value: f32) -> i32 {
        if let Some(kind) = self.dtype.float8() {
            return kind.encode(value / self.scale).into();
        }
        let (min, max) = self.dtype.limits();
        let steps = (value / self.scale).round_ties_even();
        // Saturating before adding keeps infinities and huge quotients out of the integer conversion.
        (steps.clamp(-65536.0, 65536.0) as i32).saturating_add(self.zero_point).clamp(min, max)
    }

    /// The real number of `q`, an integer or the byte of a floating-point number.
    pub fn dequantize(&self, q: i32) -> f32 {
        if let Some(kind) = self.dtype.float8() {
            return kind.decode(q as u8) * self.scale;
        }
        (q - self.zero_point) as f32 * self.scale
    }

    /// The smallest and largest real number on the grid.
    pub fn real_range(&self) -> (f32, f32) {
        let (min, max) = self.dtype.limits();
        let real = |q: i32| (q - self.zero_point) as f32 * self.scale;
        (real(min), real(max))
    }

    /// Whether clamping to `[low, high]` before quantizing changes nothing, because the grid ends within the bounds:
    /// `rint(low / scale) + zp <= qmin` and `rint(high / scale) + zp >= qmax`. This is the per-tensor test that ONNX
    /// Runtime applies before it drops a Relu or Clip ahead of a QuantizeLinear.
    pub fn absorbs_clamp(&self, low: f32, high: f32) -> bool {
        let (min, max) = self.dtype.limits();
        let steps = |bound: f32| f64::from((bound / self.scale).round_ties_even()) + f64::from(self.zero_point);
        steps(low) <= f64::from(min) && steps(high) >= f64::from(max)
    }
}

/// Rounds as [`f64::round_ties_even`] does, which is a call of a function on processors that have no instruction for it.
fn round_half_even(value: f64) -> f64 {
    /// Adding 1.5 * 2^52 rounds a float64 of magnitude below 2^51 half to even.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    if value.abs() < 1e15 { value + ROUND - ROUND } else { value.round_ties_even() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::HalfType;

    const U8: Scheme = Scheme::new(GridType::Uint8, false);
    const S8: Scheme = Scheme::new(GridType::Int8, true);

    #[test]
    fn halves_go_to_the_even_integer_whatever_their_size() {
        let odd = [f64::INFINITY, f64::NEG_INFINITY, 1e14 + 0.5, 1e15 - 0.5, 1e15 + 0.5, 0.499_999_999_999_999_94];
        for value in (-40..40).map(|i| f64::from(i) / 4.0).chain(odd) {
            assert_eq!(round_half_even(value), value.round_ties_even(), "{value}");
            assert_eq!(round_half_even(-value), (-value).round_ties_even(), "{value}");
        }
    }

    #[test]
    fn a_positive_range_starts_at_zero() {
        let p = Params::from_range(0.5, 6.0, U8);
        assert_eq!((p.zero_point, p.quantize(0.0), p.quantize(6.0)), (0, 0, 255));
        assert!((p.scale - 6.0 / 255.0).abs() < 1e-7);
    }

    #[test]
    fn zero_is_exact_in_an_asymmetric_range() {
        let p = Params::from_range(-1.3, 2.9, U8);
        assert_eq!(p.dequantize(p.quantize(0.0)), 0.0);
        assert!(p.real_range().0 <= -1.3 + p.scale / 2.0 && p.real_range().1 >= 2.9 - p.scale / 2.0);
    }

    #[test]
    fn a_symmetric_range_reaches_both_ends_alike() {
        let p = Params::from_range(-2.0, 1.0, S8);
        assert_eq!((p.zero_point, p.quantize(-2.0), p.quantize(2.0)), (0, -127, 127));
        let u = Params::from_range(-2.0, 1.0, Scheme { dtype: GridType::Uint8, ..S8 });
        assert_eq!((u.zero_point, u.quantize(-2.0), u.quantize(2.0)), (128, 1, 255));
    }

    #[test]
    fn a_range_without_extent_has_a_usable_step() {
        for high in [0.0, 1e-42, f32::MIN_POSITIVE] {
            let p = Params::from_range(0.0, high, U8);
            assert_eq!((p.scale, p.quantize(0.0)), (1.0, p.zero_point));
        }
    }

    #[test]
    fn the_widest_range_does_not_overflow() {
        let p = Params::from_range(f32::MIN, f32::MAX, U8);
        assert!(p.scale.is_finite());
        assert_eq!((p.quantize(f32::MIN), p.quantize(f32::MAX), p.quantize(f32::NEG_INFINITY)), (0, 255, 0));
    }

    #[test]
    fn a_power_of_two_covers_the_range() {
        for scheme in [U8, S8].map(|scheme| Scheme { power_of_two: true, ..scheme }) {
            for high in [0.3, 1.0, 127.0 / 128.0, 255.0 / 64.0, 1e-30, 1e30, f32::MAX] {
                let p = Params::from_range(-high / 2.0, high, scheme);
                assert_eq!(p.scale.log2().fract(), 0.0, "{p:?}");
                assert!(p.real_range().1 >= high * 0.998, "{p:?} for {high}");
            }
        }
        assert_eq!(Params::from_range(0.0, 255.0 / 64.0, Scheme { power_of_two: true, ..U8 }).scale, 1.0 / 64.0);
    }

    #[test]
    fn a_step_of_sixteen_bits_covers_the_range_and_zero_is_on_its_grid() {
        for kind in [HalfType::Float16, HalfType::Bfloat16] {
            for scheme in [U8, S8].map(|scheme| Scheme { scales: Some(kind), ..scheme }) {
                for high in [1e-9, 0.0123, 0.3, 1.0, 6.1, 5e4] {
                    let p = Params::from_range(-high / 3.0, high, scheme);
                    assert_eq!(kind.round(p.scale), p.scale, "{p:?}");
                    assert!(p.scale > 0.0 && p.real_range().1 >= high - p.scale * 0.501, "{p:?} for {high}");
                    assert!(p.real_range().0 <= -high / 3.0 + p.scale * 0.501, "{p:?} for {high}");
                }
            }
        }
        assert_eq!(Params::from_range(0.0, 0.0, Scheme { scales: Some(HalfType::Float16), ..U8 }).scale, 1.0);
    }

    #[test]
    fn zero_points_take_the_bytes_of_their_type() {
        let of = |dtype| Params { dtype, scale: 1.0, zero_point: -2 }.zero_point_bytes();
        assert_eq!((of(GridType::Int16), of(GridType::Int8)), (vec![0xfe, 0xff], vec![0xfe]));
    }

    #[test]
    fn a_grid_keeps_its_numbers_whatever_the_sign_of_its_type() {
        let grid = Params { dtype: GridType::Uint8, scale: 0.5, zero_point: 100 };
        let signed = grid.stored_as(GridType::Int8);
        assert_eq!((signed.zero_point, signed.real_range()), (-28, grid.real_range()));
        assert_eq!(signed.stored_as(GridType::Uint8), grid);
        assert_eq!([grid.stored_as(GridType::Int16), grid.stored_as(GridType::Uint8)], [grid, grid]);
    }

    #[test]
    fn ties_go_to_even() {
        let p = Params { dtype: GridType::Int8, scale: 1.0, zero_point: 0 };
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5].map(|v| p.quantize(v)), [0, 2, 2, 0, -2]);
    }

    #[test]
    fn a_relu_is_absorbed_only_where_the_grid_has_no_negatives() {
        let relu = (0.0, f32::INFINITY);
        assert!(Params::from_range(0.0, 3.0, U8).absorbs_clamp(relu.0, relu.1));
        assert!(!Params::from_range(-0.1, 3.0, U8).absorbs_clamp(relu.0, relu.1));
        assert!(!Params::from_range(0.0, 3.0, S8).absorbs_clamp(relu.0, relu.1));
        assert!(Params::from_range(0.0, 5.9, U8).absorbs_clamp(0.0, 6.0));
        assert!(!Params::from_range(0.0, 6.1, U8).absorbs_clamp(0.0, 6.0));
    }
}
