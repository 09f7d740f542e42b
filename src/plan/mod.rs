//! What will be done to a graph, decided before anything is run: which nodes become integer and which stay float and why,
//! which values get a grid, where its range comes from, which share one.
//!
//! The plan says what has to be observed; it is a value that can be printed and compared.

mod assemble;
mod behind;
mod bias;
mod bodies;
mod channels;
mod conversions;
mod dynamic;
mod half_ranges;
mod halves;
mod idle;
mod io;
mod joins;
mod known;
mod layout;
mod listing;
mod nodes;
mod outliers;
mod place;
mod recurrent;
mod scales;
mod stated;
mod structure;
mod types;
mod values;
mod weights;

pub use assemble::plan;
pub use bias::{addend_behind, per_channel_bias};
pub use half_ranges::out_of_range;
pub use halves::HalfNode;
pub use idle::Idle;
pub use io::{IntegerIo, no_integers};
pub use joins::unlike_joins;
pub use known::{Known, Unused};
pub use outliers::Split;
pub use outliers::splits;
pub use place::UNREAD;
pub use structure::Structure;
pub use weights::NO_WEIGHTS;

use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::OutputRange;
use crate::policy::ActivationSettings;
use crate::quant::{
    ActivationFunction, ChannelAxis, CodeBook, GridType, HalfType, KnownBias, Params, Scheme, SumOrder,
};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// The plan for one model.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Every node, in the order in which they run.
    pub nodes: Vec<NodePlan>,
    /// Every activation that gets a grid, in the order in which they are made.
    pub values: Vec<ValuePlan>,
    /// Activations that get no grid, but whose range says whether numbers of 16 bits hold them.
    pub watched: Vec<ValuePlan>,
    /// Whether inputs and outputs that are float32 become numbers of 16 bits.
    pub converts_io: bool,
    /// Inputs and outputs that are to be integers.
    pub io: Vec<IntegerIo>,
    /// What becomes of the bodies of If, Loop and Scan, where it is not nothing.
    pub bodies: Vec<BodyPlan>,
    /// Constants that stay on their grids although no node of the plan stores them.
    pub kept: Vec<(ValueId, ConstantPlan)>,
    /// Nodes that read a value as it is before it is rounded to the grid on which it stays.
    pub direct: HashSet<(ValueId, NodeId)>,
    /// Values that are outputs of the model, or read by a body, as they are before that.
    pub direct_by_name: HashSet<ValueId>,
    /// Known grids of values for readers of another type than their own.
    pub known_also: HashMap<(ValueId, GridType), Params>,
    /// Biases as they were stored, by the float32 constant that each has become.
    pub biases: HashMap<ValueId, KnownBias>,
    /// Grids that are known and not used.
    pub unused: Vec<Unused>,
    /// The numbers of 16 bits that the model had before it became float32, if it did.
    pub was_half: Option<WasHalf>,
    /// What kind of network was found, which decides about nodes that could be either.
    pub structure: Structure,
    /// What rules state of values that get no grid.
    idle: Vec<Idle>,
    index: HashMap<ValueId, usize>,
}

/// The numbers of 16 bits that a model had itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WasHalf {
    /// Their type.
    pub kind: HalfType,
    /// Whether what stays float has it again once the model is rewritten.
    pub kept: bool,
}

impl fmt::Display for WasHalf {
    /// What becomes of them, and the key that decides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match self.kept {
            true => write!(f, "{kind} as in the model, and so are the scales (half.input: keep)"),
            false => write!(
                f,
                "float32, from the model's {kind}: kernels for integers want float32 scales (half.input: widen; keep leaves what \
                 stays float in {kind})"
            ),
        }
    }
}

/// The plan for a body.
#[derive(Debug, Clone)]
pub struct BodyPlan {
    /// The node whose body it is.
    pub node: NodeId,
    /// Which of its bodies.
    pub index: usize,
    /// The body as a graph.
    pub graph: Graph,
    /// The plan for that graph.
    pub plan: Plan,
}

/// What becomes of one node.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// The node.
    pub id: NodeId,
    /// Its name, or that of its first output.
    pub name: String,
    /// Its operator.
    pub op_type: String,
    /// What becomes of it.
    pub placement: Placement,
}

