//! Repairs without training: weights, biases and ranges that bring a quantized model nearer to the float one.

pub mod equalize;
mod nearness;
mod refit;
pub mod smoothing;

pub use nearness::Nearness;
pub use refit::{Layer, Refit, Refitting};
