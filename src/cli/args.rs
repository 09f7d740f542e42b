//! The command line as written.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tare::error::{Error, Result};
use tare::policy::{self, Overrides, QuantizedInput, Raw, Settings};

/// Post-training quantization of ONNX models.
#[derive(Parser)]
#[command(name = "tare", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Subcommand)]
pub enum Command {
    /// Write a first policy for a model: which mode, with what settings, and why; commented, and ready to be run.
    Init(Init),
    /// Convert a float model to one of integers, and validate it by running both.
    Quantize(Quantize),
    /// Audit a model: operators, sizes, what can be quantized, what stays float and why.
    Inspect(Model),
    /// List what would be done, without running anything.
    Plan(Model),
    /// Run calibration samples and save the statistics, so that `quantize --ranges` needs no data.
    Calibrate(Calibrate),
    /// Run two models on the same samples and measure the difference.
    Validate(Validate),
    /// Turn a quantized model back into a float one: Q/DQ pairs, operators on integers and dynamic quantization.
    Dequantize(Dequantize),
    /// Print the JSON Schema of the policy, for editors.
    Schema,
}

/// What every command prints.
#[derive(Args)]
pub struct Output {
    /// Print nothing but errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Log what is done; twice for every decision.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How log lines look on standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// A model and the policy for it.
#[derive(Args)]
pub struct Model {
    /// The float model.
    pub model: Option<PathBuf>,
    /// The policy (YAML). Flags override it.
    #[arg(short = 'c', long = "config", value_name = "POLICY")]
    pub config: Option<PathBuf>,
    /// Size of a dimension that the model leaves open, by its name there or as `input[axis]`. May be repeated.
    #[arg(long = "dim", value_name = "NAME=N", value_parser = dim)]
    pub dims: Vec<(String, usize)>,
    /// What becomes of a model that is quantized already: refuse; keep (it is written as it is); complete (what is float in it is
    /// quantized, the rest keeps its grids).
    #[arg(long, value_name = "WHAT")]
    pub quantized_input: Option<String>,
    /// Grids or ranges that another tool found: AIMET encodings, or what ONNX Runtime's calibrators save. What they cover is not
    /// calibrated.
    #[arg(long, value_name = "FILE")]
    pub encodings: Option<PathBuf>,
}

/// Samples, and how many of them run side by side.
#[derive(Args)]
pub struct Data {
    #[command(flatten)]
    pub set: Samples,
    /// Samples, and pieces of weights, that are worked on side by side; by default as many as there are cores. The result is the same.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Samples, and how pictures become tensors.
#[derive(Args)]
pub struct Samples {
    /// Samples: a folder of pictures, a .npz or .npy, or ONNX test data.
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// At most so many samples, spread evenly.
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Labels of the validation samples: a column of integers, `file,label` lines, or an array.
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Height and width of pictures, as 224x224.
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<[usize; 2]>,
    /// How pictures come to that size: stretch or crop.
    #[arg(long)]
    pub fit: Option<String>,
    /// Order of the axes: nchw or nhwc.
    #[arg(long)]
    pub layout: Option<String>,
    /// Order of the channels: rgb, bgr or grey.
    #[arg(long)]
    pub channels: Option<String>,
    /// Factor for the 8-bit levels, as 0.0039215686 or 1/255.
    #[arg(long, value_parser = fraction, allow_hyphen_values = true)]
    pub scale: Option<f64>,
    /// Subtracted after scaling: one number or one for each channel.
    #[arg(long, value_delimiter = ',', value_parser = fraction, allow_hyphen_values = true)]
    pub mean: Option<Vec<f64>>,
    /// Divisor after that: one number or one for each channel.
    #[arg(long, value_delimiter = ',', value_parser = fraction)]
    pub std: Option<Vec<f64>>,
}

/// How ranges are found.
#[derive(Args)]
pub struct Ranges {
    /// minmax, moving_average, percentile, entropy or mse.
    #[arg(long)]
    pub calibrator: Option<String>,
    /// Share of the numbers, in per cent, that the percentile calibrator keeps.
    #[arg(long)]
    pub percentile: Option<f64>,
}

#[derive(Args)]
pub struct Quantize {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub calibration: Ranges,
    /// static: weights and activations, with samples; dynamic: both, without; weight-only: weights, without; float16, bfloat16: nodes in
    /// numbers of 16 bits, without; float32: nothing but what rules say.
    #[arg(long)]
    pub mode: Option<String>,
    /// qdq: float operators between QuantizeLinear and DequantizeLinear; qoperator: operators on integers.
    #[arg(long)]
    pub format: Option<String>,
    /// The element type of inputs and outputs: float32, int8, uint8, int16 or uint16. Without it they stay float32.
    #[arg(long, value_name = "TYPE")]
    pub io: Option<String>,
    /// An operator that stays in float is an error.
    #[arg(long)]
    pub strict: bool,
    /// The type of weights: int8, uint8, int4, uint4, int2, uint2, float8e4m3fn or float8e5m2.
    #[arg(long, value_name = "TYPE")]
    pub weights: Option<String>,
    /// Samples to validate on. By default every fifth calibration sample is held back.
    #[arg(long, value_name = "PATH")]
    pub validation: Option<PathBuf>,
    /// Write without running the models, as with `data.validation.samples: 0`. All samples then calibrate.
    #[arg(long, conflicts_with = "validation")]
    pub no_validation: bool,
    /// Saved statistics; no calibration data is needed then.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "samples"])]
    pub ranges: Option<PathBuf>,
    /// Where the quantized model goes.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Where the report goes, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where the grids of the quantized model go, as AIMET encodings for the model that `tare dequantize` makes of it.
    #[arg(long, value_name = "FILE")]
    pub write_encodings: Option<PathBuf>,
    /// The version of these: 0.6.1, 1.0.0 (without this) or 2.0.0.
    #[arg(long, value_name = "VERSION", requires = "write_encodings")]
    pub encodings_version: Option<String>,
}

#[derive(Args)]
pub struct Init {
    /// The float model.
    pub model: PathBuf,
    #[command(flatten)]
    pub set: Samples,
    /// Samples to validate on, the ones that labels are of.
    #[arg(long, value_name = "PATH", requires = "data")]
    pub validation: Option<PathBuf>,
    /// Where the policy goes; without it, to standard output.
    #[arg(short, long, value_name = "POLICY")]
    pub output: Option<PathBuf>,
    /// Write over a policy that is there already.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args)]
pub struct Calibrate {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    /// Where the statistics go, as JSON.
    #[arg(short, long)]
    pub output: PathBuf,
}

#[derive(Args)]
pub struct Dequantize {
    /// The quantized model.
    pub model: PathBuf,
    /// Where the float model goes.
    #[arg(short, long)]
    pub output: PathBuf,
}

#[derive(Args)]
pub struct Validate {
    /// The float model.
    pub float: PathBuf,
    /// The quantized model.
    pub quantized: PathBuf,
    /// A policy, for its thresholds, samples and preprocessing.
    #[arg(short = 'c', long = "config", value_name = "POLICY")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub thresholds: Thresholds,
    /// Where the comparison goes, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Demands on the result, over those of the policy.
#[derive(Args)]
pub struct Thresholds {
    /// Least SQNR of any output, in dB.
    #[arg(long, value_name = "DB", allow_hyphen_values = true)]
    pub min_sqnr: Option<f64>,
    /// Least mean cosine of any output.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    pub min_cosine: Option<f64>,
    /// Largest mean squared error of any output.
    #[arg(long, value_name = "X")]
    pub max_mse: Option<f64>,
    /// Largest absolute error of any output.
    #[arg(long, value_name = "X")]
    pub max_abs: Option<f64>,
    /// Largest loss of labelled top-1 accuracy, as a share (0.01 is one point).
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub max_top1_drop: Option<f64>,
    /// Least share of samples whose top class is the same.
    #[arg(long, value_name = "SHARE")]
    pub min_top1_agreement: Option<f64>,
}

impl Thresholds {
    /// Lays the flags over the policy's thresholds.
    pub fn over(&self, thresholds: &mut policy::Thresholds) {
        let pairs = [
            (self.min_sqnr, &mut thresholds.sqnr_db),
            (self.min_cosine, &mut thresholds.cosine),
            (self.max_mse, &mut thresholds.mse),
            (self.max_abs, &mut thresholds.max_abs),
            (self.max_top1_drop, &mut thresholds.top1_drop),
            (self.min_top1_agreement, &mut thresholds.top1_agreement),
        ];
        for (flag, threshold) in pairs {
            *threshold = flag.or(*threshold);
        }
    }
}

/// The policy file, or an empty policy.
fn raw(config: Option<&PathBuf>) -> Result<Raw> {
    config.map_or_else(|| Ok(Raw::default()), |path| policy::load(path))
}

/// A word of the policy given as a flag.
fn word<T: serde::de::DeserializeOwned>(flag: &str, text: Option<&String>) -> Result<Option<T>> {
    let parse = |text: &String| policy::word(text).map_err(|e| Error::other(format!("--{flag}: {e}")));
    text.map(parse).transpose()
}

impl Samples {
    fn overrides(&self) -> Result<Overrides> {
        Ok(Overrides {
            calibration: self.data.clone(),
            samples: self.samples,
            labels: self.labels.clone(),
            size: self.size,
            fit: word("fit", self.fit.as_ref())?,
            layout: word("layout", self.layout.as_ref())?,
            channels: word("channels", self.channels.as_ref())?,
            scale: self.scale,
            mean: self.mean.clone(),
            std: self.std.clone(),
            ..Overrides::default()
        })
    }
}

impl Data {
    /// How many samples run side by side.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores).clamp(1, 1024)
    }
}

impl Model {
    /// The policy with the model over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        let (model, dims, quantized_input) = (self.model.clone(), self.dims.clone(), self.quantized_input()?);
        let encodings = self.encodings.clone();
        raw.override_with(&Overrides { model, dims, quantized_input, encodings, ..Overrides::default() });
        raw.settings()
    }

