//! The policy as used: checked, with every default filled in.

use super::one_or_each::OneOrEach;
use super::pattern::Pattern;
use super::places::Place;
use super::raw::{Activations, CalibratorName, Format, IoType, Mode, TypeName, WeightForm, WeightTypeName, Weights};
use crate::inputs::Source;
use crate::quant::{CodeBook, Float8, HalfType, IntType, Scheme};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// How many samples calibrate, where the policy does not say.
pub const CALIBRATION_SAMPLES: usize = 200;
/// How many samples validate, where the policy names validation samples but not how many.
pub const VALIDATION_SAMPLES: usize = 1000;
/// How many calibration samples at most are held back to validate, where the policy names no validation samples.
pub const HELD_BACK_SAMPLES: usize = 50;
/// The calibrator where the policy does not say.
pub const DEFAULT_CALIBRATOR: Calibrator = Calibrator::Mse;
/// The percentile where the calibrator is `percentile` and no number is given.
pub const DEFAULT_PERCENTILE: f64 = 99.99;
/// How many weights make a block where the policy does not say.
pub const DEFAULT_BLOCK_SIZE: usize = 32;

/// The policy as used.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The model to quantize.
    pub model: Option<PathBuf>,
    /// Where the quantized model goes.
    pub output: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// What becomes integers, and when, where no rule says otherwise.
    pub mode: Mode,
    /// How the quantized model is written.
    pub format: Format,
    /// Whether operators of ONNX Runtime's own domain may be used where ONNX's own need a newer opset.
    pub contrib: bool,
    /// The samples whose ranges set the scales.
    pub calibration: Option<Data>,
    /// What the quantized model is compared with the original on.
    pub validation: Validation,
    /// What to do with a calibration sample for which a value is NaN or infinite.
    pub on_bad_value: OnBadValue,
    /// Sizes of dimensions that the model leaves open, by name or as `input[axis]`.
    pub dims: BTreeMap<String, usize>,
    /// Whether patterns spelled out in many nodes are not replaced by ONNX's own operators.
    pub keep_patterns: bool,
    /// The element types of inputs and outputs.
    pub io: IoSettings,
    /// Whether an operator that stays in float is an error.
    pub strict: bool,
    /// How activations become integers, where no rule says otherwise.
    pub activations: ActivationSettings,
    /// How weights become integers, where no rule says otherwise.
    pub weights: WeightSettings,
    /// What stays in float32 where nodes compute in 16 bits.
    pub half: HalfSettings,
    /// The exceptions, in the order of the file.
    pub rules: Vec<Rule>,
    /// What the quantized model has to keep.
    pub thresholds: Thresholds,
    /// The policy file, if there is one.
    pub path: Option<PathBuf>,
}

impl Settings {
    /// What becomes integers, and when, where no rule says otherwise, then what rules say.
    pub fn modes(&self) -> impl Iterator<Item = Mode> + '_ {
        std::iter::once(self.mode).chain(self.rules.iter().filter_map(|rule| rule.mode))
    }

    /// Whether anything may become integers whose scale is found from calibration samples.
    pub fn calibrates(&self) -> bool {
        self.modes().any(|mode| mode == Mode::Static) || self.splits_outliers()
    }

    /// Whether any layer may be split by the columns that calibration samples show to be large.
    fn splits_outliers(&self) -> bool {
        let rules = self.rules.iter().any(|rule| rule.activations.outlier_threshold.is_some());
        rules || self.activations.outlier_threshold.is_some()
    }

    /// The types of 16 bits that nodes may compute in.
    pub fn halves(&self) -> impl Iterator<Item = HalfType> + '_ {
        self.modes().filter_map(Mode::half)
    }

    /// Whether samples, where there are some, are looked at before the model is written.
    pub fn looks_at_samples(&self) -> bool {
        self.calibrates() || self.halves().any(|kind| kind == HalfType::Float16)
    }

    /// Whether bodies of If, Loop and Scan may change: what calibration would have to observe there cannot be.
    pub fn reaches_bodies(&self) -> bool {
        self.modes().any(|mode| !matches!(mode, Mode::Static | Mode::Float32))
    }

    /// The oldest operator set with a QuantizeLinear and DequantizeLinear for everything that may be asked for, but for what
    /// ONNX Runtime's own domain has at every opset where that may be used.
    pub fn opset(&self) -> i64 {
        let rules = self.rules.iter().map(|rule| self.weights.with(&rule.weights));
        let weights = std::iter::once(self.weights).chain(rules);
        let for_weights = weights.map(|weights| weights.opset(self.contrib)).max().unwrap_or(OLDEST_OPSET);
        let rules = self.rules.iter().filter_map(|rule| rule.activations.dtype.map(IntType::from));
        let sides = [&self.io.inputs, &self.io.outputs];
        let io = sides.into_iter().flatten().flat_map(OneOrEach::values).filter_map(IoType::integer);
        let activations = std::iter::once(self.activations.scheme.dtype).chain(rules).chain(io);
        let for_activations = activations.filter(|_| self.calibrates()).map(|dtype| match dtype {
            IntType::Float8(_) => FLOAT8_OPSET,
            _ if dtype.bits() > 8 && !self.contrib => 21,
            _ => OLDEST_OPSET,
        });
        for_activations.fold(for_weights, i64::max)
    }
}

