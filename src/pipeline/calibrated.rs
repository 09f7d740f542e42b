//! Calibrate: statistics of the samples, or those that were saved before.

use super::encoded::Encoded;
use super::levels::LevelInput;
use super::{Context, Planned, engines};
use crate::calibrate::{self, Calibration};
use crate::error::{Error, Result};
use crate::file;
use crate::inputs::{self, Dataset, InputSpec, Kind, Levels, Preprocess, TakenLevels};
use crate::plan::ValuePlan;
use crate::policy::{self, Data, Engine, Settings, Validation};
use crate::report::CalibrationSummary;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// How many values an error names.
const NAMES_SHOWN: usize = 3;

impl Planned {
    /// Equalizes, absorbs, smooths and protects what the settings let it, and runs calibration samples through the model that comes of it; every
    /// fifth is held back where the policy names no other samples to validate on.
    ///
    /// # Errors
    /// When samples are missing or bad, or the engine cannot run the model.
    pub fn calibrate(
        &mut self,
        settings: &Settings,
        context: &Context<'_>,
    ) -> Result<(Calibration, CalibrationSummary)> {
        self.check_quantizable()?;
        let equalized = self.equalize(settings, context)?;
        let absorbed = self.absorb(settings, context)?;
        let smoothed = self.smooth(settings, context)?;
        let protected = self.protect(settings, context)?;
        if self.plan.observed().next().is_none() {
            let model = self.statistics_of()?;
            let calibration = Calibration { model, equalized, absorbed, smoothed, protected, ..Calibration::default() };
            let told = |encoded: &Encoded| format!("none: {} says all", encoded.path().display());
            let source = self.encoded.as_ref().map_or_else(|| "none: there is nothing to observe".to_owned(), told);
            let statistics_sha256 = calibration.digest()?;
            let summary = CalibrationSummary { source, statistics_sha256, ..CalibrationSummary::default() };
            return Ok((calibration, summary));
        }
        let data = settings.calibration.as_ref();
        let data = data.ok_or_else(|| self.no_samples())?;
        let inputs = self.inputs()?;
        let (set, indices) = self.calibration_set(data, settings, &inputs)?;
        if indices.is_empty() {
            return Err(Error::file(&data.source.path, "holds no samples"));
        }
        let digest = self.statistics_of()?;
        let engine = engines::calibrating(settings, context)?;
        let source = (&set, indices.as_slice());
        let values: Vec<&ValuePlan> = self.plan.observed().collect();
        let how = (context.threads, context.progress);
        let collected = calibrate::collect(&self.model, &values, &*engine, source, settings.on_bad_value, how);
        let (mut calibration, mut skipped) = collected.map_err(|e| e.of_engine(&self.path))?;
        calibration.model = digest;
        calibration.engine = (settings.engine != Engine::Tract).then(|| engine.name());
        calibration.equalized = equalized;
        calibration.absorbed = absorbed;
        calibration.smoothed = smoothed;
        calibration.protected = protected;
        calibration.pictures = self.pictures(&set, &data.source.preprocess, &inputs);
        skipped.extend(set.skipped());
        let summary = CalibrationSummary {
            source: data.source.path.display().to_string(),
            samples: calibration.samples,
            engine: calibration.engine.clone(),
            statistics_sha256: calibration.digest()?,
            preprocessing: preprocessing_note(&set),
            skipped,
            ..CalibrationSummary::default()
        };
        Ok((calibration, summary))
    }

    /// Takes over what samples showed of `base`, which is the same model by other rules: a value that is observed only now has what
    /// was seen where it was moved from. `None` where that does not do, and samples have to be observed anew.
    pub(super) fn adopt(&mut self, settings: &Settings, known: &Calibration, base: &Self) -> Option<Calibration> {
        self.equalize_by(settings, &known.equalized).ok()?;
        self.absorb_by(settings, &known.absorbed).ok()?;
        self.smooth_by(settings, &known.smoothed).ok()?;
        self.protect_by(settings, &known.protected).ok()?;
        let mut calibration = known.clone();
        for value in self.plan.observed().filter(|value| !known.values.contains_key(&value.name)) {
            let before = base.model.graph.find(&value.name)?;
            let root = base.plan.value(base.plan.root(before))?;
            calibration.values.insert(value.name.clone(), known.values.get(&root.name)?.clone());
        }
        Some(calibration)
    }

    /// Calibration samples, and which of them calibrate.
    ///
    /// # Errors
    /// When they cannot be read, or are none of the model's.
    pub(super) fn calibration_set(
        &self,
        data: &Data,
        settings: &Settings,
        inputs: &[InputSpec],
    ) -> Result<(Dataset, Vec<usize>)> {
        let levels = |input: &InputSpec| {
            let LevelInput { levels, taken, .. } = self.levels.iter().find(|one| one.name == input.name)?;
            Some(TakenLevels { levels: levels.clone(), less: taken.changed.then_some(taken.zero_point) })
        };
        let set = Dataset::open(&data.source, inputs)?.with_levels(inputs.iter().map(levels).collect());
        let indices = calibrating(data, settings, set.len());
        Ok((set, indices))
    }

