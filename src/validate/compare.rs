//! Runs two models side by side.

use super::Layers;
use super::metrics::{Classification, OutputError, Ranking, Sums};
use super::recorded::{self, Beside, Recorded};
use super::side::Side;
use super::steps;
use super::stress::Stress;
use super::three_way::{Engines, Seen, ThreeWay, Witnesses};
use super::worst::{SampleError, worst};
use crate::error::{Error, Result};
use crate::inputs::{Dataset, Sample, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use crate::tensor::Tensor;
use serde::Serialize;

/// How the outputs of a quantized model differ from those of its original.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The engine that ran both.
    pub engine: String,
    /// How many samples were run.
    pub samples: usize,
    /// Each output, in the order of the graph.
    pub outputs: Vec<OutputError>,
    /// For a classifier.
    pub classification: Option<Classification>,
    /// Value by value, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// The quantized model as a runtime computes it, where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<ThreeWay>,
    /// The quantized model beside outputs that were recorded elsewhere, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// Both models on inputs that no sample shows, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stress: Option<Stress>,
    /// The samples that suffer most, the worst first; none that are alike in both models.
    #[serde(skip)]
    pub worst: Vec<SampleError>,
}

impl Comparison {
    /// Nothing but crash tests, where there are no samples.
    pub fn of_stress(engine: String, stress: Stress) -> Self {
        Self {
            engine,
            samples: 0,
            outputs: Vec::new(),
            classification: None,
            layers: None,
            reference: None,
            recorded: None,
            stress: Some(stress),
            worst: Vec::new(),
        }
    }

    /// Whether the quantized model fell over a crash test.
    pub fn is_broken(&self) -> bool {
        self.stress.as_ref().is_some_and(Stress::is_failed)
    }

    /// Whether the runtime that was asked for refuses the quantized model as it would run it.
    pub fn is_refused(&self) -> bool {
        self.reference.as_ref().is_some_and(|reference| reference.default.refused.is_some())
    }
}

struct Row {
    index: usize,
    sample: String,
    sums: Vec<Sums>,
    ranking: Option<Ranking>,
    seen: Option<Seen>,
    /// Of each output; empty where nothing was recorded.
    beside: Vec<Beside>,
}

/// Runs the samples `indices` of `data` through both models, and through the quantized one by a runtime, if there is one.
///
/// # Errors
/// When the models' inputs or outputs differ, a sample cannot be read, or the engine cannot run one of them. What the runtime
/// refuses is no error, but said in the comparison.
pub fn compare(
    float: &Model,
    quantized: &Model,
    engines: &Engines<'_>,
    (data, indices): (&Dataset, &[usize]),
    threads: usize,
    progress: &dyn Progress,
) -> Result<Comparison> {
    let names = output_names(float);
    let inputs: Vec<String> = float.graph.inputs().map(|v| float.graph.value(v).name().to_owned()).collect();
    if output_names(quantized) != names {
        let other = output_names(quantized);
        return Err(Error::other(format!("the models have different outputs: {names:?} and {other:?}")));
    }
    let witnesses = engines.runtime.as_ref().map(|runtime| Witnesses::new(runtime, quantized)).transpose()?;
    let steps = steps::of_outputs(quantized)?;
    let (float, quantized) = (Side::new(engines.own, float)?, Side::new(engines.own, quantized)?);
    progress.start("validating", indices.len());
    let states = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<Row>, index, sample| {
        check_finite(sample, &inputs)?;
        rows.push(row((index, sample), &float, &quantized, witnesses.as_ref(), &names)?);
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<Row> = states?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.index);
    let of_output = |(i, name): (usize, &String)| {
        OutputError::of(name, &rows.iter().map(|r| (r.sample.as_str(), r.sums[i])).collect::<Vec<_>>())
    };
    let errors = rows.iter().map(|r| SampleError::of((r.index, &r.sample), &names, &r.sums, r.ranking.as_ref()));
    let worst = worst(errors.collect());
    let rankings: Vec<Ranking> = rows.iter().filter_map(|r| r.ranking.clone()).collect();
    let seen = |row: &Row| Some((row.sample.clone(), row.seen.clone()?));
    let seen: Vec<(String, Seen)> = rows.iter().filter_map(seen).collect();
    let reference = witnesses.as_ref().map(|witnesses| witnesses.sum_up(&names, &seen));
    let is_recorded = rows.iter().any(|row| !row.beside.is_empty());
    let recorded = is_recorded.then(|| {
        let output = |(i, name): (usize, &String)| {
            let all: Vec<_> = rows.iter().map(|row| (row.sample.as_str(), row.beside[i])).collect();
            let runtime = reference.as_ref().zip(witnesses.as_ref()).map(|(told, witnesses)| {
                let step = told.outputs.get(i).map_or(0.0, |output| output.step);
                (told, witnesses.beside_recorded(i, &seen, step))
            });
            recorded::output((i, name), &all, steps.get(i).copied().flatten(), runtime)
        };
        let outputs = names.iter().enumerate().map(output).collect();
        Recorded { path: data.describe().path.display().to_string(), outputs }
    });
    Ok(Comparison {
        engine: match float.is_twin() || quantized.is_twin() {
            true => format!("{}, nodes of 16 bits in float32 from their rounded constants", engines.own.name()),
            false => engines.own.name(),
        },
        samples: rows.len(),
        outputs: names.iter().enumerate().map(of_output).collect(),
        classification: Classification::of(&rankings).filter(|_| rankings.len() == rows.len()),
        layers: None,
        reference,
        worst,
        recorded,
        stress: None,
    })
}

