//! Repair: what brings the quantized model nearer to the float one without training. In one walk through the layers, the integers of
//! each weight are looked for, and its channels refitted, on what the layers before it make once they are repaired.

use super::{Context, Planned};
use crate::error::Result;
use crate::exec::Tract;
use crate::inputs::{self, Dataset, Sample};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Bias, Op};
use crate::plan::{ConstantPlan, IntegerNode, NodePlan, Placement, Stored as Form, addend_behind};
use crate::policy::{Format, RoundingName, Settings};
use crate::report::{CalibrationSummary, RepairSummary};
use crate::resolve::Resolved;
use crate::sensitivity::Parts;
use crate::tensor::{Tensor, TensorType};
use crate::threads;
use crate::tune::rounding::{Asked, Method, Rounding};
use crate::tune::{Layer, Nearness, Refitting, Repairing, Rounded};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// So many samples run side by side at least and at most.
const SAMPLES: std::ops::RangeInclusive<usize> = 6..=12;
/// The bytes that they may take.
const MEMORY: usize = 144 << 20;
/// So many are taken to run at once, whatever the threads: what is found does not depend on these.
const RUNNING: usize = 2;
/// So many more, one by one, only decide whether what was found is kept: few say little of models that follow small changes.
const DECIDING: usize = 24;
/// So many of them are looked at before it is asked whether that is clear already.
const TOGETHER: usize = 12;

/// The types of samples of one shape, and these.
type Alike = (Vec<TensorType>, Vec<Vec<Tensor>>);

impl Planned {
    /// Repairs the layers of the model as it was resolved, on calibration samples, where the settings ask for it. Nothing is kept
    /// that samples which did not fit it do not agree with. `None` where there is nothing to repair.
    ///
    /// # Errors
    /// When the model cannot be rewritten, or a sample cannot be read.
    pub(super) fn repair(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
        context: &Context<'_>,
    ) -> Result<Option<RepairSummary>> {
        let wanted = Wanted {
            layers: self.wanted_layers(settings),
            weights: method(settings).map(|method| (self.roundable(resolved), method)),
        };
        let any = !wanted.layers.is_empty() || wanted.weights.as_ref().is_some_and(|(weights, _)| !weights.is_empty());
        if !any || self.completes {
            return Ok(None);
        }
        if self.plan.halves().next().is_some() {
            return Ok(Some(RepairSummary::none("some nodes compute in 16 bits")));
        }
        let samples = match self.alike_samples(settings)? {
            Some(samples) if samples.1.len() >= 2 * *SAMPLES.start() => samples,
            Some(_) => return Ok(Some(RepairSummary::none("there are too few calibration samples of one shape"))),
            // Nobody asked for what is usual.
            None if wanted.weights.is_none() => return Ok(None),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        // A model that cannot be run so is converted all the same.
        let repaired = self.walk(settings, resolved, summary, (wanted, samples), context);
        let repaired = repaired.unwrap_or_else(|why| RepairSummary::none(why.to_string()));
        if repaired.why.is_some() {
            resolved.set_refits([]);
            resolved.set_roundings([]);
        }
        Ok(Some(repaired))
    }

    /// Repairs layers, and tells how near the rewritten model is to the float one before and after, on the samples that check.
    fn walk(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
        (wanted, (types, mut samples)): (Wanted, Alike),
        context: &Context<'_>,
    ) -> Result<RepairSummary> {
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let parts = |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0);
        let mut rounded = parts(resolved)?;
        let program = rounded.program(&Tract::default(), &types)?;
        rounded.let_go();
        let (weights, method) = wanted.weights.unwrap_or((HashMap::new(), Method::Gptq));
        let weights = weights_in(weights, &rounded, !wanted.layers.is_empty());
        let (held, at_once) = program.live_bytes(&|layer| weights.contains_key(&layer));
        let room = MEMORY.saturating_sub(RUNNING * at_once) / held.max(1);
        let room = room.min(samples.len() / 2).clamp(*SAMPLES.start(), *SAMPLES.end());
        tracing::debug!(held, at_once, room, "samples side by side");
        samples.truncate(room + DECIDING);
        let samples = samples.iter().map(|sample| rounded.inputs(sample)).collect::<Result<Vec<_>>>()?;
        let (beside, others) = samples.split_at(room.min(samples.len()));
        context.progress.start("repairing", beside.len() + others.len());
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let refitting = Refitting::new(self.placed(wanted.layers, &rounded));
        let mut repairing = Repairing::new(refitting, (weights, method), until);
        program.correct(beside, &mut repairing)?;
        beside.iter().for_each(|_| context.progress.step());
        let refits = repairing.refits();
        let found = RepairSummary {
            layers: refits.len(),
            rounded: repairing.rounded.len(),
            late: repairing.late,
            samples: beside.len(),
            ..RepairSummary::default()
        };
        resolved.set_refits(refits);
        resolved.set_roundings(repairing.rounded);
        let both = each(others, &|inputs| {
            context.progress.step();
            Ok([program.outputs(inputs, false)?, program.outputs(inputs, true)?])
        })?;
        // Two programs at once would take twice the memory.
        drop(program);
        let program = parts(resolved)?.program(&Tract::default(), &types)?;
        let (mut before, mut after) = (Nearness::default(), Nearness::default());
        for (some, both) in others.chunks(TOGETHER).zip(both.chunks(TOGETHER)) {
            let repaired = each(some, &|inputs| program.outputs(inputs, true))?;
            for ([float, plain], repaired) in both.iter().zip(&repaired) {
                before.add(float, plain);
                after.add(float, repaired);
            }
            if after.is_clear(&before) {
                break;
            }
        }
        context.progress.finish();
        let sqnr_db = Some((before.sqnr_db(), after.sqnr_db()));
        if after.improves(&before) {
            return Ok(RepairSummary { sqnr_db, ..found });
        }
        let why = Some("samples that did not fit it were no nearer to the float model".to_owned());
        Ok(RepairSummary { layers: 0, rounded: 0, sqnr_db, why, ..found })
    }

