//! Folds what multiplies and shifts the channels of a layer's output into the layer: BatchNormalization, and Mul, Add, Sub
//! and Div by constants. What is folded needs no grid of its own.

use super::normals::{self, Normals};
use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Outcome, Pass};
use crate::patterns;
use crate::tensor::{DataType, Tensor};
use ndarray::{Array4, ArrayView4};
use std::cell::RefCell;

/// Folds `y = scale * x + shift`, per channel, into the Conv, ConvTranspose, Gemm or MatMul that makes `x` for it alone.
pub struct Fold<'a> {
    /// Whether nodes that spell out an activation are left for the passes that look for it.
    pub spare_activations: bool,
    /// What is known of values: a layer that takes in what stands behind makes other numbers.
    pub normals: &'a RefCell<Normals>,
}

impl Pass for Fold<'_> {
    fn name(&self) -> &'static str {
        "fold-affine"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut spared = vec![false; model.graph.node_bound()];
        if self.spare_activations {
            let found = patterns::activations(&model.graph);
            found.iter().flat_map(|f| &f.nodes).for_each(|id| spared[id.index()] = true);
        }
        for id in model.graph.topological()? {
            if spared[id.index()] {
                continue;
            }
            let Some((layer, input)) = layer_before(&model.graph, id) else { continue };
            match fold(&mut model.graph, (layer, id, input), self.normals)? {
                Ok(()) => outcome.changed += 1,
                Err(why) if model.graph.node(id).is("BatchNormalization") => outcome.refuse(model.graph.label(id), why),
                // An ordinary Add or Mul that happens to follow a layer.
                Err(_) => {}
            }
        }
        Ok(outcome)
    }
}

/// Why a place was left alone.
pub(super) type Refusal = &'static str;

/// The layer whose output only node `id` reads, and through which of its inputs.
fn layer_before(graph: &Graph, id: NodeId) -> Option<(NodeId, usize)> {
    let node = graph.node(id);
    if !["BatchNormalization", "Mul", "Add", "Sub", "Div"].iter().any(|op| node.is(op)) {
        return None;
    }
    (0..node.inputs().len().min(2)).find_map(|slot| {
        let value = graph.value(node.input(slot)?);
        let layer = value.producer()?;
        let folds = ["Conv", "ConvTranspose", "Gemm", "MatMul"].iter().any(|op| graph.node(layer).is(op));
        (folds && value.uses().len() == 1).then_some((layer, slot))
    })
}

/// A layer's constants, and how its output channels lie.
pub(super) struct Layer {
    node: NodeId,
    weight: Tensor,
    /// Output channel of each element of the weight is found by these.
    axis: usize,
    groups: usize,
    /// Number of output channels.
    pub(super) channels: usize,
    bias: Option<Vec<f32>>,
    /// Rank of the output, where the layer fixes it.
    rank: Option<usize>,
    /// Axis of the output that holds the channels, counted from the back.
    channel_from_back: usize,
}

fn fold(
    graph: &mut Graph,
    (layer, id, slot): (NodeId, NodeId, usize),
    normals: &RefCell<Normals>,
) -> Result<std::result::Result<(), Refusal>> {
    let layer = match read_layer(graph, layer)? {
        Ok(layer) => layer,
        Err(why) => return Ok(Err(why)),
    };
    let (scale, shift) = match read_affine(graph, id, slot, &layer)? {
        Ok(affine) => affine,
        Err(why) => return Ok(Err(why)),
    };
    if scale.iter().chain(&shift).any(|v| !v.is_finite()) {
        return Ok(Err("a factor is not finite"));
    }
    let Some(output) = graph.node(id).output(0) else { return Ok(Err("its output is not used")) };
    let shifts = shift.iter().any(|&v| v != 0.0);
    let held = graph.node(layer.node).input(1).is_some_and(|weight| graph.is_held(weight));
    if held && scale.iter().any(|&s| s != 1.0) {
        return Ok(Err("the layer's weights are stored as integers already"));
    }
    let matmul = graph.node(layer.node).is("MatMul");
    let before = graph.node(layer.node).output(0).map(|value| graph.value(value).name().to_owned());
    if matmul && shifts && !graph.node(id).is("BatchNormalization") {
        return Ok(Err("MatMul has no bias"));
    }
    if matmul {
        scale_weight(graph, &layer, &scale)?;
    } else {
        apply(graph, &layer, &scale, &shift)?;
    }
    if matmul && shifts {
        let shift: Vec<f32> = shift.iter().map(|&v| v as f32).collect();
        let name = graph.value(output).name().to_owned();
        let shift = graph.add_initializer(&format!("{name}_bias"), &Tensor::from_f32(vec![layer.channels], &shift));
        let inputs = vec![graph.node(layer.node).output(0), Some(shift)];
        let new = NewNode { op_type: "Add", name: &format!("{name}_add"), inputs, ..NewNode::default() };
        let (add, _) = graph.add_node(new, &format!("{name}_shifted"));
        graph.take_over_output(add, 0, output);
    } else {
        graph.take_over_output(layer.node, 0, output);
    }
    if let Some(before) = before {
        normals::follow(normals, &before, graph.value(output).name(), (&scale, &shift));
    }
    Ok(Ok(()))
}

