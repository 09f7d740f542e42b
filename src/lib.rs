//! `tare` converts float ONNX models to quantized ones, and says how much was lost.

pub mod advise;
pub mod calibrate;
pub mod dequantize;
pub mod error;
pub mod exec;
pub mod file;
pub mod inputs;
pub mod ir;
pub mod mapped;
pub mod ops;
pub mod pass;
pub mod patterns;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod prepare;
pub mod progress;
mod proto;
pub mod qoperators;
pub mod quant;
pub mod report;
pub mod resolve;
pub mod rewrite;
pub mod target;
pub mod tensor;
pub mod threads;
pub mod validate;
