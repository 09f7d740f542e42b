//! Equalization through HardSwish, as it stands behind a layer once it is prepared: `x * Clip(x + c, 0, 2c)`. HardSwish is not
//! homogeneous, but what it multiplies is: with `u = x / s`, a factor for each channel, it is `s u * Clip(s u + c, 0, 2c)`. The gate
//! is made of `u` by a depthwise Conv of one tap in the place of the Add, with the weights `s` and the bias `c`, and the Convs behind
//! take the other `s`, where they are depthwise, so that their integers stay what they are. Then `u`, which has most of the error of
//! such networks, is on a grid that serves all channels alike.

use super::LARGEST;
use super::graph::{equalized_name, is_named, scale};
use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, Use, ValueId};
use crate::tensor::Tensor;
use std::f32::consts::SQRT_2;

/// A channel counts as no smaller than this share of the median one.
const LEAST_SHARE: f64 = 0.05;
/// So many bits more must the channels get in the mean to be worth it.
const LEAST_BITS: f64 = 1.0;

/// A layer, the HardSwish behind it, and the depthwise Convs that alone read that.
#[derive(Debug, Clone, PartialEq)]
pub struct HardSwish {
    /// The Conv that makes `x`.
    pub layer: NodeId,
    /// How many channels there are.
    pub channels: usize,
    /// The Clip that cuts off what the gate makes nothing of.
    cut: NodeId,
    /// The Add of `c`.
    add: NodeId,
    /// `c`
    shift: f32,
    /// An Add of one number behind it, and at which of its inputs that is.
    addend: Option<(NodeId, usize)>,
    /// The Convs that read what comes of it.
    pub readers: Vec<NodeId>,
    /// Its values, in order: the first is what the layer makes, the last what the readers read.
    pub values: Vec<ValueId>,
}

impl HardSwish {
    /// The one behind a layer.
    pub fn behind(graph: &Graph, layer: NodeId) -> Option<Self> {
        let node = graph.node(layer);
        let weight = graph.stated_type(node.input(1).filter(|&weight| graph.is_constant(weight))?)?;
        let channels = weight.dims.first().copied().flatten().filter(|_| weight.dims.len() == 4)?;
        let x = node.output(0).filter(|_| node.is("Conv"))?;
        let bias = node.input(2).map(|bias| graph.stated_type(bias).filter(|_| graph.is_constant(bias)));
        if bias.is_some_and(|bias| bias.is_none_or(|bias| bias.dims != [Some(channels)])) {
            return None;
        }
        let cut = only_reader(graph, x, "Clip")?;
        let kept = graph.node(cut).output(0)?;
        let number = |node: NodeId, slot: usize| single(graph, graph.node(node).input(slot)?);
        let readers = readers(graph, kept)?;
        let find = |op: &str| readers.iter().copied().find(|&id| graph.node(id).is(op)).filter(|_| readers.len() == 2);
        let (add, product) = (find("Add")?, find("Mul")?);
        let shift = number(add, 0).or_else(|| number(add, 1)).filter(|&shift| shift > 0.0)?;
        let shifted = graph.node(add).output(0)?;
        let clip = only_reader(graph, shifted, "Clip")?;
        let gate = graph.node(clip).output(0)?;
        let bounds =
            number(cut, 1) == Some(-shift) && graph.node(cut).input(2).is_none() && number(clip, 1) == Some(0.0);
        let high = number(clip, 2).is_some_and(|high| (high - 2.0 * shift).abs() <= 1e-5 * shift);
        if !bounds || !high || only_reader(graph, gate, "Mul")? != product {
            return None;
        }
        let mut made = graph.node(product).output(0)?;
        let mut values = vec![x, kept, shifted, gate, made];
        let addend = only_reader(graph, made, "Add").and_then(|id| {
            let slot = (0..2).find(|&slot| number(id, slot).is_some())?;
            Some((id, slot))
        });
        if let Some((id, _)) = addend {
            made = graph.node(id).output(0)?;
            values.push(made);
        }
        let behind = self::readers(graph, made)?;
        let depthwise = |&id: &NodeId| {
            let weight = graph.node(id).input(1).and_then(|weight| graph.stated_type(weight));
            let dims = weight.map(|ty| ty.dims).unwrap_or_default();
            let groups = graph.node(id).attributes().int("group").unwrap_or(1);
            let each = dims.first().copied().flatten() == Some(channels) && dims.get(1) == Some(&Some(1));
            graph.node(id).is("Conv") && each && groups == channels as i64 && graph.node(id).input(0) == Some(made)
        };
        let whole = !behind.is_empty() && behind.iter().all(depthwise);
        let whole = whole && values.iter().all(|&value| is_named(graph, value));
        whole.then_some(Self { layer, channels, cut, add, shift, addend, readers: behind, values })
    }

