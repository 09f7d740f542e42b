//! A smoothed value in the float model: an operator that scales its channels, and weights that take it back.

use super::super::equalize::Form;
use crate::error::{Error, Result};
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::mapped;
use crate::tensor::Tensor;

/// A node that multiplies the channels of a value with a weight.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// The node.
    pub node: NodeId,
    /// The input at which it reads its weight.
    pub slot: usize,
    /// Whether channels lie along the columns of the weight.
    pub transposed: bool,
}

/// A value that is smoothed, and who reads it then.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Read {
    /// The nodes that read it smoothed: layers, or what moves it to them.
    pub readers: Vec<NodeId>,
    /// What moves it make on the way, in the order of the nodes.
    pub moved: Vec<ValueId>,
    /// The layers, and how their weights lie.
    pub layers: Vec<(NodeId, Form)>,
    /// How many axes lie behind that of the channels.
    pub behind: usize,
}

/// What a value is called once its channels are scaled.
pub fn smoothed_name(name: &str) -> String {
    format!("{name}_smoothed")
}

/// Divides the channels of `value`, which lie along its last axis, by powers of two ahead of `layers`, whose weights nobody else
/// reads, and multiplies the weights by them. Everybody else reads it as before. Returns the node that scales.
///
/// # Errors
/// When a weight is malformed, or float32 does not hold it then.
pub fn smooth(graph: &mut Graph, value: ValueId, exponents: &[i32], layers: &[Product]) -> Result<NodeId> {
    let (node, scaled) = divide(graph, value, exponents, 0);
    for layer in layers {
        let weight = graph.node(layer.node).input(layer.slot).and_then(|weight| graph.stated_type(weight));
        let count: usize = weight.map_or(0, |ty| ty.dims.iter().flatten().product());
        let columns = if layer.transposed { exponents.len() } else { count / exponents.len().max(1) };
        let channel = |at: usize| if layer.transposed { at % columns } else { at / columns };
        multiply(graph, (layer.node, layer.slot), |at| exponents[channel(at)])?;
        graph.set_input(layer.node, 0, Some(scaled));
    }
    Ok(node)
}

/// The same of what layers of any form read, wherever its channels lie. What moves it to them makes other numbers then, which get
/// other names.
///
/// # Errors
/// As [`smooth`].
pub fn smooth_read(graph: &mut Graph, value: ValueId, exponents: &[i32], read: &Read) -> Result<NodeId> {
    let (node, scaled) = divide(graph, value, exponents, read.behind);
    read.readers.iter().for_each(|&reader| graph.set_input(reader, 0, Some(scaled)));
    for &(layer, form) in &read.layers {
        multiply(graph, (layer, 1), |at| exponents[form.place(at).1])?;
    }
    for &moved in &read.moved {
        let name = smoothed_name(graph.value(moved).name());
        graph.rename(moved, &name);
    }
    Ok(node)
}

/// Adds the node that divides channels, which have so many axes `behind` them, by powers of two; and what it makes.
fn divide(graph: &mut Graph, value: ValueId, exponents: &[i32], behind: usize) -> (NodeId, ValueId) {
    let name = graph.value(value).name().to_owned();
    let inverse: Vec<f32> = exponents.iter().map(|&exponent| 2f32.powi(-exponent)).collect();
    let mut shape = vec![inverse.len()];
    shape.resize(1 + behind, 1);
    let factors = graph.add_initializer(&format!("{name}_smoothing"), &Tensor::from_f32(shape, &inverse));
    let inputs = vec![Some(value), Some(factors)];
    let new = NewNode { op_type: "Mul", name: &format!("{name}_smooth"), inputs, ints: vec![] };
    graph.add_node(new, &smoothed_name(&name))
}

/// Multiplies each number of the weight at an input, which nobody else reads, by a power of two.
fn multiply(graph: &mut Graph, (node, slot): (NodeId, usize), exponent: impl Fn(usize) -> i32) -> Result<()> {
    let Some(weight) = graph.node(node).input(slot) else { return Ok(()) };
    let Some(tensor) = graph.constant(weight)? else { return Ok(()) };
    let numbers: Vec<f32> =
        tensor.to_f32()?.iter().enumerate().map(|(at, number)| number * 2f32.powi(exponent(at))).collect();
    mapped::let_go(tensor.bytes());
    if numbers.iter().any(|number| !number.is_finite()) {
        let why = "is to be smoothed by powers of two that leave it beyond float32";
        return Err(Error::value(graph.value(weight).name(), why));
    }
    let scaled_back = Tensor::from_f32(tensor.shape().to_vec(), &numbers);
    let bytes = mapped::in_place_of(tensor.bytes(), scaled_back.bytes().clone());
    graph.replace_constant(weight, &Tensor::new(tensor.dtype(), tensor.shape().to_vec(), bytes)?);
    Ok(())
}
