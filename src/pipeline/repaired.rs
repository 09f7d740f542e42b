//! Repair: what brings the quantized model nearer to the float one without training. So far layers are refitted, one after the other.

use super::{Context, Planned};
use crate::error::{Error, Result};
use crate::exec::{Switched, Tract};
use crate::inputs::{self, Sample};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Bias, Op};
use crate::plan::{ConstantPlan, IntegerNode, NodePlan, Placement, addend_behind};
use crate::policy::{Format, Settings};
use crate::report::{CalibrationSummary, RepairSummary};
use crate::resolve::Resolved;
use crate::sensitivity::Parts;
use crate::tensor::{Tensor, TensorType};
use crate::tune::{Layer, Nearness, Refitting};
use std::collections::HashMap;

/// So many samples run side by side at least and at most.
const SAMPLES: std::ops::RangeInclusive<usize> = 4..=32;
/// The bytes that they may take.
const MEMORY: usize = 192 << 20;
/// So many more, one by one, only decide whether what was found is kept.
const DECIDING: usize = 8;

/// The types of samples of one shape, and these.
type Alike = (Vec<TensorType>, Vec<Vec<Tensor>>);

impl Planned {
    /// Refits the layers of the model as it was resolved, on calibration samples, where the settings ask for it. Nothing is kept
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
        let layers = self.refittable();
        if !settings.repairs.refit || self.completes || layers.is_empty() {
            return Ok(None);
        }
        if self.plan.halves().next().is_some() {
            return Ok(Some(RepairSummary::none("some nodes compute in 16 bits")));
        }
        let samples = match self.alike_samples(settings)? {
            Some(samples) if samples.1.len() >= *SAMPLES.start() => samples,
            Some(_) => return Ok(Some(RepairSummary::none("there are too few calibration samples of one shape"))),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        // A model that cannot be run so is converted all the same.
        let repaired = self.refit(settings, resolved, summary, (layers, samples), context);
        let repaired = repaired.unwrap_or_else(|why| RepairSummary::none(why.to_string()));
        if repaired.layers == 0 {
            resolved.set_refits([]);
        }
        Ok(Some(repaired))
    }

    /// Refits layers, and tells how near the rewritten model is to the float one before and after, on the samples that check.
    fn refit(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
        (layers, (types, mut samples)): (HashMap<String, Layer>, Alike),
        context: &Context<'_>,
    ) -> Result<RepairSummary> {
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let parts = |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0);
        let rounded = parts(resolved)?;
        let program = rounded.program(&Tract::default(), &types)?;
        let room = (MEMORY / program.live_bytes().max(1)).clamp(*SAMPLES.start(), *SAMPLES.end());
        samples.truncate(room + DECIDING);
        let samples = samples.iter().map(|sample| rounded.inputs(sample)).collect::<Result<Vec<_>>>()?;
        let (beside, others) = samples.split_at(room.min(samples.len()));
        let deciding =
            || beside.iter().enumerate().filter(|(at, _)| Refitting::checks(*at)).map(|(_, one)| one).chain(others);
        context.progress.start("repairing", beside.len() + 2 * deciding().count());
        let mut refitting = Refitting::new(self.placed(layers, &rounded));
        program.correct(beside, &mut refitting)?;
        beside.iter().for_each(|_| context.progress.step());
        let nearness = |program: &dyn Switched| {
            let mut near = Nearness::default();
            for inputs in deciding() {
                let mut nothing = Refitting::new(HashMap::new());
                let outputs = program.correct(std::slice::from_ref(inputs), &mut nothing)?;
                outputs.iter().for_each(|[float, rounded]| near.add(float, rounded));
                context.progress.step();
            }
            Ok::<_, Error>(near.sqnr_db())
        };
        let before = nearness(&*program)?;
        // Both at once would take twice the memory.
        drop(program);
        let layers = refitting.found.len();
        resolved.set_refits(refitting.found);
        let after = nearness(&*parts(resolved)?.program(&Tract::default(), &types)?)?;
        context.progress.finish();
        let layers = if after > before { layers } else { 0 };
        let why = (layers == 0).then(|| "samples that did not fit it were no nearer to the float model".to_owned());
        Ok(RepairSummary { layers, samples: beside.len(), sqnr_db: Some((before, after)), why })
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
        let (set, indices) = self.calibration_set(data, settings, &self.inputs()?)?;
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
