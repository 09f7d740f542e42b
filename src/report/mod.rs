//! What was done and how much was lost: for people as text and as an HTML page, for machines as JSON.

mod audit;
mod budget;
mod details;
mod entities;
mod handed;
mod html;
mod junit;
mod picture;
mod placement;
mod recorded;
mod repairs;
mod stress;
mod tasks;
mod terminal;
mod three_way;

pub use audit::{Inspected, audit};
pub use budget::{Assignment, BudgetSummary, Chosen};
pub use details::{Details, Distribution, Picture, Spread, WorstSample};
pub use html::{Document, Measured, page, sensitivity};
pub use junit::{JUnit, save_junit};
pub use placement::{FloatGroup, HalfInput, PlacementSummary, summarize};
pub use repairs::{CorrectionSummary, RangesSummary, RepairSummary, Trial};
pub(crate) use terminal::size;

use crate::error::{Error, Result};
use crate::policy::Thresholds;
use crate::validate::{self, Check, Comparison, Fault, Miss};
use serde::Serialize;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// What a report is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON, for machines.
    Json,
    /// A page, for people.
    Html,
}

impl Form {
    /// The form that the ending of `path` chooses; without an ending it is JSON.
    ///
    /// # Errors
    /// When the ending is that of no report.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            None | Some("json") => Ok(Self::Json),
            Some("html" | "htm") => Ok(Self::Html),
            Some(other) => {
                let why = format!("a report ends in .html for people or .json for machines; found .{other}");
                Err(Error::file(path, why))
            }
        }
    }
}

/// A file that was read or written.
#[derive(Debug, Clone, Serialize)]
pub struct FileSummary {
    /// The path as the user named it.
    pub path: String,
    /// Bytes, with external data.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// Where ranges came from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CalibrationSummary {
    /// The samples, or the file with saved statistics.
    pub source: String,
    /// How many samples were run.
    pub samples: u64,
    /// The engine that ran them, where it was another one than tract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// SHA-256 of the statistics, in hexadecimal.
    pub statistics_sha256: String,
    /// What was assumed about pictures, and what of the data was left out or of the settings had no effect.
    pub preprocessing: Option<String>,
    /// Bad files that the policy let pass, each with what was wrong.
    pub skipped: Vec<String>,
    /// Between how many pairs of layers the channels are scaled.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub equalized: usize,
    /// Of how many layers biases went into those behind, and of how many channels in all; `None` where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absorbed: Option<(usize, usize)>,
    /// How many values are smoothed.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub smoothed: usize,
    /// How many values are scaled for stored weights.
    #[serde(skip_serializing_if = "placement::is_zero")]
    pub protected: usize,
    /// Which biases were corrected without samples; `None` where none were to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<CorrectionSummary>,
    /// What samples repaired; `None` where nothing was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<RepairSummary>,
    /// Ranges that were chosen block by block, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconstruction: Option<RangesSummary>,
}

/// The outcome of a conversion.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The program and its version.
    pub tool: String,
    /// The float model.
    pub model: FileSummary,
    /// The quantized model.
    pub output: FileSummary,
    /// SHA-256 of the policy as used, in hexadecimal.
    pub policy_sha256: String,
    /// Where ranges came from.
    pub calibration: CalibrationSummary,
    /// What became of the nodes.
    pub placement: PlacementSummary,
    /// What became of a model that was quantized already, and what it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantized_input: Option<String>,
    /// The comparison with the float model, on samples that did not calibrate.
    pub validation: Option<Comparison>,
    /// Why there is no comparison.
    pub not_validated: Option<String>,
    /// What was demanded, by the policy or by what is usual, and what came of it.
    pub checks: Vec<Check>,
    /// Those of them that were missed.
    pub missed: Vec<Miss>,
    /// What makes it a failure, whatever the limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// What a search for types found, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSummary>,
    /// Layers some columns of which run in float beside the integer rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub split: Vec<SplitLayer>,
    /// Encodings that stood beside the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encodings: Option<EncodingsSummary>,
    /// Grids that were known beforehand and that nothing uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub known_not_used: Vec<UnusedGrid>,
    /// Bytes of stack traces, or of all notes for people, that the output goes without.
    #[serde(skip_serializing_if = "is_zero")]
    pub notes_left_out: u64,
    /// What a user should look at.
    pub warnings: Vec<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A file of encodings that was read.
