//! Whether the quantized model still says what the float one says: both are run again on the same samples.

mod compare;
mod integers;
mod metrics;
mod thresholds;
mod twin;

pub use compare::{Comparison, compare};
pub use integers::{note_grid, note_levels};
pub use metrics::{Classification, OutputError};
pub use thresholds::{Miss, misses};

#[cfg(test)]
mod tests;
