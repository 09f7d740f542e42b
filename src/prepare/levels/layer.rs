//! A layer that reads a picture: a Conv, or a product with a matrix behind what makes columns of the pixels.

use super::way::Way;
use super::{Refusal, label};
use crate::ir::ValueId;
use crate::ir::{Graph, NewNode, NodeId};
use crate::tensor::{DataType, Tensor};

/// A layer with its constants.
pub(super) struct Layer {
    id: NodeId,
    weight: Tensor,
    kind: Kind,
    /// One number for each output channel.
    bias: Option<Vec<f32>>,
    /// Whether it may read beyond the picture, where numbers are 0.
    pub pads: bool,
}

/// How the weights lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `[outputs, inputs / groups, taps..]`.
    Conv { groups: usize },
    /// `[inputs, outputs]`, with a bias of its own or without.
    Matrix { has_bias: bool },
    /// `[outputs, inputs]`.
    Turned,
}

impl Layer {
    /// Reads layer `id`, or says why it cannot take levels.
    pub fn read(graph: &Graph, id: NodeId, way: &Way) -> Result<Self, Refusal> {
        let node = graph.node(id);
        let name = label(graph, id);
        let (attributes, count) = (node.attributes(), way.scale.len());
        let number = |key: &str| attributes.int(key).unwrap_or(0);
        let kind = match node.op_type() {
            _ if !node.domain().is_empty() => None,
            "Conv" => usize::try_from(attributes.int("group").unwrap_or(1)).ok().map(|groups| Kind::Conv { groups }),
            "MatMul" => Some(Kind::Matrix { has_bias: false }),
            "Gemm" if number("transB") != 0 => Some(Kind::Turned),
            "Gemm" => Some(Kind::Matrix { has_bias: true }),
            _ => None,
        };
        let Some(kind) = kind else {
            return Err(format!("{name} reads it, which has no weights that scale and mean could go into"));
        };
        let plain = |key: &str| attributes.float(key).unwrap_or(1.0) == 1.0;
        if node.is("Gemm") && (number("transA") != 0 || !plain("alpha") || !plain("beta")) {
            return Err(format!("{name} transposes or scales what it reads"));
        }
        let constant = |slot: usize| {
            let found = node.input(slot).map(|v| graph.constant(v)).transpose().ok().flatten().flatten();
            found.filter(|t| t.dtype() == DataType::Float32)
        };
        let weight = constant(1).ok_or_else(|| format!("the weights of {name} are no float32 constant"))?;
        let shape = weight.shape();
        let unlike = || format!("the weights of {name}, {shape:?}, are not for the {count} channels of a picture");
        let (inputs, rank) = match kind {
            Kind::Conv { groups } => (shape.get(1).map(|n| n * groups), shape.len() >= 3),
            Kind::Matrix { .. } => (shape.first().copied(), shape.len() == 2),
            Kind::Turned => (shape.get(1).copied(), shape.len() == 2),
        };
        let is_conv = matches!(kind, Kind::Conv { .. });
        // Columns are the last axis, of which a product with a matrix sums.
        let along = if is_conv { way.axis == 1 } else { Some(way.axis + 1) == graph.rank(way.value) };
        if !rank || count > 1 && (inputs != Some(count) || !along) {
            return Err(unlike());
        }
        let layer = Self { id, weight, kind, bias: None, pads: is_conv && pads(graph, id) };
        let outputs = layer.outputs();
        if matches!(kind, Kind::Conv { groups } if groups == 0 || !outputs.is_multiple_of(groups)) {
            return Err(layer.label(graph) + " has groups that do not divide its channels");
        }
        let bias = match (kind, node.input(2)) {
            (Kind::Matrix { has_bias: false }, _) | (_, None) => None,
            _ => {
                let bias = constant(2).filter(|t| t.len() == outputs && t.shape().last() == Some(&outputs));
                let bias = bias.and_then(|t| t.to_f32().ok().map(std::borrow::Cow::into_owned));
                Some(bias.ok_or_else(|| format!("the bias of {name} is not one constant for each output channel"))?)
            }
        };
        Ok(Self { bias, ..layer })
    }

    pub fn label(&self, graph: &Graph) -> String {
        label(graph, self.id)
    }

    /// The rank of what it reads.
    pub fn rank(&self) -> usize {
        self.weight.shape().len()
    }

    /// Whether it can read one more channel.
    pub fn takes_mark(&self) -> bool {
        self.kind == Kind::Conv { groups: 1 }
    }

    fn outputs(&self) -> usize {
        self.weight.shape()[usize::from(matches!(self.kind, Kind::Matrix { .. }))]
    }

