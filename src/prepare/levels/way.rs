//! The way from an input to the layers that read it: what scales and shifts its channels, and what moves them.

use super::{Refusal, label};
use crate::error::Result;
use crate::inputs::Levels;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::tensor::{DataType, Tensor};

/// From levels to what layers read: `number = scale * level + shift`.
pub(super) struct Way {
    /// What the layers are to read: the input, or what moves its numbers.
    pub value: ValueId,
    /// One number for all, or one for each index along `axis`.
    pub scale: Vec<f64>,
    /// As many as `scale`.
    pub shift: Vec<f64>,
    pub axis: usize,
    /// What the layers read so far.
    end: ValueId,
    /// Outputs of nodes that only scale and shift, each with what its readers are to read.
    bypassed: Vec<(ValueId, ValueId)>,
}

/// What one node on the way does to each channel.
struct Step {
    scale: Vec<f64>,
    shift: Vec<f64>,
    /// Where there is more than one number.
    axis: usize,
}

impl Way {
    /// Follows `input` as long as one node alone reads it and scales, shifts or moves its channels; at most `steps` that
    /// scale or shift.
    ///
    /// # Errors
    /// When a constant is malformed.
    pub fn from(graph: &Graph, input: ValueId, levels: &Levels, steps: usize) -> Result<Self> {
        let shift = levels.scale.iter().zip(&levels.zero).map(|(scale, zero)| -scale * zero).collect();
        let (scale, axis) = (levels.scale.clone(), levels.axis);
        let mut way = Self { value: input, scale, shift, axis, end: input, bypassed: Vec::new() };
        while let Some(id) = way.only_reader(graph) {
            let Some(output) = graph.node(id).output(0) else { break };
            if let Some(step) = step(graph, id, way.end)? {
                if way.steps() == steps || !way.take(&step) {
                    break;
                }
                way.bypassed.push((output, way.value));
            } else if way.moves(graph, id) {
                way.value = output;
            } else {
                break;
            }
            way.end = output;
        }
        Ok(way)
    }

    /// How many nodes between the input and the layers scale or shift it.
    pub fn steps(&self) -> usize {
        self.bypassed.len()
    }

    /// The only node that reads the numbers of the end of the way; what asks for its shape does not.
    fn only_reader(&self, graph: &Graph) -> Option<NodeId> {
        let mut readers = graph.value(self.end).uses().iter().filter(|one| !asks_shape(graph, one));
        match (readers.next(), readers.next()) {
            (Some(&Use::Input { node, .. }), None) => Some(node),
            _ => None,
        }
    }

    /// The nodes that read the numbers as their first input, or why others do.
    pub fn readers(&self, graph: &Graph) -> Vec<std::result::Result<NodeId, Refusal>> {
        let uses = graph.value(self.end).uses().iter().filter(|one| !asks_shape(graph, one));
        let mut readers: Vec<_> = uses
            .map(|one| match *one {
                Use::Input { node, slot: 0 } => Ok(node),
                Use::Input { node, .. } => {
                    Err(format!("{} reads it, not as what a layer computes on", label(graph, node)))
                }
                Use::Body { node } => Err(format!("the body of {} reads it", label(graph, node))),
                Use::Output { .. } => Err("the model hands it on as an output".to_owned()),
            })
            .collect();
        // Uses have no order.
        readers.sort();
        readers
    }

    /// Lets what stands behind nodes that scale and shift read what stands before them.
    pub fn bypass(&self, graph: &mut Graph) {
        self.bypassed.iter().for_each(|&(behind, before)| graph.redirect_readers(behind, before));
    }

    fn take(&mut self, step: &Step) -> bool {
        let (own, other) = (self.scale.len(), step.scale.len());
        if own > 1 && other > 1 && (own != other || self.axis != step.axis) {
            return false;
        }
        if other > 1 {
            self.axis = step.axis;
        }
        let at = |numbers: &[f64], i: usize| numbers[if numbers.len() > 1 { i } else { 0 }];
        let count = own.max(other);
        let shift = |i| at(&self.shift, i) * at(&step.scale, i) + at(&step.shift, i);
        let shift = (0..count).map(shift).collect();
        self.scale = (0..count).map(|i| at(&self.scale, i) * at(&step.scale, i)).collect();
        self.shift = shift;
        true
    }

    /// Whether node `id` only moves the numbers, in a way that keeps channels apart; then the axis is that behind it.
    fn moves(&mut self, graph: &Graph, id: NodeId) -> bool {
        let node = graph.node(id);
        if node.is("Transpose") {
            let rank = graph.rank(self.end).unwrap_or(0);
            let perm = match node.attributes().ints("perm") {
                Some(perm) => perm.to_vec(),
                None => (0..rank as i64).rev().collect(),
            };
            let Some(axis) = perm.iter().position(|&from| usize::try_from(from) == Ok(self.axis)) else {
                return self.scale.len() == 1;
            };
            self.axis = axis;
            return true;
        }
        (node.is("Flatten") || node.is("Reshape")) && (self.scale.len() == 1 || self.flattens(graph, id))
    }