/// Multiplies and shifts the output channels of a layer that has a bias input.
pub(super) fn apply(graph: &mut Graph, layer: &Layer, scale: &[f64], shift: &[f64]) -> Result<()> {
    scale_weight(graph, layer, scale)?;
    if shift.iter().any(|&v| v != 0.0) || layer.bias.is_some() {
        let old = layer.bias.clone().unwrap_or_else(|| vec![0.0; layer.channels]);
        let new: Vec<f32> = (0..layer.channels).map(|c| (f64::from(old[c]) * scale[c] + shift[c]) as f32).collect();
        let name = bias_name(graph, layer);
        let bias = graph.add_initializer(&name, &Tensor::from_f32(vec![layer.channels], &new));
        graph.set_input(layer.node, 2, Some(bias));
    }
    Ok(())
}

fn bias_name(graph: &Graph, layer: &Layer) -> String {
    let value = graph.node(layer.node).input(2).or(graph.node(layer.node).input(1));
    let name = value.map_or("layer", |v| graph.value(v).name());
    if layer.bias.is_some() { name.to_owned() } else { format!("{name}_bias") }
}

/// The constants of a layer, or why they cannot be changed.
pub(super) fn read_layer(graph: &Graph, id: NodeId) -> Result<std::result::Result<Layer, Refusal>> {
    let node = graph.node(id);
    let float = |slot: usize| -> Result<Option<Tensor>> {
        let Some(value) = node.input(slot) else { return Ok(None) };
        Ok(graph.constant(value)?.filter(|t| t.dtype() == DataType::Float32))
    };
    let Some(weight) = float(1)? else { return Ok(Err("the layer's weights are no float32 constant")) };
    let shape = weight.shape();
    let group = node.attributes().int("group").unwrap_or(1);
    let (axis, groups, rank) = match node.op_type() {
        "Conv" => (0, 1, Some(shape.len())),
        "ConvTranspose" => (1, usize::try_from(group).unwrap_or(1).max(1), Some(shape.len())),
        "Gemm" => (usize::from(node.attributes().int("transB").unwrap_or(0) == 0), 1, Some(2)),
        _ => (shape.len().saturating_sub(1), 1, None),
    };
    let sensible = if node.is("MatMul") || node.is("Gemm") { shape.len() == 2 } else { shape.len() >= 3 };
    if !sensible || groups > shape[0].max(1) || shape[0] % groups != 0 {
        return Ok(Err("the layer's weights have an unusual shape"));
    }
    let channels = shape[axis] * groups;
    let bias = match node.input(2) {
        None => None,
        Some(_) => {
            let Some(bias) = float(2)? else { return Ok(Err("the layer's bias is no float32 constant")) };
            let rank = bias.shape().len();
            let Some(values) = per_channel(&bias, rank.max(1), 0, channels) else {
                return Ok(Err("the layer's bias is not one number per channel"));
            };
            Some(values.into_iter().map(|v| v as f32).collect())
        }
    };
    if node.is("Gemm") && node.attributes().float("beta").unwrap_or(1.0) != 1.0 {
        return Ok(Err("the layer's beta is not 1"));
    }
    let channel_from_back = rank.filter(|_| !node.is("Gemm")).map_or(0, |r| r - 2);
    let (weight, node) = (weight.clone(), id);
    Ok(Ok(Layer { node, weight, axis, groups, channels, bias, rank, channel_from_back }))
}

/// One number per channel out of a constant that is broadcast to the layer's output; `None` when it varies along another
/// axis or would add one.
fn per_channel(constant: &Tensor, rank: usize, from_back: usize, channels: usize) -> Option<Vec<f64>> {
    let shape = constant.shape();
    let values = constant.to_f32().ok()?;
    let along = |axis: usize| shape.len().checked_sub(1 + axis).map_or(1, |i| shape[i]);
    if shape.len() > rank || (0..shape.len()).any(|axis| axis != from_back && along(axis) != 1) {
        return None;
    }
    match along(from_back) {
        1 => Some(vec![f64::from(*values.first()?); channels]),
        n if n == channels => Some(values.iter().map(|&v| f64::from(v)).collect()),
        _ => None,
    }
}

/// Scale and shift of each channel.
pub(super) type Affine = (Vec<f64>, Vec<f64>);

