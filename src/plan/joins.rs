//! Joins of values so unlike that one grid for both would leave nothing of the smaller: boxes in pixels and scores below 1 in
//! one tensor, at the end of a detector.

use super::{Placement, Plan, RangeSource};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Role};

/// The ratio of widths from which ranges are unlike: the narrower one keeps four of 256 levels.
const UNLIKE: f32 = 64.0;

/// Integer Concat and Add nodes whose inputs have unlike ranges although somebody reads their output in float, and the
/// movements through which it does: on the grid of the join they would lose the narrower just so. Each comes with the reason
/// to keep it float. Where only integer nodes read it there is no choice: they need one grid.
pub fn unlike_joins(
    graph: &Graph,
    plan: &Plan,
    range: impl Fn(ValueId) -> Option<(f32, f32)>,
) -> Vec<(NodeId, String)> {
    let readers = Readers::of(graph, plan);
    let mut unlike = Vec::new();
    let mut moves = Vec::new();
    for node in &plan.nodes {
        let Placement::Integer(planned) = &node.placement else { continue };
        let joins = ops::lookup(graph, node.id).is_some_and(|op| op.role == Role::Arithmetic && op.joins());
        let Some(end) = planned.end.filter(|_| joins) else { continue };
        // Where the policy states the range, there is none for what is moved off its grid.
        let observed = plan.value(end).is_some_and(|v| v.range == RangeSource::Observed);
        let moved = readers.moves_of(graph, end).filter(|_| observed);
        if !readers.directly_in_float(graph, end) && moved.clone().next().is_none() {
            continue;
        }
        let inputs = planned.activations.iter().filter_map(|&slot| graph.node(node.id).input(slot));
        let widths: Vec<f32> =
            inputs.filter_map(|v| range(plan.root(v))).map(|(low, high)| high.max(0.0) - low.min(0.0)).collect();
        let (least, most) = widths.iter().fold((f32::INFINITY, 0f32), |(l, m), &w| (l.min(w), m.max(w)));
        if least > 0.0 && most >= least * UNLIKE {
            let why = format!(
                "its inputs' ranges differ by a factor of {:.0}: one grid would lose the narrower",
                most / least
            );
            unlike.push((node.id, why));
            moves.extend(moved);
        }
    }
    let why = "it moves what a join of unlike ranges makes, which somebody reads in float";
    let mut seen = vec![false; graph.node_bound()];
    while let Some(id) = moves.pop() {
        if !std::mem::replace(&mut seen[id.index()], true) {
            unlike.push((id, why.to_owned()));
            moves.extend(graph.node(id).outputs().iter().flatten().flat_map(|&v| readers.moves_of(graph, v)));
        }
    }
    unlike
}

/// How a node reads.
#[derive(Clone, Copy, PartialEq)]
enum Reader {
    Float,
    Integer,
    /// It moves integers, and somebody reads in float what it makes, perhaps through more of its kind.
    MovesToFloat,
}

/// How each node reads, by its index.
struct Readers(Vec<Reader>);

impl Readers {
    fn of(graph: &Graph, plan: &Plan) -> Self {
        let mut readers = Self(vec![Reader::Float; graph.node_bound()]);
        // Backwards: a chain of movements of any length is settled in one sweep.
        for node in plan.nodes.iter().rev().filter(|n| matches!(n.placement, Placement::Integer(_))) {
            let moves = ops::lookup(graph, node.id).is_some_and(|op| op.role == Role::Movement);
            let mut made = graph.node(node.id).outputs().iter().flatten();
            let to_float = moves
                && made.any(|&v| readers.directly_in_float(graph, v) || readers.moves_of(graph, v).next().is_some());
            readers.0[node.id.index()] = if to_float { Reader::MovesToFloat } else { Reader::Integer };
        }
        readers
    }

    fn directly_in_float(&self, graph: &Graph, value: ValueId) -> bool {
        let in_float = |one: &Use| !matches!(one, Use::Input { node, .. } if self.0[node.index()] != Reader::Float);
        graph.value(value).uses().iter().any(in_float)
    }

    /// The movements to a reader in float that read `value` themselves.
    fn moves_of<'a>(&'a self, graph: &'a Graph, value: ValueId) -> impl Iterator<Item = NodeId> + Clone + 'a {
        graph.value(value).uses().iter().filter_map(|one| match one {
            Use::Input { node, .. } if self.0[node.index()] == Reader::MovesToFloat => Some(*node),
            _ => None,
        })
    }
}
