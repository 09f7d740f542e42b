//! Floating-point numbers of 16 bits: what they hold, and what float32 numbers lose by them.

use crate::error::{Error, Result};
use crate::tensor::{DataType, Tensor};
use crate::threads;
use ::half::{bf16, f16};
use bytes::Bytes;
use std::fmt;

/// A floating-point type of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HalfType {
    /// 5 bits of exponent, 10 of fraction: exact to one in 2048, from 6.1e-5 to 65504, and below with fewer bits.
    Float16,
    /// 8 bits of exponent, 7 of fraction: exact to one in 256, with the range of float32.
    Bfloat16,
}

/// What an array of float32 numbers loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// The first finite number that lies beyond the range.
    pub beyond: Option<f32>,
    /// Whether every number stays what it is.
    pub exact: bool,
    /// The length of the error relative to that of the array, both over what is finite and in range.
    pub relative: f64,
}

impl HalfType {
    /// The element type of tensors.
    pub fn dtype(self) -> DataType {
        match self {
            Self::Float16 => DataType::Float16,
            Self::Bfloat16 => DataType::Bfloat16,
        }
    }

    /// The type with an element type, if there is one.
    pub fn of(dtype: DataType) -> Option<Self> {
        [Self::Float16, Self::Bfloat16].into_iter().find(|kind| kind.dtype() == dtype)
    }

    /// The largest finite number.
    pub fn max(self) -> f32 {
        match self {
            Self::Float16 => f16::MAX.to_f32(),
            Self::Bfloat16 => bf16::MAX.to_f32(),
        }
    }

    /// The smallest number above zero that has all bits of fraction.
    pub fn smallest_normal(self) -> f32 {
        match self {
            Self::Float16 => f16::MIN_POSITIVE.to_f32(),
            Self::Bfloat16 => bf16::MIN_POSITIVE.to_f32(),
        }
    }

    /// The relative error from which more is lost than the fraction's bits explain: twice the largest of rounding.
    pub fn tolerated(self) -> f64 {
        match self {
            Self::Float16 => 2f64.powi(-10),
            Self::Bfloat16 => 2f64.powi(-7),
        }
    }

    /// The nearest number of the type, ties to even; infinity beyond its range.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Self::Float16 => f16::from_f32(value).to_f32(),
            Self::Bfloat16 => bf16::from_f32(value).to_f32(),
        }
    }

    /// The least number of the type that is not below `value`, which is not negative; its largest where none is.
    pub fn round_up(self, value: f64) -> f64 {
        let nearest = self.round(value as f32);
        if f64::from(nearest) >= value {
            return f64::from(nearest).min(f64::from(self.max()));
        }
        let next = match self {
            Self::Float16 => f16::from_bits(f16::from_f32(nearest).to_bits() + 1).to_f32(),
            Self::Bfloat16 => bf16::from_bits(bf16::from_f32(nearest).to_bits() + 1).to_f32(),
        };
        f64::from(next.min(self.max()))
    }

    /// What a float32 tensor loses.
    ///
    /// # Errors
    /// When it has another type.
    pub fn loss(self, tensor: &Tensor) -> Result<Loss> {
        self.check(tensor)?;
        let mut parts = vec![Part::default(); tensor.pieces().len()];
        let pieces = tensor.pieces().zip(parts.iter_mut());
        threads::for_each(pieces, |(piece, part)| *part = tensor.with_piece(piece, |values| self.part(values)));
        let sum = |of: fn(&Part) -> f64| parts.iter().map(of).sum::<f64>();
        let (signal, noise) = (sum(|part| part.signal), sum(|part| part.noise));
        Ok(Loss {
            beyond: parts.iter().find_map(|part| part.beyond),
            exact: parts.iter().all(|part| !part.inexact),
            relative: if noise > 0.0 { (noise / signal).sqrt() } else { 0.0 },
        })
    }

    fn part(self, values: &[f32]) -> Part {
        let mut part = Part::default();
        for &value in values.iter().filter(|v| v.is_finite()) {
            let rounded = self.round(value);
            part.inexact |= rounded != value;
            if rounded.is_infinite() {
                part.beyond.get_or_insert(value);
                continue;
            }
            part.signal += f64::from(value).powi(2);
            part.noise += (f64::from(value) - f64::from(rounded)).powi(2);
        }
        part
    }

    fn check(self, tensor: &Tensor) -> Result<()> {
        let found = tensor.dtype();
        let float32 = found == DataType::Float32;
        float32
            .then_some(())
            .ok_or_else(|| Error::other(format!("a tensor of {found} cannot become {self}; expected float32")))
    }

    /// A float32 tensor in this type.
    ///
    /// # Errors
    /// When it has another type.
    pub fn tensor(self, tensor: &Tensor) -> Result<Tensor> {
        self.check(tensor)?;
        let mut bytes = vec![0u8; tensor.len() * size_of::<u16>()];
        let (mut rest, mut parts) = (bytes.as_mut_slice(), Vec::new());
        for piece in tensor.pieces() {
            let (own, after) = rest.split_at_mut(piece.len() * size_of::<u16>());
            parts.push((piece, own));
            rest = after;
        }
        threads::for_each(parts.into_iter(), |(piece, own)| {
            tensor.with_piece(piece, |values| {
                for (bytes, &value) in own.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                    *bytes = match self {
                        Self::Float16 => f16::from_f32(value).to_le_bytes(),
                        Self::Bfloat16 => bf16::from_f32(value).to_le_bytes(),
                    };
                }
            });
        });
        Tensor::new(self.dtype(), tensor.shape().to_vec(), Bytes::from(bytes))
    }
}

