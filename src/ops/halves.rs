//! Which operators ONNX has for numbers of 16 bits, and what of them is such a number: the facts of its operator schemas,
//! from operator set 13 to 25.
//!
//! Operators that are not here stay in float32: ONNX has them for float32 only (NonMaxSuppression, Range), or they hold
//! sequences or draw random numbers. If, Loop and Scan are not here either: what they hold are graphs of their own. What
//! quantizes has a table of its own, since its scales are no numbers to be rounded.

use crate::ir::{Graph, Node, NodeId};
use crate::qoperators::MICROSOFT;
use crate::tensor::DataType;

/// One operator that ONNX has for numbers of 16 bits.
#[derive(Debug, Clone, Copy)]
pub struct Half {
    op_type: &'static str,
    /// The operator set since which it takes float16; 13, the oldest that is written, stands for any before.
    float16: i64,
    /// The operator set since which it takes bfloat16.
    bfloat16: i64,
    reads: &'static [usize],
    makes: &'static [usize],
    /// The attribute that states the type of what it makes: an integer, or a tensor of that type.
    pub attribute: Option<&'static str>,
}

/// All inputs, or all outputs, of an operator that takes or makes any number of them.
const EVERY: &[usize] = &[usize::MAX];

/// Later than any operator set.
const NEVER: i64 = i64::MAX;

const fn row(op_type: &'static str, bfloat16: i64, reads: &'static [usize], makes: &'static [usize]) -> Half {
    Half { op_type, float16: 13, bfloat16, reads, makes, attribute: None }
}

/// One input, or the first of them, and one output.
const fn one(op_type: &'static str, bfloat16: i64) -> Half {
    row(op_type, bfloat16, &[0], &[0])
}