    /// The layers that the settings have refitted: unless they say so, those of networks that convolve. Behind products there is little
    /// to gain.
    fn wanted_layers(&self, settings: &Settings) -> HashMap<String, Layer> {
        let layers = self.refittable();
        let convolves = || layers.values().any(|layer| layer.axis == 1);
        if settings.repairs.refit.unwrap_or_else(convolves) { layers } else { HashMap::new() }
    }

    /// Whether a node has a weight whose integers these could be.
    pub(super) fn can_round(&self, node: NodeId, rounding: &Rounding) -> bool {
        let weights = self.plan.nodes.iter().find(|one| one.id == node).map(roundable);
        let graph = &self.model.graph;
        let elements = |slot: usize| graph.node(node).input(slot).and_then(|value| graph.constant(value).ok()?);
        let weight = weights.flatten().and_then(|weight| elements(weight.slot));
        weight.is_some_and(|weight| weight.len() == rounding.steps.len())
    }

    /// What weights of layers ask of integers that are looked for, by the names of the layers.
    fn roundable(&self, resolved: &Resolved) -> Weights {
        let graph = &self.model.graph;
        let own = |node: &NodePlan| {
            let weight = roundable(node)?;
            let alone =
                graph.node(node.id).input(weight.slot).is_some_and(|value| graph.value(value).uses().len() == 1);
            let shift = match &node.placement {
                Placement::Integer(integer) => {
                    ops::lookup(graph, node.id).is_some_and(|op| has_place(graph, node.id, op, integer))
                }
                _ => false,
            };
            let largest = weight.summed.and_then(|(value, axis)| resolved.channel_maxima(value, axis));
            let sums = weight.sum_order.map(|order| (order, largest.unwrap_or_default().to_vec()));
            alone.then(|| (node.name.clone(), (node.id, Asked { shift, sums })))
        };
        self.plan.nodes.iter().filter_map(own).collect()
    }

    /// Layers by their places in `parts`, with the steps of their biases.
    fn placed(&self, mut layers: HashMap<String, Layer>, parts: &Parts) -> HashMap<usize, Layer> {
        let nodes = self.plan.by_node();
        let placed = parts.layers().iter().enumerate().filter_map(|(place, name)| {
            let layer = layers.remove(name)?;
            let Placement::Integer(integer) = &nodes.get(&layer.node)?.placement else { return None };
            let own = integer.free_bias.is_some() || integer.bias.is_some_and(|(node, _)| node == layer.node);
            let steps = if own { parts.bias_steps(place).to_vec() } else { Vec::new() };
            Some((place, Layer { steps, ..layer }))
        });
        placed.collect()
    }

    /// Calibration samples of the shape of the first, with their types; `None` where there is no data.
    fn alike_samples(&self, settings: &Settings) -> Result<Option<Alike>> {
        let Some(data) = &settings.calibration else { return Ok(None) };
        let inputs = self.inputs()?;
        let (_, indices) = self.calibration_set(data, settings, &inputs)?;
        // As the model takes them that is converted, whatever levels layers read since it was prepared.
        let set = Dataset::open(&data.source, &inputs)?;
        let few: Vec<usize> =
            inputs::spread(indices.len(), *SAMPLES.end() + DECIDING).into_iter().map(|k| indices[k]).collect();
        let mut alike: Option<Alike> = None;
        for sample in set.read(&few) {
            let sample: Sample = sample?;
            let own = sample.types();
            let (types, samples) = alike.get_or_insert_with(|| (own.clone(), Vec::new()));
            if *types == own {
                samples.push(sample.inputs);
            }
        }
        Ok(alike)
    }

