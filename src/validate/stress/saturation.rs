//! How many of a value's numbers lie beyond its grid, where they are cut off.
//!
//! The quantized model is turned back to float, with each activation still on its grid: what a node makes can then be seen before
//! it is rounded, whether the model has pairs of QuantizeLinear and DequantizeLinear there or operators on integers.

use super::super::border::Border;
use super::super::layers::on_grids;
use super::super::twin;
use crate::dequantize;
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::ir::{Graph, Model};
use crate::quant::Params;
use crate::tensor::Tensor;
use serde::Serialize;

/// So many values are reported of a case.
const SHOWN: usize = 5;
/// A number counts where it lies more than a step beyond the end of its grid, give or take the rounding of float32: a Softmax
/// that comes to 1 on a grid that ends at 255/256 does not.
const STEP: f32 = 1.001;

/// A value many of whose numbers lie beyond its grid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saturated {
    /// The value.
    pub value: String,
    /// The node that makes it, by the name it has once the model is turned back; empty for an input of the model.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// The share of its numbers that lie more than a step beyond its grid, from 0 to 1.
    pub share: f64,
    /// The same on samples; `None` without samples.
    pub share_on_samples: Option<f64>,
    /// How far the furthest lies beyond the grid, in widths of the grid.
    pub furthest: f64,
}

/// Counts of one value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    beyond: u64,
    all: u64,
    furthest: f32,
}

impl Counts {
    /// Of `numbers` on `grid`, of which those beyond `bounds` are meant to be cut off.
    pub fn of(numbers: &[f32], grid: &Params, bounds: (f32, f32)) -> Self {
        let (low, high) = grid.real_range();
        let over = |number: f32| {
            // A bound on the grid would make no difference, one beyond it does not excuse what the grid cuts off.
            let number = number.max(bounds.0).min(bounds.1);
            (number - high).max(low - number)
        };
        let slack = grid.scale * STEP;
        let mut counts = Self { all: numbers.len() as u64, ..Self::default() };
        for over in numbers.iter().filter(|number| !number.is_nan()).map(|&number| over(number)) {
            if over > slack {
                counts.beyond += 1;
                counts.furthest = counts.furthest.max(over / (high - low));
            }
        }
        counts
    }

    fn share(&self) -> f64 {
        self.beyond as f64 / self.all.max(1) as f64
    }
}

/// The counts of several runs together.
pub(super) fn together<'a>(runs: impl Iterator<Item = &'a [Counts]>) -> Vec<Counts> {
    let mut sums: Vec<Counts> = Vec::new();
    for run in runs {
        sums.resize(sums.len().max(run.len()), Counts::default());
        for (sum, one) in sums.iter_mut().zip(run) {
            sum.beyond += one.beyond;
            sum.all += one.all;
            sum.furthest = sum.furthest.max(one.furthest);
        }
    }
    sums
}

/// A value on a grid.
struct Place {
    value: String,
    node: String,
    op_type: String,
    grid: Params,
    /// What the float model bounds it to.
    bounds: (f32, f32),
    /// The model's input that it is.
    input: Option<usize>,
}

/// The values on grids, and the model that shows them.
pub(super) struct Watch<'a> {
    places: Vec<Place>,
    /// Shows those that are no inputs.
    session: Session<'a>,
    /// Which place each observed value is.
    at: Vec<usize>,
    border: Border,
}

