//! Integers of weights in a lock: by how many steps each lies beside the nearest, as digits.

use crate::error::{Error, Result};
use crate::tune::rounding::Rounding;
use serde::{Deserialize, Serialize};

/// The steps of a weight, in the order of its elements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// How many elements the weight has.
    pub elements: usize,
    /// Bits of each, 2 or 8, as a two's complement.
    pub bits: u32,
    /// All of them, the first in the lowest bits of the first byte, as hexadecimal digits.
    pub steps: String,
}

impl Steps {
    /// Those of `rounding`.
    pub fn of(rounding: &Rounding) -> Self {
        let steps = &rounding.steps;
        let bits = if steps.iter().all(|step| (-2..2).contains(step)) { 2 } else { 8 };
        let byte = |some: &[i8]| match bits {
            2 => some.iter().enumerate().fold(0u8, |byte, (at, &step)| byte | (step as u8 & 3) << (2 * at)),
            _ => some[0] as u8,
        };
        let digits = steps.chunks(8 / bits as usize).map(|some| format!("{:02x}", byte(some))).collect();
        Self { elements: steps.len(), bits, steps: digits }
    }

    /// What they say.
    ///
    /// # Errors
    /// When they are no steps, or not as many as they are said to be.
    pub fn rounding(&self) -> Result<Rounding> {
        let wrong = || Error::other("are no hexadecimal digits of 2 or 8 bits for each element of the weight");
        let each = match self.bits {
            2 => 4,
            8 => 1,
            _ => return Err(wrong()),
        };
        let digits = self.steps.as_bytes();
        if !digits.len().is_multiple_of(2) || self.elements.div_ceil(each) != digits.len() / 2 {
            return Err(wrong());
        }
        let mut steps = Vec::with_capacity(self.elements);
        for pair in digits.chunks_exact(2) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16).ok_or_else(wrong);
            let byte = (digit(0)? << 4 | digit(1)?) as u8;
            match each {
                1 => steps.push(byte as i8),
                // Shifted up and down again, so that the sign fills the byte.
                _ => steps.extend((0..4).map(|at| (byte << (6 - 2 * at)) as i8 >> 6)),
            }
        }
        steps.truncate(self.elements);
        Ok(Rounding { steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_as_they_were_written() {
        for steps in [vec![], vec![1], vec![0, -1, 1, -2, 1], vec![5, -128, 127, 0, 0]] {
            let rounding = Rounding { steps };
            assert_eq!(Steps::of(&rounding).rounding().expect("steps"), rounding);
        }
        let short = Steps::of(&Rounding { steps: vec![0, -1, 1, -2, 1] });
        assert_eq!((short.bits, short.steps.as_str()), (2, "9c01"));
    }

    #[test]
    fn what_is_no_steps_is_refused() {
        let good = Steps::of(&Rounding { steps: vec![0, -1, 1, -2, 1] });
        let bad = [
            Steps { bits: 3, ..good.clone() },
            Steps { elements: 9, ..good.clone() },
            Steps { elements: usize::MAX, ..good.clone() },
            Steps { steps: "9c0".to_owned(), ..good.clone() },
            Steps { steps: "9c0x".to_owned(), ..good.clone() },
            Steps { steps: "é1".to_owned(), bits: 8, elements: 1 },
        ];
        bad.iter().for_each(|bad| assert!(bad.rounding().is_err(), "{bad:?}"));
    }
}
