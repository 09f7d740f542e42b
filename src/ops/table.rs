//! The rows.

use super::conditions as unless;
use super::op::{Bias, Op, OutputRange, Role, Slots, Weight, WeightAxis};
use crate::ir::{Graph, NodeId};
use crate::qoperators::MICROSOFT;
use crate::quant::ChannelAxis;

/// What the rows say of operators on channels and positions.
const SECOND: Option<ChannelAxis> = Some(ChannelAxis::Second);
/// What the rows say of those that work along the features.
const LAST: Option<ChannelAxis> = Some(ChannelAxis::Last);

const fn compute(op_type: &'static str, slots: Slots, axis: WeightAxis, bias: Bias) -> Op {
    let weight = Some(Weight { slot: 1, axis });
    let simple = simple(op_type, Role::Compute, slots);
    Op { weight, bias, ..simple }
}

const fn simple(op_type: &'static str, role: Role, activations: Slots) -> Op {
    let range = OutputRange::Calibrated;
    Op {
        op_type,
        role,
        activations,
        weight: None,
        recurrence: None,
        integer_form: None,
        contrib_form: None,
        bias: Bias::None,
        range,
        channels: None,
        keeps_axes: matches!(role, Role::Arithmetic | Role::Clamp),
        unless: unless::never,
    }
}

const fn recurrent(op_type: &'static str) -> Op {
    let (weight, recurrence) =
        (Weight { slot: 1, axis: WeightAxis::Gates }, Weight { slot: 2, axis: WeightAxis::Gates });
    Op { weight: Some(weight), recurrence: Some(recurrence), unless: unless::recurrent, ..float(op_type) }
}

const fn with_integer_form(form: &'static str, op: Op) -> Op {
    Op { integer_form: Some(form), ..op }
}

const fn arithmetic(op_type: &'static str, activations: Slots) -> Op {
    simple(op_type, Role::Arithmetic, activations)
}

const fn movement(op_type: &'static str) -> Op {
    simple(op_type, Role::Movement, Slots::First)
}

const fn with_range(range: OutputRange, op: Op) -> Op {
    Op { range, ..op }
}

const fn float(op_type: &'static str) -> Op {
    simple(op_type, Role::Float, Slots::First)
}

