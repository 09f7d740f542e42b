//! Runs two models side by side.

use super::Layers;
use super::kind::has_halves_alone;
use super::metrics::{Classification, OutputError, Sums};
use super::recorded::{self, Beside, Recorded};
use super::side::Side;
use super::steps;
use super::stress::Stress;
use super::tasks::{self, Measure, Measured, Tasks};
use super::three_way::{Engines, Seen, ThreeWay, Witnesses};
use super::worst::{SampleError, worst};
use crate::error::{Error, Result};
use crate::inputs::{Dataset, Sample, run_samples};
use crate::ir::Model;
use crate::policy::Settings;
use crate::progress::Progress;
use crate::tensor::Tensor;
use serde::Serialize;

/// How the outputs of a quantized model differ from those of its original.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// The engine that ran both.
    pub engine: String,
    /// How many samples were run.
    pub samples: usize,
    /// Each output, in the order of the graph.
    pub outputs: Vec<OutputError>,
    /// For a classifier: the first output that holds the scores of one.
    pub classification: Option<Classification>,
    /// What else outputs say, and how both models agree in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<Measured>,
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
    /// Whether the quantized model has numbers of 16 bits and no integers, of which less loss is usual.
    #[serde(skip)]
    pub halves: bool,
    /// The samples that suffer most, the worst first; none that are alike in both models.
    #[serde(skip)]
    pub worst: Vec<SampleError>,
}

impl Comparison {
    /// Nothing but crash tests, where there are no samples.
    pub fn of_stress(engine: String, stress: Stress) -> Self {
        Self { engine, stress: Some(stress), ..Self::default() }
    }

    /// Whether the quantized model fell over a crash test.
    pub fn is_broken(&self) -> bool {
        self.stress.as_ref().is_some_and(Stress::is_failed)
    }

    /// The error of each output, or of the parts of one whose numbers are not of one kind: boxes in pixels, and scores.
    pub fn parts(&self) -> Vec<&OutputError> {
        let boxes = |output: &OutputError| {
            self.tasks.iter().find_map(|task| match &task.measure {
                Measure::Yolo(found) if task.output == output.name => Some([&found.boxes, &found.scores]),
                _ => None,
            })
        };
        self.outputs.iter().flat_map(|output| boxes(output).map_or_else(|| vec![output], Vec::from)).collect()
    }

    /// The classes that both models guess, where these say something of the whole model: without labels those of the first of
    /// several outputs may be anything, unless somebody says that they are classes.
    pub fn classes(&self) -> Option<&Classification> {
        let classes = self.classification.as_ref()?;
        let counts = classes.top1_float.is_some() || classes.is_stated || self.outputs.len() == 1;
        counts.then_some(classes)
    }
}

struct Row {
    index: usize,
    sample: String,
    sums: Vec<Sums>,
    /// Of each output, where its task is known.
    tasks: Vec<Option<tasks::Seen>>,
    seen: Option<Seen>,
    /// Of each output; empty where nothing was recorded.
    beside: Vec<Beside>,
}

/// Runs the samples `indices` of `data` through both models, and through the quantized one by a runtime, if there is one. What
/// outputs say is compared as `policy` has it.
///
/// # Errors
/// When the models' inputs or outputs differ, an output is not what its task reads, a sample cannot be read, or the engine cannot run one of them. What the runtime
/// refuses is no error, but said in the comparison.
pub fn compare(
    float: &Model,
    quantized: &Model,
    engines: &Engines<'_>,
    (data, indices): (&Dataset, &[usize]),
    policy: &Settings,
    (threads, progress): (usize, &dyn Progress),
) -> Result<Comparison> {
    let names = output_names(float);
    let inputs: Vec<String> = float.graph.inputs().map(|v| float.graph.value(v).name().to_owned()).collect();
    if output_names(quantized) != names {
        let other = output_names(quantized);
        return Err(Error::other(format!("the models have different outputs: {names:?} and {other:?}")));
    }
    let tasks = Tasks::new(policy, float)?;
    let halves = has_halves_alone(quantized)?;
    let witnesses = engines.runtime.as_ref().map(|runtime| Witnesses::new(runtime, quantized)).transpose()?;
    let steps = steps::of_outputs(quantized)?;
    let (float, quantized) = (Side::new(engines.own, float)?, Side::new(engines.own, quantized)?);
    progress.start("validating", indices.len());
    let states = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<Row>, index, sample| {
        check_finite(sample, &inputs)?;
        rows.push(row((index, sample), &float, &quantized, witnesses.as_ref(), (&names, &tasks))?);
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<Row> = states?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.index);
    let of_output = |(i, name): (usize, &String)| {
        OutputError::of(name, &rows.iter().map(|r| (r.sample.as_str(), r.sums[i])).collect::<Vec<_>>())
    };
    let errors = rows.iter().map(|r| {
        let ranking = r.tasks.iter().flatten().find_map(tasks::Seen::ranking);
        SampleError::of((r.index, &r.sample), &names, &r.sums, ranking)
    });
    let worst = worst(errors.collect());
    let measured = names.iter().enumerate().filter_map(|(i, name)| {
        let seen: Vec<_> = rows.iter().map(|r| (r.sample.as_str(), r.tasks[i].as_ref())).collect();
        Some(Measured { output: name.clone(), measure: tasks.sum_up((i, name), &seen)? })
    });
    let mut measured: Vec<Measured> = measured.collect();
    let classes = measured.iter().position(|measured| matches!(measured.measure, Measure::Classify(_)));
    let classification = classes.and_then(|at| match measured.remove(at).measure {
        Measure::Classify(classification) => Some(classification),
        _ => None,
    });
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
        classification,
        tasks: measured,
        layers: None,
        reference,
        halves,
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
    (names, tasks): (&[String], &Tasks<'_>),
) -> Result<Row> {
    let (reference, other) = (float.run(&sample.inputs)?, quantized.run(&sample.inputs)?);
    let mut sums = Vec::with_capacity(names.len());
    let mut said = Vec::with_capacity(names.len());
    for (i, (name, (a, b))) in names.iter().zip(reference.iter().zip(&other)).enumerate() {
        if a.shape() != b.shape() {
            let message = format!("has shape {:?} in one model and {:?} in the other", a.shape(), b.shape());
            return Err(Error::value(name, message));
        }
        let (x, y) = (a.to_f32()?, b.to_f32()?);
        sums.push(Sums::of(&x, &y));
        said.push(tasks.look((i, name), a.shape(), [&x, &y], sample)?);
    }
    let recorded = match sample.recorded.as_slice() {
        [] => None,
        all => Some(recorded::fitting(&quantized.recorded(all)?, &reference, names, &sample.name)?),
    };
    let look = |w: &Witnesses<'_>| w.look(&sample.inputs, [&reference, &other], recorded.as_deref());
    let seen = witnesses.map(look).transpose()?;
    let beside = |((recorded, float), own): ((&Tensor, &Tensor), &Tensor)| Beside::of(recorded, float, own);
    let beside = recorded.iter().flatten().zip(&reference).zip(&other).map(beside).collect::<Result<_>>()?;
    Ok(Row { index, sample: sample.name.clone(), sums, tasks: said, seen, beside })
}
