//! Older operator sets: the operators whose meaning changed are rewritten, the rest keep their meaning.

use crate::error::{Error, Result};
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use crate::tensor::Tensor;

/// The oldest operator set understood.
const OLDEST: i64 = 11;

/// Brings the model's operator set up to `to`, never down.
pub struct Upgrade {
    /// The version to reach.
    pub to: i64,
}

impl Pass for Upgrade {
    fn name(&self) -> &'static str {
        "upgrade-opset"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let Some(version) = model.opset("") else {
            return Err(Error::other("the model does not import ONNX's own operator set"));
        };
        if version >= self.to {
            return Ok(outcome);
        }
        if version < OLDEST {
            return Err(Error::other(format!(
                "the model uses opset {version}; opsets {OLDEST} and later are understood. Export it again with a later \
                 opset, or convert it with onnx.version_converter"
            )));
        }
        if model.has_functions() {
            return Err(Error::other(format!("the model has functions of its own at opset {version}; export it with opset {}", self.to)));
        }
        let ids: Vec<_> = model.graph.node_ids().collect();
        for id in ids {
            if model.graph.node(id).attributes().has_bodies() {
                return Err(model.graph.node_error(id, format!("has a body at opset {version}; export the model with opset {}", self.to)));
            }
            outcome.changed += usize::from(from_11_to_13(&mut model.graph, id)?);
        }
        model.set_opset("", self.to);
        model.require_ir_version(7);
        Ok(outcome)
    }
}

/// Rewrites one node; says whether it had to.
fn from_11_to_13(graph: &mut Graph, id: NodeId) -> Result<bool> {
    if !graph.node(id).domain().is_empty() {
        return Ok(false);
    }
    match graph.node(id).op_type() {
        // Since 13 these axes are an input.
        "Squeeze" | "Unsqueeze" | "ReduceSum" => Ok(ints_to_input(graph, id, "axes", 1)),
        "Split" => Ok(ints_to_input(graph, id, "split", 1)),
        "Dropout" => {
            // Since 12 the ratio is an input; outside training it has no effect.
            let had = graph.node(id).attributes().has("ratio");
            graph.remove_attribute(id, "ratio");
            Ok(had)
        }
        "Softmax" | "LogSoftmax" | "Hardmax" => softmax(graph, id),
        _ => Ok(false),
    }
}

fn ints_to_input(graph: &mut Graph, id: NodeId, name: &str, slot: usize) -> bool {
    let Some(values) = graph.node(id).attributes().ints(name).map(<[i64]>::to_vec) else { return false };
    let stem = format!("{}_{name}", graph.label(id));
    let input = graph.add_initializer(&stem, &Tensor::from_i64(vec![values.len()], &values));
    graph.set_input(id, slot, Some(input));
    graph.remove_attribute(id, name);
    true
}

/// Before 13 the axes from `axis` (1 by default) on were taken as one; since 13 only `axis` (-1 by default) counts. Both
/// agree on the last axis.
fn softmax(graph: &mut Graph, id: NodeId) -> Result<bool> {
    let axis = graph.node(id).attributes().int("axis").unwrap_or(1);
    let rank = [graph.node(id).input(0), graph.node(id).output(0)].iter().flatten().find_map(|&v| {
        let ty = graph.stated_type(v)?;
        Some(ty.dims.len() as i64)
    });
    let last = axis == -1 || rank == Some(axis + 1);
    if !last {
        let why = match rank {
            Some(rank) => format!("works over the axes from {axis} of {rank} as one, which opset 13 cannot say in one node"),
            None => format!("works over the axes from {axis} on, and the rank of its input is not stated in the model"),
        };
        return Err(graph.node_error(id, format!("{why}; export the model with opset 13 or later")));
    }
    graph.set_int(id, "axis", -1);
    Ok(true)
}