/// What becomes of a node.
#[derive(Debug, Clone)]
pub enum Placement {
    /// It runs on integers.
    Integer(IntegerNode),
    /// It vanishes into the grid of the integer node that makes its input, if that grid ends within its bounds; whether it
    /// does is known once ranges are.
    Clamp {
        /// The integer node before it.
        into: NodeId,
        /// The lower bound.
        low: f32,
        /// The upper bound.
        high: f32,
    },
    /// It looks up rows of a table that is stored as integers; what it found is dequantized.
    Lookup(ConstantPlan),
    /// It computes in float, from weights that are stored as integers.
    Weight(Vec<ConstantPlan>),
    /// It runs on integers from this weight, and from what it reads as integers on a grid that each run finds anew.
    Dynamic(ConstantPlan),
    /// The same of a recurrent operator and both its weights: what it reads becomes integers on one grid, and at each step what
    /// it made the step before.
    Recurrent(Vec<ConstantPlan>),
    /// It computes in floating-point numbers of 16 bits.
    Half(HalfNode),
    /// It makes shapes, indices or conditions: there is nothing to quantize.
    NoFloats,
    /// It stays as it is.
    Float {
        /// Why.
        reason: String,
    },
}

impl Placement {
    /// The constants that are stored as integers for it.
    pub fn constants(&self) -> &[ConstantPlan] {
        match self {
            Self::Integer(integer) => &integer.constants,
            Self::Weight(weights) | Self::Recurrent(weights) => weights,
            Self::Lookup(constant) | Self::Dynamic(constant) => std::slice::from_ref(constant),
            Self::Clamp { .. } | Self::Half(_) | Self::NoFloats | Self::Float { .. } => &[],
        }
    }
}

/// An integer node: what it reads and makes.
#[derive(Debug, Clone)]
pub struct IntegerNode {
    /// Inputs that read a quantized activation.
    pub activations: Vec<usize>,
    /// How what it reads becomes integers where something else has made them; `None` for a movement, which takes any.
    pub settings: Option<ActivationSettings>,
    /// Inputs that read a constant to be quantized: weights, and operands of Add and the like.
    pub constants: Vec<ConstantPlan>,
    /// Where its int32 bias is: a node, itself or an Add behind it, and which of its inputs.
    pub bias: Option<(NodeId, usize)>,
    /// The input at which it has no bias, and could have one of int32.
    pub free_bias: Option<usize>,
    /// Clamps that may vanish into it, in order.
    pub clamps: Vec<NodeId>,
    /// Its output past the clamps.
    pub end: Option<ValueId>,
    /// Whether its outputs get a grid: no for a Gemm whose only readers are float.
    pub quantized_output: bool,
}

/// A constant input of an integer node.
#[derive(Debug, Clone)]
pub struct ConstantPlan {
    /// Which input.
    pub slot: usize,
    /// How its numbers become integers.
    pub scheme: Scheme,
    /// The axis along which each index has its own scale; `None` for one scale.
    pub axis: Option<usize>,
    /// How many elements along that axis share a scale, where it is not one for each index of it.
    pub block: Option<usize>,
    /// How the integers stand in the model.
    pub form: Stored,
    /// Whether it is the weight that a bias is scaled with.
    pub is_weight: bool,
    /// For a weight whose sums must survive 16 bits: the order in which they are taken.
    pub sum_order: Option<SumOrder>,
    /// Whether its scale is the one of least error behind the layer; otherwise that of the largest weight.
    pub least_error: bool,
    /// Whether that search is for the least norm of errors instead, where there is a grid for each channel or block.
    pub least_norm: bool,
    /// For a weight that only one layer reads: the value that calibration shows channel by channel, with their axis, if these
    /// are the channels that the layer sums over.
    pub summed: Option<(ValueId, ChannelAxis)>,
    /// Whether what the weight multiplies is not observed, but cannot be negative.
    pub positive: bool,
    /// What the layer is split by, if large columns of what it reads are to run in float.
    pub split: Option<Split>,
    /// Its grids, where they are known: as many as [`KnownConstant`](crate::quant::KnownConstant) says. Nothing of them is then
    /// chosen.
    pub known: Option<Arc<[Params]>>,
    /// The type that the policy has for it, where grids that are stated beside the model are of another kind.
    pub overruled: Option<GridType>,
}