    /// The layers that can be refitted, by name.
    pub(super) fn refittable(&self) -> HashMap<String, Layer> {
        let graph = &self.model.graph;
        let layer = |node: &NodePlan| {
            let Placement::Integer(integer) = &node.placement else { return None };
            let op = ops::lookup(graph, node.id)?;
            let weight = integer.constants.iter().find(|constant| constant.is_weight)?;
            if weight.split.is_some() {
                return None;
            }
            let axis = if op.convolves() { 1 } else { -1 };
            let (gain, shift) = (self.has_own_scales(node.id, op, weight), has_place(graph, node.id, op, integer));
            (gain || shift).then(|| (node.name.clone(), Layer { node: node.id, axis, gain, shift, steps: vec![] }))
        };
        self.plan.nodes.iter().filter_map(layer).collect()
    }

    /// Whether each output channel of a layer has a scale of its own, which may be any number.
    fn has_own_scales(&self, id: NodeId, op: &Op, weight: &ConstantPlan) -> bool {
        let graph = &self.model.graph;
        let free = weight.axis.is_some() && weight.block.is_none() && weight.known.is_none();
        let any = !weight.scheme.power_of_two && weight.scheme.scales.is_none();
        let alone = graph.node(id).input(weight.slot).is_some_and(|value| graph.value(value).uses().len() == 1);
        free && any && alone && (graph.node(id).op_type() != "ConvTranspose" || op.groups(graph, id) == 1)
    }
}

/// What weights ask of their integers, by the names of their layers.
type Weights = HashMap<String, (NodeId, Asked)>;

/// What is to be repaired: layers to refit, and what weights whose integers are looked for ask of these.
struct Wanted {
    layers: HashMap<String, Layer>,
    weights: Option<(Weights, Method)>,
}

/// What `run` makes of each sample, on all cores.
fn each<T: Send>(samples: &[Vec<Tensor>], run: &(dyn Fn(&Vec<Tensor>) -> Result<T> + Sync)) -> Result<Vec<T>> {
    let mut made: Vec<Option<Result<T>>> = samples.iter().map(|_| None).collect();
    threads::for_each(samples.iter().zip(&mut made), |(inputs, made)| *made = Some(run(inputs)));
    made.into_iter().flatten().collect()
}

/// How the settings have integers of weights found; `None` where they are the nearest.
fn method(settings: &Settings) -> Option<Method> {
    match settings.repairs.rounding {
        RoundingName::Nearest => None,
        RoundingName::Gptq => Some(Method::Gptq),
        RoundingName::Learned => Some(Method::Learned),
    }
}

/// The weight of a node whose integers can be looked for.
fn roundable(node: &NodePlan) -> Option<&ConstantPlan> {
    let weight = match &node.placement {
        Placement::Integer(integer) => integer.constants.iter().find(|constant| constant.is_weight)?,
        Placement::Weight(weights) => weights.iter().find(|weight| weight.slot == 1)?,
        _ => return None,
    };
    let free = weight.known.is_none() && weight.split.is_none() && weight.form == Form::Plain;
    (free && !weight.scheme.dtype.is_float()).then_some(weight)
}

/// The weights that are in `parts`, by the places of their layers. Their biases make means right where layers are `refitted`.
fn weights_in(mut asked: Weights, parts: &Parts, refitted: bool) -> HashMap<usize, Rounded> {
    let placed = parts.layers().iter().enumerate().filter_map(|(place, name)| {
        let (node, asked) = asked.remove(name)?;
        let weight = parts.weight(place)?;
        Some((place, (node, weight.clone(), Asked { shift: asked.shift && refitted, ..asked })))
    });
    placed.collect()
}

/// Whether a layer has a bias of its own, or a place for one.
fn has_place(graph: &Graph, id: NodeId, op: &Op, integer: &IntegerNode) -> bool {
    let constant = |value: Option<ValueId>| value.is_some_and(|value| graph.is_constant(value));
    let behind = || addend_behind(graph, id).is_some_and(|(add, slot)| constant(graph.node(add).input(slot)));
    integer.bias.is_some()
        || integer.free_bias.is_some()
        || match op.bias {
            Bias::Input(slot) => constant(graph.node(id).input(slot)),
            Bias::AddBehind => behind(),
            Bias::None => false,
        }
}
