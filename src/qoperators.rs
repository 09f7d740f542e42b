//! The table of operators on quantized tensors: which float operator each stands for, and which of its inputs are integers,
//! scales and zero points. ONNX has two of them, ONNX Runtime's own domain the others.
//!
//! One row is read in three directions: to write such operators, to turn them back into float ones, and to run them where
//! the engine has none.

/// ONNX Runtime's own domain of operators.
pub const MICROSOFT: &str = "com.microsoft";

/// An input of an operator on quantized tensors, in terms of the inputs of the float operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The integers of this input.
    Integers(usize),
    /// Their scale.
    Scale(usize),
    /// Their zero point.
    ZeroPoint(usize),
    /// The scale of the output.
    OutputScale,
    /// The zero point of the output.
    OutputZeroPoint,
    /// This input as int32, in steps of the product of the scales of the first two.
    Bias(usize),
    /// This input as it is.
    Plain(usize),
    /// Floats that are added to what comes out.
    Addend,
    /// Integers, scale and zero point of each input.
    Each,
}

use Part::*;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Integers.
    Integers,
    /// Integers, or floats where scale and zero point of the output are left out.
    Either,
    /// Floats.
    Floats,
}

/// Where the channels of a weight lie that has a scale for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// On this axis, counted from the end where it is negative.
    Axis(i64),
    /// On axis 0 where `transB` is set, on axis 1 otherwise.
    OfGemm,
}

/// One operator on quantized tensors.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// What it is called.
    pub op_type: &'static str,
    /// Its domain; empty for ONNX's own.
    pub domain: &'static str,
    /// The float operator of ONNX's own domain that it stands for.
    pub float: &'static str,
    /// Its inputs.
    pub parts: &'static [Part],
    /// What comes out.
    pub output: Output,
    /// The channels of its second input, which then may have another type than the first, and a scale for each channel.
    pub weight: Option<Channels>,
    /// Attributes of the float operator that it lacks: it computes as if they had their default.
    pub lacks: &'static [&'static str],
    /// Whether it is to be told the version of ONNX's operators, which decides what its axis means.
    pub counts_axes_by_opset: bool,
}

const UNARY: &[Part] = &[Integers(0), Scale(0), ZeroPoint(0), OutputScale, OutputZeroPoint];
const BINARY: &[Part] =
    &[Integers(0), Scale(0), ZeroPoint(0), Integers(1), Scale(1), ZeroPoint(1), OutputScale, OutputZeroPoint];

const fn microsoft(op_type: &'static str, float: &'static str, parts: &'static [Part]) -> Form {
    let (output, weight) = (Output::Integers, None);
    Form { op_type, domain: MICROSOFT, float, parts, output, weight, lacks: &[], counts_axes_by_opset: false }
}

/// Sorted by name. Of rows with the same float operator the first that fits is written.
const FORMS: &[Form] = &[
    Form {
        output: Output::Floats,
        weight: Some(Channels::Axis(-1)),
        ..microsoft(
            "MatMulIntegerToFloat",
            "MatMul",
            &[Integers(0), Integers(1), Scale(0), Scale(1), ZeroPoint(0), ZeroPoint(1), Addend],
        )
    },
    Form {
        output: Output::Either,
        weight: Some(Channels::OfGemm),
        lacks: &["beta"],
        ..microsoft(
            "QGemm",
            "Gemm",
            &[
                Integers(0),
                Scale(0),
                ZeroPoint(0),
                Integers(1),
                Scale(1),
                ZeroPoint(1),
                Bias(2),
                OutputScale,
                OutputZeroPoint,
            ],
        )
    },
    microsoft("QLinearAdd", "Add", BINARY),
    Form { lacks: &["dilations"], ..microsoft("QLinearAveragePool", "AveragePool", UNARY) },
    microsoft("QLinearConcat", "Concat", &[OutputScale, OutputZeroPoint, Each]),
    Form {
        domain: "",
        weight: Some(Channels::Axis(0)),
        ..microsoft(
            "QLinearConv",
            "Conv",
            &[
                Integers(0),
                Scale(0),
                ZeroPoint(0),
                Integers(1),
                Scale(1),
                ZeroPoint(1),
                OutputScale,
                OutputZeroPoint,
                Bias(2),
            ],
        )
    },
    microsoft("QLinearGlobalAveragePool", "GlobalAveragePool", UNARY),
    microsoft("QLinearLeakyRelu", "LeakyRelu", UNARY),
    Form { domain: "", weight: Some(Channels::Axis(-1)), ..microsoft("QLinearMatMul", "MatMul", BINARY) },
    microsoft("QLinearMul", "Mul", BINARY),
    microsoft("QLinearSigmoid", "Sigmoid", UNARY),
    Form { counts_axes_by_opset: true, ..microsoft("QLinearSoftmax", "Softmax", UNARY) },
    microsoft(
        "QLinearWhere",
        "Where",
        &[
            Plain(0),
            Integers(1),
            Scale(1),
            ZeroPoint(1),
            Integers(2),
            Scale(2),
            ZeroPoint(2),
            OutputScale,
            OutputZeroPoint,
        ],
    ),
];

