//! Whether the quantized model still says what the float one says: both are run again on the same samples.

mod border;
mod compare;
mod faults;
mod handed;
mod kind;
mod layers;
mod metrics;
mod record;
mod recorded;
mod side;
mod steps;
mod stress;
mod tasks;
mod three_way;
mod thresholds;
mod twin;
mod usual;
mod worst;

pub use border::Border;
pub use compare::{Comparison, compare};
pub use faults::Fault;
pub use handed::{AtLevels, Handed, HandedLayer, LayerVerdict, Refusal, StepsApart, handed};
pub use layers::{
    BodyNote, Cause, CutOff, ENOUGH as ENOUGH_FOR_LAYERS, LayerError, Layers, RARELY_CUT, Restored, Suspect, layers,
};
pub use metrics::{Classification, OutputError};
pub(crate) use metrics::{Ranking, Sums};
pub use record::record;
pub use recorded::{Recorded, RecordedOf, RecordedOutput};
pub use stress::{CaseOutput, Saturated, Stress, StressCase, StressInput, StressOptions, StressVerdict, stress};
pub use tasks::{Detections, Groups, MASK, Measure, Measured, Neighbours, Overlap, TextMatch, Worst};
pub use three_way::{AtLevel, Distance, Engines, Runtime, RuntimeOutput, ThreeWay, Verdict};
pub use thresholds::{Check, LimitOf, Miss, Outcome, checks, misses};
pub use worst::SampleError;

#[cfg(test)]
mod tests;
