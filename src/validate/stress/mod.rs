//! Crash tests: what both models make of inputs that no sample shows.
//!
//! The cases are made from the model's inputs: black, white and beyond, silence and noise, the first and the last word of a table,
//! NaN, and shapes of all sizes that the model leaves open. What fails is what an app would fall over: the quantized model refuses
//! an input, or makes NaN or infinities of it, where the float model does not.

mod cases;
mod kinds;
mod numbers;
mod rule;
mod saturation;
mod shapes;
mod span;
mod tables;

pub use rule::{CaseOutput, StressVerdict};
pub use saturation::Saturated;

use super::border::Border;
use super::metrics::Sums;
use super::side::Side;
use super::three_way::Engines;
use crate::error::{Error, Result};
use crate::inputs::{Dataset, InputSpec, Preprocess, Sample, run_samples, spread};
use crate::ir::{Model, ValueId};
use crate::policy::StressCases;
use crate::progress::Progress;
use crate::tensor::Tensor;
use cases::Case;
use kinds::Input;
use rule::{Fed, Outcome, Yardstick};
use saturation::{Counts, Watch};
use serde::Serialize;

/// The seed of all that looks random.
const SEED: u32 = 1;
/// So many samples at most are what cases are held against.
const SAMPLES: usize = 16;

/// What became of the crash tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stress {
    /// The seed of noise and of random words.
    pub seed: u32,
    /// How many samples the cases are held against.
    pub samples: usize,
    /// Each input of the models, and what was taken for its lowest and highest numbers.
    pub inputs: Vec<StressInput>,
    /// Each case that was run.
    pub cases: Vec<StressCase>,
    /// Why saturation was not counted, where it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation_not_counted: Option<String>,
}

/// An input of the models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StressInput {
    /// Its name.
    pub name: String,
    /// What was taken for its numbers, and where that is from.
    pub taken: String,
}

/// One input that was made, and what both models gave for it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StressCase {
    /// Its name, by which it can be run alone.
    pub name: String,
    /// What is in it.
    pub what: String,
    /// The shape of each input.
    pub shapes: Vec<Vec<usize>>,
    /// Whether the quantized model has to stand it: not so of NaN, infinities and numbers that no sensor gives.
    pub counts: bool,
    /// What was found.
    pub verdict: StressVerdict,
    /// Which of the models does not run it, or both, where that lies, and what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The words of the engine that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_words: Option<String>,
    /// Each output, where both models ran.
    pub outputs: Vec<CaseOutput>,
    /// What goes wrong where the runtime that was asked for runs the quantized model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The values with the largest shares of numbers beyond their grids, counted over what samples show, the largest first.
    pub saturated: Vec<Saturated>,
}

impl StressCase {
    /// Whether the quantized model falls over what it has to stand.
    pub fn is_failed(&self) -> bool {
        self.counts && (self.verdict.is_bad() || self.runtime.is_some())
    }
}

impl Stress {
    /// Whether a case failed.
    pub fn is_failed(&self) -> bool {
        self.cases.iter().any(StressCase::is_failed)
    }
}

/// What crash tests are made from, beside the models.
pub struct StressOptions<'a> {
    /// Which cases are run.
    pub cases: &'a StressCases,
    /// An error about the name of so many before it in the list of those, with its place in the policy.
    pub blame: &'a dyn Fn(usize, Error) -> Error,
    /// How pictures become samples, where samples are pictures or the policy says it.
    pub preprocess: Option<&'a Preprocess>,
    /// Samples for both models, where there are some.
    pub samples: Option<(&'a Dataset, &'a [usize])>,
}

/// What one run shows.
struct Row {
    index: usize,
    outcome: Outcome,
    counts: Vec<Counts>,
}

/// All that a case is run through.
struct Bench<'a> {
    float: Side<'a>,
    quantized: Side<'a>,
    runtime: Option<Side<'a>>,
    watch: std::result::Result<Watch<'a>, String>,
    names: Vec<String>,
}

impl Bench<'_> {
    fn row(&self, index: usize, sample: &Sample) -> Result<Row> {
        let outcome = Outcome::of([&self.float, &self.quantized], self.runtime.as_ref(), &sample.inputs, &self.names)?;
        let counts = match &self.watch {
            // What is refused as a whole may still be run in part.
            Ok(watch) if outcome.quantized_ran() => watch.look(&sample.inputs).unwrap_or_default(),
            _ => Vec::new(),
        };
        Ok(Row { index, outcome, counts })
    }

    /// Lets go of what was compiled for one case: each program holds the weights, and a case is run once.
    fn forget(&self, inputs: &[Tensor]) {
        let sides = [Some(&self.float), Some(&self.quantized), self.runtime.as_ref()];
        sides.into_iter().flatten().for_each(|side| side.forget(inputs));
        self.watch.iter().for_each(|watch| watch.forget(inputs));
    }

    /// The rows of all samples, in their order. Shapes other than those of `usual` come only once.
    fn rows(
        &self,
        samples: impl Iterator<Item = Result<Sample>> + Send,
        usual: Option<&[Tensor]>,
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<Vec<Row>> {
        let states = run_samples(samples, threads, progress, Vec::new, |rows: &mut Vec<Row>, index, sample| {
            rows.push(self.row(index, sample)?);
            let alike = |base: &[Tensor]| sample.inputs.iter().zip(base).all(|(a, b)| a.shape() == b.shape());
            if usual.is_some_and(|base| !alike(base)) {
                self.forget(&sample.inputs);
            }
            Ok(())
        });
        let mut rows: Vec<Row> = states?.into_iter().flatten().collect();
        rows.sort_by_key(|row| row.index);
        Ok(rows)
    }
}

