//! The first policy for a model: what it is and what data are at hand, to a choice of mode, to a commented YAML file.
//!
//! It is the decision tree of `docs/modes.md` as code: [`choices`] walks it, [`text`] writes down where it came out and why.
//! Nothing is run, and nothing is decided that the policy does not say.

mod choice;
mod network;
mod text;
mod yaml;

pub use choice::{Choice, choices};
pub use network::{Kind, Network};
pub use text::text;

use crate::inputs::{Kind as DataKind, PictureSettings};
use crate::quant::HalfType;

/// What is known before a policy is written.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The model's path as the policy is to name it.
    pub model: String,
    /// The first part of the names of what is written: `net` for `net.onnx`.
    pub stem: String,
    /// Bytes of the model, with its external data.
    pub bytes: u64,
    /// The version of ONNX's operators.
    pub opset: i64,
    /// What kind of network it is.
    pub network: Network,
    /// The type of 16 bits that its numbers are in, if they are.
    pub half: Option<HalfType>,
    /// Its inputs, each as the audit describes it.
    pub inputs: Vec<String>,
    /// Whether pictures could feed it: one input, shaped like a picture.
    pub takes_pictures: bool,
    /// Dimensions of its inputs that are open, but for the batch.
    pub open: Vec<OpenDimension>,
    /// The samples at hand.
    pub data: Option<Data>,
    /// Whether the samples tell, for each, its class, and the model has a score for each.
    pub labelled: bool,
}

/// A dimension that the model leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDimension {
    /// Its name in the model, or `input[axis]`.
    pub name: String,
    /// Its size in the first sample.
    pub size: Option<usize>,
}

/// Samples.
#[derive(Debug, Clone)]
pub struct Data {
    /// Their path as the policy is to name it.
    pub path: String,
    /// What they are.
    pub kind: DataKind,
    /// How many there are.
    pub count: usize,
    /// How many are to be used at most.
    pub samples: usize,
    /// What is done to pictures.
    pub pictures: Option<PictureSettings>,
    /// Whether the size of pictures is a guess, because the model leaves it open.
    pub size_is_guessed: bool,
    /// Whether the factor of their levels was told.
    pub scale_is_told: bool,
    /// Other samples, to validate on, as the policy is to name them.
    pub validation: Option<String>,
    /// Their classes, as the policy is to name the file.
    pub labels: Option<String>,
}

#[cfg(test)]
mod tests;
