//! Where in the graph the difference between two models arises.
//!
//! The quantized model is turned back to float, which leaves its rounded weights and biases and tells the grids of its
//! activations. Each of its layers is then fed what the original model has there, so that its error is its own. How large
//! that should be is known: weights that are shaken by as much as their steps round by, and the best grid for what the
//! original has, make errors of the size to expect. What exceeds it is suspect.

mod cut;
mod error;

pub use error::LayerError;

use super::border::Border;
use super::twin;
use crate::dequantize;
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::inputs::{Dataset, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use crate::quant::Params;
use crate::tensor::{DataType, Tensor, TensorType};
use cut::{cut, on_grids, shaken};
use error::LayerSums;
use serde::Serialize;
use std::collections::HashMap;

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

/// A value that both models have.
struct Place {
    name: String,
    node: String,
    op_type: String,
    /// Whether it comes from bodies, whose weights are not looked at.
    has_bodies: bool,
    /// The axis of its channels.
    axis: usize,
    grid: Option<Params>,
}

/// The values of one run, by place.
type Values = Vec<Option<Tensor>>;

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
    let in_float32 = |model: &Model| Ok::<_, Error>(twin::in_float32(model)?.map_or(model.clone(), |twin| twin.model));
    let (border, halves) = (Border::of(quantized)?, twin::in_float32(quantized)?.is_some());
    let (original, mut restored) = (in_float32(float)?, in_float32(quantized)?);
    let (_, found) = dequantize::take_apart(&mut restored).map_err(|e| {
        Error::other(format!("layers are compared with the quantized model turned back, which fails: {e}"))
    })?;
    let restored = Model::from_proto(restored.to_proto()?)?;
    let types = first_types(&original, executor, data, indices)?;
    let places = places(&original, &restored, &types, &found.grids.activations)?;
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    let fed: Vec<usize> = (0..places.len()).filter(|&k| !places[k].node.is_empty()).collect();
    let made: Vec<String> = fed.iter().map(|&k| names[k].clone()).collect();
    let cut_model = cut(&restored, &made)?;
    let moves = if found.dynamic.is_empty() {
        on_grids(&restored, &found)?
    } else {
        // Grids that are found while it runs are nowhere but in the model itself.
        (in_float32(quantized)?, HashMap::new())
    };
    let (whole, renamed) = moves;
    let last: Vec<(usize, String)> = names
        .iter()
        .enumerate()
        .map(|(k, name)| (k, renamed.get(name).unwrap_or(name).clone()))
        .filter(|(_, name)| whole.graph.find(name).is_some_and(|v| whole.graph.value(v).producer().is_some()))
        .collect();
    let sessions = [
        Session::observing(executor, &original, made.clone())?,
        Session::observing(executor, &cut_model, made.clone())?,
        Session::observing(executor, &shaken(&cut_model, &found.grids)?, made)?,
        Session::observing(executor, &whole, last.iter().map(|(_, name)| name.clone()).collect())?,
    ];
    let originals: Vec<String> = original.graph.inputs().map(|v| original.graph.value(v).name().to_owned()).collect();
    progress.start("comparing layers", indices.len());
    let rows = run_samples(data.read(indices), threads, progress, Vec::new, |rows: &mut Vec<_>, index, sample| {
        let mut reference: Values = vec![None; places.len()];
        for (k, value) in observed(&sessions[0], &sample.inputs, fed.len())?.into_iter().enumerate() {
            reference[fed[k]] = value;
        }
        for (name, tensor) in originals.iter().zip(&sample.inputs) {
            if let Some(k) = names.iter().position(|known| known == name) {
                reference[k] = Some(tensor.clone());
            }
        }
        let mut inputs = border.quantize(&sample.inputs)?;
        let quantized_inputs = inputs.clone();
        for &k in &fed {
            let missing = || Error::value(&names[k], "was not computed in the original model");
            inputs.push(reference[k].clone().ok_or_else(missing)?);
        }
        let [alone, moved] = [&sessions[1], &sessions[2]].map(|session| observed(session, &inputs, fed.len()));
        let (alone, moved) = (spread(alone?, &fed, places.len()), spread(moved?, &fed, places.len()));
        let at: Vec<usize> = last.iter().map(|(k, _)| *k).collect();
        let accumulated = spread(observed(&sessions[3], &quantized_inputs, at.len())?, &at, places.len());
        let sums = places.iter().enumerate().map(|(k, place)| {
            let runs = [&alone[k], &moved[k], &accumulated[k]];
            LayerSums::of(place, reference[k].as_ref(), runs)
        });
        rows.push((index, sums.collect::<Result<Vec<_>>>()?));
        Ok(())
    });
    progress.finish();
    let mut rows: Vec<(usize, Vec<LayerSums>)> = rows?.into_iter().flatten().collect();
    // Sums of floating-point numbers depend on their order: always that of the samples.
    rows.sort_by_key(|row| row.0);
    let layers = places.iter().enumerate().map(|(k, place)| {
        let samples: Vec<&LayerSums> = rows.iter().map(|(_, sums)| &sums[k]).collect();
        LayerError::of(place, &samples, halves)
    });
    Ok(Layers { samples: rows.len(), layers: layers.collect() })
}