/// Sorted by name.
const TABLE: &[Half] = &[
    one("Abs", 13),
    one("Acos", 22),
    one("Acosh", 22),
    row("Add", 13, &[0, 1], &[0]),
    one("AffineGrid", 20),
    row("ArgMax", 13, &[0], &[]),
    row("ArgMin", 13, &[0], &[]),
    one("Asin", 22),
    one("Asinh", 22),
    one("Atan", 22),
    one("Atanh", 22),
    row("Attention", 23, &[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3]),
    one("AveragePool", 22),
    row("BatchNormalization", 14, &[0, 1, 2, 3, 4], &[0, 1, 2]),
    Half { attribute: Some("to"), ..row("Cast", 13, &[], &[0]) },
    one("Ceil", 13),
    one("CenterCropPad", 18),
    row("Clip", 13, &[0, 1, 2], &[0]),
    one("Col2Im", 18),
    one("Compress", NEVER),
    row("Concat", 13, EVERY, &[0]),
    Half { attribute: Some("value"), ..row("ConstantOfShape", 20, &[], &[0]) },
    row("Conv", 22, &[0, 1, 2], &[0]),
    row("ConvTranspose", 22, &[0, 1, 2], &[0]),
    one("Cos", 22),
    one("Cosh", 22),
    Half { float16: 14, ..one("CumSum", 14) },
    one("DFT", 17),
    row("DeformConv", 22, &[0, 1, 2, 3, 4], &[0]),
    one("DepthToSpace", 13),
    one("Det", 22),
    row("Div", 13, &[0, 1], &[0]),
    one("Dropout", 13),
    row("Einsum", NEVER, EVERY, &[0]),
    one("Elu", 22),
    row("Equal", 13, &[0, 1], &[]),
    one("Erf", 13),
    one("Exp", 13),
    one("Expand", 13),
    Half { attribute: Some("dtype"), ..row("EyeLike", 22, &[], &[0]) },
    one("Flatten", 13),
    one("Floor", 13),
    row("GRU", 22, &[0, 1, 2, 3, 5], &[0, 1]),
    one("Gather", 13),
    one("GatherElements", 13),
    one("GatherND", 13),
    one("Gelu", 20),
    row("Gemm", 13, &[0, 1, 2], &[0]),
    one("GlobalAveragePool", 22),
    one("GlobalLpPool", 22),
    one("GlobalMaxPool", 22),
    row("Greater", 13, &[0, 1], &[]),
    row("GreaterOrEqual", 16, &[0, 1], &[]),
    one("GridSample", 22),
    row("GroupNormalization", 18, &[0, 1, 2], &[0]),
    one("HardSigmoid", 22),
    one("HardSwish", 22),
    one("Hardmax", 13),
    one("Identity", 13),
    row("InstanceNormalization", 22, &[0, 1, 2], &[0]),
    Half { float16: 20, ..row("IsInf", 20, &[0], &[]) },
    row("IsNaN", 13, &[0], &[]),
    one("LRN", 13),
    row("LSTM", 22, &[0, 1, 2, 3, 5, 6, 7], &[0, 1, 2]),
    row("LayerNormalization", 17, &[0, 1, 2], &[0]),
    one("LeakyRelu", 16),
    row("Less", 13, &[0, 1], &[]),
    row("LessOrEqual", 16, &[0, 1], &[]),
    one("Log", 13),
    one("LogSoftmax", 13),
    one("LpNormalization", 22),
    one("LpPool", 22),
    row("MatMul", 13, &[0, 1], &[0]),
    row("Max", 13, EVERY, &[0]),
    one("MaxPool", 22),
    row("MaxRoiPool", 22, &[0, 1], &[0]),
    row("Mean", 13, EVERY, &[0]),
    one("MeanVarianceNormalization", 13),
    row("Min", 13, EVERY, &[0]),
    one("Mish", 22),
    row("Mod", 13, &[0, 1], &[0]),
    row("Mul", 13, &[0, 1], &[0]),
    one("Neg", 13),
    row("NonZero", 13, &[0], &[]),
    row("OneHot", NEVER, &[2], &[0]),
    row("PRelu", 16, &[0, 1], &[0]),
    row("Pad", 13, &[0, 2], &[0]),
    row("Pow", 13, &[0, 1], &[0]),
    row("RMSNormalization", 23, &[0, 1], &[0]),
    row("RNN", 22, &[0, 1, 2, 3, 5], &[0, 1]),
    one("Reciprocal", 13),
    one("ReduceL1", 13),
    one("ReduceL2", 13),
    one("ReduceLogSum", 13),
    one("ReduceLogSumExp", 13),
    one("ReduceMax", 13),
    one("ReduceMean", 13),
    one("ReduceMin", 13),
    one("ReduceProd", 13),
    one("ReduceSum", 13),
    one("ReduceSumSquare", 13),
    one("Relu", 13),
    one("Reshape", 13),
    one("Resize", 13),
    one("ReverseSequence", NEVER),
    row("RoiAlign", 22, &[0, 1], &[0]),
    row("RotaryEmbedding", 23, &[0, 1, 2], &[0]),
    one("Round", 22),
    row("STFT", 17, &[0, 2], &[0]),
    row("ScatterElements", 13, &[0, 2], &[0]),
    row("ScatterND", 13, &[0, 2], &[0]),
    one("Selu", 22),
    row("Shape", 13, &[0], &[]),
    one("Shrink", NEVER),
    one("Sigmoid", 13),
    one("Sign", 13),
    one("Sin", 22),
    one("Sinh", 22),
    row("Size", 13, &[0], &[]),
    one("Slice", 13),
    one("Softmax", 13),
    one("Softplus", 22),
    one("Softsign", 22),
    one("SpaceToDepth", 13),
    row("Split", 13, &[0], EVERY),
    one("Sqrt", 13),
    one("Squeeze", 13),
    row("Sub", 13, &[0, 1], &[0]),
    row("Sum", 13, EVERY, &[0]),
    one("Swish", 24),
    one("Tan", 22),
    one("Tanh", 13),
    row("TensorScatter", 24, &[0, 1], &[0]),
    one("ThresholdedRelu", 22),
    one("Tile", 13),
    one("TopK", 24),
    one("Transpose", 13),
    one("Trilu", 14),
    one("Unsqueeze", 13),
    row("Where", 16, &[1, 2], &[0]),
];

