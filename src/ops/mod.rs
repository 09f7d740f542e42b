//! THE op table: what each operator is to quantization. No other room asks for an operator by name, but for a pass that
//! matches its own pattern.
//!
//! An operator that is not in the table stays float, and the plan says so.

mod conditions;
mod halves;
mod op;
mod runtime;
mod table;
mod work;

pub use conditions::padding;
pub use halves::{Half, follow_type, half, half_opset, half_quantizer, half_risk};
pub use op::{Bias, Op, OutputRange, Role, Slots, Weight, WeightAxis};
pub use runtime::{carries_dequantization, stays_float};
pub use table::{is_contrib_form, lookup};
pub use work::multiply_accumulates;
