//! What of the settings decides the bytes of the output, in one fixed form: for the digest that a report and a saved
//! set of statistics carry.

use super::super::raw::{
    Activations, BiasCorrection, BiasType, CalibratorName, Engine, Format, Granularity, HalfInput, IoType, Mode,
    OneOrEach, QuantizedInput, RoundingName, Strip, TypeName, WeightForm, WeightRange, WeightTypeName, Weights,
};
use super::activations::{ActivationSettings, Calibrator};
use super::pattern::Pattern;
use super::weights::WeightSettings;
use super::{Data, HalfSettings, IoSettings, OnBadValue, Rule, Settings, Validation};
use crate::inputs::{Channels, Fit, Layout, OnBadFile};
use crate::quant::{CodeBook, GridType};
use serde_json::{Map, Value, json};

impl Settings {
    /// The settings that influence the bytes of the output: types, calibrator, rules, how many samples, preprocessing.
    /// Not among them: paths, labels, thresholds, reasons, where a rule stands.
    ///
    /// Keys are in alphabetical order. Equal values give equal text.
    pub fn canonical(&self) -> Value {
        let mut keys = json!({
            "activations": activations(self.activations),
            "calibration": self.calibration.as_ref().map(data),
            // Samples that are held back do not calibrate.
            "held_back": matches!(self.validation, Validation::HeldBack),
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "version": 1,
            "weights": weights(self.weights),
        });
        // Only where they say something, so that a key added later does not change the digest of policies without it.
        if !self.dims.is_empty() {
            keys["dims"] = json!(self.dims);
        }
        if self.half != HalfSettings::default() {
            keys["half"] = json!({ "block": self.half.block, "keep_io": !self.half.convert_io });
            if let Some(what) = self.half.input {
                keys["half"]["input"] = json!(if what == HalfInput::Keep { "keep" } else { "widen" });
            }
        }
        if let Some(refit) = self.repairs.refit {
            keys["repairs"]["refit"] = json!(refit);
        }
        if !self.repairs.activation_error {
            keys["repairs"]["activation_error"] = json!(false);
        }
        if !self.repairs.smooth {
            keys["repairs"]["smooth"] = json!(false);
        }
        if self.repairs.awq {
            keys["repairs"]["awq"] = json!(true);
        }
        if self.repairs.reconstruct {
            keys["repairs"]["reconstruct"] = json!(true);
        }
        let rounding = match self.repairs.rounding {
            RoundingName::Nearest => None,
            RoundingName::Gptq => Some("gptq"),
            RoundingName::Learned => Some("learned"),
        };
        if let Some(rounding) = rounding {
            keys["repairs"]["rounding"] = json!(rounding);
        }
        if let Some(equalize) = self.repairs.equalize {
            keys["repairs"]["equalize"] = json!(equalize);
        }
        if self.repairs.absorb {
            keys["repairs"]["absorb"] = json!(true);
        }
        match self.repairs.bias_correction {
            None => {}
            Some(BiasCorrection::Off) => keys["repairs"]["bias_correction"] = json!(false),
            Some(BiasCorrection::Analytic) => keys["repairs"]["bias_correction"] = json!("analytic"),
            Some(BiasCorrection::Empirical) => keys["repairs"]["bias_correction"] = json!("empirical"),
        }
        if self.engine == Engine::Onnxruntime {
            keys["engine"] = json!("onnxruntime");
        }
        if self.format == Format::Qoperator {
            keys["format"] = json!("qoperator");
        }
        if self.contrib {
            keys["contrib"] = json!(true);
        }
        if self.io != IoSettings::default() {
            keys["io"] = io(&self.io);
        }
        match self.quantized_input {
            QuantizedInput::Refuse => {}
            QuantizedInput::Keep => keys["quantized_input"] = json!("keep"),
            QuantizedInput::Complete => keys["quantized_input"] = json!("complete"),
        }
        if self.strict {
            keys["strict"] = json!(true);
        }
        match self.strip {
            Strip::Traces => {}
            Strip::Nothing => keys["strip"] = json!("nothing"),
            Strip::Everything => keys["strip"] = json!("everything"),
        }
        if self.keep_patterns {
            keys["fuse_patterns"] = json!(false);
        }
        if self.mode != Mode::Static {
            keys["mode"] = json!(self.mode.to_string());
        }
        if self.on_bad_value == OnBadValue::Skip {
            keys["on_bad_value"] = json!("skip");
        }
        keys
    }
}

fn io(io: &IoSettings) -> Value {
    let word = |ty: &IoType| ty.integer().map_or("float32".to_owned(), |dtype| dtype.to_string());
    let side = |side: &Option<OneOrEach<IoType>>| match side {
        None => Value::Null,
        Some(OneOrEach::One(ty)) => word(ty).into(),
        Some(OneOrEach::Each(types)) => types.iter().map(|(name, ty)| (name.clone(), Value::from(word(ty)))).collect(),
    };
    json!({ "fold_normalization": io.fold_normalization, "inputs": side(&io.inputs), "outputs": side(&io.outputs) })
}

fn activations(settings: ActivationSettings) -> Value {
    let percentile = match settings.calibrator {
        Calibrator::Percentile(percentile) => Some(percentile),
        _ => None,
    };
    let mut keys = json!({
        "calibrator": settings.calibrator.to_string(),
        "percentile": percentile,
        "symmetric": settings.scheme.symmetric,
        "type": settings.scheme.dtype.to_string(),
    });
    if settings.scheme.power_of_two {
        keys["power_of_two"] = json!(true);
    }
    if let Some(threshold) = settings.outlier_threshold {
        keys["outlier_threshold"] = json!(threshold);
    }
    keys
}

