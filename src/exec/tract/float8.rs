//! QuantizeLinear to floating-point numbers of 8 bits and the DequantizeLinear behind it, in float32: tract has no such type.

use super::mend::Scope;
use super::message::{int, node};
use super::operators::Built;
use super::own::{Kernel, shaped_like_first};
use super::unpack;
use crate::quant::Float8;
use crate::tensor::DataType;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// The floating-point type of 8 bits of a tensor's elements, if it is one that is known here.
pub fn kind(tensor: &TensorProto) -> Option<Float8> {
    DataType::from_onnx(tensor.data_type).and_then(Float8::of)
}

/// The type of the zero point of a QuantizeLinear or DequantizeLinear, if it has 8 bits and is no integer.
fn zero_point(found: &NodeProto, scope: &Scope<'_>) -> Option<Float8> {
    let name = found.input.get(2).filter(|name| !name.is_empty())?;
    let constant = scope.constant(name);
    constant.or_else(|| scope.known.get(name)).and_then(kind)
}

/// For a QuantizeLinear to such a type one that gives the rounded numbers of steps in float32.
pub fn quantized(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let attribute = |name: &str| found.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    let stated = attribute("output_dtype").and_then(|code| DataType::from_onnx(i32::try_from(code).ok()?));
    let Some(kind) = zero_point(&found, scope).or_else(|| stated.and_then(Float8::of)) else { return vec![found] };
    let ([input, scale, ..], [output, ..]) = (&found.input[..], &found.output[..]) else { return vec![found] };
    if attribute("saturate").is_some_and(|saturate| saturate == 0) {
        scope.writer.refuse(&found, "it does not saturate, which is not re-executed");
        return vec![found];
    }
    if attribute("block_size").unwrap_or(0) != 0 {
        scope.writer.refuse(&found, "its scales are by block, which is not re-executed");
        return vec![found];
    }
    let attributes = vec![int("to", kind.data_type().onnx().into()), int("axis", attribute("axis").unwrap_or(1))];
    vec![node("TareFloat8", &[input, scale], &[output], attributes)]
}

/// For a DequantizeLinear of what [`quantized`] gives a product; one of constants is computed.
pub fn dequantized(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let ([input, scale, ..], [output, ..]) = (&found.input[..], &found.output[..]) else { return vec![found] };
    let constant = |name: &String| scope.constant(name);
    if constant(input).is_some() || zero_point(&found, scope).is_none() {
        return unpack::unpacked(found, scope);
    }
    let scales = constant(scale).or_else(|| scope.known.get(scale));
    if scales.is_none_or(|t| t.dims.iter().product::<i64>() != 1) {
        scope.writer.refuse(&found, "it has several scales for computed numbers of 8 bits, which is not re-executed");
        return vec![found];
    }
    vec![node("Mul", &[input, scale], &[output], vec![])]
}

/// The operator of a node, which names the type in its attribute `to`.
///
/// # Errors
/// When it is no floating-point type of 8 bits.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let code = node.get_attr::<i64>("to")?;
    let kind = i32::try_from(code).ok().and_then(DataType::from_onnx).and_then(Float8::of);
    let kind = kind.with_context(|| format!("TareFloat8 to a type with the number {code}"))?;
    let steps = Steps { kind, axis: node.get_attr("axis")? };
    Ok((shaped_like_first(steps, 2, Some(f32::datum_type())), vec![]))
}

/// `x / scale`, rounded to a type and saturated.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Steps {
    kind: Float8,
    /// The axis that the scales lie along, where there are several.
    axis: i64,
}

impl Kernel for Steps {
    fn name(&self) -> StaticName {
        "TareFloat8".into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::datum_type().fact(inputs[0].shape.clone())))
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut out = inputs[0].cast_to::<f32>()?.into_owned();
        let scales = inputs[1].cast_to::<f32>()?;
        let view = scales.try_as_plain_ram()?;
        let scales = view.as_slice::<f32>()?;
        let rank = out.rank() as i64;
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis };
        let (length, inner) = match usize::try_from(axis).ok().filter(|&axis| axis < out.rank()) {
            Some(axis) if scales.len() > 1 => (out.shape()[axis], out.shape()[axis + 1..].iter().product::<usize>()),
            _ => (1, 1),
        };
        ensure!(scales.len() == length, "{} scales for {length} channels", scales.len());
        for (i, v) in out.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?.iter_mut().enumerate() {
            *v = self.kind.round(*v / scales[i / inner % length]);
        }
        Ok(tvec!(out.into_tvalue()))
    }
}
