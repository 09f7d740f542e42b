//! Squeeze-and-excitation (Hu et al., 2018): channels weighted by what two small layers make of their means.

use super::view::View;
use super::{Found, Kind, gates, hard};
use crate::ir::{Node, NodeId, ValueId};

/// How many nodes may stand between the means and the product.
const LONGEST: usize = 24;

/// The block that ends in `value`, a product of a tensor and its gate.
pub(super) fn matches(view: View<'_>, value: ValueId) -> Option<Found> {
    let (mul, orders) = view.either(value, "Mul")?;
    orders.into_iter().find_map(|[x, gate]| {
        let mut nodes = vec![mul];
        excitation(view, gate, x, &mut nodes)?;
        Some(Found::new(Kind::SqueezeExcite, nodes, vec![x], value))
    })
}

/// Follows the gate back to the means of `x`.
fn excitation(view: View<'_>, gate: ValueId, x: ValueId, nodes: &mut Vec<NodeId>) -> Option<()> {
    let (mut value, mut layers) = (gate, 0);
    while nodes.len() < LONGEST {
        if let Some(found) = hard::hard_sigmoid(view, value)
            .or_else(|| hard::hard_swish(view, value))
            .or_else(|| gates::matches(view, value))
        {
            nodes.extend(&found.nodes);
            value = found.inputs[0];
            continue;
        }
        let id = view.graph.value(value).producer()?;
        let node = view.graph.node(id);
        nodes.push(id);
        if is_mean(view, node) {
            return (node.input(0)? == x && layers >= 1).then_some(());
        }
        let constant = |slot: usize| node.input(slot).is_some_and(|v| view.graph.is_constant(v));
        value = match node.op_type() {
            _ if !node.domain().is_empty() => return None,
            "Conv" | "Gemm" | "MatMul" if constant(1) => {
                layers += 1;
                node.input(0)?
            }
            "Relu" | "Sigmoid" | "HardSigmoid" | "HardSwish" | "Swish" | "LeakyRelu" | "Clip" | "Reshape"
            | "Squeeze" | "Unsqueeze" | "Flatten" | "Transpose" | "Identity" | "BatchNormalization" => node.input(0)?,
            "Add" | "Mul" | "Div" if constant(1) => node.input(0)?,
            "Add" | "Mul" if constant(0) => node.input(1)?,
            _ => return None,
        };
    }
    None
}

/// Whether a node takes the mean over height and width.
fn is_mean(view: View<'_>, node: &Node) -> bool {
    if !node.is("ReduceMean") {
        return node.is("GlobalAveragePool");
    }
    let axes = match node.input(1) {
        Some(axes) => view.graph.constant(axes).ok().flatten().and_then(|t| Some(t.to_i64().ok()?.into_owned())),
        None => node.attributes().ints("axes").map(<[i64]>::to_vec),
    };
    // Channels stand before height and width, or, from TensorFlow, behind them.
    axes.is_some_and(|axes| [[2, 3], [-2, -1], [1, 2]].contains(&axes[..].try_into().unwrap_or([0, 0])))
}
