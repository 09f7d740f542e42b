//! The limits that the result has to keep: they are used as they are written.

use schemars::JsonSchema;
use serde::Deserialize;

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
    /// The least F1, from 0 to 1, of what the quantized model detects, with what the original detects taken for the truth. Needs the
    /// task `yolo`.
    #[schemars(range(min = 0, max = 1))]
    pub f1: Option<f64>,
    /// The least intersection over union, from 0 to 1, of the masks of both models. Needs the task `segment` or
    /// `segment-classes`.
    #[schemars(range(min = 0, max = 1))]
    pub iou: Option<f64>,
    /// The least share of samples, from 0 to 1, in which both models read the same text. Needs the task `ctc`.
    #[schemars(range(min = 0, max = 1))]
    pub text_match: Option<f64>,
    /// The least share of samples, from 0 to 1, whose nearest other sample is the same for both models. Needs the task `embed`.
    #[schemars(range(min = 0, max = 1))]
    pub neighbours: Option<f64>,
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
