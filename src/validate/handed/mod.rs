//! Where in the graph a runtime and the re-execution part: integer by integer that layers hand to each other.
//!
//! What is on a grid can be told in steps, and may be an output of the model without keeping a runtime from what it does to
//! the layer around it, as a float number between two pairs would. Each integer is looked at twice: as the whole model
//! has it, and as its layer makes it of the integers that the re-execution has, so that nothing that went another way
//! before it counts.

mod places;
mod runs;
mod verdict;

pub use verdict::{LayerVerdict, StepsApart};

use super::three_way::Runtime;
use crate::error::Result;
use crate::exec::Executor;
use crate::inputs::{Dataset, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use runs::{Runs, Seen};
use serde::Serialize;
use verdict::{Apart, of_layer};

/// The integers of a quantized model in a runtime, beside those of the re-execution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Handed {
    /// How many samples were run.
    pub samples: usize,
    /// Why nothing was looked at, where nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// What the runtime did not run, so that figures are missing.
    pub refused: Vec<Refusal>,
    /// Each value of integers, in an order in which it stands behind all that it is computed from.
    pub layers: Vec<HandedLayer>,
}

impl Handed {
    /// Nothing was looked at, and why.
    pub fn unknown(why: String) -> Self {
        Self { samples: 0, why_not: Some(why), refused: Vec::new(), layers: Vec::new() }
    }
}

/// A model that the runtime did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// `whole`, the model with its integers as outputs, or `alone`, the same cut at them.
    pub run: &'static str,
    /// `disable_all` or `default`.
    pub level: &'static str,
    /// The runtime's words.
    pub why: String,
}

/// One value of integers, and the layer that makes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandedLayer {
    /// The value's name: that of the number which is rounded or, where an operator makes integers by itself, of these.
    pub value: String,
    /// The name of the integers.
    pub integers: String,
    /// Their type.
    #[serde(rename = "type")]
    pub dtype: String,
    /// The operators between the integers that the layer reads and those that it makes, in the order of computation.
    pub operators: Vec<String>,
    /// What the two levels say.
    pub verdict: LayerVerdict,
    /// How many steps the layer by itself may be off for rounding: 1, and more where it rounds to 16 bits on the way to a fine grid.
    pub rounding: u32,
    /// The layer by itself.
    pub alone: AtLevels,
    /// In the whole model.
    pub accumulated: AtLevels,
}

/// How far a runtime is from the re-execution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AtLevels {
    /// Without graph optimizations; `None` where it did not run the model.
    pub disable_all: Option<StepsApart>,
    /// As it runs a model by default; likewise.
    pub default: Option<StepsApart>,
}

impl Handed {
    /// The layers with this verdict, those that are furthest off first.
    pub fn with(&self, verdict: LayerVerdict) -> Vec<&HandedLayer> {
        let mut found: Vec<_> = self.layers.iter().filter(|layer| layer.verdict == verdict).collect();
        found.sort_by_key(|layer| std::cmp::Reverse(layer.largest()));
        found
    }

    /// The layers that are more than rounding apart, the gravest first.
    pub fn apart(&self) -> Vec<&HandedLayer> {
        let told = [LayerVerdict::Disagreement, LayerVerdict::Fusion, LayerVerdict::Across];
        told.into_iter().flat_map(|verdict| self.with(verdict)).collect()
    }

    /// The layers that differ at all, in the order in which they are to be looked at.
    pub fn worst(&self) -> Vec<&HandedLayer> {
        let mut found = self.apart();
        found.extend(self.with(LayerVerdict::Unknown));
        let share = |layer: &HandedLayer| layer.alone.default.map_or(0.0, |apart| apart.share);
        let mut rest = self.with(LayerVerdict::Rounding);
        rest.sort_by(|a, b| share(b).total_cmp(&share(a)));
        found.extend(rest);
        found
    }
}

impl HandedLayer {
    /// The most steps that the layer by itself is off by.
    fn largest(&self) -> u32 {
        [self.alone.disable_all, self.alone.default].into_iter().flatten().map(|apart| apart.steps).max().unwrap_or(0)
    }
}

/// Runs the samples `indices` of `data` through `quantized`, in `own` and at both levels of `runtime`, and compares the
/// integers that its layers hand to each other.
///
/// # Errors
/// When a sample cannot be read, or `own` cannot run the model. What the runtime refuses is no error, but said.
pub fn handed(
    quantized: &Model,
    (own, runtime): (&dyn Executor, &Runtime<'_>),
    (data, indices): (&Dataset, &[usize]),
    threads: usize,
    progress: &dyn Progress,
) -> Result<Handed> {
    let nothing = |why: &str| Handed::unknown(why.to_owned());
    let places = places::places(quantized)?;
    if places.is_empty() {
        return Ok(nothing(
            "no layer hands integers on whose grid is in the model: layers are dynamic, of 16 bits, or have nothing but their weights stored",
        ));
    }
    let runs = Runs::new(quantized, places, (own, runtime))?;
    progress.start("comparing layers with the runtime", indices.len());
    let rows = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<_>, index, sample| {
        rows.push((index, runs.look(&sample.inputs)?));
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<(usize, Seen)> = rows?.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.0);
    Ok(summed(runs.places(), &rows.into_iter().map(|row| row.1).collect::<Vec<_>>()))
}

const RUNS: [(&str, &str); 4] =
    [("whole", "disable_all"), ("whole", "default"), ("alone", "disable_all"), ("alone", "default")];

/// What all samples show.
fn summed(places: &[places::Place], rows: &[Seen]) -> Handed {
    let refused = |run: usize| rows.iter().find_map(|row| row[run].as_ref().err());
    let said = (0..RUNS.len()).filter_map(|run| {
        let (name, level) = RUNS[run];
        Some(Refusal { run: name, level, why: refused(run)?.clone() })
    });
    let apart = |run: usize, place: usize| {
        let sums = rows.iter().map(|row| row[run].as_ref().ok().map(|values| values[place]));
        let sums: Option<Apart> = sums.sum();
        sums.map(Apart::told)
    };
    let at = |run: usize, place: usize| AtLevels { disable_all: apart(run, place), default: apart(run + 1, place) };
    let accumulated: Vec<AtLevels> = (0..places.len()).map(|place| at(0, place)).collect();
    let layers = places.iter().enumerate().map(|(index, place)| {
        let alone = at(2, index);
        let is_same = |&read: &usize| accumulated[read].default.is_some_and(|apart| apart.steps == 0);
        let same_before = place.reads.iter().all(is_same);
        HandedLayer {
            value: place.value.clone(),
            integers: place.integers.clone(),
            dtype: place.dtype.to_string(),
            operators: place.operators.clone(),
            verdict: of_layer(alone, accumulated[index], same_before, place.rounding),
            rounding: place.rounding,
            alone,
            accumulated: accumulated[index],
        }
    });
    Handed { samples: rows.len(), why_not: None, refused: said.collect(), layers: layers.collect() }
}

#[cfg(test)]
mod tests;