#[derive(Debug, Clone, Serialize)]
pub struct EncodingsSummary {
    /// The path as the user named it.
    pub path: String,
    /// What kind of file it is.
    pub format: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// How many values and constants it names.
    pub entries: usize,
    /// Of how many of them the model uses what it says.
    pub used: usize,
}

/// A comparison of two models with what came of the limits.
#[derive(Debug, Clone, Serialize)]
pub struct Judged {
    /// The comparison.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// What was demanded, and what came of it.
    pub checks: Vec<Check>,
    /// Those of them that were missed.
    pub missed: Vec<Miss>,
    /// What makes it a failure, whatever the limits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Judged {
    /// Holds `comparison` against the limits of `thresholds` and against those that are usual.
    pub fn new(comparison: Comparison, thresholds: &Thresholds) -> Self {
        let checks = validate::checks(thresholds, Some(&comparison));
        let (missed, failed) = (validate::misses(&checks), comparison.faults().iter().map(Fault::to_string).collect());
        Self { comparison, checks, missed, failed }
    }

    /// Whether no limit was missed and nothing else makes it a failure.
    pub fn is_passed(&self) -> bool {
        self.missed.is_empty() && self.failed.is_empty()
    }
}

impl Display for Judged {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.comparison)?;
        terminal::judged(f, &self.checks, &self.failed)
    }
}

/// A known grid that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnusedGrid {
    /// The value or constant.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A layer some columns of which run in float.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitLayer {
    /// The layer's name.
    pub node: String,
    /// The columns of what it reads that run in float.
    pub columns: Vec<usize>,
}

impl Report {
    /// Whether no limit was missed and nothing else makes it a failure.
    pub fn is_passed(&self) -> bool {
        self.missed.is_empty() && self.failed.is_empty()
    }

    /// Writes the report as JSON, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_json(self, path)
    }

    /// Writes the report as a page, with `details` of what was gathered for it, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_page(&self, details: &Details, path: &Path) -> Result<()> {
        let document = Document {
            tool: &self.tool,
            float: &self.model,
            quantized: &self.output,
            compared: self.validation.as_ref().ok_or_else(|| self.not_validated.as_deref().unwrap_or("nobody asked")),
            report: Some(self),
            details,
        };
        save_page(&document, path)
    }
}

impl Report {
    /// Writes what was judged as JUnit XML, atomically.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_junit(&self, path: &Path) -> Result<()> {
        let compared = self.validation.as_ref().ok_or_else(|| self.not_validated.as_deref().unwrap_or("nobody asked"));
        save_junit(&JUnit { model: &self.output.path, compared, checks: &self.checks }, path)
    }
}

/// Writes anything as indented JSON, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save_json(what: &impl Serialize, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(what).map_err(Error::other)?;
    text.push('\n');
    crate::file::write_atomically(path, text.as_bytes())
}

/// Writes a page, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save_page(document: &Document<'_>, path: &Path) -> Result<()> {
    crate::file::write_atomically(path, page(document).as_bytes())
}

/// Writes what each layer costs as a page, atomically.
///
/// # Errors
/// When the file cannot be written.
pub fn save_sensitivity(document: &Measured<'_>, path: &Path) -> Result<()> {
    crate::file::write_atomically(path, sensitivity(document).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_chooses_the_form() {
        for (path, form) in
            [("a.json", Form::Json), ("a", Form::Json), ("b.x/a.HTML", Form::Html), ("a.htm", Form::Html)]
        {
            assert_eq!(Form::of(Path::new(path)).expect("a form"), form, "{path}");
        }
        let why = Form::of(Path::new("out/a.pdf")).expect_err("no form").to_string();
        assert!(
            why.contains("out/a.pdf") && why.contains(".html") && why.contains(".json") && why.contains(".pdf"),
            "{why}"
        );
    }
}
