//! The integers that the layers of a quantized model hand to each other.

use super::super::twin;
use crate::error::Result;
use crate::ir::{Graph, Model, Node, NodeId, ValueId};
use crate::qoperators::{self, Output, Part};
use crate::quant::{Float8, HalfType};
use crate::tensor::DataType;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One value of integers.
pub struct Place {
    /// The name of the integers.
    pub integers: String,
    /// Their type: an integer of 8 or 16 bits, or a floating-point number of 8.
    pub dtype: DataType,
    /// The name of what is rounded to them.
    pub value: String,
    /// The operators of the layer that makes them.
    pub operators: Vec<String>,
    /// How many steps off is rounding.
    pub rounding: u32,
    /// The places that the layer reads, by their index.
    pub reads: Vec<usize>,
}

/// All of the main graph, in an order of computation.
///
/// # Errors
/// When the graph has a circle, or a constant cannot be read.
pub fn places(model: &Model) -> Result<Vec<Place>> {
    let graph = &model.graph;
    let order = graph.topological()?;
    let varying = varying(graph, &order);
    let halved = twin::kinds(graph, &order);
    let mut at: HashMap<ValueId, usize> = HashMap::new();
    let mut places: Vec<Place> = Vec::new();
    let rank: HashMap<NodeId, usize> = order.iter().copied().zip(0..).collect();
    for &id in &order {
        let node = graph.node(id);
        let Some(value) = node.output(0).filter(|v| varying[v.index()]) else { continue };
        let Some(dtype) = rounds_to(graph, node)? else { continue };
        let is_conversion = qoperators::is_conversion(node.domain(), node.op_type());
        let rounded = node.input(0).filter(|_| is_conversion).unwrap_or(value);
        let (nodes, reads) = layer(graph, id, &at, &varying);
        let order: BTreeMap<usize, NodeId> = nodes.into_iter().map(|id| (rank[&id], id)).collect();
        let computes = order.values().map(|&id| graph.node(id));
        let computes = computes.filter(|node| !qoperators::is_conversion(node.domain(), node.op_type()));
        let made = order.values().flat_map(|&id| graph.node(id).outputs().iter().flatten());
        // Integers become numbers of the type before they are scaled, and numbers are scaled before they become integers.
        let led = order.values().map(|&id| graph.node(id));
        let led = led.filter(|node| qoperators::is_conversion(node.domain(), node.op_type()));
        let led = led.flat_map(|node| node.outputs().iter().chain(node.inputs().first()).flatten());
        let halves = made.chain(led).filter_map(|value| halved[value.index()]);
        places.push(Place {
            rounding: rounding(dtype, halves),
            integers: graph.value(value).name().to_owned(),
            dtype,
            value: graph.value(rounded).name().to_owned(),
            operators: computes.map(|node| node.op_type().to_owned()).collect(),
            reads: reads.into_iter().collect(),
        });
        at.insert(value, places.len() - 1);
    }
    Ok(places)
}

/// How many steps a layer may be off that rounds its numbers to `halves` on the way: one for what lies between two steps, and what
/// each of those makes of the largest number of the grid.
fn rounding(dtype: DataType, halves: impl Iterator<Item = HalfType>) -> u32 {
    let levels = match dtype {
        DataType::Uint16 | DataType::Int16 => 65_535.0,
        // The numbers of float8 are no finer than those of 16 bits.
        _ if Float8::of(dtype).is_some() => 0.0,
        _ => 255.0,
    };
    let lost = |kind: HalfType| levels * if kind == HalfType::Float16 { 2f32.powi(-12) } else { 2f32.powi(-9) };
    1 + halves.map(lost).sum::<f32>().min(levels) as u32
}

/// Which values depend on the numbers of the model's inputs.
fn varying(graph: &Graph, order: &[NodeId]) -> Vec<bool> {
    let mut varying = vec![false; graph.value_bound()];
    graph.inputs().for_each(|input| varying[input.index()] = true);
    for &id in order {
        let node = graph.node(id);
        // Shapes are no numbers that are rounded.
        let asks = node.is("Shape") || node.is("Size");
        if !asks && read(node).any(|value| varying[value.index()]) {
            node.outputs().iter().flatten().for_each(|made| varying[made.index()] = true);
        }
    }
    varying
}

fn read(node: &Node) -> impl Iterator<Item = ValueId> + '_ {
    node.inputs().iter().flatten().chain(node.captured()).copied()
}

/// The type of the integers that a node makes of numbers, or in the place of numbers, on a grid that the model holds.
fn rounds_to(graph: &Graph, node: &Node) -> Result<Option<DataType>> {
    let (domain, op_type) = (node.domain(), node.op_type());
    let zero_point = match qoperators::find(domain, op_type) {
        Some(form) if form.output != Output::Floats => {
            form.inputs_of(node.inputs().len()).iter().position(|part| *part == Part::OutputZeroPoint)
        }
        None if op_type == "QuantizeLinear" && qoperators::is_conversion(domain, op_type) => Some(2),
        _ => return Ok(None),
    };
    let zero = zero_point.and_then(|slot| node.input(slot));
    let stated =
        || node.attributes().int("output_dtype").and_then(|code| DataType::from_onnx(i32::try_from(code).ok()?));
    let dtype = match zero {
        Some(zero) => match graph.constant(zero)? {
            Some(zero) => Some(zero.dtype()),
            None => graph.element_type(zero),
        },
        None if op_type == "QuantizeLinear" => stated().or(Some(DataType::Uint8)),
        // Without a grid of its own it makes floats.
        None => None,
    };
    let is_known = |dtype: &DataType| {
        let integers = [DataType::Uint8, DataType::Int8, DataType::Uint16, DataType::Int16];
        integers.contains(dtype) || Float8::of(*dtype).is_some()
    };
    Ok(dtype.filter(is_known))
}

/// The nodes between the places that `last` depends on and itself, and those places.
fn layer(
    graph: &Graph,
    last: NodeId,
    at: &HashMap<ValueId, usize>,
    varying: &[bool],
) -> (BTreeSet<NodeId>, BTreeSet<usize>) {
    let (mut nodes, mut reads, mut open) = (BTreeSet::from([last]), BTreeSet::new(), vec![last]);
    while let Some(id) = open.pop() {
        for value in read(graph.node(id)).filter(|value| varying[value.index()]) {
            if let Some(&place) = at.get(&value) {
                reads.insert(place);
            } else if let Some(maker) = graph.value(value).producer()
                && nodes.insert(maker)
            {
                open.push(maker);
            }
        }
    }
    (nodes, reads)
}
