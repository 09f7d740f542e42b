//! Constant expressions: exporters hide weights behind Constant, Cast, Reshape, Transpose and whole chains of them.

use crate::error::Result;
use crate::exec::{self, Executor};
use crate::ir::{Graph, Model, Node, NodeId};
use crate::pass::{Outcome, Pass};
use crate::tensor::{Tensor, element_count};

/// Replaces each node whose inputs are all constant by its result.
pub struct Fold<'a> {
    /// Computes the results.
    pub executor: &'a dyn Executor,
}

/// Operators whose output size can be told from their inputs. Only these are folded: a node that makes gigabytes out of a
/// shape stays a node.
const FOLDABLE: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "Cast",
    "Ceil",
    "Concat",
    "ConstantOfShape",
    "Cos",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Greater",
    "Less",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "Reshape",
    "Round",
    "Shape",
    "Sigmoid",
    "Sin",
    "Size",
    "Slice",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// The largest result worth keeping, in bytes.
const LARGEST_RESULT: usize = 1 << 28;

impl Pass for Fold<'_> {
    fn name(&self) -> &'static str {
        "fold-constants"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let opset = model.opset("").unwrap_or(super::OUTPUT_OPSET);
        self.fold(&mut model.graph, opset, &mut outcome)?;
        Ok(outcome)
    }
}

/// Whether a node of constants alone is folded.
pub(super) fn is_foldable(node: &Node) -> bool {
    node.domain().is_empty() && node.outputs().len() == 1 && FOLDABLE.contains(&node.op_type())
}

impl Fold<'_> {
    /// Folds the constants of one graph.
    ///
    /// # Errors
    /// When a constant is malformed.
    pub(super) fn fold(&self, graph: &mut Graph, opset: i64, outcome: &mut Outcome) -> Result<()> {
        for id in graph.topological()? {
            name_type(graph, id);
            let node = graph.node(id);
            if !node.domain().is_empty() || node.outputs().len() != 1 {
                continue;
            }
            let Some(output) = node.output(0) else { continue };
            if node.inputs().iter().flatten().any(|&value| graph.is_held(value)) {
                continue;
            }
            let result = match node.op_type() {
                "Constant" => graph.literal(id),
                "Identity" => node.input(0).and_then(|v| graph.constant(v).transpose()).transpose()?,
                _ if is_foldable(node) && is_small(graph, id)? => match self.compute(graph, id, opset) {
                    Ok(result) => result,
                    Err(why) => {
                        outcome.refuse(graph.label(id), why.to_string());
                        None
                    }
                },
                _ => None,
            };
            if let Some(tensor) = result {
                graph.make_constant(output, &tensor);
                outcome.changed += 1;
            }
        }
        Ok(())
    }

    /// The node's result, from a model of this node alone.
    fn compute(&self, graph: &Graph, id: NodeId, opset: i64) -> Result<Option<Tensor>> {
        let Some(alone) = Model::of_constant_node(graph, id, opset)? else { return Ok(None) };
        Ok(exec::evaluate(self.executor, &alone)?.into_iter().next())
    }
}

/// Makes a CastLike of a constant a Cast: of the second input it needs no more than the element type.
fn name_type(graph: &mut Graph, id: NodeId) {
    let node = graph.node(id);
    if !node.is("CastLike") || !node.input(0).is_some_and(|v| graph.is_constant(v)) {
        return;
    }
    let Some(ty) = node.input(1).and_then(|like| graph.known_type(like)) else { return };
    graph.set_op_type(id, "Cast");
    graph.set_int(id, "to", i64::from(ty.dtype.onnx()));
    graph.set_input(id, 1, None);
}

/// Whether all inputs are constant and their broadcast shape is of a size worth keeping.
fn is_small(graph: &Graph, id: NodeId) -> Result<bool> {
    let mut broadcast: Vec<usize> = Vec::new();
    let mut bytes = 0usize;
    let node = graph.node(id);
    if node.inputs().is_empty() {
        return Ok(false);
    }
    for &value in node.inputs().iter().flatten() {
        if !graph.is_constant(value) {
            return Ok(false);
        }
        let Some(tensor) = graph.constant(value)? else { return Ok(false) };
        bytes = bytes.saturating_add(tensor.bytes().len());
        for (axis, &d) in tensor.shape().iter().rev().enumerate() {
            match broadcast.get_mut(axis) {
                Some(largest) => *largest = d.max(*largest),
                None => broadcast.push(d),
            }
        }
    }
    let mut largest = element_count(&broadcast).and_then(|n| n.checked_mul(8)).unwrap_or(usize::MAX);
    if node.is("ConstantOfShape") || node.is("Expand") {
        // The shape is the number in the last input.
        let shape = node.inputs().last().copied().flatten().map(|v| graph.constant(v)).transpose()?.flatten();
        let made =
            shape.and_then(|s| Some(s.to_i64().ok()?.iter().fold(8usize, |n, &d| n.saturating_mul(d.max(0) as usize))));
        largest = largest.saturating_mul(made.unwrap_or(usize::MAX));
    }
    if node.is("Gather") {
        // It may repeat its whole table for each index.
        largest = largest.saturating_mul(bytes);
    }
    Ok(largest.max(bytes) <= LARGEST_RESULT)
}
