//! What became of biases that were to be corrected without samples.

use super::placement;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Biases that were corrected by what BatchNormalization tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CorrectionSummary {
    /// Of how many layers.
    pub layers: usize,
    /// Of how many layers nothing is known of what they read.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub unknown: usize,
    /// Why of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl CorrectionSummary {
    /// None, and why.
    pub fn none(why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..Self::default() }
    }
}

impl Display for CorrectionSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(why) = &self.why {
            return write!(f, "no biases: {why}");
        }
        let biases = if self.layers == 1 { "bias" } else { "biases" };
        write!(f, "{} {biases}, by what BatchNormalization tells of what their layers read", self.layers)?;
        match self.unknown {
            0 => Ok(()),
            1 => write!(f, "; 1 more layer reads what it says nothing about"),
            more => write!(f, "; {more} more layers read what it says nothing about"),
        }
    }
}

/// What is said of so many layers, and so many channels of them, whose biases went into those behind.
pub(super) fn absorbing_note((layers, channels): (usize, usize)) -> String {
    if channels == 0 {
        return "nothing: no channel ahead of a Relu stays above zero where the layers behind it could take that"
            .to_owned();
    }
    let layers = if layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
    let what = if channels == 1 { "1 channel" } else { &format!("{channels} channels") };
    format!("of {what} of {layers}, what they never fall below went into the biases behind the Relu")
}
