//! Equalization: which layers that follow each other get their channels scaled, by their weights and what a few samples show, and
//! the plan for the model in which they are.

use super::clustered::is_clustered;
use super::{Context, Planned, engines};
use crate::calibrate::{self, Calibration};
use crate::error::{Error, Result};
use crate::inputs;
use crate::ir::{Graph, NodeId, ValueId};
use crate::mapped;
use crate::plan::{ConstantPlan, IntegerNode, NodePlan, Placement, RangeSource, Stored, ValuePlan};
use crate::policy::{Rule, Settings};
use crate::progress::Silent;
use crate::quant::{ChannelAxis, Moments};
use crate::tune::equalize::{self, Channels, Form, HardSwish, Layer, Link, Pair, Weights};
use std::collections::{BTreeMap, HashMap};

/// The powers of two that the channels of values between two layers are divided by, by the names that the values had.
pub type Equalization = BTreeMap<String, Vec<i32>>;

/// So many samples show how large channels are.
const SAMPLES: usize = 16;

impl Planned {
    /// Equalizes layers of the model where the settings let it and it helps. Returns what lies between them, and what that is
    /// divided by.
    ///
    /// # Errors
    /// When a sample cannot be read, or the engine cannot run the model.
    pub(super) fn equalize(&mut self, settings: &Settings, context: &Context<'_>) -> Result<Equalization> {
        // Encodings that are written are for the model as it is.
        let wanted = settings.repairs.equalize != Some(false) && !self.completes && settings.write_encodings.is_none();
        let Some(data) = settings.calibration.as_ref().filter(|_| wanted) else { return Ok(Equalization::new()) };
        let pairs = self.equalizable(&settings.rules, settings.repairs.equalize);
        let units = self.hard_swishes(&settings.rules);
        let (set, indices) = match pairs.is_empty() && units.is_empty() {
            true => return Ok(Equalization::new()),
            false => self.calibration_set(data, settings, &self.inputs()?)?,
        };
        let few: Vec<usize> = inputs::spread(indices.len(), SAMPLES).into_iter().map(|k| indices[k]).collect();
        if few.is_empty() {
            return Ok(Equalization::new());
        }
        let engine = engines::calibrating(settings, context)?;
        let looked_at = self.looked_at(&pairs, &units, settings);
        let values: Vec<&ValuePlan> = looked_at.values().collect();
        let (source, how) = ((&set, few.as_slice()), (context.threads, &Silent as _));
        let seen = calibrate::collect(&self.model, &values, &*engine, source, settings.on_bad_value, how);
        let (seen, _) = seen.map_err(|e| e.of_engine(&self.path))?;
        let mut found = self.balanced(&pairs, &seen)?;
        for unit in &units {
            let name = self.name(unit.values[0]);
            let exponents = channels(&seen, &name).and_then(|own| unit.exponents(&own.ends));
            found.extend(exponents.map(|exponents| (name, exponents)));
        }
        self.equalize_by(settings, &found)?;
        Ok(found)
    }

    /// Equalizes the pairs whose values are named in `by` and no others, and plans again.
    ///
    /// # Errors
    /// When one of them cannot be equalized so.
    pub(super) fn equalize_by(&mut self, settings: &Settings, by: &Equalization) -> Result<()> {
        if by.is_empty() {
            return Ok(());
        }
        let pairs: HashMap<String, Pair> =
            self.changeable(&settings.rules).into_iter().map(|pair| (self.name(pair.value()), pair)).collect();
        let units = self.hard_swishes(&settings.rules).into_iter();
        let units: HashMap<String, HardSwish> = units.map(|unit| (self.name(unit.values[0]), unit)).collect();
        for (name, exponents) in by {
            let wrong = |why: &str| Error::value(name, format!("is to be equalized, but {why}"));
            let channels = pairs.get(name).map(|pair| pair.made.outputs);
            let channels = channels.or_else(|| units.get(name).map(|unit| unit.channels));
            let channels = channels.ok_or_else(|| wrong("lies between no two layers that can be"))?;
            if exponents.len() != channels {
                return Err(wrong(&format!("has {channels} channels, not {}", exponents.len())));
            }
            let powers = -equalize::LARGEST..=equalize::LARGEST;
            if !exponents.iter().all(|exponent| powers.contains(exponent)) {
                return Err(wrong(&format!("not by powers of two beyond {}", equalize::LARGEST)));
            }
        }
        for (name, exponents) in by {
            match pairs.get(name) {
                Some(pair) => {
                    self.divide_normals(&pair.between, exponents);
                    equalize::equalize(&mut self.model.graph, pair, exponents)?;
                }
                None => {
                    self.divide_normals(&units[name].values[..1], exponents);
                    units[name].equalize(&mut self.model.graph, exponents)?;
                }
            }
        }
        self.equalized.clone_from(by);
        self.plan_anew(settings, self.float.clone()).map(drop)
    }

