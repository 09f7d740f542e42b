//! The modes and types of nodes and values that go with grids that are known.

use super::super::io::IntegerIo;
use super::{Activation, Here, Known, scheme};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Role};
use crate::policy::{Matched, Mode, WeightForm};
use crate::quant::Scheme;
use std::collections::HashMap;

impl Here<'_> {
    /// Lets the policy's own words come first, and gives nodes and values the types that go with what is known.
    pub fn settle(&mut self, graph: &Graph, order: &[NodeId], matched: &mut Matched, io: &[IntegerIo], known: &Known) {
        self.told.settle(graph, order, matched);
        if self.activations.is_empty() && self.constants.is_empty() {
            return;
        }
        let (refused, ranges) = (&mut self.refused, &mut self.told.ranges);
        self.activations.retain(|&value, known| {
            let settings = &matched.values[value.index()];
            let dtype = settings.activations.scheme.dtype;
            let another = dtype.bits() != known.params.dtype.bits() || dtype.is_float();
            let why = if settings.range.is_some() || settings.grid.is_some() {
                "a rule of the policy states its range or scale"
            } else if settings.pinned && another && !known.own && !known.params.dtype.is_float() {
                ranges.insert(value, known.params.real_range());
                "a rule of the policy gives it another type, so that only its range is used"
            } else if io.iter().any(|one| one.value == value && one.dtype != known.params.dtype) {
                "it is an input or output that the policy wants as another type"
            } else {
                return true;
            };
            refused.insert(graph.value(value).name().to_owned(), why);
            false
        });
        self.lift(graph, order);
        for (value, known) in &self.activations {
            let settings = &mut matched.values[value.index()];
            settings.activations.scheme = scheme(std::slice::from_ref(&known.params));
            settings.quantize |= known.own;
        }
        self.adopt_types(graph, order, matched, io);
        let float = |at: &usize| matched.nodes[*at].activations.scheme.dtype.is_float();
        self.floats = (0..order.len()).filter(float).map(|at| order[at]).collect();
        let at_node: HashMap<NodeId, usize> = order.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        for (at, &id) in order.iter().enumerate() {
            let stored = graph.node(id).inputs().iter().flatten().any(|v| self.constants.get(v).is_some_and(|c| c.1));
            let settings = &mut matched.nodes[at];
            let noted = |value: &ValueId| known.dynamic.contains(graph.value(*value).name());
            let node = graph.node(id);
            let was_dynamic = node.outputs().iter().flatten().chain(&node.input(1)).any(noted);
            let direct = |value: &ValueId| known.direct.contains_key(graph.value(*value).name());
            let moves = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Movement);
            if moves && node.outputs().iter().flatten().any(direct) {
                // Integers cannot be moved where somebody reads the numbers before they are rounded.
                settings.quantize = false;
                settings.reason = Some("somebody reads what it moves before it is rounded".to_owned());
            } else if self.was_integer(graph, id) {
                (settings.mode, settings.quantize, settings.insists) = (Mode::Static, true, true);
                self.with_clamps(graph, id, &at_node, matched);
            } else if was_dynamic && ops::lookup(graph, id).is_some_and(|op| op.contrib_form.is_some()) {
                // There is no other form of it on integers.
                (settings.mode, settings.quantize, settings.weights.form) = (Mode::Dynamic, true, WeightForm::Contrib);
            } else if !matches!(settings.mode, Mode::Static | Mode::Dynamic) && was_dynamic {
                (settings.mode, settings.quantize) = (Mode::Dynamic, true);
            } else if stored && !matches!(settings.mode, Mode::Static | Mode::Dynamic | Mode::WeightOnly) {
                // What it reads is float32.
                (settings.mode, settings.quantize) = (Mode::WeightOnly, false);
            }
        }
    }

    /// What is only moved has its grid already before that, if nobody else reads it: rounding what is picked is picking what
    /// is rounded.
    fn lift(&mut self, graph: &Graph, order: &[NodeId]) {
        for &id in order.iter().rev() {
            let node = graph.node(id);
            // What is computed between numbers may stay within a narrower range than they.
            let picks = |op: &ops::Op| op.role == Role::Movement && op.op_type != "Resize";
            let moves = ops::lookup(graph, id).is_some_and(picks);
            let (Some(from), Some(to)) = (node.input(0).filter(|_| moves), node.output(0)) else { continue };
            let alone = matches!(graph.value(from).uses(), [Use::Input { .. }]) && node.outputs().len() == 1;
            let Some(&known) = self.activations.get(&to).filter(|_| alone && !graph.is_constant(from)) else {
                continue;
            };
            self.activations.entry(from).or_insert(Activation { own: false, ..known });
        }
    }

    /// A node reads and makes one type: that of what it makes, else that of what it reads, where either is known. What the
    /// model gives away as integers may be of another type than all before it: its layer keeps what it reads.
    fn adopt_types(&self, graph: &Graph, order: &[NodeId], matched: &mut Matched, io: &[IntegerIo]) {
        let mut types: HashMap<ValueId, Scheme> =
            self.activations.iter().map(|(&value, known)| (value, scheme(&[known.params]))).collect();
        for (at, &id) in order.iter().enumerate() {
            let Some(op) = ops::lookup(graph, id) else { continue };
            let node = graph.node(id);
            let end = node.output(0).and_then(|value| self.end(graph, value));
            let mut read = op.activation_slots(graph, id).into_iter().filter_map(|slot| node.input(slot));
            let given = end.is_some_and(|value| given_as_integers(graph, value)) && self.was_integer(graph, id);
            let made = end.filter(|_| !given).and_then(|value| types.get(&value));
            let Some(&scheme) = made.or_else(|| read.find_map(|value| types.get(&value))) else { continue };
            matched.nodes[at].activations.scheme = scheme;
            for &value in node.outputs().iter().flatten() {
                // What goes out as integers has the type that the policy gave it.
                let stated = matched.values[value.index()].pinned || io.iter().any(|one| one.value == value);
                if !stated && !self.activations.contains_key(&value) {
                    matched.values[value.index()].activations.scheme = scheme;
                    types.insert(value, scheme);
                }
            }
        }
    }

    /// The value behind the clamps that only read `value`, if its grid is known.
    fn end(&self, graph: &Graph, mut value: ValueId) -> Option<ValueId> {
        while !self.activations.contains_key(&value) {
            let [Use::Input { node, slot: 0 }] = graph.value(value).uses() else { return None };
            ops::lookup(graph, *node).filter(|op| op.role == Role::Clamp)?;
            value = graph.node(*node).output(0)?;
        }
        Some(value)
    }

    /// Whether the model itself has all that a node reads and makes on grids.
    fn was_integer(&self, graph: &Graph, id: NodeId) -> bool {
        let Some(op) = ops::lookup(graph, id).filter(|op| !matches!(op.role, Role::Clamp | Role::Lookup)) else {
            return false;
        };
        let node = graph.node(id);
        let own = |value: ValueId| match self.constants.get(&value) {
            Some(constant) => constant.1,
            None => self.keeps(value),
        };
        let slots = op.activation_slots(graph, id).into_iter().chain(op.weight.map(|weight| weight.slot));
        let mut read = slots.filter_map(|slot| node.input(slot));
        let made = node.output(0).is_some_and(|value| self.end(graph, value).is_some_and(|end| self.keeps(end)));
        made && read.all(own)
    }

    /// Lets the clamps between a node and the grid behind it be part of it.
    fn with_clamps(&self, graph: &Graph, id: NodeId, at_node: &HashMap<NodeId, usize>, matched: &mut Matched) {
        let mut made = graph.node(id).output(0);
        while let Some(value) = made.filter(|value| !self.activations.contains_key(value)) {
            let [Use::Input { node, slot: 0 }] = graph.value(value).uses() else { return };
            if let Some(&at) = at_node.get(node) {
                (matched.nodes[at].mode, matched.nodes[at].quantize) = (Mode::Static, true);
            }
            made = graph.node(*node).output(0);
        }
    }
}

/// Whether all that reads `value` makes integers of it that are outputs of the model.
fn given_as_integers(graph: &Graph, value: ValueId) -> bool {
    let gives = |one: &Use| match one {
        Use::Input { node, slot: 0 } => {
            let made = graph.node(*node).output(0);
            graph.node(*node).is("QuantizeLinear") && made.is_some_and(|made| graph.value(made).is_output())
        }
        _ => false,
    };
    let uses = graph.value(value).uses();
    !uses.is_empty() && uses.iter().all(gives)
}
