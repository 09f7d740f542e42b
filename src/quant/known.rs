//! Grids that are known before anything is observed: from encodings, or from a model that is quantized in part.

use super::params::Params;
use std::collections::{BTreeMap, BTreeSet};

/// Grids by the name of the value or constant whose numbers they round, and what else is known there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownGrids {
    /// Those of activations.
    pub activations: BTreeMap<String, Params>,
    /// Those of weights and other constants.
    pub constants: BTreeMap<String, KnownConstant>,
    /// Lowest and highest number of activations whose grid follows from the policy.
    pub ranges: BTreeMap<String, (f32, f32)>,
    /// Activations and constants that stay float.
    pub floats: BTreeSet<String>,
}

/// The grids of one constant, all of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownConstant {
    /// The axis along which each index has its own grid; `None` for one grid.
    pub axis: Option<usize>,
    /// How many elements along that axis share a grid, where it is not one for each index of it.
    pub block: Option<usize>,
    /// The grids: one; one for each index of the axis; or those of blocks, in the order of [`Blocks`](super::Blocks).
    pub grids: Vec<Params>,
}

impl KnownGrids {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.activations.is_empty() && self.constants.is_empty() && self.ranges.is_empty() && self.floats.is_empty()
    }
}

/// A bias as it was stored: its integers are more exact than float32.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownBias {
    /// The integers.
    pub integers: Vec<i32>,
    /// The scale of all, or of each, or of each of a group.
    pub scales: Vec<f32>,
}

impl KnownBias {
    /// Whether these integers, in steps of `scales`, are the numbers `bias`.
    pub fn is_of(&self, bias: &[f32], scales: &[f32]) -> bool {
        let number = |(&integer, &scale): (&i32, &f32)| integer as f32 * scale;
        let known = self.integers.iter().zip(self.scales.iter().cycle());
        self.integers.len() == bias.len()
            && !self.scales.is_empty()
            && known.map(number).zip(bias).all(|(known, &number)| known == number)
            && self.scales.iter().cycle().zip(scales.iter().cycle()).take(bias.len()).all(|(a, b)| a == b)
    }
}
