//! Layers that follow each other in a graph, and what it takes to equalize them there.

use super::weights::Form;
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::mapped;
use crate::ops;
use crate::tensor::{DataType, Tensor};

/// Two layers between which every channel can be scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The layer that makes the channels.
    pub first: NodeId,
    /// How its weights lie.
    pub made: Form,
    /// Where its bias is, if it has one: a node, and which of its inputs.
    pub bias: Option<(NodeId, usize)>,
    /// The layer that reads them.
    pub second: NodeId,
    /// How its weights lie.
    pub read: Form,
    /// The values between, in order; the last is what the second layer reads.
    pub between: Vec<ValueId>,
    /// The one behind which channels are only moved or averaged.
    pub grid: ValueId,
    /// The upper bound of a Clip between them.
    pub bound: Option<f32>,
}

impl Pair {
    /// What the second layer reads.
    pub fn value(&self) -> ValueId {
        self.between.last().copied().unwrap_or(self.grid)
    }

    /// Whether nothing stands between, and the second layer makes each channel of one alone.
    pub fn is_linear_depthwise(&self) -> bool {
        self.between.len() == 1 && self.read.groups == self.read.inputs && self.read.inputs == self.read.outputs
    }

    /// Whether channels lie along the second axis of what the first layer makes; else along the last.
    pub fn convolves(&self, graph: &Graph) -> bool {
        convolves(graph, self.first)
    }
}

/// What a value is called once its channels are scaled.
pub fn equalized_name(name: &str) -> String {
    format!("{name}_equalized")
}

/// Where the channels of a value lie that is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Channels {
    /// Along the second axis, behind which are positions.
    Second,
    /// The same, with a single position.
    Pooled,
    /// Along the last axis.
    Last,
}

/// All pairs of layers that could be equalized, in the order of the nodes.
pub fn pairs(graph: &Graph) -> Vec<Pair> {
    graph.node_ids().filter_map(|node| pair(graph, node)).collect()
}

/// The pair whose first layer is `first`.
fn pair(graph: &Graph, first: NodeId) -> Option<Pair> {
    let made = form(graph, first)?;
    let mut channels = if convolves(graph, first) { Channels::Second } else { Channels::Last };
    let mut bias = (!graph.node(first).is("MatMul") && graph.node(first).input(2).is_some()).then_some((first, 2));
    let mut value = graph.node(first).output(0)?;
    let (mut between, mut grid, mut moved, mut bound) = (Vec::new(), value, false, None::<f32>);
    let second = loop {
        between.push(value);
        let &[Use::Input { node: reader, slot }] = graph.value(value).uses() else { return None };
        let node = graph.node(reader);
        let adds = node.is("Add") && graph.node(first).is("MatMul") && between.len() == 1;
        if !node.domain().is_empty() || slot != 0 && !adds {
            return None;
        }
        match node.op_type() {
            "Conv" | "ConvTranspose" | "Gemm" | "MatMul" => break reader,
            "Add" if adds => bias = Some((reader, 1 - slot.min(1))),
            "Relu" | "LeakyRelu" | "Identity" => {}
            "PRelu" if node.input(1).is_some_and(|slope| graph.is_constant(slope)) => {}
            "Clip" => {
                let (low, high) = ops::lookup(graph, reader)?.bounds(graph, reader)?;
                if low != 0.0 {
                    return None;
                }
                let least = bound.map_or(high, |bound| bound.min(high));
                bound = least.is_finite().then_some(least);
            }
            "MaxPool" | "AveragePool" if channels == Channels::Second => moved = true,
            "GlobalAveragePool" | "GlobalMaxPool" if channels == Channels::Second => {
                (channels, moved) = (Channels::Pooled, true);
            }
            "Pad" if channels == Channels::Second && pads_with_zeros(graph, reader) => moved = true,
            // The weights of what reads it show whether there is a single position.
            "Flatten" if channels != Channels::Last && node.attributes().int("axis").unwrap_or(1) == 1 => {
                (channels, moved) = (Channels::Last, true);
            }
            "Reshape" | "Squeeze" if channels == Channels::Pooled => (channels, moved) = (Channels::Last, true),
            _ => return None,
        }
        value = graph.node(reader).output(0)?;
        if !moved || graph.node(reader).is("Clip") {
            grid = value;
        }
    };
    let read = form(graph, second)?;
    let fits = convolves(graph, second) == (channels != Channels::Last) && read.inputs == made.outputs;
    let biased = bias.is_none_or(|place| is_bias(graph, place, made.outputs));
    let renamed = between.iter().all(|&value| is_named(graph, value));
    (fits && biased && renamed && first != second).then_some(Pair {
        first,
        made,
        bias,
        second,
        read,
        between,
        grid,
        bound,
    })
}

