//! ONNX Runtime's CPU execution provider, version 1.31.

use super::Target;
use crate::ir::{Graph, NodeId};
use crate::qoperators::MICROSOFT;
use crate::quant::{Float8, GridType, HalfType};

/// Fused to a `QLinear...` kernel, or run on integers as they are, by the graph optimiser at its default level.
const INTEGER_KERNELS: &[&str] = &[
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "Mul",
    "ReduceMax",
    "ReduceMin",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// They can hand out float numbers: their integer kernels do (`MatMulIntegerToFloat`, `QGemm` without an output scale), or
/// there is none (ConvTranspose, which is quantized for its size and for other execution providers).
const FLOAT_OUTPUT: &[&str] = &["ConvTranspose", "Gemm", "MatMul"];

/// They have kernels that read float16. All others get float32 numbers: between two of them nothing is rounded.
const HALF_KERNELS: &[&str] = &[
    "Clip",
    "Compress",
    "Concat",
    "DequantizeLinear",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "IsInf",
    "IsNaN",
    "LayerNormalization",
    "Max",
    "Min",
    "Mod",
    "QuantizeLinear",
    "Reshape",
    "ReverseSequence",
    "Round",
    "ScatterElements",
    "ScatterND",
    "Shrink",
    "Sign",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// The same of the operators of its own domain.
const OWN_HALF_KERNELS: &[&str] = &["DequantizeLinear", "GatherBlockQuantized", "MatMulNBits", "QuantizeLinear"];

/// ONNX Runtime on a CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnnxRuntimeCpu;

impl OnnxRuntimeCpu {
    /// Whether it has a kernel that reads float16 itself.
    pub fn has_half_kernel(self, graph: &Graph, node: NodeId) -> bool {
        let node = graph.node(node);
        let of_domain = match node.domain() {
            "" => HALF_KERNELS,
            MICROSOFT => OWN_HALF_KERNELS,
            _ => &[],
        };
        of_domain.contains(&node.op_type())
    }
}

/// As of 1.31.1: it puts pairs of any type together with the operator between, for kernels that take integers, and takes a Relu
/// ahead of a QuantizeLinear with zero point 0 for one that changes nothing.
const FLOAT8: &str = "activations are float8, which ONNX Runtime's fusions take for integers: load the model with graph \
     optimizations no higher than basic; above, it does not load, or computes something else";

/// As of 1.31.1: at basic it stores float biases as int32 in steps of both scales' product, which those of E5M2 are too small for.
const FLOAT8_E5M2: &str = "activations are float8e5m2, in whose steps ONNX Runtime stores biases as int32 that overflow: load the \
     model with graph optimizations disabled; at basic it computes something else, and above it may not load";

/// As of 1.31.1.
const BFLOAT16: &str = "nodes compute in bfloat16, which ONNX Runtime has next to no kernels for on a CPU: it refuses to load the \
     model there, for the first node that has none; mode float16 is for it";

/// As of 1.31.1: above basic it puts DequantizeLinear and MatMul together to a MatMulNBits, whose products are wrong for most
/// numbers of columns.
const TWO_BITS: &str = "weights of matrix products are stored in 2 bits, which ONNX Runtime's fusion multiplies wrongly: load the \
     model with graph optimizations no higher than basic, or set form: contrib with granularity: per_block";

/// As of 1.31.1.
const FOUR_BITS: &str = "layers on integers have weights of 4 bits: ONNX Runtime has no kernels for the two on a CPU, and computes \
     these layers in float; those of DSPs take them";

impl Target for OnnxRuntimeCpu {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn has_integer_kernel(&self, graph: &Graph, node: NodeId) -> bool {
        let node = graph.node(node);
        node.domain().is_empty() && INTEGER_KERNELS.contains(&node.op_type())
    }

    fn takes(&self, dtype: GridType) -> bool {
        dtype.bits() == 8 && !dtype.is_float()
    }

    fn caution(&self, dtype: GridType) -> Option<&'static str> {
        match dtype.float8()? {
            Float8::E4m3fn => Some(FLOAT8),
            Float8::E5m2 => Some(FLOAT8_E5M2),
        }
    }

    fn caution_half(&self, kind: HalfType) -> Option<&'static str> {
        match kind {
            HalfType::Float16 => None,
            HalfType::Bfloat16 => Some(BFLOAT16),
        }
    }

    fn caution_stored(&self, graph: &Graph, node: NodeId, dtype: GridType) -> Option<&'static str> {
        (dtype.bits() == 2 && graph.node(node).is("MatMul")).then_some(TWO_BITS)
    }

    fn caution_beside(&self, weights: GridType) -> Option<&'static str> {
        (weights.bits() == 4).then_some(FOUR_BITS)
    }

    fn needs_quantized_output(&self, graph: &Graph, node: NodeId) -> bool {
        !FLOAT_OUTPUT.contains(&graph.node(node).op_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_computes_otherwise_is_told() {
        let of = |dtype| OnnxRuntimeCpu.caution(dtype).unwrap_or_default();
        assert!(of(GridType::Float8(Float8::E4m3fn)).contains("no higher than basic"));
        let wide = of(GridType::Float8(Float8::E5m2));
        assert!(wide.contains("optimizations disabled") && !wide.contains("no higher than basic"), "{wide}");
        assert_eq!((of(GridType::Int8), OnnxRuntimeCpu.caution_half(HalfType::Float16)), ("", None));
        assert!(OnnxRuntimeCpu.caution_half(HalfType::Bfloat16).is_some_and(|why| why.contains("bfloat16")));
    }
}
