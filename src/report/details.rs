//! What the HTML report shows beyond the numbers of [`Report`](super::Report): gathered only where one is asked for.

use super::picture::picture;
use crate::calibrate::{Calibration, Histogram};
use crate::error::{Error, Result};
use crate::inputs::Dataset;
use crate::ir::{Graph, Model, NodeId};
use crate::ops;
use crate::plan::Plan;
use crate::policy::{Settings, Thresholds};
use crate::quant::Params;
use crate::resolve::Resolved;
use crate::tensor::Tensor;
use crate::validate::{Comparison, Layers, SampleError};
use std::collections::BTreeMap;

/// So many values are shown with their histograms, the worst of them.
const HISTOGRAMS: usize = 9;
/// Weights of more elements are not looked through for the sake of a picture.
const LARGEST_WEIGHT: usize = 1 << 26;

/// What a page shows of a conversion or a comparison beside the report.
#[derive(Debug, Clone)]
pub struct Details {
    /// The limits of the policy.
    pub thresholds: Thresholds,
    /// The error of each value, or why it is not known.
    pub layers: std::result::Result<Layers, String>,
    /// What the worst values look like, and the range that each got.
    pub values: Vec<Distribution>,
    /// How much the channels of each weight differ, the most unlike first.
    pub weights: Vec<Spread>,
    /// The samples that suffer most.
    pub samples: Vec<WorstSample>,
    /// Bytes of constants by element type: of the float model, and of the quantized one.
    pub types: [BTreeMap<String, u64>; 2],
    /// The policy as used, with paths, as YAML that can be saved and run.
    pub policy: String,
    /// All that its digest is of, as YAML.
    pub digested: String,
    /// The policy file: its path, and what it says.
    pub policy_file: Option<(String, String)>,
}

/// The numbers of one value.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The value's name.
    pub name: String,
    /// SQNR in dB of the layer that makes it, by itself; `None` where that is not known.
    pub alone_db: Option<f64>,
    /// Smallest and largest number seen.
    pub seen: (f32, f32),
    /// The range that was chosen.
    pub range: (f32, f32),
    /// Its grid.
    pub params: Params,
    /// What was seen.
    pub histogram: Histogram,
}

/// The channels of one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// The node that reads it.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// How many channels there are.
    pub channels: usize,
    /// The largest magnitude of the smallest channel that is not all zeros, of the middle one, and of the largest.
    pub maxima: [f32; 3],
    /// Whether each channel has its own scale: `None` where the weight is not stored as integers.
    pub per_channel: Option<bool>,
}

impl Spread {
    /// How many times larger the largest channel is than the smallest.
    pub fn ratio(&self) -> f64 {
        f64::from(self.maxima[2]) / f64::from(self.maxima[0])
    }
}

/// One of the samples that suffer most.
#[derive(Debug, Clone)]
pub struct WorstSample {
    /// What became of it.
    pub error: SampleError,
    /// The sample as a PNG with its width and height, where it is a picture.
    pub picture: Option<Picture>,
}

/// A small picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// A PNG file.
    pub png: Vec<u8>,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Details {
    /// What is known without calibration: of the models `float` and `quantized`, whose weights are looked at in `weights_of`
    /// as `plan` has them, and of the samples `data` that were compared.
    ///
    /// # Errors
    /// When a constant cannot be read.
    pub fn new(
        settings: &Settings,
        (float, quantized): (&Model, &Model),
        (weights_of, plan): (&Graph, Option<&Plan>),
        layers: std::result::Result<Layers, String>,
        compared: Option<(&Comparison, &Dataset, &[usize])>,
    ) -> Result<Self> {
        let file = settings.path();
        let file = file.and_then(|path| Some((path.display().to_string(), std::fs::read_to_string(path).ok()?)));
        let samples = compared.map_or_else(Vec::new, |(comparison, data, indices)| {
            let sample =
                |error: &SampleError| WorstSample { picture: shown(error, data, indices), error: error.clone() };
            comparison.worst.iter().map(sample).collect()
        });
        Ok(Self {
            thresholds: settings.thresholds,
            layers,
            values: Vec::new(),
            weights: spreads(weights_of, plan)?,
            samples,
            types: [constants(&float.graph)?, constants(&quantized.graph)?],
            policy: serde_yaml::to_string(&settings.written()).map_err(Error::other)?,
            digested: serde_yaml::to_string(&settings.canonical()).map_err(Error::other)?,
            policy_file: file,
        })
    }

    /// Adds the worst values that were calibrated.
    pub fn add_values(&mut self, plan: &Plan, resolved: &Resolved, calibration: &Calibration) {
        let errors: BTreeMap<&str, Option<f64>> = match &self.layers {
            Ok(layers) => layers.layers.iter().map(|layer| (layer.value.as_str(), layer.alone_db)).collect(),
            Err(_) => BTreeMap::new(),
        };
        let mut values: Vec<Distribution> = Vec::new();
        for value in &plan.values {
            let root = plan.value(plan.root(value.id)).unwrap_or(value);
            let found = calibration.values.get(&value.name).zip(resolved.ranges.get(&root.name));
            let Some(((statistics, &range), params)) = found.zip(resolved.params(value.id)) else { continue };
            if statistics.samples() > 0 {
                let alone_db = errors.get(value.name.as_str()).copied().flatten();
                let (name, histogram) = (value.name.clone(), statistics.histogram());
                values.push(Distribution { name, alone_db, seen: statistics.range(), range, params, histogram });
            }
        }
        // The least SQNR first; where it is not known, what is cut the most.
        let cut = |one: &Distribution| {
            f64::from(one.seen.1 - one.seen.0) / f64::from((one.range.1 - one.range.0).max(f32::MIN_POSITIVE))
        };
        let noise = |one: &Distribution| one.alone_db.unwrap_or(f64::INFINITY);
        values.sort_by(|a, b| noise(a).total_cmp(&noise(b)).then(cut(b).total_cmp(&cut(a))));
        values.truncate(HISTOGRAMS);
        self.values = values;
    }
}

