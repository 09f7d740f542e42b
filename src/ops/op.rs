//! What is said of an operator, and what follows from it for a node.

use crate::ir::{Graph, NodeId};
use crate::quant::{ChannelAxis, SumOrder};
use std::fmt;

/// What an operator does with numbers, as far as quantization cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Multiplies and accumulates: the work that integers are for. With constant weights it is always made integer.
    Compute,
    /// Computes one number from few, in integers where its neighbours are: a float one between two integer ones costs two
    /// conversions.
    Arithmetic,
    /// Moves or picks numbers without changing them: input and output share one grid, exactly.
    Movement,
    /// Cuts numbers off at bounds: vanishes into the grid of what made them, where that grid ends within the bounds.
    Clamp,
    /// Computes in float, for accuracy: a Softmax makes differences of several per cent of steps in its input, a
    /// normalization divides by the spread of its own. What is known is the range of its output.
    Float,
    /// Looks rows up in a constant table: the table is stored as integers, and what was looked up is dequantized.
    Lookup,
}

/// Which inputs carry activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// Only the first.
    First,
    /// The first two, either of which may be a weight.
    Pair,
    /// All of them.
    All,
    /// All but the first, which is a condition.
    Rest,
}

/// Where the channels of a weight lie: the axis along which each index may have its own scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightAxis {
    /// A fixed axis.
    At(usize),
    /// Axis 0 when `transB` is set, 1 otherwise.
    GemmColumns,
    /// The last axis, for a matrix; a whole-tensor scale for anything else.
    MatrixColumns,
    /// The rows of the matrices of an LSTM, GRU or RNN, one above the other for all gates: axis 1, behind that of the directions.
    Gates,
}

/// The input that holds weights when it is constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Which input.
    pub slot: usize,
    /// Its channels.
    pub axis: WeightAxis,
}

/// Where a layer's bias is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// It has none.
    None,
    /// This input.
    Input(usize),
    /// The constant operand of an Add behind it.
    AddBehind,
}

/// What is known of the output's range without running anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputRange {
    /// Nothing: it is calibrated.
    Calibrated,
    /// `[0, 1)`: the grid is fixed at 1/256 a step, which NNAPI and XNNPACK insist on (1/255 is refused there).
    Unit,
    /// `[0, 1]`: both ends are reached, so both are on the grid.
    Closed,
    /// `[-1, 1)`, at 1/128 a step, as LiteRT has it.
    Signed,
}

impl fmt::Display for OutputRange {
    /// The step, or the range where that says more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calibrated => "range by calibration",
            Self::Unit => "1/256 a step",
            Self::Closed => "range [0, 1]",
            Self::Signed => "1/128 a step",
        })
    }
}

/// One operator.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    /// Its name in ONNX's own domain.
    pub op_type: &'static str,
    /// What it does with numbers.
    pub role: Role,
    /// The inputs that carry activations.
    pub activations: Slots,
    /// The input that holds weights.
    pub weight: Option<Weight>,
    /// Another one, of a recurrent operator: the weights of what it made a step before.
    pub recurrence: Option<Weight>,
    /// The operator that computes the same on integers which are found while the model runs.
    pub integer_form: Option<&'static str>,
    /// The same of ONNX Runtime's own domain, where ONNX has none.
    pub contrib_form: Option<&'static str>,
    /// Where its bias is.
    pub bias: Bias,
    /// The range of the output.
    pub range: OutputRange,
    /// The axis along which the channels of its input and its output lie, where that follows from the operator alone.
    pub(super) channels: Option<ChannelAxis>,
    /// Whether its output has the axes of its inputs, in their order; arithmetic and clamps do unless their row says otherwise.
    pub(super) keeps_axes: bool,
    /// Why this node is none after all; `None` when the row holds for it.
    pub unless: fn(&Graph, NodeId) -> Option<String>,
}

impl Op {
    /// The inputs of `node` that carry activations: those of the row that are there.
    pub fn activation_slots(&self, graph: &Graph, node: NodeId) -> Vec<usize> {
        let inputs = graph.node(node).inputs();
        let (start, end) = match self.activations {
            Slots::First => (0, 1),
            Slots::Pair => (0, 2),
            Slots::All => (0, inputs.len()),
            Slots::Rest => (1, inputs.len()),
        };
        (start..end.min(inputs.len())).filter(|&slot| inputs[slot].is_some()).collect()
    }

    /// The inputs that hold weights when they are constant.
    pub fn weights(&self) -> impl Iterator<Item = Weight> {
        self.weight.into_iter().chain(self.recurrence)
    }

    /// Whether it is scaled dot-product attention as one operator.
    pub fn attends(&self) -> bool {
        self.op_type == "Attention"
    }

    /// Whether it slides a weight over positions.
    pub fn convolves(&self) -> bool {
        matches!(self.weight, Some(Weight { axis: WeightAxis::At(_), .. }))
    }

    /// Whether it divides each element by the spread of those beside it, as transformers do before a block.
    pub fn normalizes(&self) -> bool {
        matches!(self.op_type, "LayerNormalization" | "RMSNormalization")
    }

    /// Whether it puts whole tensors together, so that its inputs are different things.
    pub fn joins(&self) -> bool {
        matches!(self.op_type, "Concat" | "Add")
    }

