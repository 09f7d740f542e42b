//! What is known of the numbers of a value without running anything: how each channel of it is distributed.

/// Channels, the numbers of each of which are distributed normally.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Normal {
    /// The mean of each.
    pub means: Vec<f64>,
    /// The standard deviation of each.
    pub deviations: Vec<f64>,
}

impl Normal {
    /// Each channel times a factor of its own, and an addend added to it.
    #[must_use]
    pub fn through(&self, factors: &[f64], addends: &[f64]) -> Self {
        let both = factors.iter().zip(addends);
        let means = self.means.iter().zip(both).map(|(mean, (factor, addend))| mean * factor + addend);
        let deviations = self.deviations.iter().zip(factors).map(|(deviation, factor)| deviation * factor.abs());
        Self { means: means.collect(), deviations: deviations.collect() }
    }

    /// Each channel divided by a power of two.
    #[must_use]
    pub fn divided(&self, exponents: &[i32]) -> Self {
        let factors: Vec<f64> = exponents.iter().map(|&exponent| 2f64.powi(-exponent)).collect();
        self.through(&factors, &vec![0.0; factors.len()])
    }
}
