//! The policy as written: every key optional, nothing checked but names and types.
//!
//! The doc comments are the descriptions in the JSON Schema, so they speak to the person who writes the YAML.

mod budget;
mod names;
mod one_or_each;
mod one_or_many;
mod overrides;
mod repairs;
mod thresholds;

pub use budget::RawBudget;
pub use names::{
    BiasType, BudgetType, CalibratorName, ChannelsName, Engine, FitName, Format, Granularity, HalfInput, IoType,
    LayoutName, Mode, OnBadFileName, QuantizedInput, Reference, RoundingName, Strip, Target, TaskName, TypeName,
    WeightForm, WeightRange, WeightTypeName,
};
pub use one_or_each::OneOrEach;
pub use overrides::Overrides;
pub use repairs::{BiasCorrection, RawRepairs};
pub use thresholds::Thresholds;

use super::settings::{CALIBRATION_SAMPLES, DEFAULT_BLOCK_SIZE, DEFAULT_PERCENTILE, MASK_ABOVE, VALIDATION_SAMPLES};
use super::text::Origin;
use crate::encodings::Version;
use one_or_many::{OneOrMany, one_or_many};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a model is quantized, and how the result is judged. Paths are relative to this file's folder.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tare policy")]
pub struct Raw {
    /// The version of this format: 1.
    #[schemars(required, extend("const" = 1))]
    pub version: Option<u64>,
    /// The ONNX model to quantize.
    pub model: Option<PathBuf>,
    /// Where the quantized model goes.
    pub output: Option<PathBuf>,
    /// Where the report goes, as JSON.
    pub report: Option<PathBuf>,
    /// Where what was judged goes, as JUnit XML, for CI servers.
    pub junit: Option<PathBuf>,
    /// Where the grids of the quantized model go, as AIMET encodings.
    pub write_encodings: Option<PathBuf>,
    /// Where the lock goes: all that was found out from samples. `tare quantize --locked` converts from it without them.
    pub lock: Option<PathBuf>,
    /// The version of the encodings that are written.
    #[schemars(extend("default" = "1.0.0"))]
    pub encodings_version: Option<Version>,
    /// What becomes integers, and when.
    #[schemars(extend("default" = "static"))]
    pub mode: Option<Mode>,
    /// How the quantized model is written.
    #[schemars(extend("default" = "qdq"))]
    pub format: Option<Format>,
    /// Whether operators of ONNX Runtime's own domain, `com.microsoft`, may be used where ONNX's own need a newer opset: for
    /// activations of 16 bits, and weights of 4 bits whose scales are not by block.
    #[schemars(extend("default" = false))]
    pub contrib: Option<bool>,
    /// The runtime that will run the model.
    #[schemars(extend("default" = "onnxruntime"))]
    pub target: Option<Target>,
    /// Sizes of dimensions that the model leaves open: by their name in the model, or as `input[axis]`.
    #[serde(default)]
    pub dims: Option<BTreeMap<String, usize>>,
    /// What happens to the float model before it is quantized.
    pub prepare: Option<Prepare>,
    /// The element types of the model's inputs and outputs.
    pub io: Option<RawIo>,
    /// What becomes of a model that is quantized already, in part or as a whole.
    #[schemars(extend("default" = "refuse"))]
    pub quantized_input: Option<QuantizedInput>,
    /// Whether an operator that stays in float is an error.
    #[schemars(extend("default" = false))]
    pub strict: Option<bool>,
    /// What the output goes without: stack traces on nodes; all doc strings and metadata of nodes and values; or nothing.
    #[schemars(extend("default" = "traces"))]
    pub strip: Option<Strip>,
    /// The samples: what calibrates, what validates, how pictures become tensors.
    pub data: Option<DataSection>,
    /// How activations become integers, where no rule says otherwise.
    pub activations: Option<Activations>,
    /// How weights become integers, where no rule says otherwise.
    pub weights: Option<Weights>,
    /// What becomes of floating-point numbers of 16 bits, and what stays in float32 beside them.
    pub half: Option<RawHalf>,
    /// What brings a static model nearer to the float one without training.
    pub repairs: Option<RawRepairs>,
    /// What the model has to keep, or how large it may be: layers get other types until it does.
    pub budget: Option<RawBudget>,
    /// Exceptions for single nodes, operators and values. Where several match, the last one wins, key by key.
    pub rules: Option<Vec<RawRule>>,
    /// How the quantized model is compared with the original beyond the numbers of its outputs.
    pub validation: Option<RawTasks>,
    /// Limits that the quantized model has to keep. Where they are left out those hold that are usual in the field; `none`
    /// switches them off, too.
    #[serde(default, deserialize_with = "thresholds::thresholds")]
    #[schemars(with = "Option<thresholds::NoneOrThresholds>")]
    pub thresholds: Option<Thresholds>,
    /// Where each key stands, for errors found later.
    #[serde(skip)]
    pub(super) origin: Origin,
}

