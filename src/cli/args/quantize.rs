//! `tare quantize`.

use super::groups::{Data, Equalizing, Judging, Model, raw};
use super::parse::{behind_equals, budget, word};
use clap::Args;
use std::path::{Path, PathBuf};
use tare::error::{Error, Result};
use tare::pipeline::Found;
use tare::policy::{Overrides, RawBudget, Settings};

/// What `--lock` by itself stands for; no file is called so.
const BESIDE: &str = ".";

#[derive(Args)]
pub struct Quantize {
    #[command(flatten)]
    pub model: Model,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub judging: Judging,
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
    /// Leave out what the model says for people alone: everything (doc strings, and the metadata of nodes and values: the same as
    /// --strip alone), traces (the stack traces that exporters leave on nodes; the default) or nothing.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "everything")]
    pub strip: Option<String>,
    /// Leave the channels of layers as rounding makes them (repairs.refit: false). Without it, each output channel gets the gain and the
    /// mean that it has in float, layer by layer on calibration samples, where samples that did not fit it agree.
    #[arg(long)]
    pub no_refit: bool,
    /// Refit channels of networks without convolutions, too (repairs.refit: true).
    #[arg(long, conflicts_with = "no_refit")]
    pub refit: bool,
    /// Leave the channels of what layers read as they are (repairs.smooth: false). Without it they are scaled by powers of two
    /// where a few large ones would set the grid for all others, as behind normalizations.
    #[arg(long)]
    pub no_smooth: bool,
    /// Scale the channels that layers with stored weights read by powers of two, and the weights the other way, where those that large
    /// activations meet are stored with less of an error then (repairs.awq: true). On calibration samples, in mode weight-only.
    #[arg(long)]
    pub awq: bool,
    /// Choose the ranges of activations block by block, those of a block together, so that it makes what it makes in float
    /// (repairs.reconstruct: true), where samples that did not choose agree. On calibration samples, in mode static.
    #[arg(long)]
    pub reconstruct: bool,
    /// How the integers of weights are found (repairs.rounding): nearest; gptq, one after the other, each with what those before it
    /// do to what the layer makes; or learned, which goes on from there by single steps. On calibration samples, in mode static
    /// and weight-only.
    #[arg(long, value_name = "METHOD")]
    pub rounding: Option<String>,
    /// Move what the channels ahead of a Relu never fall below out of the biases that make them and into those of the layers behind, so
    /// that grids between need not reach as far (repairs.absorb: true). In mode static.
    #[arg(long)]
    pub absorb: bool,
    /// Take the shifts that rounded weights make in the mean out of biases (repairs.bias_correction): analytic, by what
    /// BatchNormalization tells of what layers read, without samples, as is usual in mode weight-only; empirical, layer by layer on
    /// calibration samples; or false.
    #[arg(long, value_name = "KIND")]
    pub bias_correction: Option<String>,
    #[command(flatten)]
    pub equalizing: Equalizing,
    /// Search for the types with which the model keeps this: top1_drop=0.005, sqnr_db=30 or size_mb=4. Layers become what budget.types in
    /// the policy allows, by default float32, or weights of 4 bits for a size.
    #[arg(long, value_name = "KEY=VALUE", value_parser = budget)]
    pub budget: Option<RawBudget>,
    /// Where the policy goes as it was used, with the rules that the search added and their reasons.
    #[arg(long, value_name = "FILE")]
    pub write_policy: Option<PathBuf>,
    /// The type of weights: int8, uint8, int4, uint4, int2, uint2, nf4, fp4, float8e4m3fn or float8e5m2.
    #[arg(long, value_name = "TYPE")]
    pub weights: Option<String>,
    /// How far the integers of weights reach (weights.range): least_error; minmax; or hqq, for asymmetric weights in mode weight-only.
    #[arg(long, value_name = "RANGE")]
    pub weights_range: Option<String>,
    /// Samples to validate on. By default every fifth calibration sample is held back.
    #[arg(long, value_name = "PATH")]
    pub validation: Option<PathBuf>,
    /// Write without running the models, as with `data.validation.samples: 0`. All samples then calibrate.
    #[arg(long, conflicts_with = "validation")]
    pub no_validation: bool,
    /// onnxruntime: run the quantized model by ONNX Runtime, too, and say what differs by quantization and what by the runtime. An
    /// .npz or a folder of ONNX test data: compare it with outputs recorded elsewhere, on the inputs recorded there. May be given
    /// once for each.
    #[arg(long, value_name = "WHAT", conflicts_with = "no_validation")]
    pub reference: Vec<PathBuf>,
    /// Crash tests: run both models on inputs made from what they take, not from samples (black and white, silence, noise, far
    /// beyond, first and last words, NaN, open dimensions at extreme sizes). --stress=NAME,NAME runs some of them.
    #[arg(long, value_name = "CASES", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_delimiter = ',', conflicts_with = "no_validation")]
    pub stress: Vec<String>,
    /// Saved statistics; no calibration data is needed then.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "samples"])]
    pub ranges: Option<PathBuf>,
    /// A lock that --lock wrote: what was found out from samples comes from there, and the bytes are those of then, or it is an
    /// error that says what changed. Nothing is validated again unless --validation names samples.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ranges", "data", "samples", "no_validation", "lock"])]
    pub locked: Option<PathBuf>,
    /// Where the quantized model goes.
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Where the report goes: a page for people (.html) or JSON (.json), as its ending says.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where the lock goes, with which the model can be converted again without samples. By itself: beside the output, with
    /// the ending .lock.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = BESIDE)]
    pub lock: Option<PathBuf>,
    /// Where the grids of the quantized model go, as AIMET encodings for the model that `tare dequantize` makes of it.
    #[arg(long, value_name = "FILE")]
    pub write_encodings: Option<PathBuf>,
    /// The version of these: 0.6.1, 1.0.0 (without this) or 2.0.0.
    #[arg(long, value_name = "VERSION", requires = "write_encodings")]
    pub encodings_version: Option<String>,
}

