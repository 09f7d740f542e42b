//! What became of repairs: what the float model was changed to, and what samples say of the rest.

use super::placement;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// What samples say of something that was fitted on them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Trial {
    /// For how many layers or blocks there was no time left.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub late: usize,
    /// How many samples were run for it.
    pub samples: usize,
    /// SQNR of the outputs in dB, before and after, on samples that did not fit: the mean over samples and outputs.
    pub sqnr_db: Option<(f64, f64)>,
    /// Why nothing was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Trial {
    /// Nothing, and why.
    fn none(why: impl Into<String>) -> Self {
        Self::default().because(why)
    }

    /// The same, of which nothing was kept, and why.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    /// Says what was `done`, which stands behind the number of its samples, and what the time was too short for.
    fn tell(&self, f: &mut Formatter<'_>, done: &str, left: &str) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "none: {why}")?,
            None => write!(f, "{done} on {} samples", self.samples)?,
        }
        if self.late > 0 {
            write!(f, "; {} {left} when the time was up (repairs.rounding_seconds)", self.late)?;
        }
        match self.sqnr_db {
            Some((before, after)) => {
                write!(f, "; SQNR {before:.1} -> {after:.1} dB in the mean of those that did not fit")
            }
            None => Ok(()),
        }
    }
}

/// What ranges were chosen block by block.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RangesSummary {
    /// How many are others than calibration chose.
    pub values: usize,
    /// What samples say of them.
    #[serde(flatten)]
    pub trial: Trial,
}

impl RangesSummary {
    /// None, and why.
    pub fn none(why: impl Into<String>) -> Self {
        Self { values: 0, trial: Trial::none(why) }
    }
}

impl Display for RangesSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.trial.tell(f, &format!("{} ranges chosen block by block", self.values), "blocks were left")
    }
}

/// What was repaired.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RepairSummary {
    /// How many layers were refitted.
    pub layers: usize,
    /// How many of them got the mean alone, as bias correction asks.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub biases: usize,
    /// Of how many weights integers were found that are not the nearest.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub rounded: usize,
    /// What samples say of that.
    #[serde(flatten)]
    pub trial: Trial,
}

impl RepairSummary {
    /// Nothing, and why.
    pub fn none(why: impl Into<String>) -> Self {
        Self { trial: Trial::none(why), ..Self::default() }
    }
}

impl Display for RepairSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { layers, biases, rounded, trial } = self;
        let refitted = layers.saturating_sub(*biases);
        let rounded = (*rounded, "weights rounded by what they make");
        let done = [(refitted, "layers refitted"), (*biases, "biases corrected"), rounded];
        let done: Vec<String> = done.iter().filter(|one| one.0 > 0).map(|(n, what)| format!("{n} {what}")).collect();
        trial.tell(f, &done.join(", "), "more were rounded to nearest")
    }
}

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

/// What is said of so many equalized pairs.
pub(super) fn equalizing_note(pairs: usize) -> Option<String> {
    let noun = if pairs == 1 { "pair of layers has its" } else { "pairs of layers have their" };
    (pairs > 0).then(|| format!("{pairs} {noun} channels between them scaled, and the weights on both sides with them"))
}

/// What is said of so many smoothed values.
pub(super) fn smoothing_note(values: usize) -> Option<String> {
    let noun = if values == 1 { "value that layers read is" } else { "values that layers read are" };
    (values > 0)
        .then(|| format!("{values} {noun} scaled channel by channel, and the weights of the layers the other way"))
}

/// What is said of so many values that are scaled for stored weights.
pub(super) fn protecting_note(values: usize) -> Option<String> {
    let noun = if values == 1 {
        "value that layers with stored weights read is"
    } else {
        "values that layers with stored weights read are"
    };
    (values > 0)
        .then(|| format!("{values} {noun} scaled channel by channel, and the weights the other way (repairs.awq)"))
}