    fn quantized_input(&self) -> Result<Option<QuantizedInput>> {
        word("quantized-input", self.quantized_input.as_ref())
    }
}

impl Quantize {
    /// The policy with all flags over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.model.config.as_ref())?;
        raw.override_with(&Overrides {
            model: self.model.model.clone(),
            dims: self.model.dims.clone(),
            output: self.output.clone(),
            report: self.report.clone(),
            encodings: self.model.encodings.clone(),
            write_encodings: self.write_encodings.clone(),
            encodings_version: word("encodings-version", self.encodings_version.as_ref())?,
            mode: word("mode", self.mode.as_ref())?,
            io: word("io", self.io.as_ref())?,
            quantized_input: self.model.quantized_input()?,
            strict: self.strict.then_some(true),
            format: word("format", self.format.as_ref())?,
            weights: word("weights", self.weights.as_ref())?,
            validation: self.validation.clone(),
            validation_samples: self.no_validation.then_some(0),
            calibrator: word("calibrator", self.calibration.calibrator.as_ref())?,
            percentile: self.calibration.percentile,
            ..self.data.set.overrides()?
        });
        raw.settings()
    }
}

impl Init {
    /// The flags as keys of a policy.
    pub fn overrides(&self) -> Result<Overrides> {
        if self.set.labels.is_some() && self.validation.is_none() {
            return Err(Error::other("--labels are those of the samples that validate: name these with --validation"));
        }
        let (model, validation) = (Some(self.model.clone()), self.validation.clone());
        Ok(Overrides { model, validation, ..self.set.overrides()? })
    }
}

impl Calibrate {
    /// The policy with all flags over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.model.config.as_ref())?;
        let (model, dims) = (self.model.model.clone(), self.model.dims.clone());
        let (quantized_input, encodings) = (self.model.quantized_input()?, self.model.encodings.clone());
        let set = self.data.set.overrides()?;
        raw.override_with(&Overrides { model, dims, quantized_input, encodings, labels: None, ..set });
        raw.settings()
    }
}

