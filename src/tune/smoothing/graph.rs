//! A smoothed value in the float model: an operator that scales its channels, and weights that take it back.

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
    let power = |exponent: i32| 2f32.powi(exponent);
    let name = graph.value(value).name().to_owned();
    let inverse: Vec<f32> = exponents.iter().map(|&exponent| power(-exponent)).collect();
    let factors = graph.add_initializer(&format!("{name}_smoothing"), &Tensor::from_f32(vec![inverse.len()], &inverse));
    let smoothed = smoothed_name(&name);
    let inputs = vec![Some(value), Some(factors)];
    let (scales, scaled) =
        graph.add_node(NewNode { op_type: "Mul", name: &format!("{name}_smooth"), inputs, ints: vec![] }, &smoothed);
    for layer in layers {
        let Some(weight) = graph.node(layer.node).input(layer.slot) else { continue };
        let Some(tensor) = graph.constant(weight)? else { continue };
        let columns = if layer.transposed { exponents.len() } else { tensor.len() / exponents.len().max(1) };
        let exponent = |at: usize| if layer.transposed { exponents[at % columns] } else { exponents[at / columns] };
        let numbers: Vec<f32> =
            tensor.to_f32()?.iter().enumerate().map(|(at, number)| number * power(exponent(at))).collect();
        mapped::let_go(tensor.bytes());
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(Error::value(&name, "is to be smoothed by powers of two that leave weights beyond float32"));
        }
        let scaled_back = Tensor::from_f32(tensor.shape().to_vec(), &numbers);
        let bytes = mapped::in_place_of(tensor.bytes(), scaled_back.bytes().clone());
        graph.replace_constant(weight, &Tensor::new(tensor.dtype(), tensor.shape().to_vec(), bytes)?);
        graph.set_input(layer.node, 0, Some(scaled));
    }
    Ok(scales)
}
