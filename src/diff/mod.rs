//! What differs between two models: structure, grids, and the numbers that are stored.
//!
//! Structure is that of the files. Grids and stored numbers are those of what both models are once they are turned back to float:
//! there, QuantizeLinear in front of a Conv and a QLinearConv are the same, and values and constants go by the same names.

mod around;
mod constants;
mod grids;
mod loose;
mod nodes;
mod pairing;
mod renaming;
mod structure;
mod text;

pub use constants::ConstantChange;
pub use grids::{GridChange, GridOf, OneSided};
pub use nodes::{NodeChange, NodeOf};

use crate::dequantize::{self, CLAMPS, Found};
use crate::error::Result;
use crate::ir::Model;
use pairing::Pairing;
use serde::Serialize;

/// A thing that is one in the first model and another in the second; `None` where it is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changed {
    /// What.
    pub what: String,
    /// In the first model.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// What differs between two models. Lists are complete, those of numbers begin with what differs most.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Versions, opsets, metadata, functions.
    pub around: Vec<Changed>,
    /// Inputs and outputs, of the model and of bodies and functions.
    pub interface: Vec<Changed>,
    /// Nodes of the first model that the second does not have.
    pub removed: Vec<NodeOf>,
    /// Nodes of the second that the first does not have.
    pub added: Vec<NodeOf>,
    /// Nodes that both have, with what is different about them.
    pub changed: Vec<NodeChange>,
    /// Nodes and values that only go by another name.
    pub renamed: Vec<Changed>,
    /// Activations on unlike grids.
    pub grids: Vec<GridChange>,
    /// What is integer in one model and float, or not there, in the other; and what a node reads of an activation that both have
    /// as integers, where it reads these in one model and the number as it was before in the other.
    pub one_sided: Vec<OneSided>,
    /// Constants that are stored otherwise, or are other numbers.
    pub constants: Vec<ConstantChange>,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
    /// How much was compared.
    pub compared: Compared,
}

/// How many pairs were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Nodes.
    pub nodes: usize,
    /// Grids of activations.
    pub grids: usize,
    /// Constants.
    pub constants: usize,
}

impl Difference {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.renamed.is_empty() && self.is_all_but_names()
    }

    /// Whether nothing differs but names.
    pub fn is_all_but_names(&self) -> bool {
        let structure = [self.removed.len(), self.added.len(), self.changed.len()];
        let numbers = [self.grids.len(), self.one_sided.len(), self.constants.len()];
        let around = [self.around.len(), self.interface.len()];
        structure.iter().chain(&numbers).chain(&around).all(|&count| count == 0)
    }
}

/// A model turned back to float, and the grids that it had.
struct Float {
    model: Model,
    found: Found,
}

/// Compares two models, called `names` where something cannot be compared.
///
/// # Errors
/// When a graph has a circle or a constant is malformed.
pub fn diff(a: &Model, b: &Model, names: [&str; 2]) -> Result<Difference> {
    let mut difference = Difference::default();
    let b = &renaming::renamed(a, b, &mut difference)?;
    around::compare(a, b, &mut difference);
    nodes::compare(a, b, &mut difference)?;
    let mut turned = |model: &Model, name: &str| {
        let mut float = model.clone();
        // Clamps that grids took in are told by the structure. Put back they would change the names of values in one model and
        // not in the other.
        float.set_metadata(CLAMPS, "{}");
        match dequantize::take_apart(&mut float) {
            Ok((_, found)) => Some(Float { model: float, found }),
            Err(why) => {
                difference
                    .notes
                    .push(format!("{name} cannot be turned back to float, so grids are not compared: {why}"));
                None
            }
        }
    };
    let (one, two) = (turned(a, names[0]), turned(b, names[1]));
    let plain = |model: &Model| Float { model: model.clone(), found: Found::default() };
    // Where grids are of no use, stored numbers are compared as the files have them.
    let (one, two) = match (one, two) {
        (Some(one), Some(two)) => (one, two),
        _ => (plain(a), plain(b)),
    };
    let pairing = Pairing::of(&one.model.graph, &two.model.graph)?;
    grids::compare(&one, &two, &pairing, &mut difference);
    constants::compare(&one, &two, &pairing, &mut difference)?;
    renaming::note_names(&mut difference);
    Ok(difference)
}

#[cfg(test)]
mod tests;
