//! How activations become integers: the policy as used.

use super::super::raw::{Activations, CalibratorName, TypeName};
use crate::quant::{Float8, GridType, Scheme};
use std::fmt;

/// The calibrator where the policy does not say.
pub const DEFAULT_CALIBRATOR: Calibrator = Calibrator::Mse;
/// The percentile where the calibrator is `percentile` and no number is given.
pub const DEFAULT_PERCENTILE: f64 = 99.99;

/// How an activation becomes integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationSettings {
    /// Type and symmetry; `reduce_range` is never set.
    pub scheme: Scheme,
    /// How its range is found.
    pub calibrator: Calibrator,
    /// The magnitude from which a column of what a product reads runs in float.
    pub outlier_threshold: Option<f32>,
}

impl Default for ActivationSettings {
    fn default() -> Self {
        let scheme = Scheme::new(GridType::Uint8, false);
        Self { scheme, calibrator: DEFAULT_CALIBRATOR, outlier_threshold: None }
    }
}

impl ActivationSettings {
    /// The same with what `over` says instead. `percentile` is the number that serves where `over` gives none, and
    /// takes on the one that it gives: a rule may give the number, and a later one the calibrator.
    pub(in crate::policy) fn with(self, over: &Activations, percentile: &mut f64) -> Self {
        *percentile = over.percentile.unwrap_or(*percentile);
        let scheme = Scheme {
            dtype: over.dtype.map_or(self.scheme.dtype, GridType::from),
            symmetric: over.symmetric.unwrap_or(self.scheme.symmetric),
            power_of_two: over.power_of_two.unwrap_or(self.scheme.power_of_two),
            ..self.scheme
        };
        let scheme = settled(scheme);
        let calibrator = match (over.calibrator, self.calibrator) {
            (Some(CalibratorName::Minmax), _) => Calibrator::MinMax,
            (Some(CalibratorName::MovingAverage), _) => Calibrator::MovingAverage,
            (Some(CalibratorName::Entropy), _) => Calibrator::Entropy,
            (Some(CalibratorName::Mse), _) => Calibrator::Mse,
            (Some(CalibratorName::Percentile), _) | (None, Calibrator::Percentile(_)) => {
                Calibrator::Percentile(*percentile)
            }
            (None, same) => same,
        };
        let outlier_threshold = over.outlier_threshold.map(|t| t as f32).or(self.outlier_threshold);
        Self { scheme, calibrator, outlier_threshold }
    }

    /// The percentile that a rule begins with.
    pub(in crate::policy) fn percentile(self) -> f64 {
        match self.calibrator {
            Calibrator::Percentile(percentile) => percentile,
            _ => DEFAULT_PERCENTILE,
        }
    }
}

/// How a range is found from what the calibration samples show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Calibrator {
    /// The smallest and the largest number.
    MinMax,
    /// The average over the samples of the smallest and the largest number.
    MovingAverage,
    /// The range that holds this share of the numbers, in percent: above 50, at most 100.
    Percentile(f64),
    /// The range of smallest relative entropy.
    Entropy,
    /// The range of smallest mean squared error.
    Mse,
}

impl fmt::Display for Calibrator {
    /// The policy's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MinMax => "minmax",
            Self::MovingAverage => "moving_average",
            Self::Percentile(_) => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
        })
    }
}

impl From<TypeName> for GridType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Int8 => Self::Int8,
            TypeName::Uint8 => Self::Uint8,
            TypeName::Int16 => Self::Int16,
            TypeName::Uint16 => Self::Uint16,
            TypeName::Float8e4m3fn => Self::Float8(Float8::E4m3fn),
            TypeName::Float8e5m2 => Self::Float8(Float8::E5m2),
        }
    }
}

/// Floating-point numbers are symmetric, whatever is said of other types.
pub(super) fn settled(scheme: Scheme) -> Scheme {
    Scheme { symmetric: scheme.symmetric || scheme.dtype.is_float(), ..scheme }
}
