//! Analytic bias correction: which layers get it, and by what. What layers read in the mean follows from BatchNormalization, and the
//! error of their weights from the model as it would be written.

use super::Planned;
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Bias, Op};
use crate::plan::{NodePlan, Placement, addend_behind, per_channel_bias};
use crate::policy::{BiasCorrection, Format, Mode, Settings};
use crate::report::{CalibrationSummary, CorrectionSummary};
use crate::resolve::Resolved;
use crate::tune::bias::{self, Mean};
use crate::tune::{Layer, Refit, equalize};
use crate::validate::Restored;
use std::collections::HashMap;

impl Planned {
    /// Takes the shifts that the errors of weights make in the mean out of biases, where the settings ask for it and
    /// BatchNormalization tells what layers read; not of layers that are refitted. Where the policy says nothing, that is in mode
    /// `weight-only`. `None` where nobody asks.
    pub(super) fn correct(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
    ) -> Option<CorrectionSummary> {
        let stated = settings.repairs.bias_correction;
        // Stored weights alone have nothing else that repairs their means.
        let usual = settings.mode == Mode::WeightOnly;
        let wanted = stated.map_or(usual, |kind| kind == BiasCorrection::Analytic) && !self.completes;
        let found = wanted.then(|| self.corrected(settings, resolved, summary))?;
        // Nobody asked for what is usual.
        Some(found).filter(|found| stated.is_some() || found.why.is_none())
    }

    fn corrected(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
    ) -> CorrectionSummary {
        if self.normals.is_empty() {
            let why = "the model has no BatchNormalization that tells what layers read; empirical asks samples";
            return CorrectionSummary::none(why);
        }
        let layers: Vec<&NodePlan> = self.plan.nodes.iter().filter(|node| self.can_shift(node)).collect();
        let layers: Vec<&NodePlan> = layers.into_iter().filter(|node| resolved.refit(node.id).is_none()).collect();
        // A model that cannot be looked at so is converted all the same.
        let found = self.shifts(&layers, settings, resolved, summary);
        let found = match found {
            Ok(found) => found,
            Err(why) => return CorrectionSummary::none(why.to_string()),
        };
        if found.is_empty() {
            return CorrectionSummary::none("no layer whose weights are integers reads what BatchNormalization made");
        }
        let summary = CorrectionSummary { layers: found.len(), unknown: layers.len() - found.len(), why: None };
        resolved.refit_more(found);
        summary
    }

    /// The layers whose biases can be changed where nothing but their weights is on integers, by name.
    pub(super) fn shiftable(&self) -> HashMap<String, Layer> {
        let graph = &self.model.graph;
        let layer = |node: &NodePlan| {
            if matches!(node.placement, Placement::Integer(_)) || !self.can_shift(node) {
                return None;
            }
            let axis = if ops::lookup(graph, node.id)?.convolves() { 1 } else { -1 };
            Some((node.name.clone(), Layer { node: node.id, axis, gain: false, shift: true, steps: Vec::new() }))
        };
        self.plan.nodes.iter().filter_map(layer).collect()
    }

    /// Whether the outputs of a node are sums of weights on integers, and a number for each can be added without an operator more.
    fn can_shift(&self, node: &NodePlan) -> bool {
        let graph = &self.model.graph;
        let Some(op) = ops::lookup(graph, node.id) else { return false };
        let (stored, added) = match &node.placement {
            // What is added behind is no part of what is refitted.
            Placement::Integer(_) if op.bias == Bias::AddBehind => return false,
            Placement::Integer(integer) => {
                (integer.constants.iter().any(|one| one.is_weight), integer.free_bias.is_some())
            }
            Placement::Weight(weights) => (weights.iter().any(|one| one.slot == 1), true),
            // It is added behind, and nothing is that there was not.
            Placement::Dynamic(_) => (true, false),
            _ => return false,
        };
        stored && equalize::lie(graph, node.id).is_some() && has_place(graph, op, node.id, added)
    }

    /// What is to be added to what layers make.
    fn shifts(
        &self,
        layers: &[&NodePlan],
        settings: &Settings,
        resolved: &Resolved,
        summary: &CalibrationSummary,
    ) -> Result<Vec<(NodeId, Refit)>> {
        let graph = &self.model.graph;
        let means = bias::means(graph, &self.normals)?;
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let written = Restored::of(&self.rewrite(&plain, resolved, summary)?.0)?.model.graph;
        let stored: HashMap<&str, NodeId> = written.node_ids().map(|id| (written.label(id), id)).collect();
        let mut found = Vec::new();
        for node in layers {
            let (Some(read), Some(&same)) = (graph.node(node.id).input(0), stored.get(graph.label(node.id))) else {
                continue;
            };
            let Some(mean) = means.get(&read).filter(|mean| fits(graph, node.id, read, mean)) else { continue };
            let (Some(float), Some(rounded)) = (made(graph, node.id, mean)?, made(&written, same, mean)?) else {
                continue;
            };
            let shifts: Vec<f32> =
                float.iter().zip(&rounded).map(|(float, rounded)| (float - rounded) as f32).collect();
            if float.len() == rounded.len() && shifts.iter().all(|shift| shift.is_finite()) {
                found.push((node.id, Refit { gains: vec![1.0; shifts.len()], shifts }));
            }
        }
        Ok(found)
    }
}

/// Whether a layer has a bias that can be changed, or, where one may be `added`, a place for one.
fn has_place(graph: &Graph, op: &Op, id: NodeId, added: bool) -> bool {
    let place = match op.bias {
        Bias::Input(slot) if graph.node(id).input(slot).is_none() => return added,
        Bias::Input(slot) => Some((id, slot)),
        Bias::AddBehind => addend_behind(graph, id),
        Bias::None => None,
    };
    place.is_some_and(|place| matches!(per_channel_bias(graph, op, id, place), Ok(Some(_))))
}

/// Whether the channels of a mean are those that a layer sums over.
fn fits(graph: &Graph, id: NodeId, read: ValueId, mean: &Mean) -> bool {
    match graph.node(id).op_type() {
        "Conv" | "ConvTranspose" => !mean.flattened,
        // Of what has more axes, channels are not the last.
        _ => mean.flattened || graph.node(id).is("Gemm") || graph.rank(read) == Some(2),
    }
}

/// What a layer of `graph` makes in the mean, but for its bias; `None` where its weight is no constant.
fn made(graph: &Graph, id: NodeId, read: &Mean) -> Result<Option<Vec<f64>>> {
    let weight = graph.node(id).input(1).map(|weight| graph.constant(weight)).transpose()?.flatten();
    let Some((weight, form)) = weight.zip(equalize::lie(graph, id)) else { return Ok(None) };
    let spreads = graph.node(id).is("ConvTranspose");
    let strides = graph.node(id).attributes().ints("strides").filter(|_| spreads).unwrap_or(&[]);
    let steps = strides.iter().filter_map(|&stride| usize::try_from(stride).ok()).product();
    let numbers = weight.to_f32()?;
    let made = bias::made(form, &numbers, read, steps);
    crate::mapped::let_go(weight.bytes());
    Ok(made)
}
