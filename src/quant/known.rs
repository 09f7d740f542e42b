//! Grids that are known before anything is observed: from encodings, or from a model that is quantized in part.

use super::params::Params;
use std::collections::BTreeMap;

/// Grids by the name of the value or constant whose numbers they round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownGrids {
    /// Those of activations.
    pub activations: BTreeMap<String, Params>,
    /// Those of weights and other constants.
    pub constants: BTreeMap<String, KnownConstant>,
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
        self.activations.is_empty() && self.constants.is_empty()
    }
}