/// The first operator set whose integers of 8 bits may have a scale for each channel.
const OLDEST_OPSET: i64 = 13;
/// The oldest operator set with float8.
const FLOAT8_OPSET: i64 = 19;

/// What stays in float32 where nodes compute in floating-point numbers of 16 bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HalfSettings {
    /// Whether the model's inputs and outputs become numbers of 16 bits, too.
    pub convert_io: bool,
    /// Operators that stay in float32, beside those that do for their risks.
    pub block: Vec<String>,
}

/// What the quantized model is compared with the original on.
#[derive(Debug, Clone, Default)]
pub enum Validation {
    /// Every fifth calibration sample, which then does not calibrate, see [`HELD_BACK_SAMPLES`].
    #[default]
    HeldBack,
    /// Samples of its own.
    Samples(Data),
    /// Nothing: the models are not run.
    Off,
}

impl Validation {
    /// Samples of its own.
    pub fn samples(&self) -> Option<&Data> {
        match self {
            Self::Samples(data) => Some(data),
            Self::HeldBack | Self::Off => None,
        }
    }
}

/// The element types of inputs and outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IoSettings {
    /// Of the inputs; `None` leaves them as they are.
    pub inputs: Option<OneOrEach<IoType>>,
    /// Of the outputs; `None` leaves them as they are.
    pub outputs: Option<OneOrEach<IoType>>,
    /// Whether uint8 inputs take the levels of a picture.
    pub fold_normalization: bool,
}

impl IoType {
    /// The integer type, if it is one.
    pub fn integer(self) -> Option<IntType> {
        match self {
            Self::Float32 => None,
            Self::Int8 => Some(IntType::Int8),
            Self::Uint8 => Some(IntType::Uint8),
            Self::Int16 => Some(IntType::Int16),
            Self::Uint16 => Some(IntType::Uint16),
        }
    }
}

/// What to do with a calibration sample for which a value is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadValue {
    /// Stop with an error that names value, node and sample.
    #[default]
    Stop,
    /// Go on without the sample, and say so in the report.
    Skip,
}

/// Samples.
#[derive(Debug, Clone)]
pub struct Data {
    /// Where they are and how they become tensors.
    pub source: Source,
    /// At most so many are used, spread evenly over all. Never zero.
    pub samples: usize,
}

/// How an activation becomes integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationSettings {
    /// Type and symmetry; `reduce_range` is never set.
    pub scheme: Scheme,
    /// How its range is found.
    pub calibrator: Calibrator,
    /// The magnitude from which a column of what a product reads runs in float.
    pub outlier_threshold: Option<f32>,
}

impl Default for ActivationSettings {
    fn default() -> Self {
        let scheme = Scheme::new(IntType::Uint8, false);
        Self { scheme, calibrator: DEFAULT_CALIBRATOR, outlier_threshold: None }
    }
}

