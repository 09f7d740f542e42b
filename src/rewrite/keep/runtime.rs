//! What ONNX Runtime makes of Q/DQ with scales of float16, as of 1.31.1, where it errs.
//!
//! Above its lowest level of optimization it writes `Round(bias / (input scale * weight scale))` for each layer between a
//! DequantizeLinear and a QuantizeLinear whose bias is a constant of one axis. In float16 that product of scales and these
//! integers lie beyond what the type holds, so that the layer comes out wrong. A bias behind the layer, or of two axes, it
//! leaves alone.
//!
//! Of a Concat between them it makes a QLinearConcat, which takes scales of float32 only, and then refuses the model. It is
//! given such scales: Concat runs on integers there.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::ops::{self, Bias, Half, Role};
use crate::quant::HalfType;
use std::collections::{HashMap, HashSet};

/// Sets the biases of such layers apart, of those in float16; `native` is what is in 16 bits.
pub(super) fn set_biases_apart(graph: &mut Graph, native: &mut HashMap<ValueId, HalfType>) -> Result<()> {
    for id in graph.node_ids().collect::<Vec<_>>() {
        let Some((slot, convolves)) = layer(graph, id) else { continue };
        let (Some(bias), Some(made)) = (graph.node(id).input(slot), graph.node(id).output(0)) else { continue };
        let in_float16 = native.get(&made) == Some(&HalfType::Float16) && !ends_in_float(graph, made);
        let Some(tensor) = graph.constant(bias)?.filter(|bias| in_float16 && bias.shape().len() == 1) else { continue };
        let (name, count) = (graph.value(bias).name().to_owned(), tensor.len());
        if !convolves {
            let row = graph.add_initializer(&format!("{name}_row"), &tensor.reshaped(vec![1, count]));
            native.insert(row, HalfType::Float16);
            graph.set_input(id, slot, Some(row));
            continue;
        }
        let Some(rank) = weight_rank(graph, id) else { continue };
        let shape = std::iter::once(count).chain(std::iter::repeat_n(1, rank.saturating_sub(2))).collect();
        let spread = graph.add_initializer(&format!("{name}_spread"), &tensor.reshaped(shape));
        graph.set_input(id, slot, None);
        let stem = graph.value(made).name().to_owned();
        let product = graph.split_output(id, 0, &format!("{stem}_without_bias"));
        let inputs = vec![Some(product), Some(spread)];
        let new = NewNode { op_type: "Add", name: &format!("{stem}_bias_Add"), inputs, ints: vec![] };
        let (add, _) = graph.add_node(new, &format!("{stem}_with_bias"));
        graph.take_over_output(add, 0, made);
        native.extend([product, spread].map(|value| (value, HalfType::Float16)));
    }
    Ok(())
}

/// Of a layer that reads a dequantized value: where its bias is, and whether it convolves.
fn layer(graph: &Graph, id: NodeId) -> Option<(usize, bool)> {
    let op = ops::lookup(graph, id)?;
    let Bias::Input(slot) = op.bias else { return None };
    let before = graph.node(id).input(0).and_then(|value| graph.value(value).producer())?;
    let dequantized = ops::half_quantizer(graph.node(before)).is_some_and(Half::dequantizes);
    dequantized.then(|| (slot, op.convolves()))
}

/// Gives each Concat between DequantizeLinear and QuantizeLinear nodes of its own ahead of it, to be in float32 with it, and
/// says which ones they are.
pub(super) fn joins_on_integers(graph: &mut Graph) -> HashSet<NodeId> {
    let mut joins = HashSet::new();
    for id in graph.node_ids().collect::<Vec<_>>() {
        let node = graph.node(id);
        let dequantizer = |value: &Option<ValueId>| {
            let node = graph.value((*value)?).producer()?;
            ops::half_quantizer(graph.node(node)).filter(|row| row.dequantizes()).map(|_| node)
        };
        let before: Option<Vec<_>> = node.inputs().iter().map(dequantizer).collect();
        let Some(before) = before.filter(|_| node.is("Concat")) else { continue };
        let quantized = node.output(0).is_some_and(|made| !graph.value(made).is_output() && all_quantize(graph, made));
        if !quantized {
            continue;
        }
        for (slot, dequantizer) in before.into_iter().enumerate() {
            let (node, output) = (graph.node(dequantizer), graph.node(dequantizer).output(0));
            let ints = ["axis", "block_size"].into_iter();
            let ints = ints.filter_map(|name| Some((name, node.attributes().int(name)?))).collect();
            let (op_type, domain) = (node.op_type().to_owned(), node.domain().to_owned());
            let inputs = node.inputs().to_vec();
            let stem = output.map_or(String::new(), |v| format!("{}_float32", graph.value(v).name()));
            let new = NewNode { op_type: &op_type, name: &stem, inputs, ints };
            let (own, made) = graph.add_node(new, &stem);
            graph.set_operator(own, &domain, &op_type);
            graph.set_input(id, slot, Some(made));
        }
        joins.insert(id);
    }
    joins
}

/// Whether nothing but QuantizeLinear nodes reads a value, and some do.
fn all_quantize(graph: &Graph, value: ValueId) -> bool {
    let quantizes = |(reader, _)| ops::half_quantizer(graph.node(reader)).is_some_and(Half::quantizes);
    let value = graph.value(value);
    !value.is_captured() && !value.uses().is_empty() && value.readers().all(quantizes)
}

/// Whether something but one QuantizeLinear, clamps between, reads a value.
fn ends_in_float(graph: &Graph, mut value: ValueId) -> bool {
    loop {
        let mut readers = graph.value(value).readers();
        let (Some((reader, _)), None) = (readers.next(), readers.next()) else { return true };
        if graph.value(value).uses().len() > 1 {
            return true;
        }
        if ops::half_quantizer(graph.node(reader)).is_some_and(Half::quantizes) {
            return false;
        }
        let clamps = ops::lookup(graph, reader).is_some_and(|op| op.role == Role::Clamp);
        match graph.node(reader).output(0).filter(|_| clamps) {
            Some(next) => value = next,
            None => return true,
        }
    }
}

/// How many axes the weight of a layer has, which is stored as integers or not.
fn weight_rank(graph: &Graph, id: NodeId) -> Option<usize> {
    let weight = graph.node(id).input(1)?;
    let integers = graph.value(weight).producer().and_then(|node| graph.node(node).input(0));
    Some(graph.stated_type(integers.unwrap_or(weight))?.dims.len())
}
