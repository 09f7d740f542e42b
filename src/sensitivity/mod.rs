//! What each layer costs: the damage to the outputs when it alone is quantized, and what is left of it when it alone is not.
//!
//! The quantized model is turned back to float, with the grids of its activations known. Then each layer can be rounded by
//! itself, and each left out, in one program that is compiled once; of each such variant only what depends on the layer is
//! computed again, beginning from two runs that are kept of each sample: one of the float model, one of the quantized.

mod causes;
mod parts;
mod runs;
mod state;
mod sums;
mod text;
mod units;
mod weights;

pub use causes::Evidence;
pub use parts::{Parts, With};
pub use state::Subject;
pub use sums::{Damage, Metric};
pub use units::Unit;

use crate::error::{Error, Result};
use crate::inputs::Dataset;
use crate::progress::Progress;
use causes::Constants;
use runs::{QUANTIZED, Variants};
use serde::Serialize;
use state::Keeper;
use std::path::Path;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sensitivity {
    /// By what nodes are ranked.
    pub metric: Metric,
    /// How many samples were run.
    pub samples: usize,
    /// Whether top-1 and top-5 are shares of right answers, not of agreement with the float model.
    pub labelled: bool,
    /// The damage where everything is quantized.
    pub quantized: Damage,
    /// The nodes, those that do the most damage alone first.
    pub nodes: Vec<NodeDamage>,
    /// Their names, those first with which in float most of the damage goes.
    pub by_gain: Vec<String>,
    /// The names of those with weights, those whose weights alone do the most damage first.
    pub by_weights: Vec<String>,
    /// The same by activations.
    pub by_activations: Vec<String>,
}

/// The damage of one layer or join with what belongs to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeDamage {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// It and the nodes behind it that belong to it.
    pub nodes: Vec<String>,
    /// With it alone quantized.
    pub alone: Damage,
    /// With nothing but its weights quantized.
    pub weights: Option<Damage>,
    /// With nothing but what it reads and makes quantized.
    pub activations: Option<Damage>,
    /// With it alone in float.
    pub in_float: Damage,
    /// How much of the damage goes with it in float, by the metric; in dB of SQNR, otherwise a difference. `None` where that is
    /// no number, as where no damage is left.
    pub gain: Option<f64>,
    /// Why it does damage, as its numbers tell, the likeliest first.
    pub causes: Vec<String>,
}

/// What is measured, and on what.
pub struct Task<'a> {
    /// The model.
    pub parts: &'a Parts,
    /// The samples.
    pub samples: (&'a Dataset, &'a [usize]),
    /// By what nodes are ranked.
    pub metric: Metric,
    /// What it is of.
    pub subject: Subject,
    /// Where what was measured so far is kept.
    pub resume: Option<&'a Path>,
    /// What calibration showed.
    pub evidence: &'a Evidence<'a>,
}

/// Measures each unit.
///
/// # Errors
/// When a sample is bad, the engine cannot run the model, the state that is kept is of something else or cannot be written, or
/// the metric needs classes that the outputs do not have.
pub fn sensitivity(task: &Task<'_>, progress: &dyn Progress) -> Result<Sensitivity> {
    let variants = Variants::of(task.parts);
    let keeper = Keeper::new(task.resume);
    let state = keeper.load(&task.subject, variants.count())?;
    let state = runs::run(task.parts, &variants, task.samples, state, &keeper, progress)?;
    let damages: Vec<Damage> = state.totals.iter().map(sums::Total::damage).collect();
    let (metric, quantized) = (task.metric, damages[QUANTIZED]);
    if matches!(metric, Metric::Top1 | Metric::Top5) && quantized.top1.is_none() {
        return Err(Error::other("no output of the model is one score per class, [1,C]: rank by sqnr, mse or cosine"));
    }
    let node = |(unit, of): (&Unit, &runs::OfUnit)| {
        let in_float = damages[of.float];
        let gain = quantized.by(metric) - in_float.by(metric);
        let mut node = NodeDamage {
            node: unit.node.clone(),
            op_type: unit.op_type.clone(),
            nodes: unit.nodes.clone(),
            alone: damages[of.alone],
            weights: of.weights.map(|k| damages[k]),
            activations: of.activations.map(|k| damages[k]),
            in_float,
            gain: gain.is_finite().then_some(gain),
            causes: Vec::new(),
        };
        let constants: Vec<&Constants> = unit.layers.iter().map(|&layer| &task.parts.constants[layer]).collect();
        node.causes = task.evidence.causes(unit, &node, &constants, &task.parts.known);
        node
    };
    let mut nodes: Vec<NodeDamage> = task.parts.units.iter().zip(&variants.units).map(node).collect();
    let ranked = |of: &dyn Fn(&NodeDamage) -> Option<Damage>, most_first: bool| {
        let mut all: Vec<(Damage, &str)> =
            nodes.iter().filter_map(|node| Some((of(node)?, node.node.as_str()))).collect();
        all.sort_by(|a, b| if most_first { b.0.compare(&a.0, metric) } else { a.0.compare(&b.0, metric) });
        all.into_iter().map(|(_, name)| name.to_owned()).collect::<Vec<String>>()
    };
    let by_gain = ranked(&|node| Some(node.in_float), false);
    let by_weights = ranked(&|node| node.weights, true);
    let by_activations = ranked(&|node| node.activations, true);
    nodes.sort_by(|a, b| b.alone.compare(&a.alone, metric));
    let labelled = state.totals[QUANTIZED].is_labelled();
    Ok(Sensitivity { metric, samples: state.samples, labelled, quantized, nodes, by_gain, by_weights, by_activations })
}

#[cfg(test)]
mod tests;
