//! Repairs without training: weights, biases and ranges that bring a quantized model nearer to the float one.

pub mod absorb;
pub mod awq;
pub mod bias;
pub mod equalize;
mod nearness;
pub mod ranges;
mod refit;
pub mod rounding;
pub mod smoothing;
mod walk;

pub use nearness::{CERTAIN, HARMLESS, Nearness};
pub use refit::{Layer, Refit, Refitting};
pub use walk::{Repairing, Rounded};
