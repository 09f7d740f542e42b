//! Carries out a resolved plan: the float graph becomes one with QuantizeLinear and DequantizeLinear nodes.

mod constants;
mod halves;
mod qdq;
mod weights;

pub use halves::to_halves;
pub use qdq::insert_qdq;

#[cfg(test)]
mod tests;