    /// Says how values are distributed once their channels are divided by powers of two, and they have the names of what is.
    pub(super) fn divide_normals(&mut self, values: &[ValueId], exponents: &[i32]) {
        for &value in values {
            let name = self.name(value);
            if let Some(known) = self.normals.get(&name).filter(|known| known.means.len() == exponents.len()) {
                let divided = known.divided(exponents);
                self.normals.insert(equalize::equalized_name(&name), divided);
            }
        }
    }

    fn name(&self, value: ValueId) -> String {
        self.model.graph.value(value).name().to_owned()
    }

    /// The pairs of layers that the policy lets be equalized: both on integers, and unless all are `wanted`, without a scale for each
    /// channel, which does for weights what equalization would.
    fn equalizable(&self, rules: &[Rule], wanted: Option<bool>) -> Vec<Pair> {
        let nodes = self.plan.by_node();
        let on_integers = |id: NodeId| {
            let Placement::Integer(IntegerNode { constants, .. }) = &nodes.get(&id)?.placement else { return None };
            constants.iter().find(|constant| constant.is_weight)
        };
        let usable = |pair: &Pair| {
            let (Some(first), Some(second)) = (on_integers(pair.first), on_integers(pair.second)) else { return false };
            wanted == Some(true) || first.axis.is_none() && second.axis.is_none() || pair.is_linear_depthwise()
        };
        self.changeable(rules).into_iter().filter(usable).collect()
    }

    /// The pairs of layers whose weights are nobody's but to choose, and between them nothing about which anybody states anything.
    /// In float nothing changes: whether they are on integers does not matter.
    fn changeable(&self, rules: &[Rule]) -> Vec<Pair> {
        self.pairs_of(rules, is_chosen)
    }

    /// The same with weights that are stored in any form, where dividing each output of the first layer costs its weights nothing.
    pub(super) fn scalable(&self, rules: &[Rule]) -> Vec<Pair> {
        self.pairs_of(rules, |weight| weight.axis.is_some() && weight.known.is_none() && weight.split.is_none())
    }

    /// The pairs of layers whose weights are all as they are to be, and about which nobody states anything.
    fn pairs_of(&self, rules: &[Rule], is_fit: fn(&ConstantPlan) -> bool) -> Vec<Pair> {
        let graph = &self.model.graph;
        let nodes = self.plan.by_node();
        let chosen = |id: NodeId| nodes.get(&id).is_some_and(|node| are_free(graph, node, is_fit));
        let free = |pair: &Pair| {
            let bias = pair.bias.and_then(|(node, slot)| graph.node(node).input(slot));
            let known = bias.is_some_and(|bias| self.plan.biases.contains_key(&bias));
            let layers = chosen(pair.first) && chosen(pair.second) && !known;
            layers && pair.between.iter().all(|&value| self.is_free(value, rules))
        };
        equalize::pairs(graph).into_iter().filter(free).collect()
    }