impl ActivationSettings {
    /// The same with what `over` says instead. `percentile` is the number that serves where `over` gives none, and
    /// takes on the one that it gives: a rule may give the number, and a later one the calibrator.
    pub(super) fn with(self, over: &Activations, percentile: &mut f64) -> Self {
        *percentile = over.percentile.unwrap_or(*percentile);
        let scheme = Scheme {
            dtype: over.dtype.map_or(self.scheme.dtype, IntType::from),
            symmetric: over.symmetric.unwrap_or(self.scheme.symmetric),
            power_of_two: over.power_of_two.unwrap_or(self.scheme.power_of_two),
            ..self.scheme
        };
        let scheme = settled(scheme);
        let calibrator = match (over.calibrator, self.calibrator) {
            (Some(CalibratorName::Minmax), _) => Calibrator::MinMax,
            (Some(CalibratorName::MovingAverage), _) => Calibrator::MovingAverage,
            (Some(CalibratorName::Entropy), _) => Calibrator::Entropy,
            (Some(CalibratorName::Mse), _) => Calibrator::Mse,
            (Some(CalibratorName::Percentile), _) | (None, Calibrator::Percentile(_)) => {
                Calibrator::Percentile(*percentile)
            }
            (None, same) => same,
        };
        let outlier_threshold = over.outlier_threshold.map(|t| t as f32).or(self.outlier_threshold);
        Self { scheme, calibrator, outlier_threshold }
    }

    /// The percentile that a rule begins with.
    pub(super) fn percentile(self) -> f64 {
        match self.calibrator {
            Calibrator::Percentile(percentile) => percentile,
            _ => DEFAULT_PERCENTILE,
        }
    }
}

/// How a range is found from what the calibration samples show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Calibrator {
    /// The smallest and the largest number.
    MinMax,
    /// The average over the samples of the smallest and the largest number.
    MovingAverage,
    /// The range that holds this share of the numbers, in percent: above 50, at most 100.
    Percentile(f64),
    /// The range of smallest relative entropy.
    Entropy,
    /// The range of smallest mean squared error.
    Mse,
}

impl fmt::Display for Calibrator {
    /// The policy's word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MinMax => "minmax",
            Self::MovingAverage => "moving_average",
            Self::Percentile(_) => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
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

/// How a weight becomes integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSettings {
    /// Whether weights are kept small enough for the 16-bit sums of x86 kernels without VNNI.
    pub avoid_saturation: bool,
    /// Type, symmetry, and whether one bit is left unused. Always symmetric where the granularity is per channel.
    pub scheme: Scheme,
    /// How many scales there are.
    pub granularity: Granularity,
    /// How many weights make a block where the granularity is [`Granularity::PerBlock`]. Never zero.
    pub block_size: usize,
    /// How integers that only weights are stored as stand in the model.
    pub form: WeightForm,
    /// What the integers stand for, where these are not steps of one length.
    pub codes: Option<CodeBook>,
    /// How far the integers reach.
    pub range: WeightRange,
    /// The type of the bias of an integer layer.
    pub bias: BiasType,
}

impl Default for WeightSettings {
    fn default() -> Self {
        let scheme = Scheme::new(IntType::Int8, true);
        Self {
            avoid_saturation: true,
            scheme,
            granularity: Granularity::PerChannel,
            block_size: DEFAULT_BLOCK_SIZE,
            form: WeightForm::Qdq,
            codes: None,
            range: WeightRange::LeastError,
            bias: BiasType::Int32,
        }
    }
}

impl WeightSettings {
    /// The same with what `over` says instead.
    pub(super) fn with(self, over: &Weights) -> Self {
        let scheme = Scheme {
            dtype: over.dtype.map_or(self.scheme.dtype, IntType::from),
            symmetric: over.symmetric.unwrap_or(self.scheme.symmetric),
            reduce_range: over.reduce_range.unwrap_or(self.scheme.reduce_range),
            power_of_two: over.power_of_two.unwrap_or(self.scheme.power_of_two),
        };
        let scheme = settled(scheme);
        Self {
            avoid_saturation: over.avoid_saturation.unwrap_or(self.avoid_saturation),
            scheme,
            granularity: over.granularity.unwrap_or(self.granularity),
            block_size: over.block_size.unwrap_or(self.block_size),
            form: over.form.unwrap_or(self.form),
            codes: over.dtype.map_or(self.codes, codes),
            range: over.range.unwrap_or(self.range),
            bias: over.bias.unwrap_or(self.bias),
        }
    }

