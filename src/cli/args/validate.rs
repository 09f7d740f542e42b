//! `tare validate`.

use super::groups::{Data, Judging, raw};
use clap::Args;
use std::path::PathBuf;
use tare::error::{Error, Result};
use tare::policy::{self, Overrides, Settings};

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
    pub judging: Judging,
    #[command(flatten)]
    pub thresholds: Thresholds,
    /// Compare every value that both models have, on up to 16 of the samples: which layer breaks, and why. With --reference
    /// onnxruntime also the integers that layers hand to each other there.
    #[arg(long)]
    pub layers: bool,
    /// onnxruntime: run the quantized model by ONNX Runtime, too, and say what differs by quantization and what by the runtime. An
    /// .npz or a folder of ONNX test data: compare it with outputs recorded elsewhere, on the inputs recorded there. May be given
    /// once for each.
    #[arg(long, value_name = "WHAT")]
    pub reference: Vec<PathBuf>,
    /// Crash tests: run both models on inputs made from what they take, not from samples (black and white, silence, noise, far
    /// beyond, first and last words, NaN, open dimensions at extreme sizes). --stress=NAME,NAME runs some of them.
    #[arg(long, value_name = "CASES", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_delimiter = ',')]
    pub stress: Vec<String>,
    /// Where the comparison goes: a page for people (.html, with every layer) or JSON (.json), as its ending says.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Validate {
    /// The policy with all flags over it: `--data` are the samples to validate on.
    pub fn settings(&self) -> Result<Settings> {
        let mut raw = raw(self.config.as_ref())?;
        let over = Overrides { reference: self.reference.clone(), stress: self.stress.clone(), ..self.data.to_run()? };
        raw.override_with(&self.judging.over(over)?);
        let mut settings = raw.settings()?;
        self.thresholds.over(&mut settings.thresholds);
        match settings.thresholds.trouble() {
            Some((limit, why)) => Err(Error::other(format!("the limit {limit} {why}"))),
            None => Ok(settings),
        }
    }
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
    /// Largest mean squared error of any output whose numbers are scaled to a range of 1.
    #[arg(long, value_name = "X")]
    pub max_relative_mse: Option<f64>,
    /// Largest absolute error of any output.
    #[arg(long, value_name = "X")]
    pub max_abs: Option<f64>,
    /// Largest loss of labelled top-1 accuracy, as a share (0.01 is one point).
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub max_top1_drop: Option<f64>,
    /// Least share of samples whose top class is the same.
    #[arg(long, value_name = "SHARE")]
    pub min_top1_agreement: Option<f64>,
    /// Least F1 of what is detected, with the float model's detections taken for the truth.
    #[arg(long, value_name = "X")]
    pub min_f1: Option<f64>,
    /// Least intersection over union of masks.
    #[arg(long, value_name = "X")]
    pub min_iou: Option<f64>,
    /// Least share of samples whose text is the same.
    #[arg(long, value_name = "SHARE")]
    pub min_text_match: Option<f64>,
    /// Least share of samples whose nearest other sample is the same.
    #[arg(long, value_name = "SHARE")]
    pub min_neighbours: Option<f64>,
}

impl Thresholds {
    /// Lays the flags over the policy's thresholds.
    fn over(&self, thresholds: &mut policy::Thresholds) {
        let pairs = [
            (self.min_sqnr, &mut thresholds.sqnr_db),
            (self.min_cosine, &mut thresholds.cosine),
            (self.max_mse, &mut thresholds.mse),
            (self.max_relative_mse, &mut thresholds.relative_mse),
            (self.max_abs, &mut thresholds.max_abs),
            (self.max_top1_drop, &mut thresholds.top1_drop),
            (self.min_top1_agreement, &mut thresholds.top1_agreement),
            (self.min_f1, &mut thresholds.f1),
            (self.min_iou, &mut thresholds.iou),
            (self.min_text_match, &mut thresholds.text_match),
            (self.min_neighbours, &mut thresholds.neighbours),
        ];
        for (flag, threshold) in pairs {
            *threshold = flag.or(*threshold);
        }
    }
}
