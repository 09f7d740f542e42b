//! Where in the graph the difference between two models arises.
//!
//! The quantized model is turned back to float, which leaves its rounded weights and biases and tells the grids of its
//! activations. Each of its layers is then fed what the original model has there, so that its error is its own. How large
//! that should be is known: weights that are shaken by as much as their steps round by, and the best grid for what the
//! original has, make errors of the size to expect. What exceeds it is suspect.

mod branches;
mod cut;
mod error;
mod grid;
mod inside;
mod level;
mod names;
mod places;
mod runs;
mod suspect;
mod turns;

pub(super) use cut::{cut, on_grids};
pub use error::LayerError;
pub use grid::{CutOff, RARELY_CUT};
pub use runs::Restored;
pub use suspect::{Cause, Suspect};

use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::inputs::{Dataset, run_samples};
use crate::ir::Model;
use crate::prepare;
use crate::progress::Progress;
use branches::{has_branches, take_branches};
use level::{Level, Note, Seen};
use serde::Serialize;
use std::collections::BTreeMap;

/// So many samples show how far values reach. Of fewer, grids of healthy layers may look too wide.
pub const ENOUGH: usize = 16;

/// The error of every value that both models have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layers {
    /// How many samples were run.
    pub samples: usize,
    /// What fewer samples than [`ENOUGH`] mean for suspects; `None` where there are as many.
    pub few_samples: Option<String>,
    /// The values, in an order in which each stands behind all that it is computed from.
    pub layers: Vec<LayerError>,
    /// Nodes of whose bodies not all could be looked at.
    pub bodies: Vec<BodyNote>,
}

/// Why not all is known of the layers in the bodies of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BodyNote {
    /// The node; of one in a body, the nodes around it, joined by slashes, come first.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Why.
    pub why: String,
    /// In how many samples.
    pub samples: usize,
}

impl Layers {
    /// Of so many samples: the values, and the nodes of whose bodies not all could be looked at.
    pub(crate) fn new(samples: usize, layers: Vec<LayerError>, bodies: Vec<BodyNote>) -> Self {
        let few_samples = (samples < ENOUGH).then(|| {
            format!(
                "fewer than {ENOUGH} samples seldom reach as far as those that calibrated, so that sound grids look too wide: give \
                 {ENOUGH} or more (--data, --samples) before taking a suspect for a fault"
            )
        });
        Self { samples, few_samples, layers, bodies }
    }

    /// What is to be said beside suspects, if there are any, for lack of samples.
    pub fn doubt(&self) -> Option<&str> {
        self.few_samples.as_deref().filter(|_| self.layers.iter().any(LayerError::is_suspect))
    }

    /// The layers whose error exceeds what their types explain, the most suspect first.
    pub fn suspects(&self) -> Vec<&LayerError> {
        let mut suspects: Vec<&LayerError> = self.layers.iter().filter(|layer| layer.is_suspect()).collect();
        suspects.sort_by(|a, b| b.excess_db().total_cmp(&a.excess_db()));
        suspects
    }
}

impl Layers {
    /// The values of which most of the error is what their grids cut off, and no fault, the worst first.
    pub fn rarely_cut(&self) -> Vec<(&LayerError, CutOff)> {
        let cut = |layer: &'_ LayerError| layer.rarely_cut().filter(|_| !layer.is_suspect());
        let mut all: Vec<_> = self.layers.iter().filter_map(|layer| Some((layer, cut(layer)?))).collect();
        all.sort_by(|a, b| a.1.sqnr_db.total_cmp(&b.1.sqnr_db));
        all
    }
}

impl BodyNote {
    /// It as a line, where `samples` were run.
    pub fn shown(&self, samples: usize) -> String {
        let Self { node, op_type, why, .. } = self;
        let some = match self.samples {
            all if all == samples => String::new(),
            some => format!(" (in {some} of {samples} samples)"),
        };
        format!("{node} ({op_type}): {why}{some}")
    }
}

/// Runs the samples `indices` of `data` through both models and compares value by value.
///
/// # Errors
/// When the quantized model cannot be turned back, a sample cannot be read, or the engine cannot run one of them.
pub fn layers(
    float: &Model,
    quantized: &Model,
    executor: &dyn Executor,
    (data, indices): (&Dataset, &[usize]),
    threads: usize,
    progress: &dyn Progress,
) -> Result<Layers> {
    // Files that cannot be read may be passed over.
    let first = data.read(indices).next().transpose()?.ok_or_else(|| Error::other("there are no samples"))?;
    let all = || data.read(indices).map(|sample| Ok(sample?.inputs)).collect::<Result<Vec<_>>>();
    let later = [prepare::later_scans(float, executor)?, prepare::later_scans(quantized, executor)?];
    let [float, quantized] = later.each_ref().map(std::convert::AsRef::as_ref);
    let taken = if has_branches(float) { take_branches([float, quantized], executor, &all()?) } else { None };
    let [float, quantized] = taken.as_ref().map_or([float, quantized], |[float, quantized]| [float, quantized]);
    let level = Level::new([float, quantized], executor, &first.inputs)?;
    progress.start("comparing layers", indices.len());
    let rows = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<_>, index, sample| {
        rows.push((index, level.look(&sample.inputs, Some(&sample.inputs))?));
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<(usize, Seen)> = rows?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.0);
    let seen: Vec<&Seen> = rows.iter().map(|(_, seen)| seen).collect();
    Ok(Layers::new(seen.len(), level.errors(&seen, ""), notes(&seen)))
}

/// What could not be looked at, and in how many samples.
fn notes(seen: &[&Seen]) -> Vec<BodyNote> {
    let mut counts: BTreeMap<&Note, usize> = BTreeMap::new();
    for note in seen.iter().flat_map(|seen| &seen.notes) {
        *counts.entry(note).or_default() += 1;
    }
    let one = |(note, samples): (&Note, usize)| {
        let Note { path, op_type, why } = note.clone();
        BodyNote { node: path.join("/"), op_type, why, samples }
    };
    counts.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests;
