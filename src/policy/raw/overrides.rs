//! What the command line says over the policy.

use super::names::{
    CalibratorName, ChannelsName, Engine, FitName, Format, HalfInput, IoType, LayoutName, Mode, QuantizedInput,
    Reference, RoundingName, Strip, TaskName, WeightRange, WeightTypeName,
};
use super::one_or_each::OneOrEach;
use super::{Activations, BiasCorrection, CalibrationData, Preprocessing, Raw, RawBudget, ValidationData};
use crate::encodings::Version;
use std::path::PathBuf;

/// Flags, each over one key of the policy. Paths are relative to the working directory.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is the key of the policy that it replaces")]
pub struct Overrides {
    pub model: Option<PathBuf>,
    pub mode: Option<Mode>,
    /// `io.inputs` and `io.outputs`.
    pub io: Option<IoType>,
    pub quantized_input: Option<QuantizedInput>,
    /// `half.input`.
    pub half_input: Option<HalfInput>,
    pub strict: Option<bool>,
    /// `repairs.refit`.
    pub refit: Option<bool>,
    /// `repairs.smooth`.
    pub smooth: Option<bool>,
    /// `repairs.awq`.
    pub awq: Option<bool>,
    /// `repairs.reconstruct`.
    pub reconstruct: Option<bool>,
    /// `repairs.rounding`.
    pub rounding: Option<RoundingName>,
    /// `repairs.equalize`.
    pub equalize: Option<bool>,
    /// `repairs.absorb`.
    pub absorb: Option<bool>,
    /// `repairs.bias_correction`.
    pub bias_correction: Option<BiasCorrection>,
    pub strip: Option<Strip>,
    /// `budget`, but for its types and samples.
    pub budget: Option<RawBudget>,
    pub format: Option<Format>,
    /// `weights.type`.
    pub weights: Option<WeightTypeName>,
    /// `weights.range`.
    pub weights_range: Option<WeightRange>,
    pub output: Option<PathBuf>,
    pub report: Option<PathBuf>,
    pub junit: Option<PathBuf>,
    /// `data.engine`.
    pub engine: Option<Engine>,
    /// `data.reference`.
    pub reference: Vec<PathBuf>,
    /// `data.stress`.
    pub stress: Vec<String>,
    /// `data.encodings`.
    pub encodings: Option<PathBuf>,
    pub write_encodings: Option<PathBuf>,
    /// `lock`.
    pub lock: Option<PathBuf>,
    pub encodings_version: Option<Version>,
    /// `data.calibration.path`.
    pub calibration: Option<PathBuf>,
    /// `data.validation.path`. Other samples have other labels: the policy's are dropped, and so is its 0 of them.
    pub validation: Option<PathBuf>,
    /// `data.validation.samples`.
    pub validation_samples: Option<usize>,
    /// `data.validation.labels`.
    pub labels: Option<PathBuf>,
    /// `data.calibration.samples`.
    pub samples: Option<usize>,
    /// `activations.calibrator`. The policy's percentile is dropped where the calibrator has none.
    pub calibrator: Option<CalibratorName>,
    /// `activations.percentile`. Alone it asks for the calibrator `percentile` too.
    pub percentile: Option<f64>,
    /// `thresholds.defaults`.
    pub default_limits: Option<bool>,
    /// `validation.task`: of the first output, or of these by name.
    pub task: Option<OneOrEach<TaskName>>,
    /// `validation.charset`.
    pub charset: Option<PathBuf>,
    /// `dims`: each over the policy's size of that dimension.
    pub dims: Vec<(String, usize)>,
    pub size: Option<[usize; 2]>,
    pub fit: Option<FitName>,
    pub layout: Option<LayoutName>,
    pub channels: Option<ChannelsName>,
    pub scale: Option<f64>,
    pub mean: Option<Vec<f64>>,
    pub std: Option<Vec<f64>>,
}

