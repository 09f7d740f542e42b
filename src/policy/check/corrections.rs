//! Corrections of biases, checked.

use super::super::raw::{BiasCorrection, Mode, Raw};
use crate::error::Result;

impl Raw {
    /// Whether there are grids that could do with less, where biases are to be absorbed.
    pub(super) fn check_absorption(&self, wanted: bool, mode: Mode) -> Result<()> {
        if wanted && self.rule_modes().chain([mode]).all(|mode| mode != Mode::Static) {
            let why = "absorb is for layers on grids that are stored; set mode: static, or remove this";
            return Err(self.wrong("repairs.absorb", why));
        }
        Ok(())
    }

    /// Whether what biases are to be corrected by is there in one of the modes.
    pub(super) fn check_bias_correction(&self, kind: BiasCorrection, mode: Mode) -> Result<()> {
        let mut modes = self.rule_modes().chain([mode]);
        let why = match kind {
            BiasCorrection::Analytic if modes.all(|mode| mode.half().is_some() || mode == Mode::Float32) => {
                "biases are corrected where weights are integers; set mode: static, dynamic or weight-only, or remove this"
            }
            BiasCorrection::Empirical if !modes.any(|mode| matches!(mode, Mode::Static | Mode::WeightOnly)) => {
                "empirical is for mode static and weight-only; set one of them, or bias_correction: analytic, or remove this"
            }
            _ => return Ok(()),
        };
        Err(self.wrong("repairs.bias_correction", why))
    }
}