    /// The input and output channel, and the tap, of each weight.
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let shape = self.weight.shape();
        let taps: usize = shape[2.min(shape.len())..].iter().product();
        let (rows, columns, kind) = (shape[0], shape[1], self.kind);
        (0..rows * columns * taps).map(move |index| {
            let (row, column, tap) = (index / taps / columns, index / taps % columns, index % taps);
            match kind {
                Kind::Conv { groups } => (row / (rows / groups) * columns + column, row, tap),
                Kind::Matrix { .. } => (row, column, tap),
                Kind::Turned => (column, row, tap),
            }
        })
    }

    /// Each weight with its place.
    fn weights(&self) -> Vec<((usize, usize, usize), f64)> {
        // Read as float32 when the layer was.
        let numbers = self.weight.to_f32().unwrap_or_default();
        self.places().zip(numbers.iter().map(|&w| f64::from(w)).collect::<Vec<_>>()).collect()
    }

    /// What the numbers `rest` of the channels come to, at each tap of each output channel.
    fn rests(&self, rest: &[f64]) -> Vec<Vec<f64>> {
        let shape = self.weight.shape();
        let taps: usize = shape[2.min(shape.len())..].iter().product();
        let mut sums = vec![vec![0.0; taps]; self.outputs()];
        self.weights().into_iter().for_each(|((input, output, tap), w)| sums[output][tap] += w * at(rest, input));
        sums
    }

    /// The least mark with which the weights of one more channel are no larger than the others, at every output channel.
    pub fn least_mark(&self, scale: &[f64], rest: &[f64]) -> f64 {
        let mut largest = vec![0f64; self.outputs()];
        for ((input, output, _), w) in self.weights() {
            largest[output] = largest[output].max((w * at(scale, input)).abs());
        }
        let needed = self.rests(rest).into_iter().map(|taps| taps.into_iter().fold(0f64, |m, v| m.max(v.abs())));
        let ratios = needed.zip(largest).filter(|(_, own)| *own > 0.0).map(|(rest, own)| rest / own);
        ratios.fold(1.0, f64::max)
    }

    /// Lets it read levels: `scale` goes into its weights, and `rest` into its bias.
    pub fn read_levels(&self, graph: &mut Graph, scale: &[f64], rest: &[f64]) {
        let scaled: Vec<f32> = self.weights().into_iter().map(|((i, _, _), w)| (w * at(scale, i)) as f32).collect();
        self.set_weight(graph, &Tensor::from_f32(self.weight.shape().to_vec(), &scaled));
        if rest.iter().all(|&v| v == 0.0) {
            return;
        }
        let own = self.bias.clone().unwrap_or_else(|| vec![0.0; self.outputs()]);
        let sums = self.rests(rest).into_iter().map(|taps| taps.into_iter().sum::<f64>());
        let bias: Vec<f32> = own.iter().zip(sums).map(|(&own, sum)| (f64::from(own) + sum) as f32).collect();
        let name = graph.node(self.id).input(2).or(graph.node(self.id).input(1));
        let name = name.map_or("layer", |v| graph.value(v).name()).to_owned();
        let name = if self.bias.is_some() { name } else { format!("{name}_bias") };
        let bias = graph.add_initializer(&name, &Tensor::from_f32(vec![bias.len()], &bias));
        if self.kind == (Kind::Matrix { has_bias: false }) {
            self.add_behind(graph, bias);
        } else {
            graph.set_input(self.id, 2, Some(bias));
        }
    }

    /// Lets it read the picture `marked`, whose last channel holds `mark`: what `rest` comes to are the weights of that channel.
    pub fn read_marked(&self, graph: &mut Graph, marked: ValueId, mark: i32, scale: &[f64], rest: &[f64]) {
        let mut shape = self.weight.shape().to_vec();
        let each = self.weight.len() / self.outputs().max(1);
        let scaled: Vec<f64> = self.weights().into_iter().map(|((i, _, _), w)| w * at(scale, i)).collect();
        let rests = self.rests(rest).into_iter().map(|taps| taps.into_iter().map(|v| v / f64::from(mark)));
        let rows = scaled.chunks(each.max(1)).zip(rests);
        let numbers: Vec<f32> =
            rows.flat_map(|(own, rest)| own.iter().copied().chain(rest)).map(|w| w as f32).collect();
        shape[1] += 1;
        self.set_weight(graph, &Tensor::from_f32(shape, &numbers));
        graph.set_input(self.id, 0, Some(marked));
    }

    fn set_weight(&self, graph: &mut Graph, weight: &Tensor) {
        let name = graph.node(self.id).input(1).map_or("weight", |v| graph.value(v).name()).to_owned();
        let weight = graph.add_initializer(&name, weight);
        graph.set_input(self.id, 1, Some(weight));
    }

    /// A MatMul has no bias: it is added behind it.
    fn add_behind(&self, graph: &mut Graph, bias: ValueId) {
        let Some(output) = graph.node(self.id).output(0) else { return };
        let (name, ty) = (graph.value(output).name().to_owned(), graph.known_type(output));
        let product = graph.split_output(self.id, 0, &format!("{name}_product"));
        ty.into_iter().for_each(|ty| graph.learn_type(product, ty));
        let new = NewNode {
            op_type: "Add",
            name: &format!("{name}_add"),
            inputs: vec![Some(product), Some(bias)],
            ..NewNode::default()
        };
        let (add, _) = graph.add_node(new, &format!("{name}_shifted"));
        graph.take_over_output(add, 0, output);
    }
}

fn at(numbers: &[f64], channel: usize) -> f64 {
    numbers[if numbers.len() > 1 { channel } else { 0 }]
}

/// Whether a Conv may read beyond the picture.
fn pads(graph: &Graph, id: NodeId) -> bool {
    let attributes = graph.node(id).attributes();
    match attributes.text("auto_pad") {
        Some("SAME_UPPER" | "SAME_LOWER") => true,
        Some("VALID") => false,
        _ => attributes.ints("pads").is_some_and(|pads| pads.iter().any(|&p| p != 0)),
    }
}