    /// Whether everything behind the batch becomes columns: each then has the numbers of its channel.
    fn flattens(&mut self, graph: &Graph, id: NodeId) -> bool {
        let ends = graph.node(id).output(0).and_then(|v| graph.known_type(v)).zip(graph.known_type(self.end));
        let Some((made, read)) = ends else { return false };
        let Some(sizes) = read.dims.get(1..).and_then(|dims| dims.iter().copied().collect::<Option<Vec<usize>>>())
        else {
            return false;
        };
        let columns: usize = sizes.iter().product();
        if made.dims.len() != 2 || made.dims[1] != Some(columns) || columns == 0 || self.axis == 0 {
            return false;
        }
        let (inner, count): (usize, _) = (sizes[self.axis..].iter().product(), self.scale.len());
        let spread = |numbers: &[f64]| (0..columns).map(|i| numbers[i / inner % count]).collect();
        (self.scale, self.shift, self.axis) = (spread(&self.scale), spread(&self.shift), 1);
        true
    }
}

fn asks_shape(graph: &Graph, one: &Use) -> bool {
    let asks = |node: NodeId| graph.node(node).is("Shape") || graph.node(node).is("Size");
    matches!(*one, Use::Input { node, .. } if asks(node))
}

/// What node `id` does to each channel of `value`, if it does nothing but scale and shift them by constants.
fn step(graph: &Graph, id: NodeId, value: ValueId) -> Result<Option<Step>> {
    let node = graph.node(id);
    let Some(slot) = (0..2).find(|&slot| node.input(slot) == Some(value)) else { return Ok(None) };
    let Some(rank) = graph.rank(value) else { return Ok(None) };
    if node.is("Conv") {
        return depthwise(graph, id, rank);
    }
    if !["Add", "Sub", "Mul", "Div"].iter().any(|op| node.is(op)) {
        return Ok(None);
    }
    let constant = node.input(1 - slot).map(|other| graph.constant(other)).transpose()?.flatten();
    let Some((numbers, axis)) = constant.and_then(|constant| per_channel(&constant, rank)) else { return Ok(None) };
    let (ones, zeros) = (vec![1.0; numbers.len()], vec![0.0; numbers.len()]);
    let negative = || numbers.iter().map(|v| -v).collect::<Vec<_>>();
    let (scale, shift) = match (node.op_type(), slot) {
        ("Add", _) => (ones, numbers),
        ("Sub", 0) => (ones, negative()),
        ("Sub", _) => (vec![-1.0; numbers.len()], numbers),
        ("Mul", _) => (numbers, zeros),
        ("Div", 0) => (numbers.iter().map(|v| 1.0 / v).collect(), zeros),
        _ => return Ok(None),
    };
    Ok(Some(Step { scale, shift, axis }))
}

/// One number for all, or for each index along one axis, out of a constant that is broadcast to `rank` axes.
fn per_channel(constant: &Tensor, rank: usize) -> Option<(Vec<f64>, usize)> {
    let shape = constant.shape();
    if constant.dtype() != DataType::Float32 || shape.len() > rank || constant.is_empty() {
        return None;
    }
    let mut long = (0..shape.len()).filter(|&axis| shape[axis] != 1);
    let axis = long.next().map_or(0, |axis| axis + rank - shape.len());
    let numbers = constant.to_f32().ok()?.iter().map(|&v| f64::from(v)).collect();
    long.next().is_none().then_some((numbers, axis))
}

/// A convolution that multiplies each channel with one number: a BatchNormalization, as it is prepared.
fn depthwise(graph: &Graph, id: NodeId, rank: usize) -> Result<Option<Step>> {
    let node = graph.node(id);
    let mut constants = [None, None];
    for (slot, constant) in constants.iter_mut().enumerate() {
        let value = node.input(slot + 1);
        *constant = value.map(|v| graph.constant(v)).transpose()?.flatten().filter(|t| t.dtype() == DataType::Float32);
        if value.is_some() && constant.is_none() {
            return Ok(None);
        }
    }
    let [Some(weight), bias] = constants else { return Ok(None) };
    let (shape, attributes) = (weight.shape(), node.attributes());
    let all = |name: &str, number: i64| attributes.ints(name).is_none_or(|v| v.iter().all(|&v| v == number));
    let single = shape.len() == rank && shape[1..].iter().all(|&d| d == 1);
    let apart = attributes.int("group").unwrap_or(1) == shape.first().map_or(0, |&d| d as i64);
    if !single
        || !apart
        || !all("pads", 0)
        || !all("strides", 1)
        || attributes.text("auto_pad").is_some_and(|m| m != "NOTSET")
    {
        return Ok(None);
    }
    let scale: Vec<f64> = weight.to_f32()?.iter().map(|&v| f64::from(v)).collect();
    let shift = match bias {
        Some(bias) => bias.to_f32()?.iter().map(|&v| f64::from(v)).collect(),
        None => vec![0.0; scale.len()],
    };
    Ok((shift.len() == scale.len()).then_some(Step { scale, shift, axis: 1 }))
}
