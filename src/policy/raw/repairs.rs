//! Repairs without training.

use super::RoundingName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// What brings a model nearer to the float one without training.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRepairs {
    /// Whether each output channel of a layer on integers gets the gain and the mean that it has in float, layer by layer on
    /// quantized inputs; they go into the scales of weights and the biases.
    /// By default in networks with convolutions.
    pub refit: Option<bool>,
    /// Whether the channels of what is made in float and layers read as integers are scaled by powers of two, and the weights of the
    /// layers the other way, where a few large channels would set the grid for all others.
    #[schemars(extend("default" = true))]
    pub smooth: Option<bool>,
    /// Whether the channels that layers with stored weights read are scaled by powers of two, and the weights the other way, so that
    /// those that large activations meet have finer steps (AWQ). On calibration samples, in mode weight-only.
    #[schemars(extend("default" = false))]
    pub awq: Option<bool>,
    /// Whether the ranges of activations are chosen block by block on calibration samples, those of a block together, so that it makes
    /// what it makes in float; where samples that did not choose agree.
    #[schemars(extend("default" = false))]
    pub reconstruct: Option<bool>,
    /// Whether the range ahead of a Sigmoid, Tanh or SiLU that alone reads a value is chosen by the error that is left behind it, where
    /// the calibrator is mse.
    #[schemars(extend("default" = true))]
    pub activation_error: Option<bool>,
    /// How the integers of weights are found, layer by layer on quantized inputs.
    #[schemars(extend("default" = "nearest"))]
    pub rounding: Option<RoundingName>,
    /// So many seconds, from 1 to 86400, may the search for integers take; the weights behind are rounded to nearest then, and the
    /// output says so.
    #[schemars(extend("default" = 600))]
    pub rounding_seconds: Option<u64>,
    /// Whether the channels between two layers that follow each other are scaled by powers of two, and the weights on both sides
    /// with them, so that none is lost in the steps of the largest. By default where the weights on both sides have one scale each,
    /// and, whatever their scales, where a depthwise Conv reads the first layer as it is or through HardSwish.
    pub equalize: Option<bool>,
    /// Whether the shifts that rounded weights make of what layers make in the mean go out of biases: `analytic`, by what
    /// BatchNormalization tells of what layers read, without samples; `empirical`, layer by layer on calibration samples.
    #[schemars(extend("default" = false))]
    pub bias_correction: Option<BiasCorrection>,
    /// Whether what the channels ahead of a Relu never fall below goes out of the bias that makes them and into the biases of the
    /// layers behind, so that grids between need not reach as far: in mode static, by calibration samples, or without any by what
    /// BatchNormalization tells.
    #[schemars(extend("default" = false))]
    pub absorb: Option<bool>,
}

/// What is known of the means that biases are corrected by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BiasCorrection {
    /// Biases stay as they are: `false`.
    #[default]
    Off,
    /// The statistics of BatchNormalization.
    Analytic,
    /// What calibration samples show.
    Empirical,
}

impl JsonSchema for BiasCorrection {
    fn schema_name() -> Cow<'static, str> {
        "BiasCorrection".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [{ "const": "analytic" }, { "const": "empirical" }, { "const": false }] })
    }
}

impl<'de> Deserialize<'de> for BiasCorrection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// The words for them.
const KINDS: &[&str] = &["analytic", "empirical", "false"];

struct Reader;

impl Visitor<'_> for Reader {
    type Value = BiasCorrection;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("analytic, empirical or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        if value { Err(E::unknown_variant("true", KINDS)) } else { Ok(BiasCorrection::Off) }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        match value {
            "analytic" => Ok(BiasCorrection::Analytic),
            "empirical" => Ok(BiasCorrection::Empirical),
            // As a flag, all is text.
            "false" => Ok(BiasCorrection::Off),
            _ => Err(E::unknown_variant(value, KINDS)),
        }
    }
}