    /// The grids that the levels of pictures are to the inputs that take them.
    fn pictures(&self, set: &Dataset, preprocess: &Preprocess, inputs: &[InputSpec]) -> BTreeMap<String, (f32, i32)> {
        let takes = |input: &&InputSpec| {
            set.describe().kind == Kind::Pictures && self.folded().all(|folded| folded.name != input.name)
        };
        let grid = |input: &InputSpec| Some((input.name.clone(), preprocess.levels(input).ok()?.grid()?));
        inputs.iter().filter(takes).filter_map(grid).collect()
    }

    /// What statistics are of: the model file, and whether it took levels in the place of what it reads.
    fn statistics_of(&self) -> Result<String> {
        let mut digest = file::digest(&self.path)?;
        for input in self.folded() {
            let Levels { scale, zero, .. } = &input.levels;
            let _ = write!(digest, ", levels of {:?} from {scale:?}, {zero:?}", input.name);
        }
        Ok(digest)
    }

    fn no_samples(&self) -> Error {
        const WHAT_TO_DO: &str = "name samples with --data, or state data.calibration in the policy";
        let Some(encoded) = &self.encoded else {
            return Error::other(format!("no calibration samples: {WHAT_TO_DO}"));
        };
        let names: Vec<&str> = self.plan.observed().map(|value| value.name.as_str()).collect();
        let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| format!("{name:?}")).collect();
        let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
        let (count, shown) = (names.len(), shown.join(", "));
        let why = format!(
            "says nothing about {count} values that need a grid ({shown}{more}), and there are no calibration samples: \
             {WHAT_TO_DO}, or leave them in float with rules"
        );
        Error::file(encoded.path(), why)
    }

    /// Statistics that were saved before, if they are of this model.
    ///
    /// # Errors
    /// When they are of another model.
    pub fn load_ranges(&mut self, settings: &Settings, path: &Path) -> Result<(Calibration, CalibrationSummary)> {
        let calibration = Calibration::load(path)?;
        if calibration.model != self.statistics_of()? {
            let model = self.path.display();
            return Err(Error::file(
                path,
                format!(
                    "holds the statistics of another model than {model}, or of another normalization; calibrate again"
                ),
            ));
        }
        if !settings.repairs.smooth && !calibration.smoothed.is_empty() {
            let why = "holds the statistics of a model with smoothed values; calibrate again, or take repairs.smooth: false (--no-smooth) \
                       away";
            return Err(Error::file(path, why));
        }
        if settings.repairs.equalize == Some(false) && !calibration.equalized.is_empty() {
            let why = "holds the statistics of a model with equalized layers; calibrate again, or take repairs.equalize: false \
                       (--no-equalize) away";
            return Err(Error::file(path, why));
        }
        if !settings.repairs.absorb && !calibration.absorbed.is_empty() {
            let why = "holds the statistics of a model with absorbed biases; calibrate again, or set repairs.absorb: true (--absorb)";
            return Err(Error::file(path, why));
        }
        if !settings.repairs.awq && !calibration.protected.is_empty() {
            let why = "holds the statistics of a model with channels scaled for stored weights; calibrate again, or set repairs.awq: true \
                       (--awq)";
            return Err(Error::file(path, why));
        }
        let equalized = self.equalize_by(settings, &calibration.equalized);
        let absorbed = equalized.and_then(|()| self.absorb_by(settings, &calibration.absorbed));
        let smoothed = absorbed.and_then(|()| self.smooth_by(settings, &calibration.smoothed));
        let changed = smoothed.and_then(|()| self.protect_by(settings, &calibration.protected));
        changed.map_err(|why| Error::file(path, format!("was taken with another policy ({why}); calibrate again")))?;
        let summary = CalibrationSummary {
            source: path.display().to_string(),
            samples: calibration.samples,
            engine: calibration.engine.clone(),
            statistics_sha256: calibration.digest()?,
            ..CalibrationSummary::default()
        };
        Ok((calibration, summary))
    }
}

/// Which of `len` samples calibrate; some are held back where the settings name no others to validate on.
pub(super) fn calibrating(data: &Data, settings: &Settings, len: usize) -> Vec<usize> {
    match &settings.validation {
        Validation::Samples(_) | Validation::Off => inputs::spread(len, data.samples),
        Validation::HeldBack => inputs::split(len, data.samples, policy::HELD_BACK_SAMPLES).0,
    }
}

/// What was done to pictures, and what was left out, had no effect or looks unintended.
pub(super) fn preprocessing_note(set: &Dataset) -> Option<String> {
    let told = set.describe();
    let pictures = told.pictures.as_ref().map(|p| format!("pictures: {p}"));
    let all: Vec<String> = pictures.into_iter().chain(told.notes.iter().cloned()).collect();
    (!all.is_empty()).then(|| all.join("; "))
}