    /// The powers of two that its channels are best divided by, by the smallest and largest number of each; `None` where that gains too
    /// little.
    pub fn exponents(&self, ends: &[(f64, f64)]) -> Option<Vec<i32>> {
        let reach = |&(low, high): &(f64, f64)| high.max((-low).min(f64::from(self.shift)));
        let mut sizes: Vec<f64> = ends.iter().map(reach).collect();
        let mut sorted = sizes.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().filter(|&median| median > 0.0)?;
        sizes.iter_mut().for_each(|size| *size = size.max(LEAST_SHARE * median));
        let logs: Vec<f64> = sizes.iter().map(|size| size.log2()).collect();
        let middle = logs.iter().sum::<f64>() / logs.len() as f64;
        let most = logs.iter().copied().fold(f64::MIN, f64::max);
        let exponents: Vec<i32> = logs.iter().map(|log| log.round() as i32).collect();
        let fits = exponents.len() == self.channels && exponents.iter().all(|exponent| exponent.abs() <= LARGEST);
        (fits && most - middle >= LEAST_BITS).then_some(exponents)
    }

    /// Divides its channels by powers of two that leave none of what was seen of them, or of what the gate leaves of that, beyond the
    /// root of two. Nothing of it becomes another number behind the HardSwish.
    ///
    /// # Errors
    /// When a constant is malformed, or float32 does not hold it then.
    pub fn equalize(&self, graph: &mut Graph, exponents: &[i32]) -> Result<()> {
        let power = |exponent: i32| 2f32.powi(exponent);
        let inner = |graph: &Graph, node: NodeId, slot: usize| {
            let count = graph.node(node).input(slot).and_then(|value| graph.stated_type(value)).and_then(|ty| {
                ty.dims.into_iter().collect::<Option<Vec<usize>>>().map(|dims| dims.iter().product::<usize>())
            });
            (count.unwrap_or(0) / exponents.len().max(1)).max(1)
        };
        let name = graph.value(self.values[0]).name().to_owned();
        for slot in 1..graph.node(self.layer).inputs().len() {
            let each = inner(graph, self.layer, slot);
            scale(graph, (self.layer, slot), |index| power(-exponents[index / each]))?;
        }
        // No channel reaches further down, but where the gate makes nothing of it.
        let least = Tensor::from_f32(vec![], &[-SQRT_2]);
        let least = graph.add_initializer(&format!("{name}_equalized_least"), &least);
        graph.set_input(self.cut, 1, Some(least));
        let weight: Vec<f32> = exponents.iter().map(|&exponent| power(exponent)).collect();
        let count = exponents.len();
        let weight =
            graph.add_initializer(&format!("{name}_gate_weight"), &Tensor::from_f32(vec![count, 1, 1, 1], &weight));
        let bias = graph
            .add_initializer(&format!("{name}_gate_bias"), &Tensor::from_f32(vec![count], &vec![self.shift; count]));
        let inputs = vec![Some(self.values[1]), Some(weight), Some(bias)];
        let ints = vec![("group", count as i64)];
        let gate = NewNode { op_type: "Conv", name: &format!("{name}_gate"), inputs, ints };
        let (conv, _) = graph.add_node(gate, &format!("{name}_gate_made"));
        graph.take_over_output(conv, 0, self.values[2]);
        graph.remove_if_unused(self.add);
        if let Some((add, slot)) = self.addend {
            let number = graph.node(add).input(slot).and_then(|value| single(graph, value)).unwrap_or(0.0);
            let each: Vec<f32> = exponents.iter().map(|&exponent| number * power(-exponent)).collect();
            let each = graph.add_initializer(&format!("{name}_addend"), &Tensor::from_f32(vec![1, count, 1, 1], &each));
            graph.set_input(add, slot, Some(each));
        }
        for &reader in &self.readers {
            let each = inner(graph, reader, 1);
            scale(graph, (reader, 1), |index| power(exponents[index / each]))?;
        }
        for &value in &self.values {
            let name = equalized_name(graph.value(value).name());
            graph.rename(value, &name);
        }
        Ok(())
    }
}

/// The only number of a constant.
fn single(graph: &Graph, value: ValueId) -> Option<f32> {
    let tensor = graph.constant(value).ok()??;
    tensor.first_f32().filter(|_| tensor.len() == 1)
}

/// The nodes that read a value, each once; `None` where something else does.
fn readers(graph: &Graph, value: ValueId) -> Option<Vec<NodeId>> {
    let node = |reader: &Use| match reader {
        Use::Input { node, .. } => Some(*node),
        _ => None,
    };
    graph.value(value).uses().iter().map(node).collect()
}

/// The node of that operator that alone reads a value.
fn only_reader(graph: &Graph, value: ValueId, op_type: &str) -> Option<NodeId> {
    match *readers(graph, value)?.as_slice() {
        [one] if graph.node(one).is(op_type) => Some(one),
        _ => None,
    }
}
