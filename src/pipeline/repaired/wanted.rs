//! What of a model is to be repaired: layers whose channels are refitted, and weights whose integers are looked for.

use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Bias, Op};
use crate::pipeline::Planned;
use crate::pipeline::clustered::is_clustered;
use crate::plan::{ConstantPlan, IntegerNode, NodePlan, Placement, Stored as Form, addend_behind};
use crate::policy::{BiasCorrection, RoundingName, Settings};
use crate::resolve::Resolved;
use crate::sensitivity::Parts;
use crate::tune::rounding::{Asked, Method, Rounding};
use crate::tune::{Layer, Rounded};
use std::collections::HashMap;

/// Layers by their names.
pub struct Wanted {
    /// Those that are refitted.
    layers: HashMap<String, Layer>,
    /// What the weights whose integers are looked for ask of these.
    weights: HashMap<String, (NodeId, Asked)>,
    /// How they are looked for; `None` where they are the nearest.
    pub method: Option<Method>,
    /// Whether biases are to be corrected on samples.
    pub corrects: bool,
}

impl Wanted {
    /// What the settings have repaired of a model.
    pub fn of(planned: &Planned, settings: &Settings, resolved: &Resolved) -> Self {
        let method = match settings.repairs.rounding {
            RoundingName::Nearest => None,
            RoundingName::Gptq => Some(Method::Gptq),
            RoundingName::Learned => Some(Method::Learned),
        };
        let weights = method.map(|_| planned.roundable(resolved)).unwrap_or_default();
        let corrects = settings.repairs.bias_correction == Some(BiasCorrection::Empirical) && !planned.completes;
        Self { layers: planned.wanted_layers(settings), weights, method, corrects }
    }

    /// Whether only the means of channels are to be as in float, not their gains.
    pub fn shifts_alone(&self) -> bool {
        self.layers.values().all(|layer| !layer.gain) && self.corrects
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty() && self.weights.is_empty()
    }

    /// The weights that are in `parts`, by the places of their layers. Their biases make means right where layers are refitted.
    pub fn weights_in(&self, parts: &Parts) -> HashMap<usize, Rounded> {
        let refitted = !self.layers.is_empty();
        let placed = parts.layers().iter().enumerate().filter_map(|(place, name)| {
            let (node, asked) = self.weights.get(name)?;
            let weight = parts.weight(place)?;
            Some((place, (*node, weight.clone(), Asked { shift: asked.shift && refitted, ..asked.clone() })))
        });
        placed.collect()
    }

    /// The layers that are in `parts`, by their places, with the steps of their biases.
    pub fn layers_in(&self, planned: &Planned, parts: &Parts) -> HashMap<usize, Layer> {
        let nodes = planned.plan.by_node();
        let placed = parts.layers().iter().enumerate().filter_map(|(place, name)| {
            let layer = self.layers.get(name)?;
            let own = match &nodes.get(&layer.node)?.placement {
                Placement::Integer(integer) => {
                    integer.free_bias.is_some() || integer.bias.is_some_and(|(node, _)| node == layer.node)
                }
                _ => false,
            };
            let steps = if own { parts.bias_steps(place).to_vec() } else { Vec::new() };
            Some((place, Layer { steps, ..layer.clone() }))
        });
        placed.collect()
    }
}

impl Planned {
    /// The layers that the settings have refitted: unless they say so, those of networks that convolve. Behind products there is little
    /// to gain.
    fn wanted_layers(&self, settings: &Settings) -> HashMap<String, Layer> {
        let layers = self.refittable();
        let convolves = || layers.values().any(|layer| layer.axis == 1);
        let refits = settings.repairs.refit.unwrap_or_else(convolves);
        let mut wanted = if refits { layers.clone() } else { HashMap::new() };
        if settings.repairs.bias_correction == Some(BiasCorrection::Empirical) {
            let bare = layers.into_iter().filter(|(_, layer)| layer.shift && !refits);
            wanted.extend(bare.map(|(name, layer)| (name, Layer { gain: false, ..layer })));
            wanted.extend(self.shiftable());
        }
        wanted
    }

    /// The layers that can be refitted, by name.
    pub(in crate::pipeline) fn refittable(&self) -> HashMap<String, Layer> {
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
        free && any
            && self.is_malleable(id, weight)
            && (graph.node(id).op_type() != "ConvTranspose" || op.groups(graph, id) == 1)
    }

    /// Whether a node has a weight whose integers these could be.
    pub(in crate::pipeline) fn can_round(&self, node: NodeId, rounding: &Rounding) -> bool {
        let graph = &self.model.graph;
        let weight = self.plan.nodes.iter().find(|one| one.id == node).and_then(roundable);
        let value = weight.and_then(|weight| graph.node(node).input(weight.slot));
        let elements = value.and_then(|value| graph.constant(value).ok()?);
        elements.is_some_and(|elements| elements.len() == rounding.steps.len())
    }

    /// What weights of layers ask of integers that are looked for, by the names of the layers.
    fn roundable(&self, resolved: &Resolved) -> HashMap<String, (NodeId, Asked)> {
        let graph = &self.model.graph;
        let own = |node: &NodePlan| {
            let weight = roundable(node)?;
            let shift = match &node.placement {
                Placement::Integer(integer) => {
                    ops::lookup(graph, node.id).is_some_and(|op| has_place(graph, node.id, op, integer))
                }
                _ => false,
            };
            let largest = weight.summed.and_then(|(value, axis)| resolved.channel_maxima(value, axis));
            let sums = weight.sum_order.map(|order| (order, largest.unwrap_or_default().to_vec()));
            self.is_malleable(node.id, weight).then(|| (node.name.clone(), (node.id, Asked { shift, sums })))
        };
        self.plan.nodes.iter().filter_map(own).collect()
    }

    /// Whether the weight of a layer is nobody's else, and may have as many values as it likes.
    fn is_malleable(&self, id: NodeId, weight: &ConstantPlan) -> bool {
        let graph = &self.model.graph;
        let alone = graph.node(id).input(weight.slot).is_some_and(|value| graph.value(value).uses().len() == 1);
        alone && !is_clustered(graph, id, weight)
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
