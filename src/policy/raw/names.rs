//! The words of a policy: one enum for each key that takes one of several.

use crate::quant::HalfType;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::path::Path;

/// What becomes integers, and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Weights and activations. The activations' scales are found from calibration samples and stored in the model.
    #[default]
    Static,
    /// Weights and activations. The activations' scales are found anew in each run, from the numbers at hand; no samples are
    /// needed.
    Dynamic,
    /// Weights only: they are stored as integers and dequantized when the model is loaded or run. No samples are needed.
    WeightOnly,
    /// Nothing becomes integers: nodes compute in floating-point numbers of 16 bits, float16. No samples are needed; with
    /// some, nodes whose numbers float16 does not hold stay in float32.
    Float16,
    /// The same with bfloat16, which has fewer bits and the range of float32. For runtimes other than ONNX Runtime on a CPU.
    Bfloat16,
    /// Nothing, but for what rules say.
    Float32,
}

impl Mode {
    /// The type of 16 bits that nodes compute in, if they do.
    pub fn half(self) -> Option<HalfType> {
        match self {
            Self::Float16 => Some(HalfType::Float16),
            Self::Bfloat16 => Some(HalfType::Bfloat16),
            Self::Static | Self::Dynamic | Self::WeightOnly | Self::Float32 => None,
        }
    }
}

impl fmt::Display for Mode {
    /// The policy's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::WeightOnly => "weight-only",
            Self::Float16 => "float16",
            Self::Bfloat16 => "bfloat16",
            Self::Float32 => "float32",
        })
    }
}

/// How the integers of weights are found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoundingName {
    /// Each weight becomes the nearest.
    #[default]
    Nearest,
    /// One weight after the other, each with what the errors of those before it do to what the layer makes (GPTQ).
    Gptq,
    /// The same, and then weights move by single steps as long as that makes the error less.
    Learned,
}

/// What an output says, and so how two models are compared in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskName {
    /// As its structure says, where that leaves no doubt: one score per class of the first output, boxes where the model's metadata
    /// say `task: detect` and name the classes, text where they hold its characters.
    #[default]
    Auto,
    /// Nothing but numbers.
    None,
    /// One score per class.
    Classify,
    /// Scores of characters for each step, to be decoded by CTC; the first one is the blank.
    Ctc,
    /// An embedding, or one for each token, whose mean counts.
    Embed,
    /// Masks: what is above `mask_above` belongs to them.
    Segment,
    /// A score per class for each pixel.
    SegmentClasses,
    /// Boxes with scores, as YOLO gives them.
    Yolo,
}

impl fmt::Display for TaskName {
    /// The policy's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Classify => "classify",
            Self::Ctc => "ctc",
            Self::Embed => "embed",
            Self::Segment => "segment",
            Self::SegmentClasses => "segment-classes",
            Self::Yolo => "yolo",
        })
    }
}

/// How the quantized model is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Float operators between DequantizeLinear and QuantizeLinear, which runtimes put together as their kernels allow.
    #[default]
    Qdq,
    /// Operators on integers (QLinearConv and its like), for runtimes that put nothing together. Only in mode `static`.
    Qoperator,
}

/// What becomes of a model that is quantized already, in part or as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuantizedInput {
    /// It is an error.
    #[default]
    Refuse,
    /// It is written as it is.
    Keep,
    /// What is quantized keeps its grids and integers, bit for bit; what is float is quantized as the policy says.
    Complete,
}

/// What the output goes without that a model says for people alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strip {
    /// All stays.
    Nothing,
    /// Stack traces that the exporter left on nodes.
    #[default]
    Traces,
    /// Doc strings, and the metadata of nodes and values. Those of the model itself stay.
    Everything,
}

/// What a layer may become to keep a budget, the cheaper ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BudgetType {
    /// Weights of 4 bits; it computes in float.
    Int4,
    /// What it makes are integers of 16 bits.
    Int16,
    /// It computes in float16.
    Float16,
    /// It stays in float32.
    Float32,
}

/// What becomes of the numbers of 16 bits that a model has before it is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HalfInput {
    /// They become float32: the inputs and outputs of the model alone keep their types.
    Widen,
    /// What stays float keeps its type, and scales are of that type, too.
    Keep,
}

