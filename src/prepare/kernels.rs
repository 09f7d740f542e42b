//! Operators that runtimes have no integer kernel for, as others that they have one for. Each stands for the same numbers.

use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Outcome, Pass};
use crate::patterns;
use crate::tensor::{DataType, Tensor};

/// The first operator set in which the axes of ReduceMax are an input.
const AXES_ARE_AN_INPUT: i64 = 18;

/// The most numbers that a filter may have which stands for none.
const LARGEST_FILTER: usize = 1 << 20;

/// Rewrites Sub and Div by a constant as Add and Mul, ReduceMean over all positions as GlobalAveragePool, GlobalMaxPool as
/// ReduceMax, and a BatchNormalization that no layer took in and a dilated AveragePool as a depthwise Conv.
pub struct Substitute;

impl Pass for Substitute {
    fn name(&self) -> &'static str {
        "substitute-kernels"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let opset = model.opset("").unwrap_or(super::OUTPUT_OPSET);
        let graph = &mut model.graph;
        // What runtimes recognise as one thing is left for them to recognise.
        let mut spared = vec![false; graph.node_bound()];
        patterns::find(graph).iter().flat_map(|f| &f.nodes).for_each(|id| spared[id.index()] = true);
        for id in graph.topological()? {
            let node = graph.node(id);
            if !node.domain().is_empty() || spared[id.index()] {
                continue;
            }
            let done = match node.op_type() {
                "Sub" => by_constant(graph, id, "Add", |c| -c)?,
                "Div" => by_constant(graph, id, "Mul", |c| 1.0 / c)?,
                "ReduceMean" => mean_over_positions(graph, id)?,
                "GlobalMaxPool" => largest_of_positions(graph, id, opset),
                "BatchNormalization" => depthwise(graph, id)?,
                "AveragePool" => dilated_average(graph, id),
                _ => false,
            };
            outcome.changed += usize::from(done);
        }
        Ok(outcome)
    }
}

/// `x - c` is `x + (-c)`, `x / c` is `x * (1 / c)`; not where a number of the constant has no finite counterpart.
fn by_constant(graph: &mut Graph, id: NodeId, op_type: &str, counterpart: fn(f32) -> f32) -> Result<bool> {
    let (Some(x), Some(c)) = (graph.node(id).input(0), graph.node(id).input(1)) else { return Ok(false) };
    let Some(constant) = graph.constant(c)?.filter(|t| t.dtype() == DataType::Float32) else { return Ok(false) };
    if graph.is_constant(x) || graph.is_held(c) {
        return Ok(false);
    }
    let numbers: Vec<f32> = constant.to_f32()?.iter().map(|&v| counterpart(v)).collect();
    if numbers.is_empty() || numbers.iter().any(|v| !v.is_finite()) {
        return Ok(false);
    }
    let name = graph.value(c).name().to_owned();
    let other = graph.add_initializer(&name, &Tensor::from_f32(constant.shape().to_vec(), &numbers));
    graph.set_input(id, 1, Some(other));
    graph.set_op_type(id, op_type);
    Ok(true)
}

/// The rank of a float32 tensor laid out as batch, channels and one position axis or more.
fn image_rank(graph: &Graph, value: ValueId) -> Option<usize> {
    let ty = graph.known_type(value)?;
    (ty.dtype == DataType::Float32 && ty.dims.len() >= 3).then_some(ty.dims.len())
}

/// A mean over every axis behind the channels.
fn mean_over_positions(graph: &mut Graph, id: NodeId) -> Result<bool> {
    let node = graph.node(id);
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(false) };
    let Some(rank) = image_rank(graph, input) else { return Ok(false) };
    let stated = node.attributes().ints("axes").map(<[i64]>::to_vec);
    let axes = match (stated, node.input(1)) {
        (Some(axes), _) => axes,
        (None, Some(value)) => match graph.constant(value)? {
            Some(axes) => axes.to_i64()?.to_vec(),
            None => return Ok(false),
        },
        (None, None) => return Ok(false),
    };
    let mut axes: Vec<i64> = axes.iter().map(|&a| if a < 0 { a + rank as i64 } else { a }).collect();
    axes.sort_unstable();
    if axes != (2..rank as i64).collect::<Vec<_>>() {
        return Ok(false);
    }
    let keeps = node.attributes().int("keepdims").unwrap_or(1) != 0;
    let label = graph.label(id).to_owned();
    graph.set_op_type(id, "GlobalAveragePool");
    ["axes", "keepdims", "noop_with_empty_axes"].iter().for_each(|name| graph.remove_attribute(id, name));
    graph.set_input(id, 1, None);
    if !keeps {
        let ty = graph.known_type(output);
        let pooled = graph.split_output(id, 0, &format!("{label}_pooled"));
        let name = format!("{label}_Flatten");
        let inputs = vec![Some(pooled)];
        let new = NewNode { op_type: "Flatten", name: &name, inputs, ints: vec![("axis", 1)] };
        let (flatten, _) = graph.add_node(new, &format!("{name}_Output"));
        graph.take_over_output(flatten, 0, output);
        if let Some(mut ty) = ty {
            ty.dims.extend(std::iter::repeat_n(Some(1), rank - 2));
            graph.learn_type(pooled, ty);
        }
    }
    Ok(true)
}

