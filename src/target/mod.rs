//! What a runtime does with a quantized graph: which operators it runs on integers.

mod onnxruntime;

pub use onnxruntime::OnnxRuntimeCpu;

use crate::ir::{Graph, NodeId};
use crate::quant::{GridType, HalfType};

/// One runtime's rules.
pub trait Target {
    /// The name in policies and reports.
    fn name(&self) -> &'static str;

    /// Whether the runtime has a kernel that runs the node on 8-bit integers once its inputs and outputs are quantized.
    fn has_integer_kernel(&self, graph: &Graph, node: NodeId) -> bool;

    /// Whether those kernels take activations, and beside them weights, of this type; where they do not, the node computes in float
    /// between its conversions.
    fn takes(&self, dtype: GridType) -> bool;

    /// What has to be known before a model with activations of this type is run, if there is something.
    fn caution(&self, dtype: GridType) -> Option<&'static str>;

    /// The same of a model whose nodes compute in this type of 16 bits.
    fn caution_half(&self, kind: HalfType) -> Option<&'static str>;

    /// The same of a node whose weight is stored as this type, for DequantizeLinear to turn back.
    fn caution_stored(&self, graph: &Graph, node: NodeId, dtype: GridType) -> Option<&'static str>;

    /// The same of a layer that reads integers, and has weights of this type.
    fn caution_beside(&self, weights: GridType) -> Option<&'static str>;

    /// Whether the kernel needs a quantized output; a node of which it is not true may give float numbers.
    fn needs_quantized_output(&self, graph: &Graph, node: NodeId) -> bool;
}