/// Sorted by name within each role.
const TABLE: &[Op] = &[
    with_integer_form(
        "ConvInteger",
        Op { unless: unless::layer, ..compute("Conv", Slots::First, WeightAxis::At(0), Bias::Input(2)) },
    ),
    Op { unless: unless::layer, ..compute("ConvTranspose", Slots::First, WeightAxis::At(1), Bias::Input(2)) },
    with_integer_form(
        "MatMulInteger",
        Op { unless: unless::gemm, ..compute("Gemm", Slots::Pair, WeightAxis::GemmColumns, Bias::Input(2)) },
    ),
    with_integer_form("MatMulInteger", compute("MatMul", Slots::Pair, WeightAxis::MatrixColumns, Bias::AddBehind)),
    arithmetic("Abs", Slots::First),
    arithmetic("Add", Slots::All),
    Op { channels: SECOND, unless: unless::average_pool, ..arithmetic("AveragePool", Slots::First) },
    arithmetic("Celu", Slots::First),
    arithmetic("Concat", Slots::All),
    with_range(OutputRange::Signed, arithmetic("Cos", Slots::First)),
    arithmetic("Div", Slots::All),
    arithmetic("Elu", Slots::First),
    with_range(OutputRange::Signed, arithmetic("Erf", Slots::First)),
    arithmetic("Exp", Slots::First),
    arithmetic("Gelu", Slots::First),
    Op { channels: SECOND, ..arithmetic("GlobalAveragePool", Slots::First) },
    Op { channels: SECOND, ..arithmetic("GlobalMaxPool", Slots::First) },
    Op { channels: SECOND, ..arithmetic("GridSample", Slots::First) },
    with_range(OutputRange::Closed, arithmetic("HardSigmoid", Slots::First)),
    arithmetic("HardSwish", Slots::First),
    arithmetic("LeakyRelu", Slots::First),
    arithmetic("Log", Slots::First),
    arithmetic("Max", Slots::All),
    arithmetic("Min", Slots::All),
    arithmetic("Mish", Slots::First),
    arithmetic("Mul", Slots::All),
    arithmetic("Neg", Slots::First),
    arithmetic("PRelu", Slots::All),
    arithmetic("Pow", Slots::All),
    Op { keeps_axes: false, ..arithmetic("ReduceMean", Slots::First) },
    Op { keeps_axes: false, ..arithmetic("ReduceSum", Slots::First) },
    arithmetic("Selu", Slots::First),
    with_range(OutputRange::Unit, arithmetic("Sigmoid", Slots::First)),
    with_range(OutputRange::Signed, arithmetic("Sin", Slots::First)),
    arithmetic("Softplus", Slots::First),
    with_range(OutputRange::Signed, arithmetic("Softsign", Slots::First)),
    arithmetic("Sqrt", Slots::First),
    arithmetic("Sub", Slots::All),
    arithmetic("Swish", Slots::First),
    with_range(OutputRange::Signed, arithmetic("Tanh", Slots::First)),
    arithmetic("ThresholdedRelu", Slots::First),
    arithmetic("TopK", Slots::First),
    arithmetic("Where", Slots::Rest),
    Op { channels: SECOND, ..movement("DepthToSpace") },
    movement("Expand"),
    movement("Flatten"),
    movement("Gather"),
    movement("GatherElements"),
    movement("GatherND"),
    Op { channels: SECOND, unless: unless::max_pool, ..movement("MaxPool") },
    Op { keeps_axes: true, unless: unless::pad, ..movement("Pad") },
    movement("ReduceMax"),
    movement("ReduceMin"),
    movement("Reshape"),
    Op { channels: SECOND, unless: unless::resize, ..movement("Resize") },
    Op { keeps_axes: true, ..movement("Slice") },
    Op { channels: SECOND, ..movement("SpaceToDepth") },
    Op { keeps_axes: true, ..movement("Split") },
    movement("Squeeze"),
    Op { keeps_axes: true, ..movement("Tile") },
    movement("Transpose"),
    movement("Unsqueeze"),
    simple("Clip", Role::Clamp, Slots::First),
    simple("Relu", Role::Clamp, Slots::First),
    float("Attention"),
    Op { channels: SECOND, ..float("BatchNormalization") },
    recurrent("GRU"),
    Op { channels: SECOND, ..float("GroupNormalization") },
    with_range(OutputRange::Closed, float("Hardmax")),
    Op { channels: SECOND, ..float("InstanceNormalization") },
    Op { contrib_form: Some("DynamicQuantizeLSTM"), ..recurrent("LSTM") },
    Op { channels: LAST, ..float("LayerNormalization") },
    float("LogSoftmax"),
    float("LpNormalization"),
    float("MeanVarianceNormalization"),
    Op { channels: LAST, ..float("RMSNormalization") },
    recurrent("RNN"),
    with_range(OutputRange::Unit, float("Softmax")),
];

/// A lookup in a constant table of rows, which has the form of a movement.
const LOOKUP: Op = Op {
    weight: Some(Weight { slot: 0, axis: WeightAxis::MatrixColumns }),
    ..simple("Gather", Role::Lookup, Slots::First)
};

/// The row of a node, if its operator is in the table.
pub fn lookup(graph: &Graph, node: NodeId) -> Option<&'static Op> {
    let node = graph.node(node);
    if !node.domain().is_empty() {
        return None;
    }
    let row = TABLE.iter().find(|op| op.op_type == node.op_type())?;
    let table = row.op_type == LOOKUP.op_type && node.input(0).is_some_and(|v| graph.is_constant(v));
    Some(if table { &LOOKUP } else { row })
}

/// Whether an operator of ONNX Runtime's own domain is what a row of the table becomes there.
pub fn is_contrib_form(domain: &str, op_type: &str) -> bool {
    domain == MICROSOFT && TABLE.iter().any(|op| op.contrib_form == Some(op_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_has_one_row() {
        let mut names: Vec<_> = TABLE.iter().map(|op| op.op_type).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn rows_say_where_channels_lie_and_which_axes_stay() {
        let row = |name: &str| TABLE.iter().find(|op| op.op_type == name).expect(name);
        assert_eq!(row("MaxPool").channels, SECOND);
        assert_eq!(row("LayerNormalization").channels, LAST);
        assert_eq!(row("Conv").channels, None, "they follow from the weight");
        let kept = ["Add", "Clip", "Pad", "ReduceMean", "Transpose", "Softmax"].map(|name| row(name).keeps_axes());
        assert_eq!(kept, [true, true, true, false, false, false]);
    }
}
