//! Older operator sets: the operators whose meaning changed are rewritten, the rest keep their meaning.

use crate::error::{Error, Result};
use crate::exec::{Executor, Types};
use crate::file;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Outcome, Pass};
use crate::tensor::Tensor;

/// The oldest operator set understood.
const OLDEST: i64 = 11;

/// Brings the model's operator set up to `to`, never down.
pub struct Upgrade<'a> {
    /// The version to reach.
    pub to: i64,
    /// Tells the rank of values, which some rewrites depend on.
    pub executor: &'a dyn Executor,
}

impl Upgrade<'_> {
    /// The types that follow from the inputs'. An engine that cannot tell stops nothing: rewrites that need no rank serve
    /// then.
    fn types(&self, model: &Model) -> Types {
        let inputs: Option<Vec<_>> = model.graph.inputs().map(|v| model.graph.stated_type(v)).collect();
        let types = || self.executor.types(&file::to_bytes(model).ok()?, &inputs?).ok();
        types().unwrap_or_default()
    }
}

impl Pass for Upgrade<'_> {
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
            return Err(Error::other(format!(
                "the model has functions of its own at opset {version}; export it with opset {}",
                self.to
            )));
        }
        let types = self.types(model);
        let ids: Vec<_> = model.graph.node_ids().collect();
        for id in ids {
            if model.graph.node(id).attributes().has_bodies() {
                return Err(model.graph.node_error(
                    id,
                    format!("has a body at opset {version}; export the model with opset {}", self.to),
                ));
            }
            outcome.changed += usize::from(from_11_to_13(&mut model.graph, id, &types));
        }
        model.set_opset("", self.to);
        model.require_ir_version(7);
        Ok(outcome)
    }
}

/// Rewrites one node; says whether it had to.
fn from_11_to_13(graph: &mut Graph, id: NodeId, types: &Types) -> bool {
    if !graph.node(id).domain().is_empty() {
        return false;
    }
    match graph.node(id).op_type() {
        // Since 13 these axes are an input.
        "Squeeze" | "Unsqueeze" | "ReduceSum" => ints_to_input(graph, id, "axes", 1),
        "Split" => ints_to_input(graph, id, "split", 1),
        "Dropout" => {
            // Since 12 the ratio is an input; outside training it has no effect.
            let had = graph.node(id).attributes().has("ratio");
            graph.remove_attribute(id, "ratio");
            had
        }
        "Softmax" | "LogSoftmax" | "Hardmax" => {
            softmax(graph, id, types);
            true
        }
        _ => false,
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
/// agree on the last axis; otherwise the tensor is flattened to a matrix around the node.
fn softmax(graph: &mut Graph, id: NodeId, types: &Types) {
    let node = graph.node(id);
    let axis = node.attributes().int("axis").unwrap_or(1);
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return };
    let stated = || graph.stated_type(input).or_else(|| graph.stated_type(output));
    let rank = types.get(graph.value(input).name()).cloned().or_else(stated).map(|t| t.dims.len() as i64);
    let last = axis == -1 || rank == Some(axis + 1);
    let name = graph.label(id).to_owned();
    graph.set_int(id, "axis", -1);
    if last {
        return;
    }
    let mut add = |op_type: &str, inputs: Vec<Option<ValueId>>, ints: Vec<(&str, i64)>| {
        let name = format!("{name}_{op_type}");
        graph.add_node(NewNode { op_type, name: &name, inputs, ints }, &format!("{name}_Output"))
    };
    let shape = add("Shape", vec![Some(input)], vec![]).1;
    let matrix = add("Flatten", vec![Some(input)], vec![("axis", axis)]).1;
    let (reshape, _) = add("Reshape", vec![None, Some(shape)], vec![]);
    graph.set_input(id, 0, Some(matrix));
    // The Reshape now makes what the node made, and the node a matrix of a new name.
    let rows = graph.split_output(id, 0, &format!("{name}_rows"));
    graph.set_input(reshape, 0, Some(rows));
    graph.take_over_output(reshape, 0, output);
}
