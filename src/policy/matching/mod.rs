//! The rules meet a model: what holds for each node and each value.

mod between;

use super::raw::Mode;
use super::settings::{ActivationSettings, Pattern, Rule, Settings, WeightSettings};
use super::text::{Place, names, shown};
use crate::error::{Error, Result};
use std::collections::HashMap;

/// How many names of the model an error shows.
const NEAREST: usize = 3;

/// A node as the rules see it.
#[derive(Debug, Clone)]
pub struct NodeKey<'a> {
    /// The node's name; may be empty.
    pub name: &'a str,
    /// The operator.
    pub op_type: &'a str,
    /// The names of its outputs; empty ones are left-out outputs.
    pub outputs: Vec<&'a str>,
    /// The names of what it reads.
    pub inputs: Vec<&'a str>,
}

/// What the policy says about one node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSettings {
    /// What becomes integers, and when.
    pub mode: Mode,
    /// Whether a rule gives it that mode.
    pub mode_stated: bool,
    /// Whether to quantize it.
    pub quantize: bool,
    /// Whether a rule says outright that it is to be quantized, even where that buys nothing.
    pub insists: bool,
    /// Why it is as it is. Always there where a rule leaves the node in float.
    pub reason: Option<String>,
    /// How its outputs become integers, before rules about single values.
    pub activations: ActivationSettings,
    /// Whether a rule says which type that is.
    pub type_stated: bool,
    /// How its weight becomes integers.
    pub weights: WeightSettings,
    /// Where the rule stands that splits columns off what it reads.
    pub split_on: Option<Place>,
}

/// What the policy says about one value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueSettings {
    /// Whether to quantize it. A rule that leaves the node before it in float says nothing about the value.
    pub quantize: bool,
    /// Why it is as it is. Always there where a rule leaves the value in float.
    pub reason: Option<String>,
    /// How it becomes integers.
    pub activations: ActivationSettings,
    /// A fixed range instead of a calibrated one: finite, low below high; it need not hold zero.
    pub range: Option<(f32, f32)>,
    /// A fixed scale, a normal number, and the integer that stands for zero.
    pub grid: Option<(f32, i32)>,
    /// Where the rule stands that fixes one of the two.
    pub stated_on: Option<Place>,
    /// Where the rule stands that decides whether to quantize it.
    pub decided_on: Option<Place>,
    /// Whether a rule about the value itself says which type it has.
    pub pinned: bool,
    /// Whether a rule says how its range is found.
    pub calibrator_stated: bool,
}

/// What the policy says about a model, in the order of the nodes and values it was asked about.
#[derive(Debug, Clone, PartialEq)]
pub struct Matched {
    /// For each node.
    pub nodes: Vec<NodeSettings>,
    /// For each value.
    pub values: Vec<ValueSettings>,
}

/// A node's or value's settings while the rules are gone through.
#[derive(Clone)]
struct Draft {
    quantize: bool,
    insists: bool,
    reason: Option<String>,
    decided_on: Option<Place>,
    split_on: Option<Place>,
    activations: ActivationSettings,
    /// The number for the calibrator `percentile`, which a rule may give before another asks for the calibrator.
    percentile: f64,
}

/// What rules about single values fix.
#[derive(Clone, Default)]
struct Fixed {
    range: Option<(f32, f32)>,
    grid: Option<(f32, i32)>,
    stated_on: Option<Place>,
    pinned: bool,
    calibrator_stated: bool,
}

impl Draft {
    /// A reason belongs to the rule that decides: another decision takes it away, another key of the same node does
    /// not.
    fn decide(&mut self, rule: &Rule) {
        let line = || format!("the policy's rule on line {}", rule.place.line);
        if let Some(quantize) = rule.quantize {
            (self.quantize, self.insists, self.decided_on) = (quantize, quantize, Some(rule.place));
            self.reason = rule.reason.clone().or_else(|| (!quantize).then(line));
        } else if let Some(mode) = rule.mode {
            self.reason = rule.reason.clone().or_else(|| (mode == Mode::Float32).then(line));
        } else if self.quantize && rule.reason.is_some() {
            self.reason.clone_from(&rule.reason);
        }
    }
}

