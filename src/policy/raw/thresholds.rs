//! The limits that the result has to keep: they are used as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use std::fmt;

/// Limits that the quantized model has to keep, against the original model on the same samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thresholds {
    /// Whether the limits that are usual in the field hold for what is left out: `top1_drop` 0.02, or 0.005 where nodes compute
    /// in 16 bits, 0.95 of what a task measures, and `relative_mse` 0.01.
    #[schemars(extend("default" = true))]
    pub defaults: Option<bool>,
    /// By how much the share of right first guesses, or of texts that are read rightly, may fall, from 0 to 1. Needs labels.
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
    /// The same in proportion: the greatest mean squared difference of numbers scaled so that those of the original and 0 span a
    /// range of 1.
    #[schemars(range(min = 0))]
    pub relative_mse: Option<f64>,
    /// The least cosine similarity, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub cosine: Option<f64>,
    /// The greatest difference of a single number.
    #[schemars(range(min = 0))]
    pub max_abs: Option<f64>,
}

impl Thresholds {
    /// The first limit that no result could be held against: its name, and what it must be.
    pub fn trouble(&self) -> Option<(&'static str, String)> {
        let limits = [
            ("top1_drop", self.top1_drop, 1.0),
            ("top1_agreement", self.top1_agreement, 1.0),
            ("top5_agreement", self.top5_agreement, 1.0),
            ("f1", self.f1, 1.0),
            ("iou", self.iou, 1.0),
            ("text_match", self.text_match, 1.0),
            ("neighbours", self.neighbours, 1.0),
            ("sqnr_db", self.sqnr_db, f64::MAX),
            ("mse", self.mse, f64::MAX),
            ("relative_mse", self.relative_mse, f64::MAX),
            ("cosine", self.cosine, 1.0),
            ("max_abs", self.max_abs, f64::MAX),
        ];
        limits.into_iter().find_map(|(key, limit, most)| {
            let limit = limit.filter(|limit| !(0.0..=most).contains(limit))?;
            let allowed = if most < 2.0 { "from 0 to 1" } else { "a finite number, 0 or above" };
            Some((key, format!("must be {allowed}; found {limit}")))
        })
    }

    /// Whether any limit is stated.
    pub fn is_any_stated(&self) -> bool {
        Self { defaults: None, ..*self } != Self::default()
    }
}

/// The word that switches all limits off.
const NONE: &str = "none";

/// What [`thresholds`] reads, for the schema.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "a schema has no values")]
pub(super) enum NoneOrThresholds {
    None(NoLimits),
    Each(Thresholds),
}

/// No limit holds, not even a usual one.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "a schema has no values")]
pub(super) enum NoLimits {
    None,
}

/// Reads limits, or `none`, or nothing. An untagged enum would lose where an error is.
pub(super) fn thresholds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Thresholds>, D::Error> {
    deserializer.deserialize_any(Reader)
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Option<Thresholds>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("limits, or none")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        match word {
            NONE => Ok(Some(Thresholds { defaults: Some(false), ..Thresholds::default() })),
            other => Err(E::invalid_value(Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        Thresholds::deserialize(MapAccessDeserializer::new(entries)).map(Some)
    }
}
