//! Code books of four bits: sixteen numbers from -1 to 1 that are not evenly spaced, scaled by the largest weight of a block.

/// A code book. The numbers are those of ONNX Runtime's operator MatMulBnb4, in the order of their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CodeBook {
    /// Quantiles of a normal distribution (Dettmers et al., QLoRA, 2023).
    Nf4,
    /// Floats of a sign, two bits of exponent and one of mantissa.
    Fp4,
}

const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

const FP4: [f32; 16] = [
    0.0,
    5.208_333_3e-3,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    -0.0,
    -5.208_333_3e-3,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];

impl CodeBook {
    /// The policy's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nf4 => "nf4",
            Self::Fp4 => "fp4",
        }
    }

    /// The number of each code.
    pub fn numbers(self) -> &'static [f32; 16] {
        match self {
            Self::Nf4 => &NF4,
            Self::Fp4 => &FP4,
        }
    }

    /// The code of zero.
    pub fn zero(self) -> u8 {
        match self {
            Self::Nf4 => 7,
            Self::Fp4 => 0,
        }
    }

    /// The codes of `values`, blocks of `size` numbers that follow each other, and the scale of each block: its largest
    /// magnitude, or a share of it that makes less of an error where `least_error` asks for that. Zero stays zero.
    pub fn quantize(self, values: &[f32], size: usize, least_error: bool) -> (Vec<f32>, Vec<u8>) {
        let sorted = Sorted::new(self);
        let mut codes = Vec::with_capacity(values.len());
        let scales = values.chunks(size.max(1)).map(|block| {
            let largest = block.iter().fold(0f32, |most, v| most.max(v.abs()));
            let error = |scale: f32| -> f64 {
                block.iter().map(|&v| f64::from(sorted.nearest(v / scale).0 * scale - v).powi(2)).sum()
            };
            let shares = if least_error { SHARES } else { &[1.0] };
            let tried = shares.iter().map(|share| largest * share).filter(|scale| scale.is_normal());
            let best = tried.map(|scale| (error(scale), scale)).min_by(|a, b| a.0.total_cmp(&b.0));
            let scale = best.map_or(1.0, |(_, scale)| scale);
            codes.extend(block.iter().map(|&v| sorted.nearest(v / scale).1));
            scale
        });
        let scales = scales.collect();
        (scales, codes)
    }
}

/// Shares of the largest magnitude that are tried as a scale; of equals the first wins.
const SHARES: &[f32] = &[1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.88, 0.86, 0.84, 0.82, 0.8, 1.02, 1.04, 1.06, 1.1];

/// A code book in the order of its numbers.
struct Sorted {
    numbers: [(f32, u8); 16],
    /// Half way between neighbours.
    between: [f32; 15],
}

impl Sorted {
    fn new(book: CodeBook) -> Self {
        let mut code = 0u8;
        let mut numbers = book.numbers().map(|number| {
            code += 1;
            (number, code - 1)
        });
        numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Two codes stand for zero where there is one with a sign: the plain one is written.
        numbers.iter_mut().filter(|(number, _)| *number == 0.0).for_each(|entry| *entry = (0.0, book.zero()));
        let between = std::array::from_fn(|i| numbers[i].0 / 2.0 + numbers[i + 1].0 / 2.0);
        Self { numbers, between }
    }

    fn nearest(&self, value: f32) -> (f32, u8) {
        self.numbers[self.between.iter().filter(|&&between| value > between).count()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_becomes_the_nearest_and_zero_itself() {
        for book in [CodeBook::Nf4, CodeBook::Fp4] {
            assert_eq!(book.numbers()[usize::from(book.zero())].to_bits(), 0);
            let mut values: Vec<f32> = (0..1000).map(|i| (i * 7919 % 1009) as f32 / 300.0 - 1.7).collect();
            values.iter_mut().step_by(5).for_each(|v| *v = 0.0);
            values[64..128].fill(0.0);
            for least_error in [false, true] {
                let (scales, codes) = book.quantize(&values, 64, least_error);
                assert_eq!((scales.len(), codes.len()), (16, 1000));
                assert_eq!(scales[1], 1.0);
                for (i, (&v, &code)) in values.iter().zip(&codes).enumerate() {
                    let off = |code: u8| (book.numbers()[usize::from(code)] * scales[i / 64] - v).abs();
                    assert!((0..16).all(|other| off(code) <= off(other) + 1e-6), "{v}");
                    assert!(v != 0.0 || code == book.zero());
                }
            }
            let error = |least_error| -> f64 {
                let (scales, codes) = book.quantize(&values, 64, least_error);
                let off =
                    |(i, &v): (usize, &f32)| f64::from(book.numbers()[usize::from(codes[i])] * scales[i / 64] - v);
                values.iter().enumerate().map(|one| off(one).powi(2)).sum()
            };
            assert!(error(true) <= error(false));
        }
    }
}
