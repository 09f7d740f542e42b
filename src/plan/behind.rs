//! Which values only an activation function reads, so that what it flattens needs no steps of their grids.

use super::{Plan, RangeSource};
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::ActivationFunction;

impl Plan {
    /// Notes the function behind each value whose range is observed.
    pub(super) fn note_functions(&mut self, graph: &Graph) {
        for value in self.values.iter_mut().filter(|value| value.range == RangeSource::Observed) {
            value.behind = function(graph, value.id);
        }
    }
}

/// The activation function that alone reads a value.
fn function(graph: &Graph, value: ValueId) -> Option<ActivationFunction> {
    if graph.value(value).goes_by_name() {
        return None;
    }
    let readers: Vec<NodeId> = graph.value(value).readers().map(|(node, _)| node).collect();
    match *readers.as_slice() {
        [one] if graph.node(one).is("Sigmoid") => Some(ActivationFunction::Sigmoid),
        [one] if graph.node(one).is("Tanh") => Some(ActivationFunction::Tanh),
        [a, b] => [(a, b), (b, a)].into_iter().find_map(|(gate, product)| silu(graph, gate, product)),
        _ => None,
    }
}

/// SiLU, where `product` multiplies what `gate` reads with what it makes, which nobody else reads.
fn silu(graph: &Graph, gate: NodeId, product: NodeId) -> Option<ActivationFunction> {
    let made =
        graph.node(gate).output(0).filter(|_| graph.node(gate).is("Sigmoid") && graph.node(product).is("Mul"))?;
    let alone = graph.value(made).readers().all(|(node, _)| node == product) && !graph.value(made).goes_by_name();
    let read = graph.node(product).inputs().contains(&Some(made));
    (alone && read).then_some(ActivationFunction::Silu)
}
