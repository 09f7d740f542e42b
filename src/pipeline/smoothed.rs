//! Smoothing: which values are smoothed, by what a few samples show, and the plan for the model in which they are.

use super::clustered::is_clustered;
use super::{Context, Planned, engines};
use crate::calibrate::{self, Statistics};
use crate::error::{Error, Result};
use crate::inputs;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::mapped;
use crate::ops::{self, Role};
use crate::plan::{ConstantPlan, NodePlan, Placement, RangeSource, Stored, ValuePlan};
use crate::policy::Settings;
use crate::progress::Silent;
use crate::quant::ChannelAxis;
use crate::tensor::{DataType, Tensor};
use crate::tune::equalize::{self, Form};
use crate::tune::smoothing::{self, Along, Read, Seen, Weight};
use std::collections::BTreeMap;

/// The powers of two that the channels of values are divided by, by the names of the values.
pub type Smoothing = BTreeMap<String, Vec<i32>>;

/// So many samples show how large channels are.
const SAMPLES: usize = 16;

/// Why what scales is no integer node.
const SCALES: &str = "it scales the channels of what layers read (repairs.smooth)";

/// A value that is smoothed, and the layers that read it then.
struct Group<'a> {
    value: &'a ValuePlan,
    /// The axis along which its channels lie.
    axis: ChannelAxis,
    read: Read,
    /// The weights of its layers.
    weights: Vec<&'a ConstantPlan>,
}

/// A layer that reads a value, be that moved to it.
struct Reader<'a> {
    layer: (NodeId, Form),
    weight: &'a ConstantPlan,
    /// Where the channels of the value lie: along which axis, and how many are behind it.
    axis: ChannelAxis,
    behind: usize,
    /// What moves the value make of it, and who reads the value itself.
    moved: Vec<ValueId>,
    first: NodeId,
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
        let by_channel = |group: &Group<'_>| ValuePlan { channels: Some(group.axis), ..group.value.clone() };
        let values: Vec<ValuePlan> = groups.iter().map(by_channel).collect();
        let values: Vec<&ValuePlan> = values.iter().collect();
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
            let group = group.ok_or_else(|| wrong("is nothing that layers alone read as integers"))?;
            if !group.read.layers.iter().all(|(_, form)| form.inputs == exponents.len()) {
                return Err(wrong(&format!("not by the {} channels that it has by this file", exponents.len())));
            }
            let powers = -smoothing::LARGEST..=smoothing::LARGEST;
            if !exponents.iter().all(|exponent| powers.contains(exponent)) {
                return Err(wrong(&format!("not by powers of two beyond {}", smoothing::LARGEST)));
            }
            found.push((group.value.id, exponents, group.read.clone()));
        }
        for (value, exponents, read) in found {
            let node = smoothing::smooth_read(&mut self.model.graph, value, exponents, &read)?;
            self.scaling.push((node, SCALES.to_owned()));
        }
        self.smoothed.clone_from(by);
        self.plan_anew(settings, self.float.clone()).map(drop)
    }

    /// The values that can be smoothed: those of float32 that a node in float makes, and of whose readers those on integers are
    /// layers with weights of their own, or move the value to such ones.
    fn smoothable(&self, settings: &Settings) -> Vec<Group<'_>> {
        let mut groups: BTreeMap<ValueId, Vec<Reader<'_>>> = BTreeMap::new();
        for node in &self.plan.nodes {
            if let Some((value, reader)) = self.reader(node) {
                groups.entry(value).or_default().push(reader);
            }
        }
        groups.into_iter().filter_map(|(value, readers)| self.group(settings, value, readers)).collect()
    }

    /// The value that a layer on integers reads beside a weight of its own, or what that was moved from, if its channels are told
    /// apart there.
    fn reader<'a>(&'a self, node: &'a NodePlan) -> Option<(ValueId, Reader<'a>)> {
        let graph = &self.model.graph;
        let Placement::Integer(integer) = &node.placement else { return None };
        let op = ops::lookup(graph, node.id)?;
        let form = equalize::form(graph, node.id)?;
        let weight = integer.constants.iter().find(|constant| constant.is_weight && constant.slot == 1)?;
        let own =
            weight.form == Stored::Plain && weight.block.is_none() && weight.known.is_none() && weight.split.is_none();
        let summed = op.summed_axis(graph, node.id).filter(|_| own && !is_clustered(graph, node.id, weight))?;
        let (mut value, mut first, mut moved) = (graph.node(node.id).input(0)?, node.id, Vec::new());
        let shape = graph.node(node.id).input(1).and_then(|weight| graph.stated_type(weight))?.dims;
        let rank = if summed == ChannelAxis::Second { Some(shape.len()) } else { graph.rank(value) };
        let mut along = rank.filter(|&rank| rank > 1).map(|rank| match summed {
            ChannelAxis::Second => Along { axis: 1, rank },
            ChannelAxis::Last => Along { axis: rank - 1, rank },
        });
        while let Some(RangeSource::SameAs(_)) = self.plan.value(value).map(|plan| plan.range) {
            let mover = graph.value(value).producer()?;
            let moves = ops::lookup(graph, mover).is_some_and(|op| op.role == Role::Movement);
            along = Some(smoothing::before(graph, mover, along.filter(|_| moves)?, form.inputs)?);
            moved.push(value);
            (value, first) = (graph.node(mover).input(0)?, mover);
        }
        let (axis, behind) = match along {
            Some(Along { axis, rank }) if axis + 1 == rank => (ChannelAxis::Last, 0),
            Some(Along { axis: 1, rank }) => (ChannelAxis::Second, rank - 2),
            None if summed == ChannelAxis::Last => (summed, 0),
            _ => return None,
        };
        Some((value, Reader { layer: (node.id, form), weight, axis, behind, moved, first }))
    }

    /// The group of `readers` of a value, if that can be smoothed for them.
    fn group<'a>(&'a self, settings: &Settings, id: ValueId, readers: Vec<Reader<'a>>) -> Option<Group<'a>> {
        let graph = &self.model.graph;
        let nodes = self.plan.by_node();
        let in_float =
            |node| nodes.get(&node).is_none_or(|node: &&NodePlan| matches!(node.placement, Placement::Float { .. }));
        let value = self.plan.value(id).filter(|v| v.range == RangeSource::Observed)?;
        let mut read = Read { behind: readers[0].behind, ..Read::default() };
        let (axis, channels) = (readers[0].axis, readers[0].layer.1.inputs);
        for reader in &readers {
            read.layers.push(reader.layer);
            read.readers.extend((!read.readers.contains(&reader.first)).then_some(reader.first));
            let new = reader.moved.iter().filter(|value| !read.moved.contains(value)).collect::<Vec<_>>();
            read.moved.extend(new);
        }
        let alike =
            |reader: &Reader<'_>| (reader.axis, reader.behind, reader.layer.1.inputs) == (axis, read.behind, channels);
        let made_in_float = graph.value(id).producer().is_some_and(in_float);
        let passes = |node| read.layers.iter().any(|(layer, _)| *layer == node) || self.makes(node, &read.moved);
        let others =
            graph.value(id).readers().any(|(node, slot)| if passes(node) { slot != 0 } else { !in_float(node) });
        let alone = |&moved: &ValueId| {
            let own = |one: &Use| matches!(one, Use::Input { node, slot: 0 } if passes(*node));
            graph.value(moved).uses().iter().all(own) && equalize::is_named(graph, moved)
        };
        let inner = |&one: &ValueId| !graph.value(one).is_captured() && self.plan.io.iter().all(|io| io.value != one);
        let of_floats = |&one: &ValueId| graph.element_type(one).is_none_or(|dtype| dtype == DataType::Float32);
        let free =
            read.moved.iter().chain([&id]).all(|one| inner(one) && of_floats(one) && self.is_unruled(settings, *one));
        let fits = readers.iter().all(alike) && read.moved.iter().all(alone);
        let typed = graph.element_type(id) == Some(DataType::Float32);
        (made_in_float && !others && free && fits && typed).then_some(Group {
            value,
            axis,
            read,
            weights: readers.iter().map(|reader| reader.weight).collect(),
        })
    }

    /// Whether a node makes one of these values.
    fn makes(&self, node: NodeId, values: &[ValueId]) -> bool {
        values.iter().any(|&value| self.model.graph.value(value).producer() == Some(node))
    }

    /// Whether a value has one grid, and rules say of it what they would say of the smoothed one.
    fn is_unruled(&self, settings: &Settings, id: ValueId) -> bool {
        let free = self.plan.value(id).is_some_and(|value| value.also.is_empty() && !value.kept);
        let name = self.model.graph.value(id).name();
        let then = smoothing::smoothed_name(name);
        let mut rules = settings.rules.iter().filter_map(|rule| rule.value.as_ref());
        let mut ends = settings.rules.iter().filter_map(|rule| rule.between.as_ref()).flatten();
        let named = rules.any(|pattern| pattern.matches(name) && !pattern.matches(&then));
        free && !named && !ends.any(|end| end.name == name)
    }
}

