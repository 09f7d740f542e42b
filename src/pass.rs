//! What a change of the float graph is, and its runner.
//!
//! The laws of a pass: it finds, then applies; it leaves what it does not understand exactly as it was and says why; run
//! twice it changes nothing more; it decides no policy. In debug builds the graph is verified after each.

use crate::error::{Error, Result};
use crate::ir::Model;

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many places it changed.
    pub changed: usize,
    /// Places that looked right and were left alone: the node's label, and why.
    pub refused: Vec<(String, String)>,
}

impl Outcome {
    /// Notes that the node called `label` was left alone.
    pub fn refuse(&mut self, label: &str, why: impl Into<String>) {
        self.refused.push((label.to_owned(), why.into()));
    }
}

/// One change of the graph.
pub trait Pass {
    /// Its name in logs and reports.
    fn name(&self) -> &'static str;

    /// Changes the model wherever it applies.
    ///
    /// # Errors
    /// Only when the model is malformed; a place where the pass does not fit is refused, not an error.
    fn run(&self, model: &mut Model) -> Result<Outcome>;
}

/// Runs a pass, and logs what it did.
///
/// # Errors
/// Those of the pass; in debug builds also a graph left broken.
pub fn run(pass: &dyn Pass, model: &mut Model) -> Result<Outcome> {
    let outcome = pass.run(model)?;
    if cfg!(debug_assertions) {
        model.graph.verify().map_err(|e| Error::other(format!("the pass {} broke the graph: {e}", pass.name())))?;
    }
    tracing::debug!(pass = pass.name(), changed = outcome.changed, refused = outcome.refused.len(), "pass");
    for (node, why) in &outcome.refused {
        tracing::debug!(pass = pass.name(), node, why, "left alone");
    }
    Ok(outcome)
}
