//! The policy as written to the policy as used: every value checked, every default filled in.

use super::one_or_each::OneOrEach;
use super::pattern::Pattern;
use super::places::Place;
use super::raw::{
    Activations, CalibratorName, ChannelsName, FitName, Format, IoType, LayoutName, Mode, OnBadFileName, Raw, RawRule,
    Weights,
};
use super::settings::{
    ActivationSettings, BiasType, CALIBRATION_SAMPLES, DEFAULT_PERCENTILE, Data, Granularity, HalfSettings, IoSettings,
    Named, OnBadValue, Rule, Settings, Thresholds, VALIDATION_SAMPLES, Validation, WeightRange, WeightSettings,
};
use crate::error::Result;
use crate::inputs::{Channels, Fit, Layout, OnBadFile, Preprocess, Source};
use crate::quant::IntType;
use std::path::PathBuf;

/// What to do about weights and activations of which only one are floating-point numbers.
pub const ALIKE: &str = "set both types to float8, or both to integers";
const SYMMETRIC_FLOATS: &str = "floating-point numbers have zero point 0; remove this";

/// The largest height and width of a picture.
const MAX_SIZE: usize = 16384;

impl Raw {
    /// The policy as used.
    ///
    /// # Errors
    /// [`crate::error::Error::Policy`] with line and column for a value that makes no sense;
    /// [`crate::error::Error::Other`] where the value did not come from the file.
    pub fn settings(&self) -> Result<Settings> {
        let (calibration, validation) = self.data()?;
        let on_bad_value = self.data.as_ref().and_then(|d| d.calibration.as_ref()).and_then(|c| c.on_bad_value);
        let dims = self.dims.clone().unwrap_or_default();
        if let Some((name, _)) = dims.iter().find(|(_, size)| **size == 0) {
            return Err(self.wrong("dims", format!("the dimension {name:?} has size 0; it has to be 1 or more")));
        }
        let fuse_patterns = self.prepare.as_ref().and_then(|p| p.fuse_patterns);
        let activations = self.activations.clone().unwrap_or_default();
        self.check_activations("activations", &activations, false)?;
        let mut percentile = DEFAULT_PERCENTILE;
        let activations = ActivationSettings::default().with(&activations, &mut percentile);
        let weights = WeightSettings::default().with(&self.weights.clone().unwrap_or_default());
        let mode = self.mode.unwrap_or_default();
        if let Some((key, why)) = weights.trouble(mode) {
            return Err(self.wrong(&format!("weights.{key}"), why));
        }
        self.check_block("weights", &self.weights.clone().unwrap_or_default(), weights)?;
        self.check_floats("weights", &self.weights.clone().unwrap_or_default())?;
        self.check_alike(mode, activations, weights)?;
        self.check_modes(mode)?;
        let half = self.half(mode)?;
        let format = self.format.unwrap_or_default();
        if format == Format::Qoperator && mode != Mode::Static {
            let why =
                "format qoperator is made of integer activations, which mode static alone stores; set format: qdq";
            return Err(self.wrong("format", why));
        }
        let io = self.io(mode)?;
        let rules = self.rules.iter().flatten().enumerate().map(|(i, rule)| self.rule(i, rule));
        let rules = rules.collect::<Result<_>>()?;
        let thresholds = self.thresholds.unwrap_or_default();
        self.check_thresholds(thresholds)?;
        if matches!(validation, Validation::Off) && thresholds != Thresholds::default() {
            let why =
                "thresholds are checked by validation, and data.validation.samples is 0; leave one of the two out";
            return Err(self.wrong("thresholds", why));
        }
        Ok(Settings {
            model: self.model.clone(),
            output: self.output.clone(),
            report: self.report.clone(),
            mode,
            format,
            contrib: self.contrib == Some(true),
            calibration,
            validation,
            on_bad_value: match on_bad_value {
                Some(OnBadFileName::Skip) => OnBadValue::Skip,
                Some(OnBadFileName::Stop) | None => OnBadValue::Stop,
            },
            dims,
            keep_patterns: fuse_patterns == Some(false),
            activations,
            weights,
            half,
            io,
            strict: self.strict == Some(true),
            rules,
            thresholds,
            path: self.origin.path.clone(),
        })
    }

