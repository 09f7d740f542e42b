//! What BatchNormalization tells of the numbers that it makes: once it is folded into a layer, nothing else does.

use super::affine::batch_normalization;
use crate::error::Result;
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use crate::quant::Normal;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// More channels than any layer has are a hostile file's: what is known of each takes a hundred times its bytes there.
const MOST_CHANNELS: usize = 1 << 16;

/// How values are distributed, by their names.
pub type Normals = BTreeMap<String, Normal>;

/// Notes how what each BatchNormalization makes is distributed: by the statistics of its training, `beta` is the mean of a channel
/// and `|gamma|` its standard deviation.
pub struct Note<'a> {
    /// What is noted.
    pub normals: &'a RefCell<Normals>,
}

impl Pass for Note<'_> {
    fn name(&self) -> &'static str {
        "note-normals"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let graph = &model.graph;
        for id in graph.node_ids().filter(|&id| graph.node(id).is("BatchNormalization")) {
            let Some(made) = graph.node(id).output(0) else { continue };
            if let Some(normal) = of(graph, id)? {
                self.normals.borrow_mut().insert(graph.value(made).name().to_owned(), normal);
            }
        }
        Ok(Outcome::default())
    }
}

/// How what the BatchNormalization `id` makes is distributed; `None` where its numbers are no constants.
fn of(graph: &Graph, id: NodeId) -> Result<Option<Normal>> {
    let numbers = |slot: usize| -> Result<Option<Vec<f64>>> {
        let tensor = graph.node(id).input(slot).map(|value| graph.constant(value)).transpose()?.flatten();
        tensor.map(|tensor| Ok(tensor.to_f32()?.iter().map(|&x| f64::from(x)).collect())).transpose()
    };
    let (Some(means), Some(variances)) = (numbers(2)?, numbers(4)?) else { return Ok(None) };
    let Ok((scales, _)) = batch_normalization(graph, id, means.len())? else { return Ok(None) };
    // Where a channel hardly varies, what is added to its variance makes it vary less than gamma says.
    let deviations: Vec<f64> =
        scales.iter().zip(&variances).map(|(scale, v)| scale.abs() * v.max(0.0).sqrt()).collect();
    let known = means.iter().chain(&deviations).all(|number| number.is_finite()) && means.len() <= MOST_CHANNELS;
    Ok(known.then_some(Normal { means, deviations }))
}

/// Notes of the value `after`, which is the value `before` times a factor and an addend more for each channel, what follows from what is
/// known of that. What a BatchNormalization made is known already.
pub fn follow(normals: &RefCell<Normals>, before: &str, after: &str, (factors, addends): (&[f64], &[f64])) {
    let mut normals = normals.borrow_mut();
    if let Some(known) = normals.get(before).map(|known| known.through(factors, addends)) {
        normals.entry(after.to_owned()).or_insert(known);
    }
}
