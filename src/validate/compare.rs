//! Runs two models side by side.

use super::border::Border;
use super::metrics::{Classification, OutputError, Ranking, Sums};
use super::{Layers, twin};
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::inputs::{Dataset, Sample, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use crate::quant::HalfType;
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
}

struct Row {
    index: usize,
    sample: String,
    sums: Vec<Sums>,
    ranking: Option<Ranking>,
}

/// Runs the samples `indices` of `data` through both models.
///
/// # Errors
/// When the models' inputs or outputs differ, a sample cannot be read, or the engine cannot run one of them.
pub fn compare(
    float: &Model,
    quantized: &Model,
    executor: &dyn Executor,
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
    let (float, quantized) = (Side::new(executor, float)?, Side::new(executor, quantized)?);
    progress.start("validating", indices.len());
    let states = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<Row>, index, sample| {
        check_finite(sample, &inputs)?;
        rows.push(row(index, sample, &float, &quantized, &names)?);
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<Row> = states?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.index);
    let of_output = |(i, name): (usize, &String)| {
        OutputError::of(name, &rows.iter().map(|r| (r.sample.as_str(), r.sums[i])).collect::<Vec<_>>())
    };
    let rankings: Vec<Ranking> = rows.iter().filter_map(|r| r.ranking.clone()).collect();
    Ok(Comparison {
        engine: match float.kinds.is_some() || quantized.kinds.is_some() {
            true => format!("{}, nodes of 16 bits in float32 from their rounded constants", executor.name()),
            false => executor.name(),
        },
        samples: rows.len(),
        outputs: names.iter().enumerate().map(of_output).collect(),
        classification: Classification::of(&rankings).filter(|_| rankings.len() == rows.len()),
        layers: None,
    })
}

fn output_names(model: &Model) -> Vec<String> {
    model.graph.outputs().map(|v| model.graph.value(v).name().to_owned()).collect()
}

/// A sample that is not finite itself says nothing about the models.
fn check_finite(sample: &Sample, inputs: &[String]) -> Result<()> {
    for (input, name) in sample.inputs.iter().zip(inputs).filter(|(t, _)| t.dtype().is_float()) {
        if input.to_f32()?.iter().any(|v| !v.is_finite()) {
            return Err(Error::value(name, format!("is NaN or infinite in the sample {}; take it out", sample.name)));
        }
    }
    Ok(())
}

/// A model ready to run.
struct Side<'a> {
    session: Session<'a>,
    /// The grids of inputs and outputs that are integers.
    border: Border,
    /// The types of 16 bits that inputs and outputs are rounded to, for a model that runs in float32 in the place of one
    /// with such numbers.
    kinds: Option<[Kinds; 2]>,
}

type Kinds = Vec<Option<HalfType>>;

impl<'a> Side<'a> {
    fn new(executor: &'a dyn Executor, model: &Model) -> Result<Self> {
        let border = Border::of(model)?;
        Ok(match twin::in_float32(model)? {
            Some(twin) => {
                let session = Session::new(executor, &twin.model, vec![])?;
                Self { session, border, kinds: Some([twin.inputs, twin.outputs]) }
            }
            None => Self { session: Session::new(executor, model, vec![])?, border, kinds: None },
        })
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let inputs = self.border.quantize(inputs)?;
        let outputs = match &self.kinds {
            None => self.session.run(&inputs, &mut |_, _, _| {})?,
            Some([read, written]) => rounded(&self.session.run(&rounded(&inputs, read)?, &mut |_, _, _| {})?, written)?,
        };
        self.border.dequantize(outputs)
    }
}

/// Numbers of the types `kinds`, as float32.
fn rounded(tensors: &[Tensor], kinds: &Kinds) -> Result<Vec<Tensor>> {
    let one = |(tensor, kind): (&Tensor, &Option<HalfType>)| match kind {
        Some(kind) => {
            let numbers: Vec<f32> = tensor.to_f32()?.iter().map(|&v| kind.round(v)).collect();
            Ok(Tensor::from_f32(tensor.shape().to_vec(), &numbers))
        }
        None => Ok(tensor.clone()),
    };
    tensors.iter().zip(kinds).map(one).collect()
}

fn row(index: usize, sample: &Sample, float: &Side<'_>, quantized: &Side<'_>, names: &[String]) -> Result<Row> {
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
    Ok(Row { index, sample: sample.name.clone(), sums, ranking })
}