    /// The bounds that a clamp cuts off at; `None` when they are not constant, or not a clamp.
    pub fn bounds(&self, graph: &Graph, node: NodeId) -> Option<(f32, f32)> {
        if self.role != Role::Clamp {
            return None;
        }
        if self.op_type == "Relu" {
            return Some((0.0, f32::INFINITY));
        }
        let attributes = graph.node(node).attributes();
        let bound = |slot: usize, otherwise: f32| match graph.node(node).input(slot) {
            // Before opset 11 they are attributes.
            None => Some(attributes.float(if slot == 1 { "min" } else { "max" }).unwrap_or(otherwise)),
            Some(value) => graph.constant(value).ok().flatten()?.first_f32(),
        };
        let (low, high) = (bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?);
        (low <= high).then_some((low, high))
    }

    /// How many groups share the rows of a transposed convolution's weight; 1 for anything else.
    pub fn groups(&self, graph: &Graph, node: NodeId) -> usize {
        let groups = graph.node(node).attributes().int("group").filter(|_| self.op_type == "ConvTranspose");
        groups.and_then(|g| usize::try_from(g).ok()).map_or(1, |g| g.max(1))
    }

    /// The order in which kernels sum over the weight at `shape`; `None` where they do not sum over pairs: a depthwise filter
    /// has kernels of its own.
    pub fn sum_order(&self, graph: &Graph, node: NodeId, shape: &[usize]) -> Option<SumOrder> {
        match self.weight?.axis {
            WeightAxis::At(0) => {
                let groups = graph.node(node).attributes().int("group").unwrap_or(1);
                let groups = usize::try_from(groups).unwrap_or(1).max(1);
                (shape.len() > 2 && shape[1] > 1).then_some(SumOrder::Filter { groups })
            }
            WeightAxis::At(_) => None,
            _ if shape.len() != 2 => None,
            _ if self.weight_axis(graph, node, shape) == Some(0) => Some(SumOrder::Rows),
            _ => Some(SumOrder::Columns),
        }
    }

    /// The axis of the first input along which the channels lie that `node` sums over, if it has them in the order of its
    /// weight.
    pub fn summed_axis(&self, graph: &Graph, node: NodeId) -> Option<ChannelAxis> {
        match self.weight?.axis {
            WeightAxis::At(_) => Some(ChannelAxis::Second),
            _ if graph.node(node).attributes().int("transA").unwrap_or(0) != 0 => None,
            _ => Some(ChannelAxis::Last),
        }
    }

    /// The axis along which the channels of its input and its output lie, if it works on channels and positions.
    pub fn channel_axis(&self, graph: &Graph, node: NodeId) -> Option<ChannelAxis> {
        self.channels.or_else(|| {
            // A product of two activations may have anything there, and so does what is looked up in a vector.
            let weight = graph.node(node).input(self.weight?.slot).filter(|&v| graph.is_constant(v));
            self.summed_axis(graph, node).filter(|_| weight.is_some() && self.role == Role::Compute)
        })
    }

    /// Whether its output has the axes of its inputs, in their order.
    pub fn keeps_axes(&self) -> bool {
        self.keeps_axes
    }

    /// Whether it moves numbers without changing their index along the second axis, as long as that keeps its length.
    pub fn keeps_second_axis(&self) -> bool {
        matches!(self.op_type, "MaxPool" | "Resize")
    }

    /// The axis of the weight at `shape` along which channels lie, or `None` for a whole-tensor scale.
    pub fn weight_axis(&self, graph: &Graph, node: NodeId, shape: &[usize]) -> Option<usize> {
        let axis = match self.weight?.axis {
            WeightAxis::At(axis) => axis,
            WeightAxis::GemmColumns => usize::from(graph.node(node).attributes().int("transB").unwrap_or(0) == 0),
            WeightAxis::MatrixColumns if shape.len() == 2 => 1,
            WeightAxis::MatrixColumns => return None,
            WeightAxis::Gates => 1,
        };
        (axis < shape.len()).then_some(axis)
    }

    /// The axis of the output channels of a weight of shape `shape`, where no kernel asks for anything else: that of the
    /// columns for a stack of matrices, too. `None` when it has none.
    pub fn weight_channels(&self, graph: &Graph, node: NodeId, shape: &[usize]) -> Option<usize> {
        match self.weight?.axis {
            WeightAxis::MatrixColumns => (shape.len() > 1).then(|| shape.len() - 1),
            _ => self.weight_axis(graph, node, shape),
        }
    }

    /// The axis along which a weight of shape `shape` is cut into blocks: the one that is summed over, or for a lookup that
    /// of the columns. `None` when it has none.
    pub fn block_axis(&self, graph: &Graph, node: NodeId, shape: &[usize]) -> Option<usize> {
        let last = shape.len().checked_sub(1).filter(|&last| last > 0)?;
        match self.weight?.axis {
            _ if self.role == Role::Lookup => Some(last),
            WeightAxis::MatrixColumns => Some(last - 1),
            WeightAxis::Gates => Some(last),
            WeightAxis::At(_) | WeightAxis::GemmColumns => Some(1 - self.weight_axis(graph, node, shape)?.min(1)),
        }
    }
}