/// Operators that stay in float32 where the policy does not insist, and why: in runtimes that accumulate in 16 bits, what
/// they compute on the way passes the range or loses what they are there for.
const RISKS: &[(&[&str], &str)] = &[
    (
        &[
            "CumSum",
            "GlobalLpPool",
            "LpNormalization",
            "LpPool",
            "MeanVarianceNormalization",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMean",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
            "Sum",
        ],
        "a sum of many numbers may pass the range of 16 bits or lose the small ones",
    ),
    (&["Cosh", "Det", "Exp", "Pow", "Sinh", "Tan"], "it may make numbers far larger than its input"),
    (&["AffineGrid", "DFT", "MaxRoiPool", "RoiAlign", "STFT"], "it computes positions or frequencies"),
];

/// Operators that quantize, ONNX's and, from any version, those of ONNX Runtime's own domain.
const QUANTIZERS: &[Half] = &[
    Half { float16: 19, ..row("DequantizeLinear", 19, &[1], &[0]) },
    row("GatherBlockQuantized", NEVER, &[2], &[0]),
    row("MatMulNBits", NEVER, &[0, 2, 5], &[0]),
    Half { float16: 19, ..row("QuantizeLinear", 19, &[0, 1], &[]) },
];

/// The row of a node, if ONNX has its operator for numbers of 16 bits.
pub fn half(node: &Node) -> Option<&'static Half> {
    let found = TABLE.binary_search_by(|row| row.op_type.cmp(node.op_type()));
    found.ok().filter(|_| node.domain().is_empty()).map(|at| &TABLE[at])
}

/// The same of a node that quantizes or dequantizes, with scales of 16 bits.
pub fn half_quantizer(node: &Node) -> Option<&'static Half> {
    let ours = |row: &&Half| node.domain() == MICROSOFT || node.domain().is_empty() && row.bfloat16 != NEVER;
    QUANTIZERS.iter().filter(ours).find(|row| row.op_type == node.op_type())
}

/// Notes the element type of what a node makes, by the index of the value, where that follows from what it reads or states.
pub fn follow_type(graph: &Graph, id: NodeId, types: &mut [Option<DataType>]) {
    let node = graph.node(id);
    let Some(row) = half(node).or_else(|| half_quantizer(node)) else { return };
    let read = || row.reads(node).into_iter().find_map(|slot| types[node.input(slot)?.index()]);
    let Some(dtype) = (if row.attribute.is_some() { row.stated(node) } else { read() }) else { return };
    for value in row.makes(node).into_iter().filter_map(|slot| node.output(slot)) {
        types[value.index()].get_or_insert(dtype);
    }
}

/// Why a node had better stay in float32.
pub fn half_risk(node: &Node) -> Option<&'static str> {
    let found = RISKS.iter().find(|(op_types, _)| op_types.iter().any(|op_type| node.is(op_type)));
    found.map(|(_, why)| *why)
}

impl Half {
    /// The operator set since which it takes numbers of type `dtype`; `None` where it never does.
    pub fn since(&self, dtype: DataType) -> Option<i64> {
        let since = if dtype == DataType::Bfloat16 { self.bfloat16 } else { self.float16 };
        (since != NEVER).then_some(since)
    }

    /// The inputs that share one floating-point type, of those that are there.
    pub fn reads(&self, node: &Node) -> Vec<usize> {
        let there = |slot: &usize| node.input(*slot).is_some();
        if self.reads == EVERY {
            return (0..node.inputs().len()).filter(there).collect();
        }
        self.reads.iter().copied().filter(there).collect()
    }

    /// The outputs of that type, of those that are there.
    pub fn makes(&self, node: &Node) -> Vec<usize> {
        let there = |slot: &usize| node.output(*slot).is_some();
        if self.makes == EVERY {
            return (0..node.outputs().len()).filter(there).collect();
        }
        self.makes.iter().copied().filter(there).collect()
    }

