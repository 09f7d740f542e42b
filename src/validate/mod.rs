//! Whether the quantized model still says what the float one says: both are run again on the same samples.

mod border;
mod compare;
mod layers;
mod metrics;
mod thresholds;
mod twin;

pub use compare::{Comparison, compare};
pub use layers::{LayerError, Layers, layers};
pub use metrics::{Classification, OutputError};
pub use thresholds::{Miss, misses};

#[cfg(test)]
mod tests;