fn weights(settings: WeightSettings) -> Value {
    let mut keys = json!({
        "avoid_saturation": settings.avoid_saturation,
        "granularity": settings.granularity.to_string(),
        "range": range_word(settings.range),
        "reduce_range": settings.scheme.reduce_range,
        "symmetric": settings.scheme.symmetric,
        "type": settings.codes.map_or(settings.scheme.dtype.to_string(), |codes| codes.name().to_owned()),
    });
    if settings.form != WeightForm::Qdq {
        keys["form"] = form_word(settings.form);
    }
    if settings.granularity == Granularity::PerBlock {
        keys["block_size"] = json!(settings.block_size);
    }
    if settings.scheme.power_of_two {
        keys["power_of_two"] = json!(true);
    }
    if settings.bias != BiasType::Int32 {
        keys["bias"] = bias_word(settings.bias);
    }
    keys
}

fn data(data: &Data) -> Value {
    let preprocess = &data.source.preprocess;
    json!({
        "on_bad_file": match data.source.on_bad_file {
            OnBadFile::Stop => "stop",
            OnBadFile::Skip => "skip",
        },
        "preprocess": {
            "channels": preprocess.channels.map(|channels| match channels {
                Channels::Rgb => "rgb",
                Channels::Bgr => "bgr",
                Channels::Grey => "grey",
            }),
            "fit": match preprocess.fit {
                Fit::Stretch => "stretch",
                Fit::Crop => "crop",
            },
            "layout": preprocess.layout.map(|layout| match layout {
                Layout::Nchw => "nchw",
                Layout::Nhwc => "nhwc",
            }),
            "mean": preprocess.mean,
            "scale": preprocess.scale,
            "size": preprocess.size,
            "std": preprocess.std,
        },
        "samples": data.samples,
    })
}

/// Only the keys that the rule has, so that a key added to rules later does not change the digest of those without it.
fn rule(rule: &Rule) -> Value {
    let text = |pattern: &Pattern| Value::from(pattern.text());
    let op_types = (!rule.op_types.is_empty()).then(|| rule.op_types.iter().map(text).collect());
    object([
        ("activations", some(changed_activations(&rule.activations))),
        (
            "match",
            some(object([
                ("between", rule.between.as_ref().map(|[from, to]| json!([from.name, to.name]))),
                ("node", rule.node.as_ref().map(text)),
                ("op_type", op_types),
                ("value", rule.value.as_ref().map(text)),
            ])),
        ),
        ("mode", rule.mode.map(|mode| mode.to_string().into())),
        ("quantize", rule.quantize.map(Value::from)),
        ("range", rule.range.map(|(low, high)| json!([low, high]))),
        ("scale", rule.grid.map(|(scale, _)| json!(scale))),
        ("weights", some(changed_weights(&rule.weights))),
        ("zero_point", rule.grid.map(|(_, zero)| json!(zero))),
    ])
}

fn changed_activations(changed: &Activations) -> Value {
    let calibrator = changed.calibrator.map(|calibrator| match calibrator {
        CalibratorName::Minmax => Calibrator::MinMax,
        CalibratorName::MovingAverage => Calibrator::MovingAverage,
        CalibratorName::Percentile => Calibrator::Percentile(0.0),
        CalibratorName::Entropy => Calibrator::Entropy,
        CalibratorName::Mse => Calibrator::Mse,
    });
    object([
        ("calibrator", calibrator.map(|calibrator| calibrator.to_string().into())),
        ("outlier_threshold", changed.outlier_threshold.map(Value::from)),
        ("percentile", changed.percentile.map(Value::from)),
        ("power_of_two", changed.power_of_two.map(Value::from)),
        ("symmetric", changed.symmetric.map(Value::from)),
        ("type", changed.dtype.map(type_word)),
    ])
}

fn changed_weights(changed: &Weights) -> Value {
    object([
        ("avoid_saturation", changed.avoid_saturation.map(Value::from)),
        ("bias", changed.bias.map(bias_word)),
        ("block_size", changed.block_size.map(Value::from)),
        ("form", changed.form.map(form_word)),
        ("granularity", changed.granularity.map(|granularity| granularity.to_string().into())),
        ("power_of_two", changed.power_of_two.map(Value::from)),
        ("range", changed.range.map(range_word)),
        ("reduce_range", changed.reduce_range.map(Value::from)),
        ("symmetric", changed.symmetric.map(Value::from)),
        ("type", changed.dtype.map(weight_type_word)),
    ])
}

fn weight_type_word(name: WeightTypeName) -> Value {
    match name {
        WeightTypeName::Nf4 => CodeBook::Nf4.name().into(),
        WeightTypeName::Fp4 => CodeBook::Fp4.name().into(),
        integers => GridType::from(integers).to_string().into(),
    }
}

fn form_word(form: WeightForm) -> Value {
    match form {
        WeightForm::Qdq => "qdq",
        WeightForm::Contrib => "contrib",
    }
    .into()
}

fn bias_word(bias: BiasType) -> Value {
    match bias {
        BiasType::Int32 => "int32",
        BiasType::Float32 => "float32",
    }
    .into()
}

fn range_word(range: WeightRange) -> Value {
    match range {
        WeightRange::Minmax => "minmax",
        WeightRange::LeastError => "least_error",
        WeightRange::Hqq => "hqq",
    }
    .into()
}

fn type_word(name: TypeName) -> Value {
    GridType::from(name).to_string().into()
}

fn object<const N: usize>(entries: [(&str, Option<Value>); N]) -> Value {
    let present = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// `value`, unless it is an object without keys.
fn some(value: Value) -> Option<Value> {
    (value != json!({})).then_some(value)
}