/// What a session shows of its observed values, `count` of them.
fn observed(session: &Session<'_>, inputs: &[Tensor], count: usize) -> Result<Values> {
    let mut values: Values = vec![None; count];
    session.run(inputs, &mut |k, shape, numbers| values[k] = Some(Tensor::from_f32(shape.to_vec(), numbers)))?;
    Ok(values)
}

/// Puts value number `k` to place `at[k]` of `count`.
fn spread(values: Values, at: &[usize], count: usize) -> Values {
    let mut spread: Values = vec![None; count];
    values.into_iter().zip(at).for_each(|(value, &k)| spread[k] = value);
    spread
}

/// The types of the original's values for inputs like those of the first sample.
fn first_types(
    original: &Model,
    executor: &dyn Executor,
    data: &Dataset,
    indices: &[usize],
) -> Result<HashMap<String, TensorType>> {
    let first = indices.iter().take(1).copied().collect::<Vec<_>>();
    let sample = data.read(&first).next().transpose()?.ok_or_else(|| Error::other("there are no samples"))?;
    let concrete = |t: &Tensor| TensorType { dtype: t.dtype(), dims: t.shape().iter().map(|&d| Some(d)).collect() };
    let inputs: Vec<_> = sample.inputs.iter().map(concrete).collect();
    executor.types(&crate::file::outline(original)?, &inputs)
}

/// The float values that both models have, in an order of computation.
fn places(
    original: &Model,
    restored: &Model,
    types: &HashMap<String, TensorType>,
    grids: &std::collections::BTreeMap<String, Params>,
) -> Result<Vec<Place>> {
    let graph = &restored.graph;
    let common = |name: &str| {
        let value = original.graph.find(name).filter(|&value| !original.graph.is_constant(value))?;
        types.get(name).is_some_and(|ty| ty.dtype == DataType::Float32).then_some(value)
    };
    let mut places = Vec::new();
    for value in graph.inputs() {
        let name = graph.value(value).name();
        if let (Some(_), Some(&grid)) = (common(name), grids.get(name)) {
            let (node, op_type) = (String::new(), String::new());
            places.push(Place { name: name.to_owned(), node, op_type, has_bodies: false, axis: 1, grid: Some(grid) });
        }
    }
    for id in graph.topological()? {
        let node = graph.node(id);
        for &value in node.outputs().iter().flatten() {
            let name = graph.value(value).name();
            let made = common(name).and_then(|value| original.graph.value(value).producer());
            let Some(rank) = made.and_then(|_| types.get(name)).map(|ty| ty.dims.len()) else { continue };
            places.push(Place {
                name: name.to_owned(),
                node: graph.label(id).to_owned(),
                op_type: node.op_type().to_owned(),
                has_bodies: graph.body_count(id) > 0,
                // Products have their channels last, everything that convolves has them behind the batch.
                axis: if node.op_type() == "MatMul" || rank < 3 { rank.saturating_sub(1) } else { 1 },
                grid: grids.get(name).copied(),
            });
        }
    }
    Ok(places)
}