/// Runs the crash tests of `options`.
///
/// # Errors
/// When a case is asked for that there is not, a sample cannot be read, or the models do not state what they take.
pub fn stress(
    float: &Model,
    quantized: &Model,
    engines: &Engines<'_>,
    options: &StressOptions<'_>,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Stress> {
    let some = options.samples.map(|(data, indices)| {
        let few: Vec<usize> = spread(indices.len(), SAMPLES).into_iter().map(|k| indices[k]).collect();
        (data, few)
    });
    let border = Border::of(float)?;
    let samples = some.as_ref().map_or_else(
        || Ok(Vec::new()),
        |(data, few)| {
            let number = |sample: Result<Sample>| sample.and_then(|sample| border.numbers(&sample.inputs));
            data.read(few).map(number).collect::<Result<Vec<_>>>()
        },
    )?;
    let specs = specs(float, quantized)?;
    let inputs = kinds::inputs((float, quantized), &specs, options.preprocess, &samples)?;
    let base = match samples.first() {
        Some(first) => first.clone(),
        None => kinds::base(&inputs, &specs, options.preprocess)?,
    };
    drop(samples);
    let all = cases::cases(&inputs, &base, &shapes::open([float, quantized], &base));
    let chosen = chosen(all, options)?;

    let bench = Bench {
        float: Side::new(engines.own, float)?,
        quantized: Side::new(engines.own, quantized)?,
        runtime: engines.runtime.as_ref().map(|runtime| Side::new(runtime.default, quantized)).transpose()?,
        watch: Watch::new(float, quantized, engines.own).map_err(|why| why.to_string()),
        names: float.graph.outputs().map(|value| float.graph.value(value).name().to_owned()).collect(),
    };
    progress.start("crash tests", chosen.len() + some.as_ref().map_or(0, |(_, few)| few.len()));
    let normal = match &some {
        Some((data, few)) => bench.rows(data.read(few), None, threads, progress)?,
        None => Vec::new(),
    };
    let made = chosen.iter().map(|case| {
        let inputs = case.tensors(&inputs, &base)?;
        Ok(Sample { name: case.name.clone(), inputs, label: None, text: None, recorded: Vec::new() })
    });
    let rows = bench.rows(made, Some(&base), threads, progress);
    progress.finish();

    let sums: Vec<&[Sums]> = normal.iter().filter_map(|row| row.outcome.sums()).collect();
    let yardstick = Yardstick::of(&sums);
    let usual = saturation::together(normal.iter().map(|row| row.counts.as_slice()));
    let input_names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    // Without samples, sizes that the models leave open are a guess.
    let guessed = |spec: &InputSpec| some.is_none() && spec.ty.dims.contains(&None);
    let shape = |(spec, tensor): (&InputSpec, &Tensor)| (!guessed(spec)).then(|| tensor.shape().to_vec());
    let usual_shapes: Vec<Option<Vec<usize>>> = specs.iter().zip(&base).map(shape).collect();
    let told = |(case, row): (Case, Row)| {
        let verdict = row.outcome.verdict(&yardstick);
        let runtime_name = engines.runtime.as_ref().map_or("", |runtime| runtime.name.as_str());
        let fed = Fed::of(&input_names, &case.shapes, &usual_shapes);
        let engine_words = row.outcome.words();
        if let Some(words) = &engine_words {
            tracing::info!(case = case.name, "{words}");
        }
        StressCase {
            refused: row.outcome.refused(&fed),
            engine_words,
            shapes: case.shapes,
            counts: case.counts,
            name: case.name,
            what: case.what,
            verdict,
            outputs: row.outcome.outputs(&bench.names, &yardstick),
            runtime: row.outcome.runtime.as_ref().map(|what| format!("{runtime_name} {what}")),
            saturated: bench.watch.as_ref().map_or_else(|_| Vec::new(), |watch| watch.worst(&row.counts, &usual)),
        }
    };
    Ok(Stress {
        seed: SEED,
        samples: normal.len(),
        inputs: inputs.iter().map(Input::told).collect(),
        cases: chosen.clone().into_iter().zip(rows?).map(told).collect(),
        saturation_not_counted: bench.watch.as_ref().err().cloned(),
    })
}

/// What each input of the float model wants; what that leaves open may be settled in the quantized one.
fn specs(float: &Model, quantized: &Model) -> Result<Vec<InputSpec>> {
    let spec = |value: ValueId| {
        let name = float.graph.value(value).name().to_owned();
        let ty = float.graph.stated_type(value);
        let mut ty = ty.ok_or_else(|| Error::value(&name, "is a graph input without a tensor type"))?;
        let other = quantized.graph.find(&name).and_then(|value| quantized.graph.stated_type(value));
        for (dim, other) in ty.dims.iter_mut().zip(other.into_iter().flat_map(|other| other.dims)) {
            *dim = dim.or(other);
        }
        Ok(InputSpec { name, ty, meaning: None })
    };
    float.graph.inputs().map(spec).collect()
}

/// The cases that are asked for.
fn chosen(all: Vec<Case>, options: &StressOptions<'_>) -> Result<Vec<Case>> {
    let StressCases::Named(names) = options.cases else { return Ok(all) };
    let mut listed = names.iter().enumerate();
    if let Some((at, unknown)) = listed.find(|(_, name)| all.iter().all(|case| case.name != **name)) {
        let known: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
        let known = known.join(", ");
        let why = format!("there is no crash test {unknown:?} for this model; there are: {known}");
        return Err((options.blame)(at, Error::other(why)));
    }
    Ok(all.into_iter().filter(|case| names.contains(&case.name)).collect())
}

#[cfg(test)]
mod tests;