    /// Layers with a HardSwish that depthwise Convs read, all on integers and nothing about them stated.
    fn hard_swishes(&self, rules: &[Rule]) -> Vec<HardSwish> {
        let graph = &self.model.graph;
        let nodes = self.plan.by_node();
        let chosen = |id: &NodeId| {
            let node = nodes.get(id).filter(|node| matches!(node.placement, Placement::Integer(_)));
            node.is_some_and(|node| are_free(graph, node, is_chosen))
        };
        let known = |id: &NodeId| {
            let bias = graph.node(*id).input(2);
            bias.is_some_and(|bias| self.plan.biases.contains_key(&bias))
        };
        let free = |unit: &HardSwish| {
            let mut layers = unit.readers.iter().chain([&unit.layer]);
            let values = unit.values.iter().all(|&value| self.is_free(value, rules));
            values && !known(&unit.layer) && layers.all(chosen)
        };
        graph.node_ids().filter_map(|id| HardSwish::behind(graph, id)).filter(free).collect()
    }

    /// Whether nobody states anything about a value that is to be equalized.
    fn is_free(&self, id: ValueId, rules: &[Rule]) -> bool {
        self.is_free_as(id, rules, &equalize::equalized_name(self.model.graph.value(id).name()))
    }

    /// Whether nobody states anything about a value that is to be called `then`.
    pub(super) fn is_free_as(&self, id: ValueId, rules: &[Rule], then: &str) -> bool {
        let name = self.model.graph.value(id).name();
        let free = self.plan.value(id).is_none_or(|value| {
            matches!(value.range, RangeSource::Observed | RangeSource::SameAs(_))
                && value.also.is_empty()
                && !value.kept
        });
        // What a rule says of the value would not be said of it under another name.
        let patterns = rules.iter().filter_map(|rule| rule.value.as_ref());
        let ruled = patterns.clone().any(|pattern| pattern.matches(name) != pattern.matches(then));
        let between = rules.iter().filter_map(|rule| rule.between.as_ref()).flatten().any(|end| end.name == name);
        free && !ruled && !between
    }

    /// The values that have to be seen channel by channel.
    fn looked_at(&self, pairs: &[Pair], units: &[HardSwish], settings: &Settings) -> BTreeMap<ValueId, ValuePlan> {
        let graph = &self.model.graph;
        let mut found = BTreeMap::new();
        let of_pair = |pair: &Pair| {
            // Behind a Flatten there are two axes, and the second is the last.
            let axis = if pair.convolves(graph) { ChannelAxis::Second } else { ChannelAxis::Last };
            (axis, graph.node(pair.first).input(0).into_iter().chain([pair.grid, pair.value()]).collect::<Vec<_>>())
        };
        let of_units = units.iter().map(|unit| (ChannelAxis::Second, vec![unit.values[0]]));
        for (axis, values) in pairs.iter().map(of_pair).chain(of_units) {
            for id in values {
                let name = self.name(id);
                let plan = ValuePlan {
                    id,
                    name,
                    settings: settings.activations,
                    also: Vec::new(),
                    range: RangeSource::Observed,
                    channels: Some(axis),
                    layout: None,
                    kept: false,
                    headroom: false,
                    behind: None,
                };
                found.entry(id).or_insert(plan);
            }
        }
        found
    }

    /// What the channels between pairs are to be divided by, by what was seen of them; none of pairs where that gains too little.
    fn balanced(&self, pairs: &[Pair], seen: &Calibration) -> Result<Equalization> {
        let mut network = Network { nodes: self.plan.by_node(), ..Network::default() };
        let (mut links, mut linked) = (Vec::new(), Vec::new());
        for pair in pairs {
            if let Some(link) = network.link(self, pair, seen)? {
                links.push(link);
                linked.push(pair);
            }
        }
        let found = equalize::balance(&mut network.layers, &mut network.values, &links);
        let any = linked.iter().zip(found).filter(|(_, exponents)| exponents.iter().any(|&exponent| exponent != 0));
        Ok(any.map(|(pair, exponents)| (self.name(pair.value()), exponents)).collect())
    }
}

/// The layers and values of pairs, each once.
#[derive(Default)]
struct Network<'a> {
    nodes: HashMap<NodeId, &'a NodePlan>,
    layers: Vec<Layer>,
    values: Vec<Channels>,
    layer_of: HashMap<NodeId, usize>,
    value_of: HashMap<ValueId, usize>,
}

