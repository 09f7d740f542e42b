//! Element types and ranks, as far as they can be known: from the engine, from the file, and from the nodes between. An
//! engine that lacks one operator says nothing of all that follows from it, and nothing at all of bodies.

use crate::error::Result;
use crate::exec::Types;
use crate::ir::{Graph, Node, NodeId, ValueId};
use crate::tensor::{DataType, TensorType};
use std::collections::HashMap;

/// What is known of one value.
#[derive(Debug, Clone, Copy, Default)]
struct Kind {
    dtype: Option<DataType>,
    rank: Option<usize>,
}

impl Kind {
    fn of(ty: &TensorType) -> Self {
        Self { dtype: Some(ty.dtype), rank: Some(ty.dims.len()) }
    }

    fn or(self, other: Self) -> Self {
        Self { dtype: self.dtype.or(other.dtype), rank: self.rank.or(other.rank) }
    }
}

/// What is known of values of a graph from outside of it, by name.
#[derive(Debug, Default)]
pub struct Outside(HashMap<String, Kind>);

impl Outside {
    /// What the engine says.
    pub fn of_types(types: Types) -> Self {
        Self(types.into_iter().map(|(name, ty)| (name, Kind::of(&ty))).collect())
    }

    /// What is known of the values that the bodies of node `id` read from around, and of the bodies' own inputs.
    pub fn of_body(graph: &Graph, id: NodeId, known: &Known, version: i64) -> Self {
        let node = graph.node(id);
        let captured = node.captured().iter().map(|&v| (graph.value(v).name().to_owned(), known.kind(v)));
        let mut outside = Self(captured.collect());
        // Scan had the lengths of its sequences before the others.
        let first = usize::from(node.is("Scan") && version < 9);
        for slot in first..node.inputs().len() {
            let dtype = node.input(slot).and_then(|v| known.dtype(v));
            outside.0.insert(position(slot - first), Kind { dtype, rank: None });
        }
        outside
    }
}

/// The entry of input number `index` of a body. No value is called so: names are texts that a file gave.
fn position(index: usize) -> String {
    format!("\0{index}")
}

/// What is known of the values of a graph.
#[derive(Debug, Default)]
pub struct Known(Vec<Kind>);

impl Known {
    /// Collects it.
    ///
    /// # Errors
    /// When the graph has a circle.
    pub fn of(graph: &Graph, outside: &Outside) -> Result<Self> {
        let stated = |v: ValueId| graph.stated_type(v).as_ref().map(Kind::of).unwrap_or_default();
        let told = |v: ValueId| outside.0.get(graph.value(v).name()).copied().unwrap_or_default();
        let mut known = Self(graph.value_ids().map(|v| told(v).or(stated(v))).collect());
        for (index, value) in graph.inputs().enumerate() {
            if let Some(kind) = outside.0.get(&position(index)) {
                let place = &mut known.0[value.index()];
                *place = place.or(*kind);
            }
        }
        for id in graph.topological()? {
            let node = graph.node(id);
            let follows = known.made(graph, id);
            // Of operators with more outputs only Split makes them all of one type.
            let same = if node.is("Split") { node.outputs().len() } else { 1 };
            for value in node.outputs().iter().take(same).flatten() {
                let place = &mut known.0[value.index()];
                *place = place.or(follows);
            }
        }
        Ok(known)
    }

    fn kind(&self, value: ValueId) -> Kind {
        self.0.get(value.index()).copied().unwrap_or_default()
    }

    /// The element type of a value.
    pub fn dtype(&self, value: ValueId) -> Option<DataType> {
        self.kind(value).dtype
    }

    /// The rank of a value.
    pub fn rank(&self, value: ValueId) -> Option<usize> {
        self.kind(value).rank
    }

    /// What follows for the first output of a node from its inputs and attributes.
    fn made(&self, graph: &Graph, id: NodeId) -> Kind {
        let node = graph.node(id);
        let dtype = |slot| node.input(slot).and_then(|v| self.dtype(v));
        let only = |dtype| Kind { dtype, rank: None };
        if !node.domain().is_empty() {
            return Kind::default();
        }
        match node.op_type() {
            "Cast" => only(node.attributes().int("to").and_then(|to| DataType::from_onnx(i32::try_from(to).ok()?))),
            "Constant" => match node.attributes().tensor("value") {
                Ok(Some(tensor)) => Kind { dtype: Some(tensor.dtype()), rank: Some(tensor.shape().len()) },
                _ => Kind::default(),
            },
            "ConstantOfShape" => match node.attributes().tensor("value") {
                Ok(value) => only(Some(value.map_or(DataType::Float32, |t| t.dtype()))),
                Err(_) => Kind::default(),
            },
            "DequantizeLinear" => only(Some(DataType::Float32)),
            "OneHot" => only(dtype(2)),
            "Where" => only(dtype(1)),
            other if OTHER_TYPE.contains(&other) => Kind::default(),
            _ => Kind { dtype: dtype(0), rank: self.rank_made(node) },
        }
    }

    /// The rank of the first output of a node, where it follows from the inputs' ranks alone.
    fn rank_made(&self, node: &Node) -> Option<usize> {
        let rank = |slot: usize| node.input(slot).and_then(|v| self.rank(v));
        match node.op_type() {
            "MatMul" => rank(0).zip(rank(1)).filter(|(a, b)| *a.min(b) >= 2).map(|(a, b)| a.max(b)),
            "ReduceMean" => rank(0).filter(|_| node.attributes().int("keepdims") != Some(0)),
            broadcast if BROADCAST.contains(&broadcast) => {
                (0..node.inputs().len()).try_fold(0, |most, slot| Some(rank(slot)?.max(most)))
            }
            same if SAME_RANK.contains(&same) => rank(0),
            _ => None,
        }
    }
}

/// Operators whose inputs are repeated along the axes that they lack.
const BROADCAST: &[&str] = &["Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "Sub", "Sum"];

/// Operators whose output has as many axes as their first input.
const SAME_RANK: &[&str] = &[
    "Abs",
    "AveragePool",
    "BatchNormalization",
    "Clip",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "Identity",
    "InstanceNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MaxPool",
    "Neg",
    "PRelu",
    "Pad",
    "Relu",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Tanh",
    "Transpose",
    "Upsample",
];

/// The operators of opset 12 and earlier whose output need not be of the type of their first input; all others keep it.
const OTHER_TYPE: &[&str] = &[
    "ATen",
    "And",
    "ArgMax",
    "ArgMin",
    "ConcatFromSequence",
    "ConstantFill",
    "ConvInteger",
    "DynamicQuantizeLinear",
    "Equal",
    "EyeLike",
    "GivenTensorFill",
    "Greater",
    "GreaterOrEqual",
    "If",
    "IsInf",
    "IsNaN",
    "Less",
    "LessOrEqual",
    "Loop",
    "MatMulInteger",
    "Multinomial",
    "NonMaxSuppression",
    "NonZero",
    "Or",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Scan",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceLength",
    "Shape",
    "Size",
    "SplitToSequence",
    "TfIdfVectorizer",
    "Xor",
];