impl Quantize {
    /// Where what samples show comes from.
    pub fn found(&self) -> Found<'_> {
        match (&self.ranges, &self.locked) {
            (_, Some(path)) => Found::Locked(path),
            (Some(path), None) => Found::Saved(path),
            (None, None) => Found::Samples,
        }
    }

    /// The policy with all flags over it.
    pub fn settings(&self) -> Result<Settings> {
        let beside = self.lock.as_deref() == Some(Path::new(BESIDE));
        if let Some(model) =
            self.model.model.as_ref().filter(|path| beside && path.extension() == Some("lock".as_ref()))
        {
            return Err(Error::other(behind_equals("--lock", &model.display().to_string())));
        }
        let mut raw = raw(self.model.config.as_ref())?;
        let over = Overrides {
            model: self.model.model.clone(),
            dims: self.model.dims.clone(),
            output: self.output.clone(),
            report: self.report.clone(),
            encodings: self.model.encodings.clone(),
            write_encodings: self.write_encodings.clone(),
            lock: self.lock.clone().filter(|path| path != Path::new(BESIDE)),
            encodings_version: word("encodings-version", self.encodings_version.as_ref())?,
            mode: word("mode", self.mode.as_ref())?,
            io: word("io", self.io.as_ref())?,
            quantized_input: self.model.quantized_input()?,
            half_input: self.model.half_input()?,
            strict: self.strict.then_some(true),
            strip: word("strip", self.strip.as_ref())?,
            budget: self.budget.clone(),
            refit: self.no_refit.then_some(false).or(self.refit.then_some(true)),
            smooth: self.no_smooth.then_some(false),
            awq: self.awq.then_some(true),
            reconstruct: self.reconstruct.then_some(true),
            rounding: word("rounding", self.rounding.as_ref())?,
            absorb: self.absorb.then_some(true),
            bias_correction: word("bias-correction", self.bias_correction.as_ref())?,
            equalize: self.equalizing.stated(),
            format: word("format", self.format.as_ref())?,
            weights: word("weights", self.weights.as_ref())?,
            weights_range: word("weights-range", self.weights_range.as_ref())?,
            validation: self.validation.clone(),
            reference: self.reference.clone(),
            stress: self.stress.clone(),
            validation_samples: self.no_validation.then_some(0),
            calibrator: word("calibrator", self.calibration.calibrator.as_ref())?,
            percentile: self.calibration.percentile,
            ..self.data.overrides()?
        };
        raw.override_with(&self.judging.over(over)?);
        let mut settings = raw.settings()?;
        if beside {
            settings.lock = settings.output.as_ref().map(|output| output.with_extension("lock"));
        }
        settings.write_policy.clone_from(&self.write_policy);
        settings.found = self.ranges.is_some() || self.locked.is_some();
        if self.locked.is_some() {
            settings.lock = None;
            if self.validation.is_none() {
                settings.without_validation();
            }
        }
        Ok(settings)
    }
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
