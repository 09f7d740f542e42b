//! What a change of the float graph is, and its runner.
//!
//! The laws of a pass: it finds, then applies; it leaves what it does not understand exactly as it was and says why; run
//! twice it changes nothing more; it decides no policy. In debug builds the graph is verified after each.

use crate::error::{Error, Result};
use crate::ir::Model;

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// How many places it changed.
    pub changed: usize,
    /// Places that looked right and were left alone: the node's label, and why.
    pub refused: Vec<(String, String)>,
    /// Values it made that follow from one the model had.
    pub derived: Vec<Derived>,
}

/// A value that a pass made of one that it took away: `clamp(source * factor + shift, low, high)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    /// The value made, in the model as it is now.
    pub value: String,
    /// The value it follows from, as the model was before.
    pub source: String,
    /// What the source is multiplied with; above 0.
    pub factor: f64,
    /// What is added then.
    pub shift: f64,
    /// Where the result is cut off.
    pub within: (f64, f64),
}

impl Derived {
    /// The range of the value where the source has the range `(low, high)`.
    pub fn range(&self, (low, high): (f32, f32)) -> (f32, f32) {
        let (least, most) = self.within;
        let through = |number: f32| (f64::from(number) * self.factor + self.shift).clamp(least, most) as f32;
        (through(low), through(high))
    }
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
