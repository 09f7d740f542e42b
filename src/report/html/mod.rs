//! The report as one HTML page: no script, nothing fetched, the same bytes for the same report.

mod chart;
mod error;
mod handed;
mod histograms;
mod nodes;
mod outputs;
mod page;
mod reproduce;
mod samples;
mod sensitivity;
mod sizes;
mod stress;
mod summary;
mod tasks;
mod text;
mod verdict;
mod weights;

pub use page::page;
pub use sensitivity::{Measured, sensitivity};

use super::details::Details;
use super::{FileSummary, PlacementSummary, Report};
use crate::validate::Comparison;

/// What a page is made of.
pub struct Document<'a> {
    /// The program and its version.
    pub tool: &'a str,
    /// The float model.
    pub float: &'a FileSummary,
    /// The quantized model.
    pub quantized: &'a FileSummary,
    /// The comparison of both, or why there is none.
    pub compared: Result<&'a Comparison, &'a str>,
    /// The report, of a conversion.
    pub report: Option<&'a Report>,
    /// Everything else.
    pub details: &'a Details,
}

impl Document<'_> {
    fn placement(&self) -> Option<&PlacementSummary> {
        self.report.map(|report| &report.placement).filter(|placement| placement.nodes > 0)
    }
}

#[cfg(test)]
mod tests;
