//! Smoothing: which values are smoothed, by what a few samples show, and the plan for the model in which they are.

use super::clustered::is_clustered;
use super::{Context, Planned, engines};
use crate::calibrate::{self, Statistics};
use crate::error::{Error, Result};
use crate::inputs;
use crate::ir::{Graph, ValueId};
use crate::mapped;
use crate::ops;
use crate::plan::{ConstantPlan, NodePlan, Placement, RangeSource, Stored, ValuePlan};
use crate::policy::Settings;
use crate::progress::Silent;
use crate::quant::ChannelAxis;
use crate::tensor::{DataType, Tensor};
use crate::tune::smoothing::{self, Product, Read, Weight};
use std::collections::BTreeMap;

/// The powers of two that the channels of values are divided by, by the names of the values.
pub type Smoothing = BTreeMap<String, Vec<i32>>;

/// So many samples show how large channels are.
const SAMPLES: usize = 16;

/// Why what scales is no integer node.
const SCALES: &str = "it scales the channels of what products read (repairs.smooth)";

/// A value that is smoothed, and the layers that read it then.
struct Group<'a> {
    value: &'a ValuePlan,
    layers: Vec<(Product, &'a ConstantPlan)>,
}

impl Planned {
    /// Smooths values of the model where the settings let it and it helps. Returns what they were smoothed by.
    ///
    /// # Errors
    /// When a sample cannot be read, or the engine cannot run the model.
    pub(super) fn smooth(&mut self, settings: &Settings, context: &Context<'_>) -> Result<Smoothing> {
        // What scales is an operator in float.
        let wanted = settings.repairs.smooth && !settings.strict && !self.completes;
        let Some(data) = settings.calibration.as_ref().filter(|_| wanted) else { return Ok(Smoothing::new()) };
        let groups = self.smoothable(settings);
        if groups.is_empty() {
            return Ok(Smoothing::new());
        }
        let (set, indices) = self.calibration_set(data, settings, &self.inputs()?)?;
        let few: Vec<usize> = inputs::spread(indices.len(), SAMPLES).into_iter().map(|k| indices[k]).collect();
        if few.is_empty() {
            return Ok(Smoothing::new());
        }
        let engine = engines::calibrating(settings, context)?;
        let values: Vec<&ValuePlan> = groups.iter().map(|group| group.value).collect();
        let (source, how) = ((&set, few.as_slice()), (context.threads, &Silent as _));
        let seen = calibrate::collect(&self.model, &values, &*engine, source, settings.on_bad_value, how);
        let (seen, _) = seen.map_err(|e| e.of_engine(&self.path))?;
        let mut found = Smoothing::new();
        for group in &groups {
            let Some(statistics) = seen.values.get(&group.value.name) else { continue };
            let exponents = group.exponents(&self.model.graph, statistics)?;
            found.extend(exponents.map(|exponents| (group.value.name.clone(), exponents)));
        }
        self.smooth_by(settings, &found)?;
        Ok(found)
    }

    /// Smooths the values named in `by` and no others, and plans again.
    ///
    /// # Errors
    /// When one of them cannot be smoothed so.
    pub(super) fn smooth_by(&mut self, settings: &Settings, by: &Smoothing) -> Result<()> {
        if by.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        let groups = self.smoothable(settings);
        for (name, exponents) in by {
            let wrong = |why: &str| Error::value(name, format!("is to be smoothed, but {why}"));
            let group = groups.iter().find(|group| group.value.name == *name);
            let group = group.ok_or_else(|| wrong("is nothing that products alone read as integers"))?;
            let channels = group.weights(&self.model.graph)?.into_iter().zip(&group.layers);
            let mut channels = channels.map(|(weight, (layer, _))| weight.shape()[usize::from(layer.transposed)]);
            if !channels.all(|count| count == exponents.len()) {
                return Err(wrong(&format!("not by the {} channels that it has by this file", exponents.len())));
            }
            let powers = -smoothing::LARGEST..=smoothing::LARGEST;
            if !exponents.iter().all(|exponent| powers.contains(exponent)) {
                return Err(wrong(&format!("not by powers of two beyond {}", smoothing::LARGEST)));
            }
            found.push((group.value.id, exponents, group.layers.iter().map(|(layer, _)| *layer).collect::<Vec<_>>()));
        }
        for (value, exponents, layers) in found {
            let node = smoothing::smooth(&mut self.model.graph, value, exponents, &layers)?;
            self.scaling.push((node, SCALES.to_owned()));
        }
        self.smoothed.clone_from(by);
        self.plan_anew(settings, self.float.clone()).map(drop)
    }

