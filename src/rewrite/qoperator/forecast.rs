//! What a plan becomes in operator form, before anything is calibrated.

use crate::ir::Graph;
use crate::plan::{IntegerNode, NodePlan, Placement, Plan};
use crate::qoperators;
use crate::quant::GridType;
use std::fmt;

/// What an integer node is written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// This operator, on integers.
    As(&'static str),
    /// Itself, moving integers.
    Moving,
    /// Itself, between DequantizeLinear and QuantizeLinear, and why.
    Kept(String),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::As(op_type) => f.write_str(op_type),
            Self::Moving => f.write_str("moves the integers"),
            Self::Kept(why) => write!(f, "between DequantizeLinear and QuantizeLinear: {why}"),
        }
    }
}

/// The integer nodes of `plan` for `graph`, each with what it is written as.
pub fn forecast<'a>(graph: &'a Graph, plan: &'a Plan) -> impl Iterator<Item = (&'a NodePlan, Written)> {
    plan.nodes.iter().filter_map(|node| match &node.placement {
        Placement::Integer(integer) => Some((node, written(graph, plan, node, integer))),
        _ => None,
    })
}

fn written(graph: &Graph, plan: &Plan, node: &NodePlan, integer: &IntegerNode) -> Written {
    let read = graph.node(node.id);
    let grid = |value| plan.value(value).map(|value| value.settings.scheme.dtype);
    let input = |slot: &usize| plan.value(plan.root(read.input(*slot)?)).map(|value| value.settings.scheme.dtype);
    let first = integer.activations.first().and_then(input);
    if let Some(dtype) = first.filter(|dtype| dtype.bits() != 8 || dtype.is_float()) {
        return Written::Kept(format!("operators on integers take 8 bits, not {dtype}"));
    }
    if qoperators::moves_integers(&node.op_type) {
        return Written::Moving;
    }
    let Some(form) = qoperators::standing_for(&node.op_type, integer.quantized_output) else {
        return Written::Kept(super::no_form(&node.op_type));
    };
    let weight = |slot: usize| form.weight.is_some() && slot == 1;
    let inputs = integer.activations.iter().map(|slot| (*slot, input(slot)));
    let constants = integer.constants.iter().map(|c| (c.slot, Some(c.scheme.dtype)));
    let mut operands: Vec<_> = inputs.chain(constants).filter_map(|(slot, dtype)| Some((slot, dtype?))).collect();
    operands.sort_by_key(|(slot, _)| *slot);
    let Some(&(_, first)) = operands.first() else { return Written::As(form.op_type) };
    let odd = operands.iter().find(|&&(slot, dtype)| dtype != first && !(weight(slot) && first == GridType::Uint8));
    if let Some((_, dtype)) = odd {
        return Written::Kept(format!("ONNX Runtime has no kernel for {first} with {dtype}"));
    }
    let output = integer.end.filter(|_| integer.quantized_output).and_then(grid);
    if output.is_some_and(|dtype| dtype != first) {
        return Written::Kept("its output has another type than its input".to_owned());
    }
    Written::As(form.op_type)
}