fn output_names(model: &Model) -> Vec<String> {
    model.graph.outputs().map(|v| model.graph.value(v).name().to_owned()).collect()
}

/// A sample that is not finite itself says nothing about the models.
pub(super) fn check_finite(sample: &Sample, inputs: &[String]) -> Result<()> {
    for (input, name) in sample.inputs.iter().zip(inputs).filter(|(t, _)| t.dtype().is_float()) {
        if input.to_f32()?.iter().any(|v| !v.is_finite()) {
            return Err(Error::value(name, format!("is NaN or infinite in the sample {}; take it out", sample.name)));
        }
    }
    Ok(())
}

fn row(
    (index, sample): (usize, &Sample),
    float: &Side<'_>,
    quantized: &Side<'_>,
    witnesses: Option<&Witnesses<'_>>,
    names: &[String],
) -> Result<Row> {
    let (reference, other) = (float.run(&sample.inputs)?, quantized.run(&sample.inputs)?);
    let mut sums = Vec::with_capacity(names.len());
    let mut ranking = None;
    for (i, (name, (a, b))) in names.iter().zip(reference.iter().zip(&other)).enumerate() {
        if a.shape() != b.shape() {
            let message = format!("has shape {:?} in one model and {:?} in the other", a.shape(), b.shape());
            return Err(Error::value(name, message));
        }
        let (x, y) = (a.to_f32()?, b.to_f32()?);
        sums.push(Sums::of(&x, &y));
        if i == 0 {
            ranking = Ranking::of(a.shape(), &x, &y, sample.label);
        }
    }
    let recorded = match sample.recorded.as_slice() {
        [] => None,
        all => Some(recorded::fitting(&quantized.recorded(all)?, &reference, names, &sample.name)?),
    };
    let look = |w: &Witnesses<'_>| w.look(&sample.inputs, [&reference, &other], recorded.as_deref());
    let seen = witnesses.map(look).transpose()?;
    let beside = |((recorded, float), own): ((&Tensor, &Tensor), &Tensor)| Beside::of(recorded, float, own);
    let beside = recorded.iter().flatten().zip(&reference).zip(&other).map(beside).collect::<Result<_>>()?;
    Ok(Row { index, sample: sample.name.clone(), sums, ranking, seen, beside })
}
