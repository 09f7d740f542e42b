//! Carries out a resolved plan: the float graph becomes one with QuantizeLinear and DequantizeLinear nodes.

mod constants;
mod dynamic;
mod halves;
mod qdq;
mod weights;

pub use qdq::insert_qdq;

#[cfg(test)]
mod tests;