    fn half(&self, mode: Mode) -> Result<HalfSettings> {
        let Some(half) = &self.half else { return Ok(HalfSettings::default()) };
        if self.rule_modes().chain([mode]).all(|mode| mode.half().is_none()) {
            return Err(
                self.wrong("half", "half is for the modes float16 and bfloat16; set one of them, or remove this")
            );
        }
        if half.block.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong("half.block", "block names no operator; name one, or remove the key"));
        }
        let convert_io = half.keep_io == Some(false);
        Ok(HalfSettings { convert_io, block: half.block.clone().unwrap_or_default() })
    }

    fn data(&self) -> Result<(Option<Data>, Validation)> {
        let data = self.data.clone().unwrap_or_default();
        let preprocess = self.checked_preprocess()?;
        let calibration = data.calibration.map(|c| {
            let source = self.source("data.calibration", c.path, None, preprocess.clone(), c.on_bad_file)?;
            Ok(Data { source, samples: self.samples("data.calibration.samples", c.samples, CALIBRATION_SAMPLES)? })
        });
        let validation = match data.validation {
            None => Validation::HeldBack,
            Some(v) if v.samples == Some(0) => Validation::Off,
            Some(v) => {
                let source = self.source("data.validation", v.path, v.labels, preprocess, v.on_bad_file)?;
                Validation::Samples(Data { source, samples: v.samples.unwrap_or(VALIDATION_SAMPLES) })
            }
        };
        Ok((calibration.transpose()?, validation))
    }

    fn source(
        &self,
        key: &str,
        path: Option<PathBuf>,
        labels: Option<PathBuf>,
        preprocess: Preprocess,
        on_bad_file: Option<OnBadFileName>,
    ) -> Result<Source> {
        let Some(path) = path else {
            return Err(self.wrong(key, format!("{key} has no path; say where the samples are")));
        };
        let on_bad_file = match on_bad_file {
            None | Some(OnBadFileName::Stop) => OnBadFile::Stop,
            Some(OnBadFileName::Skip) => OnBadFile::Skip,
        };
        Ok(Source { path, labels, preprocess, on_bad_file })
    }

    fn samples(&self, key: &str, samples: Option<usize>, default: usize) -> Result<usize> {
        match samples {
            Some(0) => Err(self.wrong(key, "samples must be at least 1; found 0")),
            _ => Ok(samples.unwrap_or(default)),
        }
    }

    fn checked_preprocess(&self) -> Result<Preprocess> {
        let raw = self.data.as_ref().and_then(|data| data.preprocess.clone()).unwrap_or_default();
        if let Some(size) = raw.size
            && size.iter().any(|side| !(1..=MAX_SIZE).contains(side))
        {
            let message = format!("size is height and width, each from 1 to {MAX_SIZE}; found {size:?}");
            return Err(self.wrong("data.preprocess.size", message));
        }
        let scale = raw.scale.map(|scale| scale as f32);
        if scale.is_some_and(|scale| scale == 0.0 || !scale.is_finite()) {
            return Err(self.wrong("data.preprocess.scale", "scale must be a finite number other than 0"));
        }
        let mean = self.for_channels("mean", raw.mean)?;
        let std = self.for_channels("std", raw.std)?;
        if std.iter().any(|std| *std <= 0.0) {
            return Err(self.wrong("data.preprocess.std", "std divides, so it must be above 0"));
        }
        Ok(Preprocess {
            size: raw.size,
            fit: match raw.fit {
                None | Some(FitName::Stretch) => Fit::Stretch,
                Some(FitName::Crop) => Fit::Crop,
            },
            layout: raw.layout.map(|layout| match layout {
                LayoutName::Nchw => Layout::Nchw,
                LayoutName::Nhwc => Layout::Nhwc,
            }),
            channels: raw.channels.map(|channels| match channels {
                ChannelsName::Rgb => Channels::Rgb,
                ChannelsName::Bgr => Channels::Bgr,
                ChannelsName::Grey => Channels::Grey,
            }),
            scale,
            mean,
            std,
        })
    }

    /// One number for all channels, or one for each of three; empty where the key is left out.
    fn for_channels(&self, key: &str, numbers: Option<Vec<f64>>) -> Result<Vec<f32>> {
        let Some(numbers) = numbers else { return Ok(Vec::new()) };
        let at = format!("data.preprocess.{key}");
        if !matches!(numbers.len(), 1 | 3) {
            let message = format!("{key} is one number, or three for three channels; found {}", numbers.len());
            return Err(self.wrong(&at, message));
        }
        let numbers: Vec<f32> = numbers.into_iter().map(|number| number as f32).collect();
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(self.wrong(&at, format!("{key} must be finite")));
        }
        Ok(numbers)
    }

    /// `elsewhere`: the calibrator may be given by something other than `activations` itself.
    fn check_activations(&self, key: &str, activations: &Activations, elsewhere: bool) -> Result<()> {
        if activations.outlier_threshold.is_some_and(|t| !(t > 0.0 && (t as f32).is_normal())) {
            let message = "outlier_threshold must be a number above 0";
            return Err(self.wrong(&format!("{key}.outlier_threshold"), message));
        }
        let float = activations.dtype.is_some_and(|dtype| IntType::from(dtype).is_float());
        if float && activations.symmetric == Some(false) {
            return Err(self.wrong(&format!("{key}.symmetric"), SYMMETRIC_FLOATS));
        }
        let Some(percentile) = activations.percentile else { return Ok(()) };
        let key = format!("{key}.percentile");
        if !(percentile > 50.0 && percentile <= 100.0) {
            return Err(self.wrong(&key, format!("percentile must be above 50 and at most 100; found {percentile}")));
        }
        match activations.calibrator {
            Some(CalibratorName::Percentile) => return Ok(()),
            None if elsewhere => return Ok(()),
            _ => {}
        }
        Err(self.wrong(&key, "percentile is only for calibrator: percentile; set that, or remove this"))
    }

    fn rule(&self, index: usize, raw: &RawRule) -> Result<Rule> {
        let key = |rest: &str| format!("rules[{index}]{rest}");
        let pattern = |text: &str, rest: &str| {
            let at = key(rest);
            Pattern::new(text, self.place(&at).unwrap_or(Place::START)).map_err(|message| self.wrong(&at, message))
        };
        let node = raw.selection.node.as_deref().map(|text| pattern(text, ".match.node")).transpose()?;
        let value = raw.selection.value.as_deref().map(|text| pattern(text, ".match.value")).transpose()?;
        let op_types = raw.selection.op_type.iter().flatten().map(|text| pattern(text, ".match.op_type"));
        let op_types = op_types.collect::<Result<Vec<_>>>()?;
        if raw.selection.op_type.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong(&key(".match.op_type"), "op_type names no operator; name one, or remove the key"));
        }
        let named = |(i, name): (usize, &String)| {
            let place = self.place(&key(&format!(".match.between[{i}]"))).unwrap_or(Place::START);
            Named { name: name.clone(), place }
        };
        let between = raw.selection.between.as_ref().map(|[from, to]| [named((0, from)), named((1, to))]);
        if node.is_none() && value.is_none() && op_types.is_empty() && between.is_none() {
            return Err(self.wrong(&key(".match"), "match is empty; name a node, an op_type or a value"));
        }
        if value.is_some() && between.is_some() {
            let message = "between selects nodes, and value selects values; give one of the two";
            return Err(self.wrong(&key(".match.between"), message));
        }

        let activations = raw.activations.clone().unwrap_or_default();
        let weights = raw.weights.clone().unwrap_or_default();
        let fixed = raw.range.is_some() || raw.scale.is_some() || raw.zero_point.is_some();
        if raw.mode.is_none() && raw.quantize.is_none() && !fixed && activations.is_empty() && weights.is_empty() {
            let message =
                "the rule changes nothing; give mode, quantize, activations, weights, range or scale, or remove it";
            return Err(self.wrong(&key(""), message));
        }
        self.check_activations(&key(".activations"), &activations, self.some_percentile())?;
        // A rule may give only one of the two; then what the nodes end up with is checked against the model.
        let alone = WeightSettings::default().with(&weights);
        let mode =
            raw.mode.or_else(|| Some(self.mode.unwrap_or_default()).filter(|_| self.rule_modes().next().is_none()));
        let certain = |key| match key {
            "symmetric" | "granularity" => weights.granularity.is_some(),
            "type" => mode != Some(Mode::WeightOnly) || weights.form.is_some(),
            "block_size" => weights.block_size.is_some(),
            _ => true,
        };
        let trouble = mode.and_then(|mode| alone.trouble(mode));
        if let Some((part, why)) = trouble.filter(|(part, _)| certain(*part)) {
            return Err(self.wrong(&key(&format!(".weights.{part}")), why));
        }
        let blocks = WeightSettings { granularity: weights.granularity.unwrap_or(Granularity::PerBlock), ..alone };
        self.check_block(&key(".weights"), &weights, blocks)?;
        self.check_floats(&key(".weights"), &weights)?;
        if value.is_some() && raw.mode.is_some() {
            let message = "mode belongs to nodes; match a node or an op_type, without value";
            return Err(self.wrong(&key(".mode"), message));
        }
        if value.is_some() && !weights.is_empty() {
            let message = "weights belong to nodes; match a node or an op_type, without value";
            return Err(self.wrong(&key(".weights"), message));
        }
        let value_named = value.is_some();
        let range = raw.range.map(|range| self.range(&key(".range"), range, value_named)).transpose()?;
        Ok(Rule {
            node,
            op_types,
            value,
            mode: raw.mode,
            quantize: raw.quantize,
            reason: raw.reason.clone(),
            activations,
            weights,
            between,
            range,
            grid: self.grid(&key, raw, value_named)?,
            place: self.place(&key("")).unwrap_or(Place::START),
        })
    }

    /// Whether anything in the policy asks for the calibrator `percentile`, so that a percentile alone has a meaning.
    fn some_percentile(&self) -> bool {
        let rules = self.rules.iter().flatten().filter_map(|rule| rule.activations.as_ref());
        let mut all = self.activations.iter().chain(rules);
        all.any(|activations| activations.calibrator == Some(CalibratorName::Percentile))
    }

    fn range(&self, key: &str, [low, high]: [f64; 2], has_value: bool) -> Result<(f32, f32)> {
        if !has_value {
            return Err(self.wrong(key, "a range is for one value; name it with match: { value: ... }"));
        }
        let (low, high) = (low as f32, high as f32);
        if !low.is_finite() || !high.is_finite() {
            return Err(self.wrong(key, "both ends of a range must be finite in float32"));
        }
        if low >= high {
            return Err(self.wrong(key, format!("a range goes from low to high; found [{low}, {high}]")));
        }
        Ok((low, high))
    }

    /// The fixed scale and zero point of a rule.
    fn grid(&self, key: &dyn Fn(&str) -> String, raw: &RawRule, has_value: bool) -> Result<Option<(f32, i32)>> {
        let (scale, zero) = match (raw.scale, raw.zero_point) {
            (None, None) => return Ok(None),
            (Some(scale), Some(zero)) => (scale as f32, zero),
            (Some(_), None) => return Err(self.wrong(&key(".scale"), "a scale needs its zero_point; give both")),
            (None, Some(_)) => return Err(self.wrong(&key(".zero_point"), "a zero_point needs its scale; give both")),
        };
        if !has_value {
            return Err(self.wrong(&key(".scale"), "a scale is for one value; name it with match: { value: ... }"));
        }
        if raw.range.is_some() {
            return Err(self.wrong(&key(".scale"), "range and scale say the same twice; give one of the two"));
        }
        if !(scale.is_normal() && scale > 0.0) {
            return Err(self.wrong(&key(".scale"), "scale must be above 0 and a normal number in float32"));
        }
        // Whether the value's type holds it is known when the rules meet a model.
        match i32::try_from(zero) {
            Ok(zero) => Ok(Some((scale, zero))),
            Err(_) => Err(self.wrong(&key(".zero_point"), "zero_point is beyond every integer type")),
        }
    }

    fn io(&self, mode: Mode) -> Result<IoSettings> {
        let Some(io) = &self.io else { return Ok(IoSettings::default()) };
        let (inputs, outputs) = (io.inputs.clone(), io.outputs.clone());
        let integer = |side: &Option<OneOrEach<IoType>>| {
            side.as_ref().is_some_and(|side| side.values().into_iter().any(|ty| ty.integer().is_some()))
        };
        let fold_normalization = io.fold_normalization == Some(true);
        let calibrates = self.rule_modes().chain([mode]).any(|mode| mode == Mode::Static);
        for (key, side) in [("io.inputs", &inputs), ("io.outputs", &outputs)] {
            if integer(side) && !calibrates {
                let why = "integer inputs and outputs need the scales that mode static finds; set it, or float32 here";
                return Err(self.wrong(key, why));
            }
        }
        let uint8 = inputs.as_ref().is_some_and(|side| side.values().contains(&IoType::Uint8));
        if fold_normalization && !uint8 {
            let why = "fold_normalization is for inputs that take the levels of a picture; set io.inputs: uint8 too";
            return Err(self.wrong("io.fold_normalization", why));
        }
        Ok(IoSettings { inputs, outputs, fold_normalization })
    }

    /// The modes that rules give.
    fn rule_modes(&self) -> impl Iterator<Item = Mode> + '_ {
        self.rules.iter().flatten().filter_map(|rule| rule.mode)
    }

    /// The keys about activations, which mean something in mode static alone.
    fn check_modes(&self, mode: Mode) -> Result<()> {
        if self.rule_modes().chain([mode]).any(|mode| mode == Mode::Static) {
            return Ok(());
        }
        let dynamic = self.rule_modes().chain([mode]).any(|mode| mode == Mode::Dynamic);
        let unused = |activations: &Activations| {
            let rest = Activations { outlier_threshold: None, ..activations.clone() };
            !(if dynamic { rest } else { activations.clone() }).is_empty()
        };
        let why = format!("in mode {mode} no activation has a scale of its own; remove this, or set mode: static");
        if self.activations.as_ref().is_some_and(unused) {
            return Err(self.wrong("activations", &*why));
        }
        for (index, rule) in self.rules.iter().flatten().enumerate() {
            let activations = rule.activations.as_ref().is_some_and(unused);
            let keys = [(activations, "activations"), (rule.range.is_some(), "range"), (rule.scale.is_some(), "scale")];
            if let Some(key) = keys.iter().find(|k| k.0) {
                return Err(self.wrong(&format!("rules[{index}].{}", key.1), &*why));
            }
        }
        Ok(())
    }

    /// `after`: what `weights` at `key` comes to, as far as is known there.
    fn check_block(&self, key: &str, weights: &Weights, after: WeightSettings) -> Result<()> {
        let Some(size) = weights.block_size else { return Ok(()) };
        let why = match size {
            0 => "block_size must be at least 1; found 0",
            _ if after.granularity != Granularity::PerBlock => "block_size is only for granularity: per_block",
            _ => return Ok(()),
        };
        Err(self.wrong(&format!("{key}.block_size"), why))
    }

    /// What `weights` at `key` says of floating-point numbers that is not so.
    fn check_floats(&self, key: &str, weights: &Weights) -> Result<()> {
        if !weights.dtype.is_some_and(|dtype| IntType::from(dtype).is_float()) {
            return Ok(());
        }
        if weights.symmetric == Some(false) {
            return Err(self.wrong(&format!("{key}.symmetric"), SYMMETRIC_FLOATS));
        }
        if weights.bias == Some(BiasType::Int32) {
            let why = "biases stay float32 beside weights of float8; remove this, or set it to float32";
            return Err(self.wrong(&format!("{key}.bias"), why));
        }
        if weights.range == Some(WeightRange::LeastError) {
            let why = "range: least_error compares the steps of integers; remove this, or set it to minmax, for float8";
            return Err(self.wrong(&format!("{key}.range"), why));
        }
        Ok(())
    }

    /// Whether weights and activations are both integers, or both floating-point numbers.
    fn check_alike(&self, mode: Mode, activations: ActivationSettings, weights: WeightSettings) -> Result<()> {
        let (read, own) = (activations.scheme.dtype, weights.scheme.dtype);
        if mode != Mode::Static || read.is_float() == own.is_float() {
            return Ok(());
        }
        let key = if read.is_float() { "activations.type" } else { "weights.type" };
        Err(self.wrong(key, format!("activations of {read} do not go with weights of {own}; {ALIKE}")))
    }

    fn check_thresholds(&self, t: Thresholds) -> Result<()> {
        let limits = [
            ("top1_drop", t.top1_drop, 1.0),
            ("top1_agreement", t.top1_agreement, 1.0),
            ("top5_agreement", t.top5_agreement, 1.0),
            ("sqnr_db", t.sqnr_db, f64::MAX),
            ("mse", t.mse, f64::MAX),
            ("cosine", t.cosine, 1.0),
            ("max_abs", t.max_abs, f64::MAX),
        ];
        for (key, limit, most) in limits {
            let Some(limit) = limit.filter(|limit| !(0.0..=most).contains(limit)) else { continue };
            let allowed = if most < 2.0 { "from 0 to 1" } else { "a finite number, 0 or above" };
            return Err(self.wrong(&format!("thresholds.{key}"), format!("{key} must be {allowed}; found {limit}")));
        }
        Ok(())
    }
}

impl Activations {
    pub(super) fn is_empty(&self) -> bool {
        self.dtype.is_none()
            && self.symmetric.is_none()
            && self.calibrator.is_none()
            && self.percentile.is_none()
            && self.power_of_two.is_none()
            && self.outlier_threshold.is_none()
    }
}

impl Weights {
    pub(super) fn is_empty(&self) -> bool {
        self.dtype.is_none()
            && self.symmetric.is_none()
            && self.granularity.is_none()
            && self.block_size.is_none()
            && self.reduce_range.is_none()
            && self.avoid_saturation.is_none()
            && self.range.is_none()
            && self.power_of_two.is_none()
            && self.bias.is_none()
            && self.form.is_none()
    }
}