    /// The type that a node states for what it makes: nothing where it states none and that is not settled by ONNX.
    pub fn stated(&self, node: &Node) -> Option<DataType> {
        let name = self.attribute?;
        let named = node.attributes().int(name).and_then(|code| DataType::from_onnx(i32::try_from(code).ok()?));
        let tensor = || node.attributes().tensor(name).ok().flatten().map(|t| t.dtype());
        // ConstantOfShape makes zeros in float32 where nothing is said.
        named.or_else(tensor).or((self.op_type == "ConstantOfShape").then_some(DataType::Float32))
    }

    /// Whether it multiplies one number by another.
    pub fn multiplies(&self) -> bool {
        self.op_type == "Mul"
    }

    /// Whether it only cuts off at its constants, so that infinity serves for any beyond the range.
    pub fn bounds(&self) -> bool {
        matches!(self.op_type, "Clip" | "Max" | "Min")
    }

    /// Whether it brings large and small numbers nearer to 1.
    pub fn narrows(&self) -> bool {
        matches!(self.op_type, "Log" | "Reciprocal" | "Sqrt")
    }

    /// Of what quantizes, the input that its scales are.
    pub fn scales(&self) -> Option<usize> {
        match self.op_type {
            "DequantizeLinear" | "QuantizeLinear" => Some(1),
            "GatherBlockQuantized" | "MatMulNBits" => Some(2),
            _ => None,
        }
    }

    /// Whether it makes nothing but integers of numbers and their scales.
    pub fn quantizes(&self) -> bool {
        self.op_type == "QuantizeLinear"
    }

    /// Whether it makes numbers of nothing but integers and their scales.
    pub fn dequantizes(&self) -> bool {
        self.op_type == "DequantizeLinear"
    }

    /// Whether it reads another type than it makes.
    pub fn casts(&self) -> bool {
        self.op_type == "Cast"
    }

    /// Whether it asks for nothing but the shape of what it reads.
    pub fn measures(&self) -> bool {
        matches!(self.op_type, "Shape" | "Size")
    }

    /// Whether it tells two numbers apart, so that they have to be exact.
    pub fn compares(&self) -> bool {
        matches!(self.op_type, "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual")
    }
}

/// The operator set that lets each node of `graph` compute in `dtype` whose operator ONNX has for it.
pub fn half_opset(graph: &Graph, dtype: DataType) -> i64 {
    let since = |id: NodeId| {
        let row = half(graph.node(id))?;
        // What makes integers or conditions need not be there for numbers of 16 bits.
        let floats = row.attribute.is_none() || row.stated(graph.node(id)).is_some_and(DataType::is_float);
        row.since(dtype).filter(|_| floats)
    };
    graph.node_ids().filter_map(since).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::Builder;

    #[test]
    fn rows_are_sorted_and_each_operator_has_one() {
        assert!(TABLE.is_sorted_by(|a, b| a.op_type < b.op_type));
        assert!(TABLE.iter().all(|row| (13..=25).contains(&row.float16)));
        let risky = RISKS.iter().flat_map(|(op_types, _)| *op_types);
        assert!(risky.into_iter().all(|op_type| TABLE.iter().any(|row| row.op_type == *op_type)));
    }

    #[test]
    fn a_row_tells_the_slots_and_the_operator_sets() {
        let model = Builder::new(13)
            .input("x", &[1, 4])
            .floats("roi", &[0], &[])
            .floats("scales", &[2], &[1.0, 2.0])
            .node("Resize", &["x", "roi", "scales"], &["r"], vec![])
            .node("Concat", &["r", "x"], &["c"], vec![])
            .node("Conv", &["c", "scales"], &["y"], vec![])
            .output("y", &[-1, -1])
            .build();
        let ids: Vec<NodeId> = model.graph.node_ids().collect();
        let row = |i: usize| half(model.graph.node(ids[i])).expect("a row");
        assert_eq!(row(0).reads(model.graph.node(ids[0])), [0]);
        assert_eq!(row(1).reads(model.graph.node(ids[1])), [0, 1]);
        assert_eq!((row(2).since(DataType::Float16), row(2).since(DataType::Bfloat16)), (Some(13), Some(22)));
        assert_eq!(
            (half_opset(&model.graph, DataType::Float16), half_opset(&model.graph, DataType::Bfloat16)),
            (13, 22)
        );
    }
}
