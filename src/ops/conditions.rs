//! Nodes that a row of the table does not hold for, each with its reason.

use crate::ir::{Graph, NodeId};

/// The row always holds.
pub fn never(_: &Graph, _: NodeId) -> Option<String> {
    None
}

/// An integer layer multiplies constant weights.
pub fn layer(graph: &Graph, node: NodeId) -> Option<String> {
    let constant = graph.node(node).input(1).is_some_and(|v| graph.is_constant(v));
    (!constant).then(|| "its weights are computed while the model runs".to_owned())
}

/// What a recurrent operator remembers goes through it again and again.
pub fn recurrent(_: &Graph, _: NodeId) -> Option<String> {
    Some("its state needs more than eight bits".to_owned())
}

/// ONNX Runtime's integer Gemm ignores alpha and beta.
pub fn gemm(graph: &Graph, node: NodeId) -> Option<String> {
    let one = |name: &str| graph.node(node).attributes().float(name).unwrap_or(1.0) == 1.0;
    let bias = graph.node(node).input(2);
    if !one("alpha") || bias.is_some() && !one("beta") {
        return Some("alpha or beta is not 1 and could not be folded into the weights".to_owned());
    }
    let computed = bias.is_some_and(|bias| !graph.is_constant(bias));
    computed.then(|| "its bias is computed while the model runs".to_owned())
}

/// An average of numbers that do not lie side by side has no integer kernel.
pub fn average_pool(graph: &Graph, node: NodeId) -> Option<String> {
    dilated(graph, node).then(|| "dilated average pooling has no integer kernel".to_owned())
}

/// Whether a node averages numbers that do not lie side by side.
pub fn dilated(graph: &Graph, node: NodeId) -> bool {
    let node = graph.node(node);
    node.is("AveragePool") && node.attributes().ints("dilations").is_some_and(|d| d.iter().any(|&d| d != 1))
}

/// The indices of the maxima are no numbers to quantize, but they have no integer kernel either.
pub fn max_pool(graph: &Graph, node: NodeId) -> Option<String> {
    graph.node(node).output(1).map(|_| "it also returns indices".to_owned())
}

/// Padding with zero or with numbers of the tensor itself stays on the grid; any other constant may not.
pub fn pad(graph: &Graph, node: NodeId) -> Option<String> {
    if graph.node(node).attributes().text("mode").is_some_and(|m| m != "constant") {
        return None;
    }
    graph.node(node).input(2)?;
    (padding(graph, node) != Some(0.0)).then(|| "pads with a number that may lie outside the grid".to_owned())
}

/// The constant that a node pads with, if it does.
pub fn padding(graph: &Graph, node: NodeId) -> Option<f32> {
    let value = graph.node(node).input(2).filter(|_| graph.node(node).is("Pad"))?;
    graph.constant(value).ok().flatten().and_then(|t| t.first_f32())
}

/// Only picking the nearest number keeps to the grid.
pub fn resize(graph: &Graph, node: NodeId) -> Option<String> {
    let mode = graph.node(node).attributes().text("mode").unwrap_or("nearest");
    (mode != "nearest").then(|| format!("{mode} interpolation has no integer kernel"))
}