impl HalfInput {
    /// What is usual in a mode: where nothing is multiplied as integers, no kernel wants scales of float32.
    pub fn of_mode(mode: Mode) -> Self {
        if mode == Mode::WeightOnly { Self::Keep } else { Self::Widen }
    }
}

/// The runtime that will run the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// ONNX Runtime: QuantizeLinear and DequantizeLinear in pairs.
    Onnxruntime,
}

/// The element type of an input or output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IoType {
    /// As in the float model.
    Float32,
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 16 bits.
    Uint16,
}

/// A type of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightTypeName {
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 4 bits.
    Int4,
    /// Unsigned, 4 bits.
    Uint4,
    /// Signed, 2 bits.
    Int2,
    /// Unsigned, 2 bits.
    Uint2,
    /// Floating-point, 4 bits of exponent and 3 of mantissa.
    Float8e4m3fn,
    /// Floating-point, 5 bits of exponent and 2 of mantissa.
    Float8e5m2,
    /// Sixteen numbers spaced like a normal distribution, for the form `contrib`.
    Nf4,
    /// Floats of 4 bits, for the form `contrib`.
    Fp4,
}

/// How weights that only are stored as integers, or that recurrent layers have, stand in the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightForm {
    /// Ahead of the float operator stands a DequantizeLinear.
    #[default]
    Qdq,
    /// One operator of ONNX Runtime's own domain reads them: MatMulNBits, MatMulBnb4 or GatherBlockQuantized, and in mode
    /// dynamic DynamicQuantizeLSTM.
    Contrib,
}

/// How many scales a weight has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One for each output channel.
    PerChannel,
    /// One for the whole tensor.
    PerTensor,
    /// One for each block of `block_size` weights of an output channel; the last may be shorter.
    PerBlock,
}

impl fmt::Display for Granularity {
    /// The policy's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerChannel => "per_channel",
            Self::PerTensor => "per_tensor",
            Self::PerBlock => "per_block",
        })
    }
}

/// How far the integers of a weight reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightRange {
    /// To the largest weight.
    Minmax,
    /// As far as gives the least error behind the layer, for inputs of the mean and variance that calibration saw.
    LeastError,
    /// As far as gives errors of the weights the least norm of a power below one, which lets a few be large: half-quadratic
    /// quantization. For asymmetric integers of mode `weight-only`, with a scale for each channel or block.
    Hqq,
}

/// The type of the bias of an integer layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BiasType {
    /// Integers of the scale in which the layer sums up.
    Int32,
    /// As it is.
    Float32,
}

/// A type of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TypeName {
    /// Signed, 8 bits.
    Int8,
    /// Unsigned, 8 bits.
    Uint8,
    /// Signed, 16 bits.
    Int16,
    /// Unsigned, 16 bits.
    Uint16,
    /// Floating-point, 4 bits of exponent and 3 of mantissa.
    Float8e4m3fn,
    /// Floating-point, 5 bits of exponent and 2 of mantissa.
    Float8e5m2,
}

/// What runs the samples: those that calibrate, and those that validate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// tract, which is built in.
    #[default]
    Tract,
    /// ONNX Runtime, whose library is loaded from the machine.
    Onnxruntime,
}

/// A runtime that the quantized model is run by beside its re-execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// ONNX Runtime, without graph optimizations and as it runs by default.
    Onnxruntime,
}

impl Reference {
    /// The runtime that `data.reference` names; `None` where it names a recording.
    pub fn named(name: &Path) -> Option<Self> {
        (name == Path::new("onnxruntime")).then_some(Self::Onnxruntime)
    }
}

/// How a range is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CalibratorName {
    /// The smallest and the largest number seen.
    Minmax,
    /// The average over the samples of the smallest and the largest number.
    MovingAverage,
    /// The range that holds `percentile` percent of the numbers.
    Percentile,
    /// The range whose integers keep the distribution best (smallest relative entropy).
    Entropy,
    /// The range with the smallest mean squared error.
    Mse,
}

/// How a picture of other proportions fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FitName {
    /// Stretched to the size.
    Stretch,
    /// Scaled in proportion until it covers the size, then the middle is cut out.
    Crop,
}

/// The order of a picture tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LayoutName {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

/// The order of the colour channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelsName {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel of grey.
    Grey,
}

/// What to do with a sample that cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadFileName {
    /// Stop with an error.
    Stop,
    /// Go on without it.
    Skip,
}
