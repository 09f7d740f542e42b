//! The policy: what the user wants, as YAML, checked and then matched against a model.
//!
//! A first reading of the text keeps it within limits (`limits`) and notes the line and column of everything
//! (`places`); then serde_yaml makes it the policy as written ([`Raw`]), and what it complains about gets its place and
//! its words (`wording`). Flags of the command line are laid over it ([`Overrides`]), and what results is checked into
//! [`Settings`]. The rules meet a model in [`Settings::match_model`]. Nothing here knows a graph: a model is names,
//! operators and output names.

mod between;
mod canonical;
mod check;
mod differences;
mod limits;
mod nearest;
mod one_or_each;
mod one_or_many;
mod overrides;
mod pattern;
mod places;
mod raw;
mod read;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_rules;
#[cfg(test)]
mod tests_schema;
#[cfg(test)]
mod tests_text;
mod wording;

pub use check::ALIKE;
pub use one_or_each::OneOrEach;
pub use overrides::Overrides;
pub use pattern::Pattern;
pub use places::Place;
pub use raw::{
    Activations, CalibrationData, CalibratorName, ChannelsName, DataSection, FitName, Format, IoType, LayoutName,
    Match, Mode, OnBadFileName, Preprocessing, Raw, RawHalf, RawIo, RawRule, Target, TypeName, ValidationData,
    WeightForm, WeightTypeName, Weights, schema,
};
pub use read::load;
pub use rules::{Matched, NodeKey, NodeSettings, ValueSettings};
pub use settings::{
    ActivationSettings, BiasType, CALIBRATION_SAMPLES, Calibrator, DEFAULT_BLOCK_SIZE, DEFAULT_CALIBRATOR,
    DEFAULT_PERCENTILE, Data, Granularity, HELD_BACK_SAMPLES, HalfSettings, IoSettings, Named, OnBadValue, Rule,
    Settings, Thresholds, VALIDATION_SAMPLES, Validation, WeightRange, WeightSettings,
};
pub use wording::word;
