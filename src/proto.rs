//! ONNX's protobuf messages, generated from `proto/onnx.proto`. Only `file` and `ir` may use them.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
