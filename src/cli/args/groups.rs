//! Flags that several commands have in common: the model with its policy, and the samples.

use super::parse::{dim, fraction, size, tasks, word};
use clap::Args;
use std::path::PathBuf;
use tare::error::{Error, Result};
use tare::policy::{self, HalfInput, Overrides, QuantizedInput, Raw, Settings};

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
    /// What becomes of a model in float16 or bfloat16: widen (it is quantized as one in float32), keep (what stays float stays in
    /// 16 bits, and scales are of that type). By default keep for weights alone, widen for all else.
    #[arg(long, value_name = "WHAT")]
    pub half_input: Option<String>,
    /// Grids or ranges that another tool found: AIMET encodings, or what ONNX Runtime's calibrators save. What they cover is not
    /// calibrated.
    #[arg(long, value_name = "FILE")]
    pub encodings: Option<PathBuf>,
}

impl Model {
    /// The policy with the model over it.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        let (model, dims, quantized_input) = (self.model.clone(), self.dims.clone(), self.quantized_input()?);
        let (half_input, encodings) = (self.half_input()?, self.encodings.clone());
        raw.override_with(&Overrides { model, dims, quantized_input, half_input, encodings, ..Overrides::default() });
        raw.settings()
    }

    pub(super) fn half_input(&self) -> Result<Option<HalfInput>> {
        word("half-input", self.half_input.as_ref())
    }

    pub(super) fn quantized_input(&self) -> Result<Option<QuantizedInput>> {
        word("quantized-input", self.quantized_input.as_ref())
    }
}

/// Whether layers are equalized.
#[derive(Args)]
pub struct Equalizing {
    /// Scale the channels between any two layers that follow each other by powers of two, and the weights on both sides with them
    /// (repairs.equalize: true). Without it that is done where each weight has one scale (weights.granularity: per_tensor), and
    /// where a depthwise Conv reads a layer as it is or through HardSwish.
    #[arg(long, conflicts_with = "no_equalize")]
    pub equalize: bool,
    /// Leave the channels between layers as they are (repairs.equalize: false).
    #[arg(long)]
    pub no_equalize: bool,
}

impl Equalizing {
    /// What is stated.
    pub fn stated(&self) -> Option<bool> {
        self.equalize.then_some(true).or(self.no_equalize.then_some(false))
    }
}

/// Samples, and how many of them run side by side.
#[derive(Args)]
pub struct Data {
    #[command(flatten)]
    pub set: Samples,
    /// Samples, and pieces of weights, that are worked on side by side; by default as many as there are cores. The result is the same.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// What runs the samples: tract, which is built in, or onnxruntime, whose library is loaded.
    #[arg(long)]
    pub engine: Option<String>,
    /// ONNX Runtime's library, or a folder with it. Without this: what the variable ORT_DYLIB_PATH names, that of the active Python
    /// environment, or that of the system.
    #[arg(long, value_name = "PATH")]
    pub onnxruntime: Option<PathBuf>,
}

impl Data {
    /// The flags as keys of a policy.
    pub(super) fn overrides(&self) -> Result<Overrides> {
        Ok(Overrides { engine: word("engine", self.engine.as_ref())?, ..self.set.overrides()? })
    }

    /// The flags as keys of a policy, where nothing calibrates: `--data` are the samples that are run.
    pub(super) fn to_run(&self) -> Result<Overrides> {
        let all = self.overrides()?;
        if all.samples == Some(0) {
            return Err(Error::other("--samples 0 leaves nothing to run; name 1 or more"));
        }
        Ok(Overrides {
            validation: all.calibration,
            validation_samples: all.samples,
            calibration: None,
            samples: None,
            ..all
        })
    }

    /// How many samples run side by side.
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores).min(MOST_THREADS)
    }
}

/// The threads that anybody may ask for.
pub(super) const MOST_THREADS: usize = 1024;

fn threads(text: &str) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
    number.ok_or_else(|| format!("expected 1 to {MOST_THREADS}"))
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

impl Samples {
    pub(super) fn overrides(&self) -> Result<Overrides> {
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

/// How two models are compared beyond the numbers of their outputs.
#[derive(Args)]
pub struct Judging {
    /// What the outputs say, and so what is compared in them: classify, ctc (text), embed, segment (masks), segment-classes, yolo
    /// (boxes), none, or auto, as structure and metadata say. Of the first output, or NAME=TASK; may be repeated.
    #[arg(long, value_name = "TASK")]
    pub task: Vec<String>,
    /// The characters of the task ctc, one on each line. Without this those in the model's metadata.
    #[arg(long, value_name = "FILE")]
    pub charset: Option<PathBuf>,
    /// Hold the result against stated limits alone, not against those that are usual in the field.
    #[arg(long)]
    pub no_default_limits: bool,
    /// Where what was judged goes, as JUnit XML, for CI servers.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

impl Judging {
    pub(super) fn over(&self, overrides: Overrides) -> Result<Overrides> {
        let default_limits = self.no_default_limits.then_some(false);
        let (charset, junit) = (self.charset.clone(), self.junit.clone());
        Ok(Overrides { task: tasks(&self.task)?, charset, junit, default_limits, ..overrides })
    }
}

/// The policy file, or an empty policy.
pub(super) fn raw(config: Option<&PathBuf>) -> Result<Raw> {
    config.map_or_else(|| Ok(Raw::default()), |path| policy::load(path))
}