/// Whether a node slides its weight over positions.
fn convolves(graph: &Graph, node: NodeId) -> bool {
    matches!(graph.node(node).op_type(), "Conv" | "ConvTranspose")
}

/// Whether the node that makes `value` has a name of its own, so that it keeps it whatever its outputs are called.
pub fn is_named(graph: &Graph, value: ValueId) -> bool {
    graph.value(value).producer().is_some_and(|node| !graph.node(node).name().is_empty())
}

/// How the weights of a layer lie; `None` where it is none, or its weights are not its own constants.
pub fn form(graph: &Graph, id: NodeId) -> Option<Form> {
    is_own(graph, graph.node(id).input(1)?).then(|| lie(graph, id)).flatten()
}

/// How the weights of a layer lie, whoever else reads them; `None` where it is no layer.
pub fn lie(graph: &Graph, id: NodeId) -> Option<Form> {
    let node = graph.node(id);
    if !node.domain().is_empty() {
        return None;
    }
    let weight = node.input(1)?;
    let shape: Vec<usize> = graph.stated_type(weight)?.dims.into_iter().collect::<Option<_>>()?;
    let groups = usize::try_from(node.attributes().int("group").unwrap_or(1)).ok().filter(|&groups| groups > 0)?;
    let taps = shape.get(2..)?.iter().product();
    let matrix = |inputs_first: bool| {
        let &[rows, columns] = shape.as_slice() else { return None };
        let (inputs, outputs) = if inputs_first { (rows, columns) } else { (columns, rows) };
        Some(Form { outputs, inputs, groups: 1, taps: 1, inputs_first })
    };
    let whole = |name| node.attributes().int(name).unwrap_or(0) == 0;
    let form = match node.op_type() {
        "Conv" if shape.len() > 2 => {
            Form { outputs: shape[0], inputs: shape[1] * groups, groups, taps, inputs_first: false }
        }
        "ConvTranspose" if shape.len() > 2 => {
            Form { outputs: shape[1] * groups, inputs: shape[0], groups, taps, inputs_first: true }
        }
        "Gemm" if whole("transA") => matrix(whole("transB"))?,
        "MatMul" => matrix(true)?,
        _ => return None,
    };
    let divides = form.outputs % groups == 0 && form.inputs % groups == 0;
    (divides && form.count() > 0).then_some(form)
}

/// Whether a value is a constant of float32 that one node alone reads.
fn is_own(graph: &Graph, value: ValueId) -> bool {
    let alone = matches!(graph.value(value).uses(), [Use::Input { .. }]);
    alone && is_floats(graph, value)
}

/// Whether a value is a constant of float32.
pub(in crate::tune) fn is_floats(graph: &Graph, value: ValueId) -> bool {
    let floats = graph.stated_type(value).is_some_and(|ty| ty.dtype == DataType::Float32);
    floats && graph.is_constant(value) && !graph.is_overridable(value)
}

