//! The policy as written to the policy as used: every value checked, every default filled in.

mod budget;
mod corrections;
mod data;
mod rules;

use super::raw::{
    Activations, BiasType, CalibratorName, Format, Granularity, HalfInput, IoType, Mode, OnBadFileName, OneOrEach,
    QuantizedInput, Raw, RawRule, Reference, RoundingName, Thresholds, WeightRange, Weights,
};
use super::settings::{
    ActivationSettings, DEFAULT_PERCENTILE, HalfSettings, IoSettings, OnBadValue, RepairSettings, Settings,
    TaskSettings, Validation, WeightSettings,
};
use crate::error::Result;
use crate::quant::GridType;

/// What to do about weights and activations of which only one are floating-point numbers.
pub const ALIKE: &str = "set both types to float8, or both to integers";
/// What `repairs.rounding_seconds` may be.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;
const SYMMETRIC_FLOATS: &str = "floating-point numbers have zero point 0; remove this";

impl Raw {
    /// The policy as used.
    ///
    /// # Errors
    /// [`crate::error::Error::Policy`] with line and column for a value that makes no sense;
    /// [`crate::error::Error::Other`] where the value did not come from the file.
    pub fn settings(&self) -> Result<Settings> {
        let (calibration, validation, recorded) = self.data()?;
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
        let (mode, format) = (self.mode.unwrap_or_default(), self.format.unwrap_or_default());
        let weights = WeightSettings::default().with(&self.weights.clone().unwrap_or_default()).in_mode(mode);
        if let Some((key, why)) = weights.trouble(mode, format) {
            return Err(self.wrong(&format!("weights.{key}"), why));
        }
        self.check_block("weights", &self.weights.clone().unwrap_or_default(), weights)?;
        self.check_floats("weights", &self.weights.clone().unwrap_or_default())?;
        self.check_alike(mode, activations, weights)?;
        self.check_modes(mode)?;
        if self.encodings_version.is_some() && self.write_encodings.is_none() {
            let why = "encodings_version is that of the file that write_encodings names; name one, or remove this";
            return Err(self.wrong("encodings_version", why));
        }
        let half = self.half(mode)?;
        let repairs = self.repairs(mode)?;
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
        if matches!(validation, Validation::Off) && thresholds.is_any_stated() {
            let why =
                "thresholds are checked by validation, and data.validation.samples is 0; leave one of the two out";
            return Err(self.wrong("thresholds", why));
        }
        let engine = self.data.as_ref().and_then(|data| data.engine).unwrap_or_default();
        let references = self.data.as_ref().and_then(|data| data.reference.as_ref());
        let reference = references.into_iter().flatten().find_map(|name| Reference::named(name));
        if matches!(validation, Validation::Off) && (reference.is_some() || recorded.is_some()) {
            let why = "reference is a part of validation, and data.validation.samples is 0; leave one of the two out";
            return Err(self.wrong("data.reference", why));
        }
        let stress = self.stress()?;
        if matches!(validation, Validation::Off) && stress.is_some() {
            let why = "stress is a part of validation, and data.validation.samples is 0; leave one of the two out";
            return Err(self.wrong("data.stress", why));
        }
        Ok(Settings {
            model: self.model.clone(),
            output: self.output.clone(),
            report: self.report.clone(),
            junit: self.junit.clone(),
            encodings: self.data.as_ref().and_then(|data| data.encodings.clone()),
            write_encodings: self.write_encodings.clone(),
            lock: self.lock.clone(),
            found: false,
            encodings_version: self.encodings_version.unwrap_or_default(),
            mode,
            format,
            contrib: self.contrib == Some(true),
            calibration,
            validation,
            engine,
            reference,
            recorded,
            stress,
            on_bad_value: match on_bad_value {
                Some(OnBadFileName::Skip) => OnBadValue::Skip,
                Some(OnBadFileName::Stop) | None => OnBadValue::Stop,
            },
            dims,
            keep_patterns: fuse_patterns == Some(false),
            activations,
            weights,
            half,
            repairs,
            budget: self.budget(mode)?,
            write_policy: None,
            io,
            quantized_input: self.quantized_input.unwrap_or_default(),
            strict: self.strict == Some(true),
            strip: self.strip.unwrap_or_default(),
            rules,
            tasks: self.tasks()?,
            thresholds,
            origin: self.origin.clone(),
        })
    }

