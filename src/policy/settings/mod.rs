//! The policy as used: checked, with every default filled in.

mod activations;
mod blame;
mod budget;
mod canonical;
mod pattern;
mod ranges;
mod weights;
mod written;

pub use activations::{ActivationSettings, Calibrator, DEFAULT_CALIBRATOR, DEFAULT_PERCENTILE};
pub use budget::{Budget, Goal};
pub use pattern::Pattern;
pub use weights::{DEFAULT_BLOCK_SIZE, WeightSettings};

use super::raw::{
    Activations, BiasCorrection, Engine, Format, HalfInput, IoType, Mode, OneOrEach, QuantizedInput, Reference,
    RoundingName, Strip, TaskName, Thresholds, Weights,
};
use super::text::{Origin, Place};
use crate::encodings::Version;
use crate::inputs::Source;
use crate::quant::{GridType, HalfType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weights::{FLOAT8_OPSET, OLDEST_OPSET};

/// How many samples calibrate, where the policy does not say.
pub const CALIBRATION_SAMPLES: usize = 200;
/// How many samples validate, where the policy names validation samples but not how many.
pub const VALIDATION_SAMPLES: usize = 1000;
/// How many calibration samples at most are held back to validate, where the policy names no validation samples.
pub const HELD_BACK_SAMPLES: usize = 50;
/// The number above which an element belongs to a mask, where the policy does not say.
pub const MASK_ABOVE: f64 = 0.3;

/// The policy as used.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The model to quantize.
    pub model: Option<PathBuf>,
    /// Where the quantized model goes.
    pub output: Option<PathBuf>,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// Where what was judged goes, as JUnit XML.
    pub junit: Option<PathBuf>,
    /// Grids or ranges that another tool found.
    pub encodings: Option<PathBuf>,
    /// Where the grids of the quantized model go, as AIMET encodings.
    pub write_encodings: Option<PathBuf>,
    /// Whether a file, of statistics or a lock, says what samples show.
    pub found: bool,
    /// Where the lock goes.
    pub lock: Option<PathBuf>,
    /// The version of these encodings.
    pub encodings_version: Version,
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
    /// What runs the samples.
    pub engine: Engine,
    /// A runtime that runs the quantized model on the validation samples, too.
    pub reference: Option<Reference>,
    /// Inputs and outputs recorded elsewhere, which the quantized model is compared with; the inputs are in `validation`.
    pub recorded: Option<PathBuf>,
    /// The crash tests that both models go through, where they do.
    pub stress: Option<StressCases>,
    /// What to do with a calibration sample for which a value is NaN or infinite.
    pub on_bad_value: OnBadValue,
    /// Sizes of dimensions that the model leaves open, by name or as `input[axis]`.
    pub dims: BTreeMap<String, usize>,
    /// Whether patterns spelled out in many nodes are not replaced by ONNX's own operators.
    pub keep_patterns: bool,
    /// The element types of inputs and outputs.
    pub io: IoSettings,
    /// What becomes of a model that is quantized already.
    pub quantized_input: QuantizedInput,
    /// Whether an operator that stays in float is an error.
    pub strict: bool,
    /// What the output goes without that the model says for people alone.
    pub strip: Strip,
    /// How activations become integers, where no rule says otherwise.
    pub activations: ActivationSettings,
    /// How weights become integers, where no rule says otherwise.
    pub weights: WeightSettings,
    /// What stays in float32 where nodes compute in 16 bits.
    pub half: HalfSettings,
    /// What brings the quantized model nearer to the float one.
    pub repairs: RepairSettings,
    /// What a search for types has to reach, where there is one.
    pub budget: Option<Budget>,
    /// Where the policy as used goes.
    pub write_policy: Option<PathBuf>,
    /// The exceptions, in the order of the file.
    pub rules: Vec<Rule>,
    /// What outputs say, and so what is compared in them.
    pub tasks: TaskSettings,
    /// What the quantized model has to keep.
    pub thresholds: Thresholds,
    /// Where it stands, for errors found later.
    pub origin: Origin,
}

impl Settings {
    /// Leaves out validation, and with it what is judged by it.
    pub fn without_validation(&mut self) {
        (self.validation, self.thresholds) = (Validation::Off, Thresholds::default());
        (self.reference, self.recorded) = (None, None);
    }

    /// The samples to run models on: those that validate, or else those that calibrate.
    pub fn samples(&self) -> Option<&Data> {
        self.validation.samples().or(self.calibration.as_ref())
    }