impl Raw {
    /// Lays `over` over the policy. Errors about a value that came from `over` will not blame a line of the policy.
    pub fn override_with(&mut self, over: &Overrides) {
        self.set("model", |raw| &mut raw.model, over.model.as_ref());
        self.set("mode", |raw| &mut raw.mode, over.mode.as_ref());
        self.set("quantized_input", |raw| &mut raw.quantized_input, over.quantized_input.as_ref());
        let refit = over.refit.as_ref();
        self.set("repairs.refit", |raw| &mut raw.repairs.get_or_insert_default().refit, refit);
        let smooth = over.smooth.as_ref();
        self.set("repairs.smooth", |raw| &mut raw.repairs.get_or_insert_default().smooth, smooth);
        let awq = over.awq.as_ref();
        self.set("repairs.awq", |raw| &mut raw.repairs.get_or_insert_default().awq, awq);
        let reconstruct = over.reconstruct.as_ref();
        self.set("repairs.reconstruct", |raw| &mut raw.repairs.get_or_insert_default().reconstruct, reconstruct);
        let rounding = over.rounding.as_ref();
        self.set("repairs.rounding", |raw| &mut raw.repairs.get_or_insert_default().rounding, rounding);
        let equalize = over.equalize.as_ref();
        self.set("repairs.equalize", |raw| &mut raw.repairs.get_or_insert_default().equalize, equalize);
        let absorb = over.absorb.as_ref();
        self.set("repairs.absorb", |raw| &mut raw.repairs.get_or_insert_default().absorb, absorb);
        let correction = over.bias_correction.as_ref();
        self.set("repairs.bias_correction", |raw| &mut raw.repairs.get_or_insert_default().bias_correction, correction);
        if let Some(goal) = &over.budget {
            let (types, samples) = self.budget.take().map_or((None, None), |own| (own.types, own.samples));
            let budget =
                RawBudget { types: goal.types.clone().or(types), samples: goal.samples.or(samples), ..goal.clone() };
            self.set("budget", |raw| &mut raw.budget, Some(&budget));
        }
        let half_input = over.half_input.as_ref();
        self.set("half.input", |raw| &mut raw.half.get_or_insert_default().input, half_input);
        self.set("strict", |raw| &mut raw.strict, over.strict.as_ref());
        self.set("strip", |raw| &mut raw.strip, over.strip.as_ref());
        let io = over.io.map(OneOrEach::One);
        self.set("io.inputs", |raw| &mut raw.io.get_or_insert_default().inputs, io.as_ref());
        self.set("io.outputs", |raw| &mut raw.io.get_or_insert_default().outputs, io.as_ref());
        self.set("format", |raw| &mut raw.format, over.format.as_ref());
        self.set("weights.type", |raw| &mut raw.weights.get_or_insert_default().dtype, over.weights.as_ref());
        let range = over.weights_range.as_ref();
        self.set("weights.range", |raw| &mut raw.weights.get_or_insert_default().range, range);
        self.set("output", |raw| &mut raw.output, over.output.as_ref());
        self.set("report", |raw| &mut raw.report, over.report.as_ref());
        self.set("junit", |raw| &mut raw.junit, over.junit.as_ref());
        self.set("write_encodings", |raw| &mut raw.write_encodings, over.write_encodings.as_ref());
        self.set("lock", |raw| &mut raw.lock, over.lock.as_ref());
        self.set("encodings_version", |raw| &mut raw.encodings_version, over.encodings_version.as_ref());
        let encodings = over.encodings.as_ref();
        self.set("data.encodings", |raw| &mut raw.data.get_or_insert_default().encodings, encodings);

        self.set("data.engine", |raw| &mut raw.data.get_or_insert_default().engine, over.engine.as_ref());
        let reference = (!over.reference.is_empty()).then_some(&over.reference);
        self.set("data.reference", |raw| &mut raw.data.get_or_insert_default().reference, reference);
        let stress = (!over.stress.is_empty()).then_some(&over.stress);
        self.set("data.stress", |raw| &mut raw.data.get_or_insert_default().stress, stress);
        if over.reference.iter().any(|name| Reference::named(name).is_none()) && over.validation.is_none() {
            // Its inputs are the samples.
            let validation = self.validation_data();
            (validation.path, validation.labels) = (None, None);
            validation.samples = validation.samples.filter(|&samples| samples > 0);
        }

        if !over.dims.is_empty() {
            self.dims.get_or_insert_default().extend(over.dims.iter().cloned());
        }

        self.set("data.calibration.path", |raw| &mut raw.calibration().path, over.calibration.as_ref());
        self.set("data.calibration.samples", |raw| &mut raw.calibration().samples, over.samples.as_ref());
        if over.validation.is_some() {
            if over.reference.is_empty()
                && let Some(reference) = self.data.as_mut().and_then(|data| data.reference.as_mut())
            {
                // A recording brings other samples than these.
                reference.retain(|name| Reference::named(name).is_some());
            }
            let validation = self.validation_data();
            validation.labels = None;
            validation.samples = validation.samples.filter(|&samples| samples > 0);
        }
        self.set("data.validation.path", |raw| &mut raw.validation_data().path, over.validation.as_ref());
        let samples = over.validation_samples.as_ref();
        self.set("data.validation.samples", |raw| &mut raw.validation_data().samples, samples);
        self.set("data.validation.labels", |raw| &mut raw.validation_data().labels, over.labels.as_ref());

        let limits = over.default_limits.as_ref();
        self.set("thresholds.defaults", |raw| &mut raw.thresholds.get_or_insert_default().defaults, limits);
        self.set("validation.task", |raw| &mut raw.validation.get_or_insert_default().task, over.task.as_ref());
        let charset = over.charset.as_ref();
        self.set("validation.charset", |raw| &mut raw.validation.get_or_insert_default().charset, charset);

        let calibrator = over.calibrator.or(over.percentile.map(|_| CalibratorName::Percentile));
        if calibrator.is_some_and(|c| c != CalibratorName::Percentile) {
            self.activations().percentile = None;
        }
        self.set("activations.calibrator", |raw| &mut raw.activations().calibrator, calibrator.as_ref());
        self.set("activations.percentile", |raw| &mut raw.activations().percentile, over.percentile.as_ref());

        self.set("data.preprocess.size", |raw| &mut raw.preprocess().size, over.size.as_ref());
        self.set("data.preprocess.fit", |raw| &mut raw.preprocess().fit, over.fit.as_ref());
        self.set("data.preprocess.layout", |raw| &mut raw.preprocess().layout, over.layout.as_ref());
        self.set("data.preprocess.channels", |raw| &mut raw.preprocess().channels, over.channels.as_ref());
        self.set("data.preprocess.scale", |raw| &mut raw.preprocess().scale, over.scale.as_ref());
        self.set("data.preprocess.mean", |raw| &mut raw.preprocess().mean, over.mean.as_ref());
        self.set("data.preprocess.std", |raw| &mut raw.preprocess().std, over.std.as_ref());
    }

    /// Puts `value`, if there is one, where `slot` says, and remembers that `key` is no longer the file's.
    fn set<T: Clone>(&mut self, key: &'static str, slot: impl FnOnce(&mut Self) -> &mut Option<T>, value: Option<&T>) {
        if let Some(value) = value {
            *slot(self) = Some(value.clone());
            self.origin.overridden.insert(key);
        }
    }

    fn calibration(&mut self) -> &mut CalibrationData {
        self.data.get_or_insert_default().calibration.get_or_insert_default()
    }

    fn validation_data(&mut self) -> &mut ValidationData {
        self.data.get_or_insert_default().validation.get_or_insert_default()
    }

    fn preprocess(&mut self) -> &mut Preprocessing {
        self.data.get_or_insert_default().preprocess.get_or_insert_default()
    }

    fn activations(&mut self) -> &mut Activations {
        self.activations.get_or_insert_default()
    }
}