impl Group<'_> {
    /// The powers of two that the channels of its value are to be divided by, by what was seen of them; `None` where that gains
    /// too little, or they were not seen.
    fn exponents(&self, graph: &Graph, seen: &Statistics) -> Result<Option<Vec<i32>>> {
        let ends = seen.channels(self.axis);
        let Some((ends, moments)) = ends.zip(seen.moments_by_channel(self.axis)) else { return Ok(None) };
        let tensors = self.tensors(graph)?;
        let numbers: Vec<_> = tensors.iter().map(Tensor::to_f32).collect::<Result<_>>()?;
        let layers = self.read.layers.iter().zip(&self.weights).zip(&numbers);
        let weights = layers.map(|((&(_, form), plan), numbers)| {
            let (by_channel, scheme) = (plan.axis.is_some(), plan.scheme);
            Weight { numbers, form, by_channel, scheme }
        });
        let weights: Vec<Weight<'_>> = weights.collect();
        let seen = Seen { ends, moments: &moments, scheme: self.value.settings.scheme };
        let exponents = smoothing::exponents(&seen, &weights);
        tensors.iter().for_each(|tensor| mapped::let_go(tensor.bytes()));
        Ok(exponents)
    }

    /// The weights of its layers.
    fn tensors(&self, graph: &Graph) -> Result<Vec<Tensor>> {
        let weight = |&(node, _): &(NodeId, Form)| {
            let tensor = graph.node(node).input(1).map(|value| graph.constant(value)).transpose()?.flatten();
            tensor.ok_or_else(|| graph.node_error(node, "its weight is no constant"))
        };
        self.read.layers.iter().map(weight).collect()
    }
}