    fn repairs(&self, mode: Mode) -> Result<RepairSettings> {
        let repairs = self.repairs.clone().unwrap_or_default();
        let wanted = [("refit", repairs.refit), ("smooth", repairs.smooth), ("equalize", repairs.equalize)];
        let wanted = wanted.into_iter().chain([("reconstruct", repairs.reconstruct)]);
        for (key, _) in wanted.filter(|(_, stated)| *stated == Some(true)) {
            if self.rule_modes().chain([mode]).all(|mode| mode != Mode::Static) {
                let why = format!("{key} is for layers on grids that samples show; set mode: static, or remove this");
                return Err(self.wrong(&format!("repairs.{key}"), why));
            }
        }
        if repairs.smooth == Some(true) && self.strict == Some(true) {
            let why = "what smooths is an operator in float, which strict: true does not let be; remove one of the two";
            return Err(self.wrong("repairs.smooth", why));
        }
        if repairs.awq == Some(true) && self.rule_modes().chain([mode]).all(|mode| mode != Mode::WeightOnly) {
            let why =
                "awq is for weights that are stored and multiplied in float; set mode: weight-only, or remove this";
            return Err(self.wrong("repairs.awq", why));
        }
        let searched = repairs.rounding.is_some_and(|rounding| rounding != RoundingName::Nearest);
        let stored = |mode| matches!(mode, Mode::Static | Mode::WeightOnly);
        if searched && !self.rule_modes().chain([mode]).any(stored) {
            let why =
                "integers of weights are looked for in mode static and weight-only; set one of them, or remove this";
            return Err(self.wrong("repairs.rounding", why));
        }
        if repairs.rounding_seconds.is_some_and(|seconds| !SECONDS.contains(&seconds)) {
            let why = format!("rounding_seconds lies from {} to {}", SECONDS.start(), SECONDS.end());
            return Err(self.wrong("repairs.rounding_seconds", why));
        }
        self.check_absorption(repairs.absorb.unwrap_or_default(), mode)?;
        self.check_bias_correction(repairs.bias_correction.unwrap_or_default(), mode)?;
        let usual = RepairSettings::default();
        Ok(RepairSettings {
            rounding: repairs.rounding.unwrap_or_default(),
            rounding_seconds: repairs.rounding_seconds.unwrap_or(usual.rounding_seconds),
            refit: repairs.refit,
            smooth: repairs.smooth.unwrap_or(usual.smooth),
            awq: repairs.awq.unwrap_or(usual.awq),
            reconstruct: repairs.reconstruct.unwrap_or(usual.reconstruct),
            activation_error: repairs.activation_error.unwrap_or(usual.activation_error),
            equalize: repairs.equalize,
            bias_correction: repairs.bias_correction,
            absorb: repairs.absorb.unwrap_or_default(),
        })
    }