/// What the outputs say, and so what is compared in them.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTasks {
    /// The task of the first output, or of each by its name.
    #[schemars(extend("default" = "auto"))]
    pub task: Option<OneOrEach<TaskName>>,
    /// The number above which an element belongs to a mask, for the task `segment`.
    #[schemars(extend("default" = MASK_ABOVE))]
    pub mask_above: Option<f64>,
    /// The characters of the task `ctc`, one on each line, that of class 1 first. Left out, those in the model's metadata.
    pub charset: Option<PathBuf>,
}

/// The element types of the model's inputs and outputs, where they are not those of the float model.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawIo {
    /// The type of all float32 inputs, or of each by its name. Scale and zero point of an integer one are written into the
    /// model's metadata, as `tare.io.NAME`.
    pub inputs: Option<OneOrEach<IoType>>,
    /// The type of all float32 outputs, or of each by its name.
    pub outputs: Option<OneOrEach<IoType>>,
    /// Whether uint8 inputs take the levels of a picture as they are: scale, mean and std of `data.preprocess` go into the
    /// input's scale and zero point and into the layers that read it.
    #[schemars(extend("default" = false))]
    pub fold_normalization: Option<bool>,
}

/// What happens to the float model before it is quantized.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Whether what an exporter spelled out in many nodes (LayerNormalization, Gelu, HardSwish, ...) is replaced by the one
    /// operator that ONNX has for it at the model's opset.
    #[schemars(extend("default" = true))]
    pub fuse_patterns: Option<bool>,
}

/// The samples.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The samples whose ranges set the scales.
    pub calibration: Option<CalibrationData>,
    /// The samples that compare the quantized model with the original. Left out, every fifth calibration sample is held
    /// back for it.
    pub validation: Option<ValidationData>,
    /// Grids or ranges that another tool found: AIMET encodings, or what ONNX Runtime's calibrators save. What they cover is not
    /// calibrated.
    pub encodings: Option<PathBuf>,
    /// What runs the samples.
    #[schemars(extend("default" = "tract"))]
    pub engine: Option<Engine>,
    /// What the quantized model is compared with beside the float one. `onnxruntime`: this runtime runs it on the validation
    /// samples, too; what is then compared with it and with the float model is tract's re-execution, whatever `engine` says. A
    /// path: an .npz or a folder of ONNX test data with inputs and outputs that were recorded elsewhere; its inputs are then the
    /// validation samples. Or both, as a list.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub reference: Option<Vec<PathBuf>>,
    /// Crash tests: both models run inputs made from what the model takes, black and white, silence, noise, NaN, open dimensions
    /// at extreme sizes. `all`, or the names of some.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub stress: Option<Vec<String>>,
    /// How pictures become tensors. What is left out is taken from the model's input.
    pub preprocess: Option<Preprocessing>,
}

