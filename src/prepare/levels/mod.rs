//! Inputs that take the levels of a picture: what scales and shifts them until a layer reads them goes into that layer.
//!
//! With `x = scale * (level - zero)` in each channel, a layer that pads nothing is the same of levels: `scale` goes into its
//! weights, and what `zero` comes to into its bias. One that pads with the number 0 is the same where the zeros of all
//! channels are one whole level, which then stands for 0. Where they are not, one more channel tells the picture, where it
//! is constant, from the padding, where it is 0: its weights are what `zero` comes to at each tap.

mod layer;
mod way;

use crate::error::Result;
use crate::inputs::{Levels, common_level};
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::tensor::{Tensor, TensorType};
use layer::Layer;
use way::Way;

/// Why a graph was left as it was.
type Refusal = String;

/// The highest level.
const HIGHEST: i32 = 255;

/// How an input takes the levels of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TakesLevels {
    /// What a level is worth to what reads the input now.
    pub scale: f32,
    /// The level of a 0.
    pub zero_point: i32,
    /// Whether the graph was changed: what reads the input takes `level - zero_point` now, whatever numbers it took before.
    pub changed: bool,
}

/// Lets `input`, which takes the numbers that `levels` says, take the levels themselves on a grid of one scale: as it is where
/// there is one, otherwise with the layers that read it changed. Nothing is changed where that cannot be exact; why is said.
///
/// # Errors
/// When a constant is malformed.
pub fn take_levels(
    graph: &mut Graph,
    input: ValueId,
    levels: &Levels,
) -> Result<std::result::Result<TakesLevels, Refusal>> {
    let as_it_is = levels.grid().map(|(scale, zero_point)| TakesLevels { scale, zero_point, changed: false });
    let way = Way::from(graph, input, levels, usize::MAX)?;
    if let Some(as_it_is) = as_it_is.filter(|_| way.steps() == 0) {
        return Ok(Ok(as_it_is));
    }
    let (steps, mut refusal) = (way.steps(), None);
    // What looks like a step may be the layer.
    for steps in (0..=steps).rev() {
        match fold(graph, &Way::from(graph, input, levels, steps)?) {
            Ok(zero_point) => {
                graph.remove_unused();
                return Ok(Ok(TakesLevels { scale: 1.0, zero_point, changed: true }));
            }
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    Ok(as_it_is.ok_or_else(|| refusal.unwrap_or_default()))
}

/// Puts what the way does into the layers at its end, and gives the level that stands for 0.
fn fold(graph: &mut Graph, way: &Way) -> std::result::Result<i32, Refusal> {
    let mut layers = Vec::new();
    for reader in way.readers(graph) {
        layers.push(Layer::read(graph, reader?, way)?);
    }
    if layers.is_empty() {
        return Err("nothing reads it".to_owned());
    }
    let zeros: Vec<f64> = way.scale.iter().zip(&way.shift).map(|(scale, shift)| -shift / scale).collect();
    if zeros.iter().chain(&way.scale).any(|v| !v.is_finite()) {
        return Err("a channel is multiplied with 0, or shifted by what is no number".to_owned());
    }
    let common = common_level(&zeros);
    let padded = layers.iter().any(|layer| layer.pads);
    let zero_point = match common {
        Some(level) => level,
        None if padded => middle(&zeros),
        None => 0,
    };
    // What the number of level `zero_point` is, where it should be 0.
    let rest: Vec<f64> = match common {
        Some(_) => vec![0.0; zeros.len()],
        None => way.scale.iter().zip(&zeros).map(|(scale, zero)| scale * (f64::from(zero_point) - zero)).collect(),
    };
    let marked: Vec<&Layer> = layers.iter().filter(|layer| layer.pads && common.is_none()).collect();
    if let Some(layer) = marked.iter().find(|layer| !layer.takes_mark()) {
        let why = "pads, and the zeros of the channels are no common byte: it is exact with one more channel, which it has \
                   no room for, being grouped";
        return Err(format!("{} {why} (they are {})", layer.label(graph), listed(&zeros)));
    }
    let mark = marked.iter().map(|layer| layer.least_mark(&way.scale, &rest)).fold(1.0, f64::max);
    let mark = sign_and_size(mark, zero_point);
    way.bypass(graph);
    let marked = (!marked.is_empty()).then(|| mark_picture(graph, way, mark, &layers));
    for layer in &layers {
        match marked.filter(|_| layer.pads) {
            Some(value) => layer.read_marked(graph, value, mark, &way.scale, &rest),
            None => layer.read_levels(graph, &way.scale, &rest),
        }
    }
    Ok(zero_point)
}

/// The byte that lies between the zeros of all channels.
fn middle(zeros: &[f64]) -> i32 {
    let ends = zeros.iter().fold((f64::MAX, f64::MIN), |ends, &zero| (ends.0.min(zero), ends.1.max(zero)));
    f64::midpoint(ends.0, ends.1).round().clamp(0.0, f64::from(HIGHEST)) as i32
}

/// The number of steps, down or up, by which the mark of the picture differs from the zero point: `least` of them, or as many
/// as there are bytes. Down where there is room: kernels that add products up in 16 bits bear low bytes better.
fn sign_and_size(least: f64, zero_point: i32) -> i32 {
    let steps = least.ceil().min(f64::from(HIGHEST)) as i32;
    let above = HIGHEST - zero_point;
    if steps <= zero_point || zero_point >= above { -steps.min(zero_point) } else { steps.min(above) }
}

fn listed(zeros: &[f64]) -> String {
    zeros.iter().map(|zero| format!("{zero:.2}")).collect::<Vec<_>>().join(", ")
}

/// The picture with one more channel that holds `mark`.
fn mark_picture(graph: &mut Graph, way: &Way, mark: i32, layers: &[Layer]) -> ValueId {
    let rank = layers.iter().find(|layer| layer.pads).map_or(4, Layer::rank);
    let mut pads = vec![0; 2 * rank];
    pads[rank + 1] = 1;
    let stem = format!("{}_marked", graph.value(way.value).name());
    let pads = graph.add_initializer(&format!("{stem}_pads"), &Tensor::from_i64(vec![2 * rank], &pads));
    let number = graph.add_initializer(&format!("{stem}_mark"), &Tensor::from_f32(vec![], &[mark as f32]));
    let inputs = vec![Some(way.value), Some(pads), Some(number)];
    let new = NewNode { op_type: "Pad", name: &format!("{stem}_Pad"), inputs, ..NewNode::default() };
    let (_, marked) = graph.add_node(new, &stem);
    if let Some(TensorType { dtype, mut dims }) = graph.known_type(way.value) {
        if let Some(channels) = dims.get_mut(1) {
            *channels = channels.map(|count| count + 1);
        }
        graph.learn_type(marked, TensorType { dtype, dims });
    }
    marked
}

/// A node and its operator, for a refusal.
fn label(graph: &Graph, id: NodeId) -> String {
    format!("{} {:?}", graph.node(id).op_type(), graph.label(id))
}
