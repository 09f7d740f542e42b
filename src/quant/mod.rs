//! Quantization as arithmetic: schemes, scales and zero points, rounding, integer arrays. Nothing here knows a graph.
//!
//! The arithmetic is that of ONNX's QuantizeLinear: `q = saturate(round_half_even(x / scale) + zero_point)`, with a true
//! division in float32, so that what is computed here is bit for bit what a runtime computes.

mod array;
mod bias;
mod blocks;
mod codes;
mod cut;
mod float8;
mod function;
mod half;
mod known;
mod normal;
mod pairs;
mod params;
mod scheme;
mod search;

pub use array::{AxisParams, extremes_along, means_along, quantize, quantize_axis};
pub use bias::{QuantizedBias, guard_weight_scale, quantize_bias};
pub use blocks::{Blocks, Piece, pack};
pub use codes::CodeBook;
pub use cut::Cut;
pub use float8::Float8;
pub use function::ActivationFunction;
pub use half::{HalfType, Loss};
pub use known::{KnownBias, KnownConstant, KnownGrids};
pub use normal::Normal;
pub use pairs::{ChannelAxis, SumOrder, pair_safe_scales};
pub use params::Params;
pub use scheme::{GridType, Scheme};
pub use search::{Channel, Moments, best_scale};