/// The samples whose ranges set the scales.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CalibrationData {
    /// A folder or file of samples.
    pub path: Option<PathBuf>,
    /// At most so many samples are used, spread evenly over all.
    #[schemars(range(min = 1), extend("default" = CALIBRATION_SAMPLES))]
    pub samples: Option<usize>,
    /// What to do with a sample that cannot be read.
    #[schemars(extend("default" = "stop"))]
    pub on_bad_file: Option<OnBadFileName>,
    /// What to do with a sample for which a value of the model is NaN or infinite. To skip it, each sample is run twice.
    #[schemars(extend("default" = "stop"))]
    pub on_bad_value: Option<OnBadFileName>,
}

/// The samples that compare the quantized model with the original.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValidationData {
    /// A folder or file of samples.
    pub path: Option<PathBuf>,
    /// The true classes of the samples: a .csv, .txt, .npy or .npz file. Without them only agreement with the original
    /// model can be measured.
    pub labels: Option<PathBuf>,
    /// At most so many samples are used, spread evenly over all. 0: the models are not run.
    #[schemars(extend("default" = VALIDATION_SAMPLES))]
    pub samples: Option<usize>,
    /// What to do with a sample that cannot be read.
    #[schemars(extend("default" = "stop"))]
    pub on_bad_file: Option<OnBadFileName>,
}

/// How pictures become tensors: resized, then `(level * scale - mean) / std` with levels from 0 to 255. Without effect
/// on arrays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Height and width in pixels.
    pub size: Option<[usize; 2]>,
    /// How a picture of other proportions fits.
    #[schemars(extend("default" = "stretch"))]
    pub fit: Option<FitName>,
    /// The order of the tensor's dimensions.
    pub layout: Option<LayoutName>,
    /// The order of the colour channels.
    pub channels: Option<ChannelsName>,
    /// What the levels from 0 to 255 are multiplied by first. Left out, it is 1/255.
    pub scale: Option<f64>,
    /// What is then taken away: one number, or one for each of three channels.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<f64>>")]
    pub mean: Option<Vec<f64>>,
    /// What it is then divided by: one number, or one for each of three channels.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<f64>>")]
    pub std: Option<Vec<f64>>,
}

/// How activations become integers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Activations {
    /// The type: integers, or floating-point numbers of 8 bits, then of the weights too.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "uint8"))]
    pub dtype: Option<TypeName>,
    /// Whether the integers reach equally far on both sides of zero (zero point 0, for uint8 128). Floating-point numbers
    /// always do.
    #[schemars(extend("default" = false))]
    pub symmetric: Option<bool>,
    /// How a range is found from what the calibration samples show.
    #[schemars(extend("default" = "mse"))]
    pub calibrator: Option<CalibratorName>,
    /// Whether every scale is a power of two, the next above the one that the range asks for.
    #[schemars(extend("default" = false))]
    pub power_of_two: Option<bool>,
    /// Columns of what a MatMul or Gemm reads whose magnitude passes this in the samples run in float beside the integer
    /// rest. Left out, none do.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub outlier_threshold: Option<f64>,
    /// The share of the numbers, in percent, that the range holds. Only for the calibrator `percentile`.
    #[schemars(extend("exclusiveMinimum" = 50, "maximum" = 100, "default" = DEFAULT_PERCENTILE))]
    pub percentile: Option<f64>,
}