/// The largest number of each channel.
fn largest_of_positions(graph: &mut Graph, id: NodeId, opset: i64) -> bool {
    let Some(rank) = graph.node(id).input(0).and_then(|v| image_rank(graph, v)) else { return false };
    let axes: Vec<i64> = (2..rank as i64).collect();
    graph.set_op_type(id, "ReduceMax");
    graph.set_int(id, "keepdims", 1);
    if opset < AXES_ARE_AN_INPUT {
        graph.set_ints(id, "axes", &axes);
    } else {
        let stem = format!("{}_axes", graph.label(id));
        let axes = graph.add_initializer(&stem, &Tensor::from_i64(vec![axes.len()], &axes));
        graph.set_input(id, 1, Some(axes));
    }
    true
}

/// `scale * x + shift` per channel is a depthwise convolution with one tap. Its only weight fills the int8 grid of its
/// channel, so that quantizing it loses nothing.
fn depthwise(graph: &mut Graph, id: NodeId) -> Result<bool> {
    let node = graph.node(id);
    let Some(rank) = node.input(0).and_then(|v| image_rank(graph, v)) else { return Ok(false) };
    let Some(channels) = node.input(1).and_then(|v| graph.known_type(v)).and_then(|ty| ty.dims.first().copied()?)
    else {
        return Ok(false);
    };
    let Ok((scale, shift)) = super::affine::batch_normalization(graph, id, channels)? else { return Ok(false) };
    if channels == 0 || scale.iter().chain(&shift).any(|v| !(*v as f32).is_finite()) {
        return Ok(false);
    }
    let narrow = |numbers: &[f64]| numbers.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let label = graph.label(id).to_owned();
    let mut shape = vec![channels, 1];
    shape.resize(rank, 1);
    let weight = graph.add_initializer(&format!("{label}_weight"), &Tensor::from_f32(shape, &narrow(&scale)));
    let bias = graph.add_initializer(&format!("{label}_bias"), &Tensor::from_f32(vec![channels], &narrow(&shift)));
    (3..5).for_each(|slot| graph.set_input(id, slot, None));
    graph.set_input(id, 1, Some(weight));
    graph.set_input(id, 2, Some(bias));
    ["epsilon", "momentum", "spatial", "training_mode"].iter().for_each(|name| graph.remove_attribute(id, name));
    graph.set_op_type(id, "Conv");
    graph.set_int(id, "group", channels as i64);
    graph.set_ints(id, "kernel_shape", &vec![1; rank - 2]);
    Ok(true)
}

/// An average of numbers that do not lie side by side is a depthwise convolution with equal weights, if every average is
/// of equally many numbers. Not where one would be of more numbers than a filter sensibly has.
fn dilated_average(graph: &mut Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let attributes = node.attributes();
    let Some(input) = node.input(0) else { return false };
    let Some(rank) = image_rank(graph, input) else { return false };
    let Some(channels) = graph.known_type(input).and_then(|ty| ty.dims[1]).filter(|&c| c > 0) else { return false };
    let Some(kernel) = attributes.ints("kernel_shape") else { return false };
    let lengths: Option<Vec<usize>> = kernel.iter().map(|&k| usize::try_from(k).ok().filter(|&k| k > 0)).collect();
    let Some(lengths) = lengths.filter(|k| k.len() == rank - 2) else { return false };
    let dilated = attributes.ints("dilations").is_some_and(|d| d.iter().any(|&d| d != 1));
    let padded = attributes.ints("pads").is_some_and(|p| p.iter().any(|&p| p != 0));
    let counted = !padded || attributes.int("count_include_pad").unwrap_or(0) != 0;
    let placed = attributes.text("auto_pad").is_none_or(|mode| matches!(mode, "NOTSET" | "VALID"));
    let taps = lengths.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
    let Some(taps) = taps.filter(|n| n.saturating_mul(channels) <= LARGEST_FILTER) else { return false };
    if !dilated || !counted || !placed || attributes.int("ceil_mode").unwrap_or(0) != 0 {
        return false;
    }
    let shape = [&[channels, 1][..], &lengths].concat();
    let weight = Tensor::from_f32(shape, &vec![1.0 / taps as f32; channels * taps]);
    let weight = graph.add_initializer(&format!("{}_weight", graph.label(id)), &weight);
    graph.set_input(id, 1, Some(weight));
    ["ceil_mode", "count_include_pad"].iter().for_each(|name| graph.remove_attribute(id, name));
    graph.set_op_type(id, "Conv");
    graph.set_int(id, "group", channels as i64);
    true
}
