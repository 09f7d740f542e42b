//! Types that the policy states for single values, and what they ask of the nodes around: kernels read and make one type.

use super::io::IntegerIo;
use super::known::Here;
use super::place::dynamic_inputs;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Op, Role};
use crate::policy::{Matched, Mode};
use crate::quant::Scheme;

/// Gives nodes the types of what they make: of a value whose type a rule states, of an output that is to have more bits. A node
/// that no rule gives a type, and that reads nothing but values of one stated type, makes that type, too.
pub(super) fn settle(graph: &Graph, order: &[NodeId], matched: &mut Matched, io: &[IntegerIo], here: &Here<'_>) {
    let mut stated = Stated::of(graph, matched, here);
    stated.lift(graph, order, matched);
    for (at, &id) in order.iter().enumerate() {
        let node = &matched.nodes[at];
        let Some(op) = ops::lookup(graph, id).filter(|_| node.quantize && node.mode == Mode::Static) else { continue };
        match op.role {
            Role::Movement => stated.carry(graph, id),
            Role::Compute | Role::Arithmetic | Role::Float => {
                let own = node.activations.scheme;
                let made = stated.made(graph, id).or_else(|| wider_output(graph, id, io, own, matched));
                let read = || stated.read(graph, op, id).filter(|_| !node.type_stated);
                let Some(scheme) = made.or_else(read).filter(|scheme| scheme.dtype.is_float() == own.dtype.is_float())
                else {
                    continue;
                };
                matched.nodes[at].activations.scheme = scheme;
                for value in behind(graph, id) {
                    let free = stated.0[value.index()].is_none() && here.activation(value).is_none();
                    if free && io.iter().all(|one| one.value != value) {
                        matched.values[value.index()].activations.scheme = scheme;
                    }
                }
            }
            Role::Clamp | Role::Lookup => {}
        }
    }
}

/// The types that rules state of values, by their index.
struct Stated(Vec<Option<Scheme>>);

impl Stated {
    fn of(graph: &Graph, matched: &Matched, here: &Here<'_>) -> Self {
        let scheme = |value: ValueId| {
            let settings = &matched.values[value.index()];
            (settings.pinned && !here.keeps(value)).then_some(settings.activations.scheme)
        };
        Self(graph.value_ids().map(scheme).collect())
    }

    /// What is moved has the type of what it is moved from: a type that is stated behind a movement is that of the value before it.
    fn lift(&mut self, graph: &Graph, order: &[NodeId], matched: &mut Matched) {
        for (&id, node) in order.iter().zip(&matched.nodes).rev() {
            let moves =
                ops::lookup(graph, id).filter(|op| op.role == Role::Movement && (op.unless)(graph, id).is_none());
            let Some(from) = moves.and_then(|_| graph.node(id).input(0)).filter(|&from| !graph.is_constant(from))
            else {
                continue;
            };
            let mut made = graph.node(id).outputs().iter().flatten();
            let behind = made.find_map(|value| self.0[value.index()]).filter(|_| node.quantize);
            if let (None, Some(scheme)) = (self.0[from.index()], behind) {
                self.0[from.index()] = Some(scheme);
                matched.values[from.index()].activations.scheme = scheme;
            }
        }
    }

    /// Lets what a movement makes have the type of what it moves.
    fn carry(&mut self, graph: &Graph, id: NodeId) {
        let Some(scheme) = graph.node(id).input(0).and_then(|from| self.0[from.index()]) else { return };
        graph.node(id).outputs().iter().flatten().for_each(|value| self.0[value.index()] = Some(scheme));
    }

    /// The type of what a node makes, past clamps.
    fn made(&self, graph: &Graph, id: NodeId) -> Option<Scheme> {
        behind(graph, id).into_iter().rev().find_map(|value| self.0[value.index()])
    }

    /// The one type of all that a node reads.
    fn read(&self, graph: &Graph, op: &Op, id: NodeId) -> Option<Scheme> {
        let mut inputs = dynamic_inputs(graph, op, id).into_iter().filter_map(|slot| graph.node(id).input(slot));
        let first = self.0[inputs.next()?.index()]?;
        inputs.all(|value| self.0[value.index()].is_some_and(|other| other.dtype == first.dtype)).then_some(first)
    }
}

/// What a node makes, and what clamps make of it that only they read.
fn behind(graph: &Graph, id: NodeId) -> Vec<ValueId> {
    let mut values: Vec<ValueId> = graph.node(id).outputs().iter().flatten().copied().collect();
    while let [Use::Input { node, slot: 0 }] = values.last().map_or(&[][..], |&last| graph.value(last).uses()) {
        let clamps = ops::lookup(graph, *node).is_some_and(|op| op.role == Role::Clamp);
        let Some(made) = graph.node(*node).output(0).filter(|_| clamps) else { break };
        values.push(made);
    }
    values
}

/// The type of an output of the model that a node makes, if it has more bits than the node's `own`: numbers that went through
/// fewer would have it for nothing.
fn wider_output(graph: &Graph, id: NodeId, io: &[IntegerIo], own: Scheme, matched: &Matched) -> Option<Scheme> {
    let end = *behind(graph, id).last()?;
    let output = io.iter().find(|one| one.output.is_some() && one.value == end)?;
    (output.dtype.bits() > own.dtype.bits()).then(|| matched.values[end.index()].activations.scheme)
}