/// Scale and shift of each channel that node `id` applies to its input `slot`.
fn read_affine(graph: &Graph, id: NodeId, slot: usize, layer: &Layer) -> Result<std::result::Result<Affine, Refusal>> {
    let node = graph.node(id);
    if node.is("BatchNormalization") {
        let stated = |v: Option<ValueId>| graph.known_type(v?).map(|t| t.dims.len());
        if layer.rank.is_none() && stated(node.output(0)).or_else(|| stated(node.input(0))) != Some(2) {
            return Ok(Err("the MatMul before it is not known to give a matrix, so its channels may lie elsewhere"));
        }
        return batch_normalization(graph, id, layer.channels);
    }
    let Some(other) = node.input(1 - slot) else { return Ok(Err("it has one input")) };
    let constant = graph.constant(other)?.filter(|t| t.dtype() == DataType::Float32);
    let Some(constant) = constant else { return Ok(Err("the other input is no float32 constant")) };
    // Where the rank is not known, a constant of one dimension is broadcast without adding one.
    let rank = layer.rank.unwrap_or(1);
    let Some(c) = per_channel(&constant, rank, layer.channel_from_back, layer.channels) else {
        return Ok(Err("the constant is not one number per channel"));
    };
    let (ones, zeros) = (vec![1.0; layer.channels], vec![0.0; layer.channels]);
    Ok(match (node.op_type(), slot) {
        ("Mul", _) => Ok((c, zeros)),
        ("Add", _) => Ok((ones, c)),
        ("Sub", 0) => Ok((ones, c.iter().map(|v| -v).collect())),
        ("Sub", _) => Ok((vec![-1.0; layer.channels], c)),
        ("Div", 0) => Ok((c.iter().map(|v| 1.0 / v).collect(), zeros)),
        _ => Err("it divides by the layer's output"),
    })
}

/// What a BatchNormalization of so many channels multiplies and adds, if its statistics are constants.
pub(super) fn batch_normalization(
    graph: &Graph,
    id: NodeId,
    channels: usize,
) -> Result<std::result::Result<Affine, Refusal>> {
    let node = graph.node(id);
    if node.attributes().int("training_mode").unwrap_or(0) != 0 || node.outputs().iter().skip(1).any(Option::is_some) {
        return Ok(Err("it is in training mode"));
    }
    if node.inputs().iter().skip(1).flatten().any(|&value| graph.is_held(value)) {
        return Ok(Err("its statistics are stored as integers already"));
    }
    let mut numbers = Vec::new();
    for slot in 1..5 {
        let constant = match node.input(slot) {
            Some(value) => graph.constant(value)?,
            None => None,
        };
        let Some(constant) = constant.filter(|t| t.len() == channels) else {
            return Ok(Err("its statistics are not one constant per channel of the layer"));
        };
        numbers.push(constant.to_f32()?.into_owned());
    }
    let epsilon = f64::from(node.attributes().float("epsilon").unwrap_or(1e-5));
    let scale = |c: usize| f64::from(numbers[0][c]) / (f64::from(numbers[3][c]) + epsilon).sqrt();
    let scales: Vec<f64> = (0..channels).map(scale).collect();
    let shift = |c: usize| f64::from(numbers[1][c]) - f64::from(numbers[2][c]) * scales[c];
    let shifts = (0..channels).map(shift).collect();
    Ok(Ok((scales, shifts)))
}

/// Multiplies each output channel of the weight. The old weight stays for whoever else reads it.
fn scale_weight(graph: &mut Graph, layer: &Layer, scale: &[f64]) -> Result<()> {
    if scale.iter().all(|&s| s == 1.0) {
        return Ok(());
    }
    let shape = layer.weight.shape();
    // Output channels are groups times the indices along the axis; everything else is broadcast over.
    let outer: usize = shape[..layer.axis].iter().product();
    let inner: usize = shape[layer.axis + 1..].iter().product();
    let channels = shape[layer.axis];
    let malformed =
        |e: ndarray::ShapeError| graph.node_error(layer.node, format!("its weights have an unusual shape: {e}"));
    let weight = layer.weight.to_f32()?.into_owned();
    let weight =
        Array4::from_shape_vec((layer.groups, outer / layer.groups, channels, inner), weight).map_err(malformed)?;
    let scale = ArrayView4::from_shape((layer.groups, 1, channels, 1), scale).map_err(malformed)?;
    let scaled = (weight.mapv(f64::from) * scale).mapv(|w| w as f32);
    let scaled: Vec<f32> = scaled.into_iter().collect();
    let name = graph.node(layer.node).input(1).map_or(String::new(), |v| graph.value(v).name().to_owned());
    let weight = graph.add_initializer(&name, &Tensor::from_f32(shape.to_vec(), &scaled));
    graph.set_input(layer.node, 1, Some(weight));
    Ok(())
}