impl Settings {
    /// What holds for each of `nodes` and each of `values`, whose name is empty where no rule may fit: the policy's settings, then the rules in the order of the
    /// file, the last one winning key by key.
    ///
    /// A rule about nodes gives its `activations` to their outputs; a rule about values gives them to the values.
    ///
    /// # Errors
    /// [`Error::Policy`] for a rule that matches nothing, with the nearest names of the model, for a blocked operator that the
    /// model does not have, and for rules that
    /// together make weights no runtime can run.
    pub fn match_model(&self, nodes: &[NodeKey<'_>], values: &[&str]) -> Result<Matched> {
        let draft = Draft {
            quantize: true,
            insists: false,
            reason: None,
            decided_on: None,
            split_on: None,
            activations: self.activations,
            percentile: self.activations.percentile(),
        };
        let mut node_drafts = vec![draft.clone(); nodes.len()];
        let mut value_drafts = vec![draft; values.len()];
        let mut weights = vec![self.weights; nodes.len()];
        let mut modes = vec![(self.mode, false); nodes.len()];
        let mut typed = vec![false; nodes.len()];
        let mut fixed = vec![Fixed::default(); values.len()];
        let producers = producers(nodes, values);
        self.check_blocked(nodes)?;

        for rule in &self.rules {
            let mut chosen: Vec<bool> = nodes.iter().map(|node| rule.chooses(node)).collect();
            if let Some([from, to]) = &rule.between {
                let between = self.between(from, to, nodes, values)?;
                chosen.iter_mut().zip(between).for_each(|(chosen, between)| *chosen &= between);
            }
            let from_chosen = |producer: &Option<usize>| producer.is_some_and(|p| chosen.get(p) == Some(&true));
            let mut matched = false;
            if let Some(pattern) = &rule.value {
                let any_producer = rule.node.is_none() && rule.op_types.is_empty();
                for (i, (name, producer)) in values.iter().zip(&producers).enumerate() {
                    if !name.is_empty() && pattern.matches(name) && (any_producer || from_chosen(producer)) {
                        matched = true;
                        let draft = &mut value_drafts[i];
                        draft.decide(rule);
                        draft.activations = draft.activations.with(&rule.activations, &mut draft.percentile);
                        let Fixed { range, grid, stated_on, pinned, calibrator_stated } = &mut fixed[i];
                        // The last of the two says all.
                        if rule.range.is_some() || rule.grid.is_some() {
                            (*range, *grid, *stated_on) = (rule.range, rule.grid, Some(rule.place));
                        }
                        *pinned |= rule.activations.dtype.is_some() || rule.grid.is_some();
                        *calibrator_stated |= rule.activations.calibrator.is_some();
                    }
                }
            } else {
                for (i, _) in chosen.iter().enumerate().filter(|(_, chosen)| **chosen) {
                    matched = true;
                    let draft = &mut node_drafts[i];
                    draft.decide(rule);
                    draft.activations = draft.activations.with(&rule.activations, &mut draft.percentile);
                    if rule.activations.outlier_threshold.is_some() {
                        draft.split_on = Some(rule.place);
                    }
                    weights[i] = weights[i].with(&rule.weights);
                    modes[i] = rule.mode.map_or(modes[i], |mode| (mode, true));
                    typed[i] |= rule.activations.dtype.is_some();
                }
                let outputs = value_drafts.iter_mut().zip(&mut fixed).zip(&producers);
                for ((draft, fixed), _) in outputs.filter(|(_, producer)| from_chosen(producer)) {
                    draft.activations = draft.activations.with(&rule.activations, &mut draft.percentile);
                    fixed.calibrator_stated |= rule.activations.calibrator.is_some();
                }
            }
            if !matched {
                return Err(self.matches_nothing(rule, nodes, values));
            }
        }

        for ((node, weights), &(mode, _)) in nodes.iter().zip(&mut weights).zip(&modes) {
            *weights = weights.in_mode(mode);
            if let Some((_, why)) = weights.trouble(mode, self.format) {
                return Err(self.cannot_run(node, why));
            }
        }
        type Node = ((Draft, WeightSettings), ((Mode, bool), bool));
        let of_node = |((draft, weights), ((mode, mode_stated), type_stated)): Node| NodeSettings {
            mode,
            mode_stated,
            type_stated,
            quantize: draft.quantize,
            insists: draft.insists,
            reason: draft.reason,
            activations: draft.activations,
            weights,
            split_on: draft.split_on,
        };
        let of_value =
            |(draft, Fixed { range, grid, stated_on, pinned, calibrator_stated }): (Draft, Fixed)| ValueSettings {
                quantize: draft.quantize,
                reason: draft.reason,
                activations: draft.activations,
                range,
                grid,
                stated_on,
                decided_on: draft.decided_on,
                pinned,
                calibrator_stated,
            };
        Ok(Matched {
            nodes: node_drafts.into_iter().zip(weights).zip(modes.into_iter().zip(typed)).map(of_node).collect(),
            values: value_drafts.into_iter().zip(fixed).map(of_value).collect(),
        })
    }

    /// Whether each operator that `half.block` names is there.
    fn check_blocked(&self, nodes: &[NodeKey<'_>]) -> Result<()> {
        let absent = |(_, name): &(usize, &String)| nodes.iter().all(|node| node.op_type != name.as_str());
        let Some((index, name)) = self.half.block.iter().enumerate().find(absent) else { return Ok(()) };
        let nearest = names(name, nodes.iter().map(|node| node.op_type), NEAREST).into_iter().map(shown);
        let nearest = nearest.collect::<Vec<_>>().join(", ");
        let message = format!(
            "half.block: no node runs {}; the nearest in the model: {nearest}; name one, or remove it",
            shown(name)
        );
        Err(self.blame_key(&format!("half.block[{index}]"), Error::other(message)))
    }

    fn wrong(&self, place: Place, message: String) -> Error {
        self.blame(Some(place), Error::Other(message))
    }

    /// Which key of `rule` is to blame, and what the model has instead.
    fn matches_nothing(&self, rule: &Rule, nodes: &[NodeKey<'_>], values: &[&str]) -> Error {
        let wrong = |what: &str, patterns: &[Pattern], all: Vec<&str>| {
            let first = patterns.first()?;
            if all.iter().any(|name| patterns.iter().any(|pattern| pattern.matches(name))) {
                return None;
            }
            let nearest = names(first.text(), all.into_iter().filter(|name| !name.is_empty()), NEAREST);
            let hint = first.hint();
            let written: Vec<_> = patterns.iter().take(NEAREST).map(|pattern| shown(pattern.text())).collect();
            let written = written.join(", ");
            let message = if nearest.is_empty() {
                format!("{what} {written}{hint}; the model has no such names")
            } else {
                let nearest = nearest.into_iter().map(shown).collect::<Vec<_>>().join(", ");
                format!("{what} {written}{hint}; the nearest in the model: {nearest}")
            };
            Some(self.wrong(first.place(), message))
        };
        let node_names = || nodes.iter().map(|node| node.name).collect();
        let op_types = || nodes.iter().map(|node| node.op_type).collect();
        wrong("no node is called", rule.node.as_slice(), node_names())
            .or_else(|| wrong("no node runs", &rule.op_types, op_types()))
            .or_else(|| wrong("no value is called", rule.value.as_slice(), values.to_vec()))
            .unwrap_or_else(|| {
                let alone = rule.node.is_none() && rule.op_types.is_empty();
                if let Some([from, to]) = rule.between.as_ref().filter(|_| alone) {
                    let message = format!(
                        "no way leads from {} to {}: name the value that comes first in the model first",
                        shown(&from.name),
                        shown(&to.name)
                    );
                    return self.wrong(from.place, message);
                }
                let message = "each key of match finds something, but nothing in the model matches all of them";
                self.wrong(rule.place, message.to_owned())
            })
    }

    /// The rule to blame is the last one that changed the node's weights or mode.
    fn cannot_run(&self, node: &NodeKey<'_>, why: &str) -> Error {
        let speaks = |rule: &&Rule| rule.value.is_none() && (!rule.weights.is_empty() || rule.mode.is_some());
        let changes = |rule: &&Rule| speaks(rule) && rule.chooses(node);
        let place = self.rules.iter().rfind(changes).map_or(Place::START, |rule| rule.place);
        let name = shown(if node.name.is_empty() { node.outputs.first().unwrap_or(&"") } else { node.name });
        self.wrong(place, format!("{why} (for node {name}, after all rules)"))
    }
}

impl Rule {
    /// Whether `node` has the name and operator that the rule asks for.
    fn chooses(&self, node: &NodeKey<'_>) -> bool {
        self.node.as_ref().is_none_or(|pattern| pattern.matches(node.name))
            && (self.op_types.is_empty() || self.op_types.iter().any(|pattern| pattern.matches(node.op_type)))
    }
}

/// For each value the node that it is an output of.
fn producers(nodes: &[NodeKey<'_>], values: &[&str]) -> Vec<Option<usize>> {
    let outputs = nodes.iter().enumerate().flat_map(|(i, node)| node.outputs.iter().map(move |output| (*output, i)));
    let by_name: HashMap<&str, usize> = outputs.filter(|(name, _)| !name.is_empty()).collect();
    values.iter().map(|name| by_name.get(name).copied()).collect()
}