impl Validate {
    /// The policy with all flags over it: `--data` are the samples to validate on.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        let set = &self.data.set;
        raw.override_with(&Overrides {
            validation: set.data.clone(),
            validation_samples: set.samples.map(|samples| samples.max(1)),
            calibration: None,
            samples: None,
            ..set.overrides()?
        });
        let mut settings = raw.settings()?;
        self.thresholds.over(&mut settings.thresholds);
        Ok(settings)
    }
}

fn dim(text: &str) -> std::result::Result<(String, usize), String> {
    let (name, size) = text.rsplit_once('=').ok_or("expected NAME=N, as batch=1")?;
    let size =
        size.trim().parse().ok().filter(|&n: &usize| n > 0).ok_or("expected a size of 1 or more behind the =")?;
    Ok((name.trim().to_owned(), size))
}

fn size(text: &str) -> std::result::Result<[usize; 2], String> {
    let parts: Option<Vec<usize>> = text.split(['x', 'X']).map(|p| p.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[height, width]) => Ok([height, width]),
        Some(&[side]) => Ok([side, side]),
        _ => Err("expected HxW, as 224x224".to_owned()),
    }
}

fn fraction(text: &str) -> std::result::Result<f64, String> {
    let number = |t: &str| t.trim().parse::<f64>().map_err(|_| format!("{t:?} is not a number"));
    match text.split_once('/') {
        Some((above, below)) => Ok(number(above)? / number(below)?),
        None => number(text),
    }
}
