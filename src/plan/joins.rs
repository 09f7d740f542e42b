//! Joins of values so unlike that one grid for both would leave nothing of the smaller: boxes in pixels and scores below 1 in
//! one tensor, at the end of a detector.

use super::{Placement, Plan};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Role};

/// The ratio of widths from which ranges are unlike: the narrower one keeps four of 256 levels.
const UNLIKE: f32 = 64.0;

/// Integer Concat and Add nodes whose inputs have unlike ranges although somebody reads their output in float, each with
/// the reason to keep it float. Where only integer nodes read it there is no choice: they need one grid.
pub fn unlike_joins(
    graph: &Graph,
    plan: &Plan,
    range: impl Fn(ValueId) -> Option<(f32, f32)>,
) -> Vec<(NodeId, String)> {
    let integer: Vec<bool> = {
        let mut table = vec![false; graph.node_bound()];
        plan.nodes.iter().for_each(|n| table[n.id.index()] = matches!(n.placement, Placement::Integer(_)));
        table
    };
    let mut unlike = Vec::new();
    for node in &plan.nodes {
        let Placement::Integer(planned) = &node.placement else { continue };
        let joins = ops::lookup(graph, node.id).is_some_and(|op| op.role == Role::Arithmetic && op.joins());
        let read_in_float = planned.end.is_some_and(|end| {
            graph.value(end).uses().iter().any(|one| !matches!(one, Use::Input { node, .. } if integer[node.index()]))
        });
        if !joins || !read_in_float {
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
        }
    }
    unlike
}