/// The picture of a sample, if it is one and can be read again.
fn shown(error: &SampleError, data: &Dataset, indices: &[usize]) -> Option<Picture> {
    // Bad files that were passed over stand between.
    let mut samples = data.read(indices.get(error.position..)?);
    let sample = samples.find_map(|sample| sample.ok().filter(|sample| sample.name == error.name))?;
    let pictures = sample.inputs.iter().filter_map(|input| picture(input, data.describe().pictures.as_ref()));
    pictures.into_iter().next()
}

/// Bytes of constants by element type, bodies included. A shared constant counts once.
fn constants(graph: &Graph) -> Result<BTreeMap<String, u64>> {
    let mut bytes = BTreeMap::new();
    for value in graph.value_ids().filter(|&value| graph.is_constant(value)) {
        if let Some(constant) = graph.constant(value)? {
            *bytes.entry(constant.dtype().to_string()).or_default() += constant.bytes().len() as u64;
        }
    }
    for id in graph.node_ids() {
        let stored = graph.node(id).is("Constant").then(|| graph.node(id).attributes().tensor("value"));
        if let Some(constant) = stored.transpose()?.flatten() {
            *bytes.entry(constant.dtype().to_string()).or_default() += constant.bytes().len() as u64;
        }
        for index in 0..graph.body_count(id) {
            for (dtype, more) in constants(&graph.body(id, index)?)? {
                *bytes.entry(dtype).or_default() += more;
            }
        }
    }
    Ok(bytes)
}

/// The weights that have several channels.
fn spreads(graph: &Graph, plan: Option<&Plan>) -> Result<Vec<Spread>> {
    let planned = plan.map(Plan::by_node);
    let per_channel = |id: NodeId, slot: usize| {
        let constants = planned.as_ref()?.get(&id)?.placement.constants();
        constants.iter().find(|constant| constant.slot == slot).map(|constant| constant.axis.is_some())
    };
    let mut spreads = Vec::new();
    for id in graph.node_ids() {
        let Some(op) = ops::lookup(graph, id) else { continue };
        for weight in op.weights() {
            let Some(value) = graph.node(id).input(weight.slot).filter(|&value| graph.is_constant(value)) else {
                continue;
            };
            let Some(constant) = graph.constant(value)?.filter(|c| c.dtype().is_float() && c.len() <= LARGEST_WEIGHT)
            else {
                continue;
            };
            let Some(axis) = op.weight_channels(graph, id, constant.shape()) else { continue };
            let Some((channels, maxima)) = maxima(&constant, axis) else { continue };
            let (node, op_type) = (graph.label(id).to_owned(), graph.node(id).op_type().to_owned());
            spreads.push(Spread { node, op_type, channels, maxima, per_channel: per_channel(id, weight.slot) });
        }
    }
    spreads.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    Ok(spreads)
}

/// A channel whose weights are less than this share of the largest is dead: training left dust of it.
const DEAD: f32 = 1e-6;

/// How many channels there are along `axis`, and the smallest, the middle and the largest of their largest magnitudes; `None`
/// where fewer than two are alive, or one is not finite.
fn maxima(constant: &Tensor, axis: usize) -> Option<(usize, [f32; 3])> {
    let numbers = constant.to_f32().ok()?;
    let channels = *constant.shape().get(axis)?;
    let inner: usize = constant.shape().get(axis + 1..)?.iter().product();
    if channels < 2 || inner == 0 {
        return None;
    }
    let mut maxima = vec![0f32; channels];
    for (index, number) in numbers.iter().enumerate() {
        let maximum = &mut maxima[index / inner % channels];
        if !number.is_finite() {
            return None;
        }
        *maximum = maximum.max(number.abs());
    }
    let least = maxima.iter().copied().fold(0.0, f32::max) * DEAD;
    maxima.retain(|&maximum| maximum > least);
    maxima.sort_by(f32::total_cmp);
    let (&[smallest, ..], &[.., largest]) = (maxima.as_slice(), maxima.as_slice()) else { return None };
    (maxima.len() > 1).then(|| (channels, [smallest, maxima[maxima.len() / 2], largest]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_apart_along_their_axis_and_zeros_left_out() {
        let weight = Tensor::from_f32(vec![2, 4], &[1.0, -8.0, 0.0, 2.0, 0.5, 4.0, 0.0, -3.0]);
        assert_eq!(maxima(&weight, 1), Some((4, [1.0, 3.0, 8.0])));
        assert_eq!(maxima(&weight, 0), Some((2, [4.0, 8.0, 8.0])));
        assert_eq!(maxima(&Tensor::from_f32(vec![2, 1], &[0.0, 1.0]), 0), None);
        let dust = Tensor::from_f32(vec![3, 1], &[1e-9, 1.0, 2.0]);
        assert_eq!(maxima(&dust, 0), Some((3, [1.0, 2.0, 2.0])));
        assert_eq!(maxima(&Tensor::from_f32(vec![2, 1], &[f32::NAN, 1.0]), 0), None);
        assert_eq!(maxima(&Tensor::from_f32(vec![2, 0], &[]), 0), None);
    }
}
