//! How near outputs are to those of the float model.

use crate::tensor::{DataType, Tensor};
use std::borrow::Cow;

/// What counts as exact, in dB: the noise of float32.
const EXACT_DB: f64 = 140.0;

/// Sums over samples, output by output.
#[derive(Debug, Clone, Default)]
pub struct Nearness(Vec<(f64, f64)>);

impl Nearness {
    /// Adds the outputs of a sample. Those that are not float32 do not count.
    pub fn add(&mut self, float: &[Tensor], other: &[Tensor]) {
        self.0.resize(self.0.len().max(float.len()), (0.0, 0.0));
        for ((signal, noise), (float, other)) in self.0.iter_mut().zip(float.iter().zip(other)) {
            let numbers = |tensor: &Tensor| {
                let float = tensor.dtype() == DataType::Float32;
                tensor.to_f32().ok().filter(|_| float).map(Cow::into_owned)
            };
            let (Some(float), Some(other)) = (numbers(float), numbers(other)) else { continue };
            for (&f, &o) in float.iter().zip(&other) {
                *signal += f64::from(f).powi(2);
                *noise += f64::from(f - o).powi(2);
            }
        }
    }

    /// The signal-to-quantization-noise ratio in dB: the mean over outputs.
    pub fn sqnr_db(&self) -> f64 {
        let told = self.0.iter().filter(|(signal, _)| *signal > 0.0);
        let each: Vec<f64> = told.map(|(signal, noise)| (10.0 * (signal / noise).log10()).min(EXACT_DB)).collect();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    }
}
