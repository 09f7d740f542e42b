//! Carries out a resolved plan: the float graph becomes one with QuantizeLinear and DequantizeLinear nodes.

mod carried;
mod clusters;
mod collapse;
mod constants;
mod contrib;
mod domains;
mod dynamic;
mod halves;
mod io;
mod keep;
mod outliers;
mod pieces;
mod qdq;
mod qoperator;
mod recurrent;
mod refitted;
mod rounded;
mod shared;
mod shifted;
mod weights;

pub use clusters::count as clustered;
pub use collapse::collapse;
pub use domains::to_contrib;
pub use keep::keep_halves;
pub use qdq::insert_qdq;
pub use qoperator::{Kept, Written, forecast, to_qoperators};
pub use weights::as_stored;

#[cfg(test)]
mod tests;