/// Whether a constant number for each of `channels` lies at an input.
fn is_bias(graph: &Graph, (node, slot): (NodeId, usize), channels: usize) -> bool {
    let Some(value) = graph.node(node).input(slot).filter(|&value| is_floats(graph, value)) else { return false };
    let dims = graph.stated_type(value).map(|ty| ty.dims).unwrap_or_default();
    let (last, before) = (dims.last().copied().flatten(), dims.iter().rev().skip(1));
    last == Some(channels) && before.clone().all(|&dim| dim == Some(1))
}

/// Whether a Pad leaves the channels alone and adds nothing but zeros, or what is there already.
pub(in crate::tune) fn pads_with_zeros(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let constant = |slot: usize| node.input(slot).and_then(|value| graph.constant(value).ok().flatten());
    let stated = constant(1).and_then(|pads| pads.to_i64().ok().map(|pads| pads.to_vec()));
    let Some(pads) = stated.or_else(|| node.attributes().ints("pads").map(<[i64]>::to_vec)) else { return false };
    let rank = pads.len() / 2;
    let inner = rank > 2 && [0, 1, rank, rank + 1].into_iter().all(|axis| pads[axis] == 0);
    let zero = match node.input(2) {
        Some(_) => constant(2).and_then(|value| value.first_f32()) == Some(0.0),
        None => node.attributes().float("value").unwrap_or(0.0) == 0.0,
    };
    let copies = matches!(node.attributes().text("mode"), Some("reflect" | "edge" | "wrap"));
    inner && node.input(3).is_none() && (zero || copies)
}

/// Divides the channels between the layers of a pair by powers of two, and multiplies the weights that read them by them. What
/// lies between gets other names, as its numbers are others.
///
/// # Errors
/// When a constant is malformed, or float32 does not hold it then.
pub fn equalize(graph: &mut Graph, pair: &Pair, exponents: &[i32]) -> Result<()> {
    let factors: Vec<f32> = exponents.iter().map(|&exponent| 2f32.powi(exponent)).collect();
    let inverse: Vec<f32> = exponents.iter().map(|&exponent| 2f32.powi(-exponent)).collect();
    let (made, read) = (pair.made, pair.read);
    scale(graph, (pair.first, 1), |index| inverse[made.place(index).0])?;
    if let Some(place) = pair.bias {
        scale(graph, place, |index| inverse[index % inverse.len()])?;
    }
    scale(graph, (pair.second, 1), |index| factors[read.place(index).1])?;
    for &value in &pair.between {
        let name = equalized_name(graph.value(value).name());
        graph.rename(value, &name);
    }
    Ok(())
}

/// Multiplies each number of the constant at an input by a factor. Another node that reads it keeps it as it was.
pub(in crate::tune) fn scale(
    graph: &mut Graph,
    (node, slot): (NodeId, usize),
    factor: impl Fn(usize) -> f32,
) -> Result<()> {
    let Some(value) = graph.node(node).input(slot) else { return Ok(()) };
    let Some(tensor) = graph.constant(value)? else { return Ok(()) };
    let numbers: Vec<f32> = tensor.to_f32()?.iter().enumerate().map(|(index, number)| number * factor(index)).collect();
    mapped::let_go(tensor.bytes());
    if numbers.iter().any(|number| !number.is_finite()) {
        let why = "is to be equalized by powers of two that leave it beyond float32";
        return Err(Error::value(graph.value(value).name(), why));
    }
    let scaled = Tensor::from_f32(tensor.shape().to_vec(), &numbers);
    let bytes = mapped::in_place_of(tensor.bytes(), scaled.bytes().clone());
    let scaled = Tensor::new(DataType::Float32, tensor.shape().to_vec(), bytes)?;
    if is_own(graph, value) {
        graph.replace_constant(value, &scaled);
        return Ok(());
    }
    let name = equalized_name(graph.value(value).name());
    let own = graph.add_initializer(&name, &scaled);
    graph.set_input(node, slot, Some(own));
    Ok(())
}
