//! Where in the graph the difference between two models arises.
//!
//! The quantized model is turned back to float, which leaves its rounded weights and biases and tells the grids of its
//! activations. Each of its layers is then fed what the original model has there, so that its error is its own. How large
//! that should be is known: weights that are shaken by as much as their steps round by, and the best grid for what the
//! original has, make errors of the size to expect. What exceeds it is suspect.

mod branches;
mod cut;
mod error;
mod names;
mod runs;

pub(super) use cut::{cut, on_grids};
pub use error::LayerError;
pub use runs::Restored;

use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::inputs::{Dataset, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use branches::{has_branches, take_branches};
use error::LayerSums;
use runs::Runs;
use serde::Serialize;

/// The error of every value that both models have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layers {
    /// How many samples were run.
    pub samples: usize,
    /// The values, in an order in which each stands behind all that it is computed from.
    pub layers: Vec<LayerError>,
}

impl Layers {
    /// The layers whose error exceeds what their types explain, the most suspect first.
    pub fn suspects(&self) -> Vec<&LayerError> {
        let mut suspects: Vec<&LayerError> = self.layers.iter().filter(|layer| layer.is_suspect()).collect();
        suspects.sort_by(|a, b| b.excess_db().total_cmp(&a.excess_db()));
        suspects
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
    let taken = if has_branches(float) { take_branches([float, quantized], executor, &all()?) } else { None };
    let [float, quantized] = taken.as_ref().map_or([float, quantized], |[float, quantized]| [float, quantized]);
    let runs = Runs::new(float, quantized, executor, &first.types())?;
    progress.start("comparing layers", indices.len());
    let rows = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<_>, index, sample| {
        rows.push((index, runs.look(&sample.inputs)?));
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<(usize, Vec<LayerSums>)> = rows?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.0);
    let layers = runs.places().iter().enumerate().map(|(k, place)| {
        let samples: Vec<&LayerSums> = rows.iter().map(|(_, sums)| &sums[k]).collect();
        LayerError::of(place, &samples, runs.halves())
    });
    Ok(Layers { samples: rows.len(), layers: layers.collect() })
}

#[cfg(test)]
mod tests;