/// How weights become integers.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// The type: integers, or floating-point numbers of 8 bits, in mode `static` then of the activations too. Those of 4 and 2
    /// bits are for mode `weight-only`.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "int8"))]
    pub dtype: Option<WeightTypeName>,
    /// Whether the integers reach equally far on both sides of zero. In mode `static`, weights with a scale per channel
    /// have to be symmetric.
    #[schemars(extend("default" = true))]
    pub symmetric: Option<bool>,
    /// One scale for each output channel, for the whole tensor, or, in mode `weight-only`, for each block of a channel.
    #[schemars(extend("default" = "per_channel"))]
    pub granularity: Option<Granularity>,
    /// How integers that only weights are stored as stand in the model: in mode `weight-only`, with `per_block`.
    #[schemars(extend("default" = "qdq"))]
    pub form: Option<WeightForm>,
    /// How many weights of a channel make a block, where the granularity is `per_block`.
    #[schemars(range(min = 1), extend("default" = DEFAULT_BLOCK_SIZE))]
    pub block_size: Option<usize>,
    /// How far the integers reach: to the largest weight, as far as gives the least error behind the layer, or as far as half-quadratic
    /// quantization says.
    #[schemars(extend("default" = "least_error"))]
    pub range: Option<WeightRange>,
    /// Widens the scale of channels with large neighbouring int8 weights just so far that the 16-bit sums of x86 CPUs
    /// without VNNI cannot saturate.
    #[schemars(extend("default" = true))]
    pub avoid_saturation: Option<bool>,
    /// Leaves one bit of every weight unused, which avoids saturation in any kernel.
    #[schemars(extend("default" = false))]
    pub reduce_range: Option<bool>,
    /// Whether every scale is a power of two, the next above the one that the weights ask for.
    #[schemars(extend("default" = false))]
    pub power_of_two: Option<bool>,
    /// The type of the biases of integer layers. In int32 their scale is that of the input times that of the weight.
    #[schemars(extend("default" = "int32"))]
    pub bias: Option<BiasType>,
}

/// What is computed in numbers of 16 bits: what stays in float32 in the modes `float16` and `bfloat16`, and what becomes of
/// numbers of 16 bits that the model has itself in the others.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHalf {
    /// Whether the model's inputs and outputs keep their types. `false` makes those of float32 numbers of 16 bits, too.
    #[schemars(extend("default" = true))]
    pub keep_io: Option<bool>,
    /// Operators that stay in float32, beside those that always do for their risks. A rule with `quantize: true` overrules
    /// both.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub block: Option<Vec<String>>,
    /// What becomes of a model in float16 or bfloat16 where integers are made. Left out, `keep` where weights alone become
    /// integers, and `widen` elsewhere: the integer kernels of ONNX Runtime on a CPU want float32 scales.
    pub input: Option<HalfInput>,
}

/// An exception: what it is about, and what is different there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// What the rule is about. Every key given has to match.
    #[serde(rename = "match")]
    pub selection: Match,
    /// What becomes integers, and when, of the matched nodes. Only without `match.value`.
    pub mode: Option<Mode>,
    /// `false` leaves the node or value in float; `true` quantizes the node even where that buys nothing: a residual sum
    /// before a normalization, a join of unlike ranges, an operator that no integer node reads.
    pub quantize: Option<bool>,
    /// Why; shown wherever the plan gives reasons.
    pub reason: Option<String>,
    /// How the outputs of the matched nodes, or the matched values, become integers.
    pub activations: Option<Activations>,
    /// How the weights of the matched nodes become integers.
    pub weights: Option<Weights>,
    /// A fixed range instead of a calibrated one, only with `match.value`. It is widened to hold zero.
    pub range: Option<[f64; 2]>,
    /// A fixed scale instead of a calibrated one, only with `match.value` and `zero_point`.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: Option<f64>,
    /// The integer that stands for zero, with `scale`.
    pub zero_point: Option<i64>,
}

/// What a rule is about. A text between slashes (`/^conv[0-9]+$/`) is a regex that may match anywhere; any other is a
/// glob that matches the whole name: `*` stands for anything (slashes too), `?` for one character, `[ab]` for one of
/// several, `{x,y}` for alternatives. A name's own bracket is written `[[]`. An ONNX name may begin with a slash; only
/// one that also ends with a slash would be taken for a regex.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The node's name.
    pub node: Option<String>,
    /// The node's operator, or several of which one has to match.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "Option<OneOrMany<String>>")]
    pub op_type: Option<Vec<String>>,
    /// The value's name. Together with `node` or `op_type`: an output of such a node.
    pub value: Option<String>,
    /// The names of two values: the nodes on any way from the first to the second.
    pub between: Option<[String; 2]>,
}

/// The JSON Schema (draft 2020-12) of a policy.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Raw).to_value()
}
