//! A sum of float32 numbers without rounding, so that it does not depend on their order.

/// Limbs of 32 bits, the first worth 2^-149, the smallest float32.
const LIMBS: usize = 11;

/// A fixed-point accumulator wide enough for 2^31 numbers of any magnitude.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExactSum {
    limbs: [i64; LIMBS],
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, value: f32) {
        let bits = value.to_bits();
        let exponent = (bits >> 23) & 0xff;
        let fraction = u64::from(bits & 0x7f_ffff);
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 0x80_0000, exponent - 1) };
        let (limb, offset) = ((shift / 32) as usize, shift % 32);
        let shifted = mantissa << offset;
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        self.limbs[limb] += sign * (shifted & 0xffff_ffff) as i64;
        self.limbs[limb + 1] += sign * (shifted >> 32) as i64;
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        self.limbs.iter_mut().zip(other.limbs).for_each(|(a, b)| *a += b);
    }

    /// The sum, rounded once for each limb from the largest down.
    pub fn value(&self) -> f64 {
        let mut limbs = self.limbs;
        // Carries first: two sums of the same numbers then have the same limbs.
        for i in 0..LIMBS - 1 {
            limbs[i + 1] += limbs[i] >> 32;
            limbs[i] &= 0xffff_ffff;
        }
        (0..LIMBS).rev().map(|i| limbs[i] as f64 * 2f64.powi(32 * i as i32 - 149)).sum()
    }

    /// The limbs, carried.
    pub(super) fn limbs(&self) -> Vec<i64> {
        self.limbs.to_vec()
    }

    /// The sum with these limbs; `None` when they are not those of one: too few, or so large that adding to them or carrying
    /// may overflow.
    pub(super) fn from_limbs(limbs: &[i64]) -> Option<Self> {
        let sound = limbs.iter().all(|limb| limb.unsigned_abs() <= 1 << 62);
        Some(Self { limbs: limbs.try_into().ok().filter(|_| sound)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_nothing_is_lost() {
        let values = [1e30f32, 1.0, -1e30, 1e-30, 3.5, f32::MAX, -f32::MAX, 1e-45, -2.5];
        let mut forward = ExactSum::default();
        values.iter().for_each(|&v| forward.add(v));
        let mut backward = ExactSum::default();
        values.iter().rev().for_each(|&v| backward.add(v));
        assert_eq!(forward.value().to_bits(), backward.value().to_bits());
        assert!((forward.value() - 2.0).abs() < 1e-12);
    }
}
