//! Where weights reach as far as half-quadratic quantization says, and what they have to be for that.

use super::super::raw::{Granularity, Mode, WeightRange};
use super::weights::WeightSettings;

impl WeightSettings {
    /// Why they cannot have their range in `mode`, with the key to blame.
    pub(super) fn range_trouble(self, mode: Mode) -> Option<(&'static str, &'static str)> {
        if self.range != WeightRange::Hqq {
            return None;
        }
        match mode {
            Mode::Static | Mode::Dynamic => Some(("range", ALONE)),
            Mode::WeightOnly if self.codes.is_some() => Some(("range", NO_STEPS)),
            Mode::WeightOnly if self.scheme.dtype.is_float() => Some(("range", FLOATS)),
            Mode::WeightOnly if self.scheme.symmetric => Some(("range", SYMMETRIC)),
            Mode::WeightOnly if self.granularity == Granularity::PerTensor => Some(("range", ONE_GRID)),
            Mode::WeightOnly if self.scheme.power_of_two => Some(("range", POWERS)),
            Mode::WeightOnly | Mode::Float16 | Mode::Bfloat16 | Mode::Float32 => None,
        }
    }
}

const ALONE: &str = "range: hqq is for integers that weights alone are stored as; set it to least_error or minmax, or set mode: weight-only";

const NO_STEPS: &str = "range: hqq fits steps of one length, and nf4 and fp4 have none; set it to least_error or minmax, or set type: uint4";

const FLOATS: &str = "range: hqq fits the steps of integers; remove this, or set it to minmax, for float8";

const SYMMETRIC: &str = "range: hqq finds zero points, and symmetric weights have none to find; set symmetric: false, or range: \
     least_error";

const ONE_GRID: &str = "range: hqq is for a grid for each channel or block; set granularity: per_channel or per_block, or range: least_error";

const POWERS: &str = "range: hqq needs steps of any length; remove power_of_two, or set range: least_error";