impl<'a> Watch<'a> {
    /// Looks at the values of `quantized` that lie on grids.
    ///
    /// # Errors
    /// When the model cannot be turned back.
    pub fn new(float: &Model, quantized: &Model, executor: &'a dyn Executor) -> Result<Self> {
        let twin = twin::in_float32(quantized)?.map(|twin| twin.model);
        let mut restored = twin.unwrap_or_else(|| quantized.clone());
        let (_, found) = dequantize::take_apart(&mut restored)
            .map_err(|e| Error::other(format!("the model cannot be turned back to float: {e}")))?;
        let restored = Model::from_proto(restored.to_proto()?)?;
        let graph = &restored.graph;
        let mut places = Vec::new();
        for (name, &grid) in &found.grids.activations {
            let Some(value) = graph.find(name).filter(|_| !grid.dtype.is_float()) else { continue };
            let made = graph.value(value).producer().map(|id| (graph.label(id), graph.node(id).op_type()));
            let input = graph.inputs().position(|input| input == value);
            if made.is_none() && input.is_none() {
                continue;
            }
            let (node, op_type) = made.map_or_else(Default::default, |(a, b)| (a.to_owned(), b.to_owned()));
            places.push(Place { value: name.clone(), node, op_type, grid, bounds: bounds(&float.graph, name), input });
        }
        let (whole, _) = on_grids(&restored, &found)?;
        let at: Vec<usize> = (0..places.len()).filter(|&k| places[k].input.is_none()).collect();
        let names = at.iter().map(|&k| places[k].value.clone()).collect();
        let session = Session::observing(executor, &whole, names)?;
        Ok(Self { session, at, places, border: Border::of(quantized)? })
    }

    /// What a sample shows of each place.
    ///
    /// # Errors
    /// When the engine cannot run the model.
    pub fn look(&self, inputs: &[Tensor]) -> Result<Vec<Counts>> {
        let mut counts = vec![Counts::default(); self.places.len()];
        for (place, counts) in self.places.iter().zip(&mut counts) {
            if let Some(input) = place.input.and_then(|input| inputs.get(input)) {
                *counts = Counts::of(&input.to_f32()?, &place.grid, place.bounds);
            }
        }
        if !self.at.is_empty() {
            let mut see = |k: usize, _: &[usize], numbers: &[f32]| {
                let place = &self.places[self.at[k]];
                counts[self.at[k]] = Counts::of(numbers, &place.grid, place.bounds);
            };
            self.session.run(&self.border.quantize(inputs)?, &mut see)?;
        }
        Ok(counts)
    }

    /// Lets go of what was compiled for inputs of these shapes.
    pub fn forget(&self, inputs: &[Tensor]) {
        if let Ok(inputs) = self.border.quantize(inputs) {
            self.session.forget(&inputs);
        }
    }

    /// The values more of whose numbers lie beyond their grid than usually do, the worst first.
    pub fn worst(&self, found: &[Counts], usual: &[Counts]) -> Vec<Saturated> {
        let usual = |k: usize| usual.get(k).map(Counts::share);
        let excess = |k: usize, counts: &Counts| counts.share() - usual(k).unwrap_or(0.0);
        let mut all: Vec<(usize, &Counts)> =
            found.iter().enumerate().filter(|(k, counts)| excess(*k, counts) > 0.0).collect();
        all.sort_by(|a, b| excess(b.0, b.1).total_cmp(&excess(a.0, a.1)));
        let told = |(k, counts): (usize, &Counts)| {
            let Place { value, node, op_type, .. } = &self.places[k];
            Saturated {
                value: value.clone(),
                node: node.clone(),
                op_type: op_type.clone(),
                share: counts.share(),
                share_on_samples: usual(k),
                // JSON has no infinity.
                furthest: f64::from(counts.furthest.min(f32::MAX)),
            }
        };
        all.into_iter().take(SHOWN).map(told).collect()
    }
}

/// The bounds that a Relu or Clip of the float model gives the value called `name`: one that vanished into a grid is to cut off.
fn bounds(graph: &Graph, name: &str) -> (f32, f32) {
    let all = (f32::NEG_INFINITY, f32::INFINITY);
    let Some(id) = graph.find(name).and_then(|value| graph.value(value).producer()) else { return all };
    let node = graph.node(id);
    match node.op_type() {
        "Relu" => (0.0, f32::INFINITY),
        "Clip" => {
            let bound = |slot: usize, attribute: &str| {
                let constant = node.input(slot).and_then(|value| graph.constant(value).ok()?);
                constant.and_then(|bound| bound.first_f32()).or_else(|| node.attributes().float(attribute))
            };
            (bound(1, "min").unwrap_or(all.0), bound(2, "max").unwrap_or(all.1))
        }
        _ => all,
    }
}