    /// The values that can be smoothed: those of float32 that a node in float makes, and of whose readers those on integers are
    /// products with weights of their own.
    fn smoothable(&self, settings: &Settings) -> Vec<Group<'_>> {
        let graph = &self.model.graph;
        let mut groups: BTreeMap<ValueId, Vec<(Product, &ConstantPlan)>> = BTreeMap::new();
        for node in &self.plan.nodes {
            if let Some((value, layer)) = product(graph, node) {
                groups.entry(value).or_default().push(layer);
            }
        }
        groups.into_iter().filter_map(|(value, layers)| self.group(settings, value, layers)).collect()
    }

    /// The group of `layers` that read a value, if that can be smoothed for them.
    fn group<'a>(
        &'a self,
        settings: &Settings,
        id: ValueId,
        layers: Vec<(Product, &'a ConstantPlan)>,
    ) -> Option<Group<'a>> {
        let graph = &self.model.graph;
        let nodes = self.plan.by_node();
        let in_float =
            |node| nodes.get(&node).is_none_or(|node: &&NodePlan| matches!(node.placement, Placement::Float { .. }));
        let value = self.plan.value(id).filter(|v| v.range == RangeSource::Observed && v.also.is_empty() && !v.kept)?;
        let node = graph.value(id);
        let made_in_float = node.producer().is_some_and(in_float);
        let own = |node| layers.iter().any(|(layer, _)| layer.node == node);
        let others = node.readers().any(|(node, slot)| if own(node) { slot != 0 } else { !in_float(node) });
        let inner = !node.is_captured() && self.plan.io.iter().all(|one| one.value != id);
        let of_floats = graph.element_type(id) == Some(DataType::Float32);
        // What a rule says of the value would not be said of the smoothed one.
        let then = smoothing::smoothed_name(&value.name);
        let mut rules = settings.rules.iter().filter_map(|rule| rule.value.as_ref());
        let ruled = rules.any(|pattern| pattern.matches(&value.name) && !pattern.matches(&then));
        (made_in_float && !others && inner && of_floats && !ruled).then_some(Group { value, layers })
    }
}

impl Group<'_> {
    /// The powers of two that the channels of its value are to be divided by, by what was seen of them; `None` where that gains
    /// too little, or they were not seen.
    fn exponents(&self, graph: &Graph, seen: &Statistics) -> Result<Option<Vec<i32>>> {
        let ends = seen.channels(ChannelAxis::Last);
        let Some((ends, moments)) = ends.zip(seen.moments_by_channel(ChannelAxis::Last)) else { return Ok(None) };
        let tensors = self.weights(graph)?;
        let numbers: Vec<_> = tensors.iter().map(Tensor::to_f32).collect::<Result<_>>()?;
        let weight = |((layer, plan), numbers): (&(Product, &ConstantPlan), _)| Weight {
            numbers,
            transposed: layer.transposed,
            by_channel: plan.axis.is_some(),
            scheme: plan.scheme,
        };
        let weights: Vec<Weight<'_>> =
            self.layers.iter().zip(numbers.iter().map(|numbers| &**numbers)).map(weight).collect();
        let read = Read { ends, moments: &moments, scheme: self.value.settings.scheme };
        let exponents = smoothing::exponents(&read, &weights);
        tensors.iter().for_each(|tensor| mapped::let_go(tensor.bytes()));
        Ok(exponents)
    }

    /// The weights of its layers.
    fn weights(&self, graph: &Graph) -> Result<Vec<Tensor>> {
        let weight = |(layer, _): &(Product, &ConstantPlan)| {
            let value = graph.node(layer.node).input(layer.slot);
            let tensor = value.map(|value| graph.constant(value)).transpose()?.flatten();
            tensor.ok_or_else(|| graph.node_error(layer.node, "its weight is no constant"))
        };
        self.layers.iter().map(weight).collect()
    }
}

/// The value that a product on integers reads beside a weight of its own, with a column of it for each row of that.
fn product<'a>(graph: &Graph, node: &'a NodePlan) -> Option<(ValueId, (Product, &'a ConstantPlan))> {
    let Placement::Integer(integer) = &node.placement else { return None };
    let op = ops::lookup(graph, node.id).filter(|_| matches!(graph.node(node.id).op_type(), "MatMul" | "Gemm"))?;
    let weight = integer.constants.iter().find(|constant| constant.is_weight && constant.slot == 1)?;
    let own =
        weight.form == Stored::Plain && weight.block.is_none() && weight.known.is_none() && weight.split.is_none();
    let (value, axis) = weight.summed.filter(|_| own)?;
    let of_last = axis == ChannelAxis::Last && op.summed_axis(graph, node.id) == Some(axis);
    let stored = graph.stated_type(graph.node(node.id).input(1)?)?;
    let matrix = stored.dtype == DataType::Float32 && stored.dims.len() == 2;
    let transposed = graph.node(node.id).attributes().int("transB").unwrap_or(0) != 0;
    let reads = graph.node(node.id).input(0) == Some(value) && of_last && matrix;
    let free = reads && !is_clustered(graph, node.id, weight);
    free.then_some((value, (Product { node: node.id, slot: 1, transposed }, weight)))
}