impl ConstantPlan {
    /// A weight at input `slot` with one scale, that of its largest element.
    pub fn weight(slot: usize, scheme: Scheme) -> Self {
        Self {
            slot,
            scheme,
            axis: None,
            block: None,
            form: Stored::Plain,
            is_weight: true,
            sum_order: None,
            least_error: false,
            least_norm: false,
            summed: None,
            positive: false,
            split: None,
            known: None,
            overruled: None,
        }
    }
}

/// How the integers of a constant stand in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stored {
    /// Behind a DequantizeLinear, or as an operand of an operator on integers.
    #[default]
    Plain,
    /// As operands of ONNX Runtime's MatMulNBits or GatherBlockQuantized.
    InBlocks,
    /// As codes of a book, operands of ONNX Runtime's MatMulBnb4.
    Codes(CodeBook),
    /// As operands of ONNX Runtime's DynamicQuantizeLSTM.
    Recurrent,
}

/// An activation that gets a grid.
#[derive(Debug, Clone)]
pub struct ValuePlan {
    /// The value.
    pub id: ValueId,
    /// Its name.
    pub name: String,
    /// How its numbers become integers, and how its range is found.
    pub settings: ActivationSettings,
    /// The same for readers that want other integer types.
    pub also: Vec<ActivationSettings>,
    /// Where its range comes from.
    pub range: RangeSource,
    /// The axis along which each channel is observed on its own, too, even where the range is that of another value.
    pub channels: Option<ChannelAxis>,
    /// The axis along which its channels lie, if what makes or reads it tells.
    pub layout: Option<ChannelAxis>,
    /// Whether the model itself had it on its grid, so that everybody reads it there.
    pub kept: bool,
    /// Whether a range that is observed gets more than was seen: it is that of an integer output of the model.
    pub headroom: bool,
    /// The activation function that alone reads it, if its range is to be chosen by the error behind that.
    pub behind: Option<ActivationFunction>,
}

/// Where the range of an activation comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RangeSource {
    /// It is observed while calibration samples run.
    Observed,
    /// The operator's output cannot leave this range.
    Fixed(OutputRange),
    /// The policy states it.
    Given(f32, f32),
    /// The policy states the grid.
    Grid {
        /// Its step.
        scale: f32,
        /// The integer that stands for zero.
        zero_point: i32,
    },
    /// The grid is known.
    Known(Params),
    /// It is the grid of another value, exactly.
    SameAs(ValueId),
}

impl ValuePlan {
    /// Of a value of `graph` whose range is observed, and nothing else known.
    fn observed(graph: &Graph, id: ValueId, settings: ActivationSettings) -> Self {
        Self {
            id,
            name: graph.value(id).name().to_owned(),
            settings,
            also: Vec::new(),
            range: RangeSource::Observed,
            channels: None,
            layout: None,
            kept: false,
            headroom: false,
            behind: None,
        }
    }
}

impl Plan {
    /// The plan of a value, if it gets a grid.
    pub fn value(&self, id: ValueId) -> Option<&ValuePlan> {
        self.index.get(&id).map(|&i| &self.values[i])
    }

    /// The value whose grid `id` uses: itself, or the one it shares with.
    pub fn root(&self, mut id: ValueId) -> ValueId {
        while let Some(RangeSource::SameAs(other)) = self.value(id).map(|v| v.range) {
            id = other;
        }
        id
    }

    /// Every node of `graph`, which was planned, and then of bodies, each with the graph it is in.
    pub fn walk<'a>(&'a self, graph: &'a Graph, see: &mut dyn FnMut(&'a Graph, &'a NodePlan)) {
        self.nodes.iter().for_each(|node| see(graph, node));
        self.bodies.iter().for_each(|body| body.plan.walk(&body.graph, see));
    }

    /// The values to observe during calibration.
    pub fn observed(&self) -> impl Iterator<Item = &ValuePlan> {
        let gridded = self.values.iter().filter(|v| v.range == RangeSource::Observed || v.channels.is_some());
        gridded.chain(&self.watched)
    }
}

#[cfg(test)]
mod tests;