    /// Whether the scales of least error are searched for: the search knows integers alone.
    pub fn searches(self) -> bool {
        self.range == WeightRange::LeastError && !self.scheme.dtype.is_float()
    }

    /// The oldest operator set that stores such weights; `contrib` says whether ONNX Runtime's own domain may be used.
    fn opset(self, contrib: bool) -> i64 {
        match (self.scheme.dtype, self.granularity) {
            _ if self.form == WeightForm::Contrib => OLDEST_OPSET,
            (IntType::Int2 | IntType::Uint2, _) => 25,
            (_, Granularity::PerBlock) => 21,
            (IntType::Int4 | IntType::Uint4, _) if !contrib => 21,
            (IntType::Float8(_), _) => FLOAT8_OPSET,
            _ => OLDEST_OPSET,
        }
    }

    /// Why it cannot be in `mode`, with the key to blame.
    pub(super) fn trouble(self, mode: Mode) -> Option<(&'static str, &'static str)> {
        let eight_bits = self.scheme.dtype.bits() == 8;
        let contrib = self.form == WeightForm::Contrib;
        match mode {
            Mode::Static | Mode::Dynamic if contrib => Some(("form", CONTRIB)),
            _ if self.scheme.dtype.is_float() && self.scheme.reduce_range => Some(("reduce_range", REDUCED_FLOAT)),
            Mode::Dynamic if self.scheme.dtype.is_float() => Some(("type", DYNAMIC_FLOAT)),
            Mode::Static | Mode::Dynamic if !eight_bits => Some(("type", FOUR_BITS)),
            Mode::Static | Mode::Dynamic if self.granularity == Granularity::PerBlock => Some(("granularity", BLOCKS)),
            Mode::Static | Mode::Dynamic if !self.scheme.symmetric && self.granularity == Granularity::PerChannel => {
                Some(("symmetric", ASYMMETRIC_CHANNELS))
            }
            Mode::WeightOnly if self.codes.is_some() && !contrib => Some(("type", CODES)),
            Mode::WeightOnly if self.codes.is_some() && self.scheme.power_of_two => Some(("power_of_two", NO_STEPS)),
            Mode::WeightOnly if contrib && self.granularity != Granularity::PerBlock => {
                Some(("granularity", CONTRIB_BLOCKS))
            }
            Mode::WeightOnly if contrib && !CONTRIB_SIZES.contains(&self.block_size) => {
                Some(("block_size", CONTRIB_SIZE))
            }
            Mode::WeightOnly if self.scheme.reduce_range => Some(("reduce_range", REDUCED)),
            Mode::Static | Mode::Dynamic | Mode::WeightOnly | Mode::Float16 | Mode::Bfloat16 | Mode::Float32 => None,
        }
    }
}

const CONTRIB: &str = "form: contrib is for weights alone; remove it, or set mode: weight-only";
const CODES: &str = "only MatMulBnb4 reads nf4 and fp4; set form: contrib, or type: int4";
const NO_STEPS: &str = "nf4 and fp4 have no steps of one length; remove it";
const CONTRIB_BLOCKS: &str = "the operators of form: contrib read blocks; set granularity: per_block";
const CONTRIB_SIZE: &str =
    "the operators of form: contrib read blocks of 16, 32, 64, 128 or 256 weights; set one of these";
/// What ONNX Runtime's MatMulNBits takes.
const CONTRIB_SIZES: [usize; 5] = [16, 32, 64, 128, 256];

/// The code book of a type that has one.
fn codes(name: WeightTypeName) -> Option<CodeBook> {
    match name {
        WeightTypeName::Nf4 => Some(CodeBook::Nf4),
        WeightTypeName::Fp4 => Some(CodeBook::Fp4),
        _ => None,
    }
}

const REDUCED_FLOAT: &str = "reduce_range is for integer kernels, and float8 has none; remove it";
const DYNAMIC_FLOAT: &str =
    "kernels for grids that each run finds take integers; set type: int8, or mode: static or weight-only";