impl Network<'_> {
    /// A pair by its layers and values; `None` where not all of them are known.
    fn link(&mut self, planned: &Planned, pair: &Pair, seen: &Calibration) -> Result<Option<Link>> {
        let Some(input) = planned.model.graph.node(pair.first).input(0) else { return Ok(None) };
        let mut value = |id, count| self.value(seen, id, &planned.name(id), count);
        let (input, grid) = (value(input, pair.made.inputs), value(pair.grid, pair.made.outputs));
        let read = value(pair.value(), pair.read.inputs);
        let (first, second) =
            (self.layer(planned, pair.first, pair.made)?, self.layer(planned, pair.second, pair.read)?);
        let scheme = [pair.grid, pair.value()].into_iter().find_map(|id| planned.plan.value(id));
        let (Some(input), Some(grid), Some(read), Some(first), Some(second), Some(value)) =
            (input, grid, read, first, second, scheme)
        else {
            return Ok(None);
        };
        let (bound, scheme) = (pair.bound.map(f64::from), value.settings.scheme);
        Ok(Some(Link { first, second, input, grid, read, bound, scheme }))
    }

    /// The place of a value of which so many channels were seen.
    fn value(&mut self, seen: &Calibration, id: ValueId, name: &str, count: usize) -> Option<usize> {
        if let Some(&known) = self.value_of.get(&id) {
            return Some(known).filter(|&known| self.values[known].ends.len() == count);
        }
        self.values.push(channels(seen, name).filter(|own| own.ends.len() == count)?);
        self.value_of.insert(id, self.values.len() - 1);
        Some(self.values.len() - 1)
    }

    /// The place of a layer whose weights lie in this form.
    fn layer(&mut self, planned: &Planned, id: NodeId, form: Form) -> Result<Option<usize>> {
        if let Some(&known) = self.layer_of.get(&id) {
            return Ok(Some(known));
        }
        let graph = &planned.model.graph;
        let tensor = graph.node(id).input(1).map(|value| graph.constant(value)).transpose()?.flatten();
        let weight =
            self.nodes.get(&id).and_then(|node| node.placement.constants().iter().find(|constant| constant.is_weight));
        let Some((tensor, plan)) = tensor.zip(weight) else { return Ok(None) };
        let weights = Weights::new(form, &tensor.to_f32()?);
        mapped::let_go(tensor.bytes());
        let Some(weights) = weights else { return Ok(None) };
        self.layers.push(Layer { weights, by_channel: plan.axis.is_some(), scheme: plan.scheme });
        self.layer_of.insert(id, self.layers.len() - 1);
        Ok(Some(self.layers.len() - 1))
    }
}

/// Whether the constants of a node are as they are to be, and may have as many values as they like.
fn are_free(graph: &Graph, node: &NodePlan, is_fit: fn(&ConstantPlan) -> bool) -> bool {
    let mut constants = node.placement.constants().iter();
    constants.all(|constant| is_fit(constant) && !is_clustered(graph, node.id, constant))
}

/// Whether the grids of a weight are chosen, and all of it is on them.
fn is_chosen(weight: &ConstantPlan) -> bool {
    weight.form == Stored::Plain && weight.block.is_none() && weight.known.is_none() && weight.split.is_none()
}

/// What was seen of the channels of a value: the variance within channels is theirs by the squares of their extents.
fn channels(seen: &Calibration, name: &str) -> Option<Channels> {
    let statistics = seen.values.get(name)?;
    let of = |axis| statistics.channels(axis).zip(statistics.moments_by_channel(axis));
    let (ends, Moments { means, variance }) = of(ChannelAxis::Second).or_else(|| of(ChannelAxis::Last))?;
    let extent = |&(low, high): &(f32, f32)| f64::from(high - low).powi(2);
    let mean = ends.iter().map(extent).sum::<f64>() / ends.len().max(1) as f64;
    let share = f64::from(variance) / mean.max(f64::MIN_POSITIVE);
    let power = ends.iter().zip(means).map(|(ends, mean)| f64::from(mean).powi(2) + extent(ends) * share);
    let wide = |&(low, high): &(f32, f32)| (f64::from(low), f64::from(high));
    Some(Channels { power: power.collect(), ends: ends.iter().map(wide).collect() })
}
