//! Rounding of float32 numbers to those that a type of 16 bits holds, for models that run in float32 in its place.

use super::operators::Built;
use super::own::{Kernel, shaped_like_first};
use half::bf16;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// The operator of a node, which names the type in its attribute `rounds_to`.
///
/// # Errors
/// When it is no type of 16 bits.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let code = node.get_attr::<i64>("rounds_to")?;
    let brain = code == DataType::Bfloat16 as i64;
    ensure!(brain || code == DataType::Float16 as i64, "TareRound to a type with the number {code}");
    Ok((shaped_like_first(Round { brain }, 1, None), vec![]))
}

/// Rounds to float16, or to bfloat16.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Round {
    brain: bool,
}

impl Kernel for Round {
    fn name(&self) -> StaticName {
        "TareRound".into()
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].cast_to::<f32>()?;
        let mut out = input.into_owned();
        for v in out.try_as_plain_ram_mut()?.as_slice_mut::<f32>()? {
            *v = if self.brain { bf16::from_f32(*v).to_f32() } else { f16::from_f32(*v).to_f32() };
        }
        Ok(tvec!(out.into_tvalue()))
    }
}
