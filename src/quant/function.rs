//! Activation functions: what becomes of an error that is made ahead of them.

/// A function that flattens numbers or lets them pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationFunction {
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x / (1 + exp(-x))`
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

impl ActivationFunction {
    /// What it makes of `x`.
    pub fn of(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::Tanh => x.tanh(),
        }
    }

    /// Its slope at `x`.
    pub fn slope(self, x: f64) -> f64 {
        let gate = sigmoid(x);
        match self {
            Self::Sigmoid => gate * (1.0 - gate),
            Self::Silu => gate * (1.0 + x * (1.0 - gate)),
            Self::Tanh => 1.0 - x.tanh().powi(2),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_functions() {
        for function in [ActivationFunction::Sigmoid, ActivationFunction::Silu, ActivationFunction::Tanh] {
            for x in [-800.0, -5.0, -1.2, 0.0, 0.3, 4.0, 800.0] {
                let by = 1e-5;
                let slope = (function.of(x + by) - function.of(x - by)) / (2.0 * by);
                assert!((slope - function.slope(x)).abs() < 1e-6, "{function:?} at {x}");
            }
        }
    }
}
