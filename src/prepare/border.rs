//! Inputs and outputs of 16 bits that are to be integers: in a widened model a Cast stands at each, which then has no use.

use crate::ir::{Graph, NodeId, Source, ValueId};
use crate::ops::{self, Half};
use crate::quant::HalfType;
use crate::tensor::DataType;

/// Gives those inputs and outputs of a widened `graph` whose names are wanted the type of what they stand for, float32, and takes
/// out the Casts between, where nothing else reads or makes them.
pub fn widen_border(graph: &mut Graph, inputs: &dyn Fn(&str) -> bool, outputs: &dyn Fn(&str) -> bool) {
    let wanted = |graph: &Graph, value: ValueId, names: &dyn Fn(&str) -> bool| {
        let half = graph.element_type(value).and_then(HalfType::of).is_some();
        half && !graph.value(value).is_captured() && names(graph.value(value).name())
    };
    for input in graph.inputs().collect::<Vec<_>>() {
        if !wanted(graph, input, inputs) || graph.value(input).is_output() {
            continue;
        }
        let readers: Vec<NodeId> = graph.value(input).readers().map(|(node, _)| node).collect();
        let made =
            |&node: &NodeId| graph.node(node).output(0).filter(|&made| casts(graph, node) && is_inner(graph, made));
        let Some(made) = readers.iter().map(made).collect::<Option<Vec<_>>>() else { continue };
        made.into_iter().for_each(|made| graph.redirect_readers(made, input));
        for node in readers {
            graph.remove_if_unused(node);
        }
        graph.set_element_type(input, DataType::Float32);
    }
    for output in graph.outputs().collect::<Vec<_>>() {
        let cast = graph.value(output).producer().filter(|&id| wanted(graph, output, outputs) && casts(graph, id));
        let from = cast.and_then(|id| graph.node(id).input(0)).filter(|&from| is_inner(graph, from));
        let Some(from) = from else { continue };
        let Source::Node { node, slot } = graph.value(from).source() else { continue };
        graph.redirect_readers(from, output);
        graph.take_over_output(node, slot, output);
        graph.set_element_type(output, DataType::Float32);
    }
}

fn casts(graph: &Graph, id: NodeId) -> bool {
    ops::half(graph.node(id)).is_some_and(Half::casts)
}

/// Whether a value is known to be float32, and its name does not count.
fn is_inner(graph: &Graph, value: ValueId) -> bool {
    let float32 = graph.known_type(value).is_some_and(|ty| ty.dtype == DataType::Float32);
    float32 && !graph.value(value).goes_by_name()
}