    /// The files that are read, each with what it is.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let sources = self.calibration.iter().chain(self.validation.samples()).map(|data| &data.source);
        let data = sources
            .flat_map(|source| [("file of samples", Some(&source.path)), ("file of labels", source.labels.as_ref())]);
        let beside = [
            ("model", self.model.as_ref()),
            ("policy", self.path()),
            ("file of encodings", self.encodings.as_ref()),
            ("file of characters", self.tasks.charset.as_ref()),
        ];
        beside.into_iter().chain(data).filter_map(|(what, path)| Some((what, path?.as_path()))).collect()
    }

    /// What becomes integers, and when, where no rule says otherwise, then what rules say.
    pub fn modes(&self) -> impl Iterator<Item = Mode> + '_ {
        std::iter::once(self.mode).chain(self.rules.iter().filter_map(|rule| rule.mode))
    }

    /// Whether anything may become integers whose scale is found from calibration samples.
    pub fn calibrates(&self) -> bool {
        self.modes().any(|mode| mode == Mode::Static)
    }

    /// The types of 16 bits that nodes may compute in.
    pub fn halves(&self) -> impl Iterator<Item = HalfType> + '_ {
        self.modes().filter_map(Mode::half)
    }

    /// Whether what stays float of a model in 16 bits stays in 16 bits, and scales are of that type: where nothing is said,
    /// if weights alone become integers. Kernels that multiply integers want float32 scales.
    pub fn keeps_halves(&self) -> bool {
        match self.half.input {
            Some(what) => what == HalfInput::Keep,
            None => {
                HalfInput::of_mode(self.mode) == HalfInput::Keep
                    && self.modes().all(|mode| mode == self.mode || mode == Mode::Float32)
            }
        }
    }

    /// Whether it is known what samples show: some are run, or a file says it.
    pub fn sees_samples(&self) -> bool {
        self.calibration.is_some() || self.found
    }

    /// Whether samples, where there are some, are looked at before the model is written.
    pub fn looks_at_samples(&self) -> bool {
        let rules = self.rules.iter().map(|rule| &rule.activations.outlier_threshold);
        let outliers = self.activations.outlier_threshold.is_some() || rules.flatten().next().is_some();
        outliers || self.calibrates() || self.halves().any(|kind| kind == HalfType::Float16)
    }

    /// Whether bodies of If, Loop and Scan may change: what calibration would have to observe there cannot be.
    pub fn reaches_bodies(&self) -> bool {
        self.modes().any(|mode| !matches!(mode, Mode::Static | Mode::Float32))
    }

    /// The oldest operator set with a QuantizeLinear and DequantizeLinear for everything that may be asked for, but for what
    /// ONNX Runtime's own domain has at every opset where that may be used.
    pub fn opset(&self) -> i64 {
        // What several rules say together is known only of nodes.
        let mode = Some(self.mode).filter(|_| self.rules.iter().all(|rule| rule.mode.is_none()));
        let of_rule = |weights: WeightSettings| mode.map_or(weights, |mode| weights.in_mode(mode));
        let rules = self.rules.iter().map(|rule| of_rule(self.weights.with(&rule.weights)));
        let weights = std::iter::once(self.weights).chain(rules);
        let for_weights = weights.map(|weights| weights.opset(self.contrib)).max().unwrap_or(OLDEST_OPSET);
        let rules = self.rules.iter().filter_map(|rule| rule.activations.dtype.map(GridType::from));
        let sides = [&self.io.inputs, &self.io.outputs];
        let io = sides.into_iter().flatten().flat_map(OneOrEach::values).filter_map(IoType::integer);
        let activations = std::iter::once(self.activations.scheme.dtype).chain(rules).chain(io);
        let for_activations = activations.filter(|_| self.calibrates()).map(|dtype| match dtype {
            GridType::Float8(_) => FLOAT8_OPSET,
            _ if dtype.bits() > 8 && !self.contrib => 21,
            _ => OLDEST_OPSET,
        });
        for_activations.fold(for_weights, i64::max)
    }
}

/// Repairs without training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepairSettings {
    /// Whether channels of layers are refitted; `None` where the network convolves.
    pub refit: Option<bool>,
    /// Whether the channels of what layers read are scaled where one of them is much larger than the others.
    pub smooth: bool,
    /// Whether channels ahead of stored weights are scaled for these.
    pub awq: bool,
    /// Whether ranges of activations are chosen block by block.
    pub reconstruct: bool,
    /// Whether ranges ahead of activation functions are chosen by the error behind them.
    pub activation_error: bool,
    /// How the integers of weights are found.
    pub rounding: RoundingName,
    /// So many seconds may that take.
    pub rounding_seconds: u64,
    /// Whether the channels between two layers are scaled; `None` where the weights have one scale each, and ahead of depthwise Convs.
    pub equalize: Option<bool>,
    /// By what biases are corrected.
    pub bias_correction: Option<BiasCorrection>,
    /// Whether biases go into those behind a Relu as far as channels never fall below zero without them.
    pub absorb: bool,
}

impl Default for RepairSettings {
    fn default() -> Self {
        Self {
            refit: None,
            smooth: true,
            awq: false,
            reconstruct: false,
            activation_error: true,
            rounding: RoundingName::Nearest,
            rounding_seconds: 600,
            equalize: None,
            bias_correction: None,
            absorb: false,
        }
    }
}

/// What stays in float32 where nodes compute in floating-point numbers of 16 bits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HalfSettings {
    /// Whether the model's inputs and outputs become numbers of 16 bits, too.
    pub convert_io: bool,
    /// Operators that stay in float32, beside those that do for their risks.
    pub block: Vec<String>,
    /// What becomes of numbers of 16 bits that the model has itself; `None` where the modes decide.
    pub input: Option<HalfInput>,
}

/// What outputs say, and so what is compared in them.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSettings {
    /// The task of the first output, or of each by its name; `None` is `auto`.
    pub task: Option<OneOrEach<TaskName>>,
    /// The number above which an element belongs to a mask.
    pub mask_above: f32,
    /// The characters that CTC decodes to; `None` takes those in the model's metadata.
    pub charset: Option<PathBuf>,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self { task: None, mask_above: MASK_ABOVE as f32, charset: None }
    }
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

    /// The same, to change where they are.
    pub fn samples_mut(&mut self) -> Option<&mut Data> {
        match self {
            Self::Samples(data) => Some(data),
            Self::HeldBack | Self::Off => None,
        }
    }
}

/// Which crash tests are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StressCases {
    /// All that there are for the model.
    All,
    /// These, by name.
    Named(Vec<String>),
}

/// The element types of inputs and outputs.
#[derive(Debug, Clone, Default, PartialEq)]
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
    pub fn integer(self) -> Option<GridType> {
        match self {
            Self::Float32 => None,
            Self::Int8 => Some(GridType::Int8),
            Self::Uint8 => Some(GridType::Uint8),
            Self::Int16 => Some(GridType::Int16),
            Self::Uint16 => Some(GridType::Uint16),
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
