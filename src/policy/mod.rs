//! The policy: what the user wants, as YAML, checked and then matched against a model.
//!
//! A first reading of the text keeps it within limits (`limits`) and notes the line and column of everything
//! (`places`); then serde_yaml makes it the policy as written ([`Raw`]), and what it complains about gets its place and
//! its words (`wording`). Flags of the command line are laid over it ([`Overrides`]), and what results is checked into
//! [`Settings`]. The rules meet a model in [`Settings::match_model`]. Nothing here knows a graph: a model is names,
//! operators and output names.

mod activations;
mod between;
mod canonical;
mod check;
mod check_data;
mod check_rules;
mod differences;
mod limits;
mod names;
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
mod tests_modes;
#[cfg(test)]
mod tests_rules;
#[cfg(test)]
mod tests_schema;
#[cfg(test)]
mod tests_text;
mod weights;
mod wording;

pub use activations::{ActivationSettings, Calibrator, DEFAULT_CALIBRATOR, DEFAULT_PERCENTILE};
pub use check::ALIKE;
pub use names::{
    CalibratorName, ChannelsName, FitName, Format, IoType, LayoutName, Mode, OnBadFileName, QuantizedInput, Target,
    TypeName, WeightForm, WeightTypeName,
};
pub use one_or_each::OneOrEach;
pub use overrides::Overrides;
pub use pattern::Pattern;
pub use places::Place;
pub use raw::{
    Activations, CalibrationData, DataSection, Match, Preprocessing, Raw, RawHalf, RawIo, RawRule, ValidationData,
    Weights, schema,
};
pub use read::load;
pub use rules::{Matched, NodeKey, NodeSettings, ValueSettings};
pub use settings::{
    CALIBRATION_SAMPLES, Data, HELD_BACK_SAMPLES, HalfSettings, IoSettings, Named, OnBadValue, Rule, Settings,
    Thresholds, VALIDATION_SAMPLES, Validation,
};
pub use weights::{BiasType, DEFAULT_BLOCK_SIZE, Granularity, WeightRange, WeightSettings};
pub use wording::word;