/// Operators of ONNX's own domain that only move numbers, and for which ONNX Runtime 1.31 has kernels for integers of 8 bits.
const MOVES_INTEGERS: &[&str] = &[
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "MaxPool",
    "Pad",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Other operators that compute on integers, or with stored ones.
const OTHERS: &[(&str, &str)] = &[
    ("", "ConvInteger"),
    ("", "DequantizeLinear"),
    ("", "DynamicQuantizeLinear"),
    ("", "MatMulInteger"),
    ("", "QuantizeLinear"),
    (MICROSOFT, "DequantizeLinear"),
    (MICROSOFT, "DynamicQuantizeLSTM"),
    (MICROSOFT, "DynamicQuantizeMatMul"),
    (MICROSOFT, "GatherBlockQuantized"),
    (MICROSOFT, "MatMulBnb4"),
    (MICROSOFT, "MatMulInteger16"),
    (MICROSOFT, "MatMulNBits"),
    (MICROSOFT, "QAttention"),
    (MICROSOFT, "QEmbedLayerNormalization"),
    (MICROSOFT, "QMoE"),
    (MICROSOFT, "QuantizeLinear"),
];

/// Attributes that only the operators on quantized tensors have.
const OWN_ATTRIBUTES: &[&str] = &["channels_last", "opset"];

/// The operator on quantized tensors called `op_type` in `domain`.
pub fn find(domain: &str, op_type: &str) -> Option<&'static Form> {
    // ONNX Runtime has a QLinearConv of its own, too, which differs in an attribute.
    FORMS.iter().find(|f| f.op_type == op_type && (f.domain == domain || domain == MICROSOFT))
}

/// Whether an operator quantizes, dequantizes, computes on integers or with stored ones.
pub fn is_quantized(domain: &str, op_type: &str) -> bool {
    let family = domain == MICROSOFT && (op_type.starts_with("QLinear") || op_type.starts_with("QOrdered"));
    family || find(domain, op_type).is_some() || OTHERS.contains(&(domain, op_type))
}

/// Whether an operator does no more than lead numbers to integers, or back.
pub fn is_conversion(domain: &str, op_type: &str) -> bool {
    matches!((domain, op_type), ("" | MICROSOFT, "QuantizeLinear" | "DequantizeLinear"))
}

/// What stands for ONNX's float operator `op_type`, giving integers or floats.
pub fn standing_for(op_type: &str, integers: bool) -> Option<&'static Form> {
    let gives = |output| output == Output::Either || (output == Output::Integers) == integers;
    FORMS.iter().find(|f| f.float == op_type && gives(f.output))
}

/// Whether ONNX's operator `op_type` moves integers of 8 bits as it moves floats.
pub fn moves_integers(op_type: &str) -> bool {
    MOVES_INTEGERS.contains(&op_type)
}

/// Whether the float operators lack the attribute.
pub fn is_own_attribute(name: &str) -> bool {
    OWN_ATTRIBUTES.contains(&name)
}

impl Form {
    /// Its inputs one by one; `operands` is how many inputs the float operator has.
    pub fn inputs(&self, operands: usize) -> Vec<Part> {
        let each = (0..operands).flat_map(|slot| [Integers(slot), Scale(slot), ZeroPoint(slot)]);
        let one = |part: &Part| if *part == Each { each.clone().collect() } else { vec![*part] };
        self.parts.iter().flat_map(one).collect()
    }

    /// The same by its own number of inputs, `count`.
    pub fn inputs_of(&self, count: usize) -> Vec<Part> {
        let others = self.parts.iter().filter(|part| **part != Each).count();
        self.inputs(count.saturating_sub(others) / 3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_has_a_name_and_a_scale_for_all_integers() {
        for (index, form) in FORMS.iter().enumerate() {
            assert!(FORMS[index + 1..].iter().all(|other| other.op_type > form.op_type), "{}", form.op_type);
            let inputs = form.inputs(2);
            for part in &inputs {
                if let Integers(slot) = part {
                    assert!(inputs.contains(&Scale(*slot)) && inputs.contains(&ZeroPoint(*slot)), "{}", form.op_type);
                }
            }
            assert_eq!(form.output == Output::Floats, !inputs.contains(&OutputScale), "{}", form.op_type);
            assert_eq!(form.inputs_of(inputs.len()), inputs);
        }
    }

    #[test]
    fn an_operator_is_found_by_what_it_is_and_by_what_it_stands_for() {
        let name = |form: Option<&Form>| form.map(|f| f.op_type);
        assert_eq!(name(standing_for("MatMul", true)), Some("QLinearMatMul"));
        assert_eq!(name(standing_for("MatMul", false)), Some("MatMulIntegerToFloat"));
        assert_eq!(name(standing_for("Gemm", false)), Some("QGemm"));
        assert_eq!(name(standing_for("Conv", false)), None);
        assert_eq!(name(find("", "QLinearConv")), Some("QLinearConv"));
        assert_eq!(name(find("", "QLinearAdd")), None);
        assert_eq!(name(find(MICROSOFT, "QLinearAdd")), Some("QLinearAdd"));
    }
}