    fn half(&self, mode: Mode) -> Result<HalfSettings> {
        let Some(half) = &self.half else { return Ok(HalfSettings::default()) };
        let mut modes = self.rule_modes().chain([mode]);
        if modes.all(|mode| mode.half().is_none()) {
            let why = "half is for the modes float16 and bfloat16; set one of them, or remove this";
            if half.input.is_none() {
                return Err(self.wrong("half", why));
            }
            let stated = [("keep_io", half.keep_io.is_some()), ("block", half.block.is_some())];
            if let Some((key, _)) = stated.into_iter().find(|(_, stated)| *stated) {
                let why = format!("{key} is for the modes float16 and bfloat16; set one of them, or remove this");
                return Err(self.wrong(&format!("half.{key}"), why));
            }
        } else if half.input == Some(HalfInput::Keep) {
            let why = "the modes float16 and bfloat16 widen what the model has and choose anew what they compute in 16 bits; \
                       remove this, or the mode";
            return Err(self.wrong("half.input", why));
        }
        if half.input == Some(HalfInput::Keep) && self.format == Some(Format::Qoperator) {
            let why = "operators on integers have float32 scales, so that nothing around them could stay in 16 bits; set it to \
                       widen, or format: qdq";
            return Err(self.wrong("half.input", why));
        }
        if half.block.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong("half.block", "block names no operator; name one, or remove the key"));
        }
        let convert_io = half.keep_io == Some(false);
        Ok(HalfSettings { convert_io, block: half.block.clone().unwrap_or_default(), input: half.input })
    }

    /// `elsewhere`: the calibrator may be given by something other than `activations` itself.
    fn check_activations(&self, key: &str, activations: &Activations, elsewhere: bool) -> Result<()> {
        if activations.outlier_threshold.is_some_and(|t| !(t > 0.0 && (t as f32).is_normal())) {
            let message = "outlier_threshold must be a number above 0";
            return Err(self.wrong(&format!("{key}.outlier_threshold"), message));
        }
        let float = activations.dtype.is_some_and(|dtype| GridType::from(dtype).is_float());
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

    fn tasks(&self) -> Result<TaskSettings> {
        let mut tasks = TaskSettings::default();
        let Some(raw) = &self.validation else { return Ok(tasks) };
        tasks.task.clone_from(&raw.task);
        tasks.charset.clone_from(&raw.charset);
        if let Some(above) = raw.mask_above {
            if !(above as f32).is_finite() {
                return Err(
                    self.wrong("validation.mask_above", format!("mask_above must be a finite number; found {above}"))
                );
            }
            tasks.mask_above = above as f32;
        }
        Ok(tasks)
    }

    /// The modes that rules give.
    fn rule_modes(&self) -> impl Iterator<Item = Mode> + '_ {
        self.rules.iter().flatten().filter_map(|rule| rule.mode)
    }

    /// The keys about activations, which mean something in mode static alone, and those about weights, in modes of integers.
    fn check_modes(&self, mode: Mode) -> Result<()> {
        if self.rule_modes().chain([mode]).any(|mode| mode == Mode::Static) {
            return Ok(());
        }
        let dynamic = self.rule_modes().chain([mode]).any(|mode| mode == Mode::Dynamic);
        let stores = |mode: Mode| matches!(mode, Mode::Static | Mode::Dynamic | Mode::WeightOnly);
        // What completes a model may store weights all the same.
        let completes = self.quantized_input == Some(QuantizedInput::Complete);
        if !completes && !self.rule_modes().chain([mode]).any(stores) {
            let why = format!("in mode {mode} no weight becomes integers; remove this, or set mode: weight-only");
            if self.weights.as_ref().is_some_and(|weights| !weights.is_empty()) {
                let typed = self.weights.as_ref().is_some_and(|weights| weights.dtype.is_some());
                return Err(self.wrong(if typed { "weights.type" } else { "weights" }, why));
            }
            let speaks = |rule: &&RawRule| rule.weights.as_ref().is_some_and(|weights| !weights.is_empty());
            if let Some(index) = self.rules.iter().flatten().position(|rule| speaks(&rule)) {
                return Err(self.wrong(&format!("rules[{index}].weights"), why));
            }
        }
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
        if !weights.dtype.is_some_and(|dtype| GridType::from(dtype).is_float()) {
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

    fn check_thresholds(&self, thresholds: Thresholds) -> Result<()> {
        match thresholds.trouble() {
            Some((key, why)) => Err(self.wrong(&format!("thresholds.{key}"), format!("{key} {why}"))),
            None => Ok(()),
        }
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