const FOUR_BITS: &str = "kernels for integer activations take weights of 8 bits; set type: int8, or mode: weight-only";
const BLOCKS: &str =
    "kernels for integer activations take one scale per channel; set granularity: per_channel, or mode: weight-only";
/// Runtimes need one zero point for all channels.
const ASYMMETRIC_CHANNELS: &str =
    "per_channel weights are symmetric: runtimes need zero point 0; set granularity: per_tensor or symmetric: true";
const REDUCED: &str = "reduce_range is for integer kernels, and mode weight-only has none; remove it";

/// Floating-point numbers are symmetric, whatever is said of other types.
fn settled(scheme: Scheme) -> Scheme {
    Scheme { symmetric: scheme.symmetric || scheme.dtype.is_float(), ..scheme }
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

impl From<TypeName> for IntType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Int8 => Self::Int8,
            TypeName::Uint8 => Self::Uint8,
            TypeName::Int16 => Self::Int16,
            TypeName::Uint16 => Self::Uint16,
            TypeName::Float8e4m3fn => Self::Float8(Float8::E4m3fn),
            TypeName::Float8e5m2 => Self::Float8(Float8::E5m2),
        }
    }
}

impl From<WeightTypeName> for IntType {
    fn from(name: WeightTypeName) -> Self {
        match name {
            WeightTypeName::Int8 => Self::Int8,
            WeightTypeName::Uint8 => Self::Uint8,
            WeightTypeName::Int4 => Self::Int4,
            WeightTypeName::Uint4 => Self::Uint4,
            WeightTypeName::Int2 => Self::Int2,
            WeightTypeName::Uint2 => Self::Uint2,
            // Codes are as large, and stored unsigned.
            WeightTypeName::Nf4 | WeightTypeName::Fp4 => Self::Uint4,
            WeightTypeName::Float8e4m3fn => Self::Float8(Float8::E4m3fn),
            WeightTypeName::Float8e5m2 => Self::Float8(Float8::E5m2),
        }
    }
}

/// An exception. Keys that are `None` leave what the policy and earlier rules say.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The node's name.
    pub node: Option<Pattern>,
    /// The node's operator: any of these. Empty where the rule does not ask.
    pub op_types: Vec<Pattern>,
    /// The value's name. With it the rule is about values, without it about nodes and their outputs.
    pub value: Option<Pattern>,
    /// What becomes integers, and when, of the nodes.
    pub mode: Option<Mode>,
    /// Whether to quantize the nodes or values.
    pub quantize: Option<bool>,
    /// Why.
    pub reason: Option<String>,
    /// What is different about the values, or the outputs of the nodes.
    pub activations: Activations,
    /// What is different about the weights of the nodes.
    pub weights: Weights,
    /// The names of two values between which the nodes lie.
    pub between: Option<[Named; 2]>,
    /// The range of the values, low and high, finite, low below high; it need not hold zero.
    pub range: Option<(f32, f32)>,
    /// The scale of the values, a normal number, and the integer that stands for zero.
    pub grid: Option<(f32, i32)>,
    /// Where the rule stands in the policy.
    pub place: Place,
}

/// A name that stands in the policy.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// Limits that the quantized model has to keep, against the original model on the same samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// By how much the share of right first guesses may fall, from 0 to 1. Needs labels.
    #[schemars(range(min = 0, max = 1))]
    pub top1_drop: Option<f64>,
    /// The least share of samples, from 0 to 1, whose first guess is the original's.
    #[schemars(range(min = 0, max = 1))]
    pub top1_agreement: Option<f64>,
    /// The least share of samples, from 0 to 1, whose first guess is among the original's first five.
    #[schemars(range(min = 0, max = 1))]
    pub top5_agreement: Option<f64>,
    /// The least ratio of signal to quantization noise, in decibels.
    #[schemars(range(min = 0))]
    pub sqnr_db: Option<f64>,
    /// The greatest mean squared difference.
    #[schemars(range(min = 0))]
    pub mse: Option<f64>,
    /// The least cosine similarity, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub cosine: Option<f64>,
    /// The greatest difference of a single number.
    #[schemars(range(min = 0))]
    pub max_abs: Option<f64>,
}
