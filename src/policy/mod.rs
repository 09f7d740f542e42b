//! The policy: what the user wants, as YAML, checked and then matched against a model. A folder for each step:
//!
//! 1. `raw` is what the file says: every key as written ([`Raw`]), and the flags of the command line that are laid over
//!    it ([`Overrides`]).
//! 2. `text` is how the file is read. A first reading keeps it within limits and notes the line and column of
//!    everything; then serde_yaml makes it a [`Raw`], and what it complains about gets its place and its words.
//! 3. `check` makes [`Settings`] of a [`Raw`]: every value checked, every default filled in.
//! 4. `settings` is what comes out.
//! 5. `matching` lets the rules among them meet a model, in [`Settings::match_model`].
//!
//! `recipe` makes text of settings again, with what a search added to them. Nothing here knows a graph: a model is names, operators and output names.

mod check;
mod matching;
mod raw;
mod recipe;
mod settings;
#[cfg(test)]
mod tests;
mod text;

pub use check::ALIKE;
pub use matching::{Matched, NodeKey, NodeSettings, ValueSettings};
pub use raw::{
    Activations, BiasCorrection, BiasType, BudgetType, CalibrationData, CalibratorName, ChannelsName, DataSection,
    Engine, FitName, Format, Granularity, HalfInput, IoType, LayoutName, Match, Mode, OnBadFileName, OneOrEach,
    Overrides, Preprocessing, QuantizedInput, Raw, RawBudget, RawHalf, RawIo, RawRule, RawTasks, Reference,
    RoundingName, Strip, Target, TaskName, Thresholds, TypeName, ValidationData, WeightForm, WeightRange,
    WeightTypeName, Weights, schema,
};
pub use recipe::{FoundRule, recipe};
pub use settings::{
    ActivationSettings, Budget, CALIBRATION_SAMPLES, Calibrator, DEFAULT_BLOCK_SIZE, DEFAULT_CALIBRATOR,
    DEFAULT_PERCENTILE, Data, Goal, HELD_BACK_SAMPLES, HalfSettings, IoSettings, Named, OnBadValue, Pattern,
    RepairSettings, Rule, Settings, StressCases, TaskSettings, VALIDATION_SAMPLES, Validation, WeightSettings,
};
pub use text::{Origin, Place, load, word};