/// What a piece of an array loses.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    beyond: Option<f32>,
    inexact: bool,
    /// Squares of the numbers in range, and of their errors.
    signal: f64,
    noise: f64,
}

impl fmt::Display for HalfType {
    /// ONNX's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.dtype().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_ties_to_even() {
        assert_eq!(HalfType::Float16.round(2049.0), 2048.0);
        assert_eq!(HalfType::Float16.round(2051.0), 2052.0);
        assert_eq!(HalfType::Float16.round(65519.0), 65504.0);
        assert_eq!(HalfType::Float16.round(65520.0), f32::INFINITY);
        assert_eq!(HalfType::Bfloat16.round(257.0), 256.0);
        assert_eq!(HalfType::Bfloat16.round(259.0), 260.0);
        let tensor = HalfType::Float16.tensor(&Tensor::from_f32(vec![2], &[1.0, 2049.0])).expect("numbers");
        assert_eq!(
            (tensor.dtype(), tensor.to_f32().expect("numbers").to_vec()),
            (DataType::Float16, vec![1.0, 2048.0])
        );
    }

    #[test]
    fn rounding_up_never_cuts_off_and_never_gives_zero_or_infinity() {
        let (float16, bfloat16) = (HalfType::Float16, HalfType::Bfloat16);
        assert_eq!([2048.0, 2048.1, 2049.9].map(|v| float16.round_up(v)), [2048.0, 2050.0, 2050.0]);
        assert_eq!([256.0, 256.5].map(|v| bfloat16.round_up(v)), [256.0, 258.0]);
        assert_eq!([0.0, 1e-30].map(|v| float16.round_up(v)), [0.0, 2f64.powi(-24)]);
        assert_eq!([1e5, f64::INFINITY].map(|v| float16.round_up(v)), [65504.0, 65504.0]);
        for step in 1..2000 {
            let scale = f64::from(step).powi(3) * 1e-7;
            for kind in [float16, bfloat16] {
                let up = kind.round_up(scale);
                assert!(up >= scale && kind.round(up as f32) == up as f32, "{kind} {scale}");
                assert!(up <= scale * (1.0 + kind.tolerated() * 2.0) || scale < 1e-4, "{kind} {scale}");
            }
        }
    }

    #[test]
    fn losses_tell_range_exactness_and_tiny_numbers() {
        let float16 =
            |numbers: &[f32]| HalfType::Float16.loss(&Tensor::from_f32(vec![numbers.len()], numbers)).expect("float32");
        let loss = float16(&[1.0, -7e4, f32::INFINITY]);
        assert_eq!((loss.beyond, loss.exact), (Some(-7e4), false));
        assert!(HalfType::Bfloat16.loss(&Tensor::from_f32(vec![2], &[1.0, -7e4])).expect("float32").beyond.is_none());
        assert_eq!(float16(&[0.5, 0.0]), Loss { beyond: None, exact: true, relative: 0.0 });
        assert!(float16(&[1e-8]).relative > 0.9);
        // Tiny numbers beside normal ones lose nothing that counts.
        assert!(float16(&[1e-8, 0.1]).relative < HalfType::Float16.tolerated());
    }
}
