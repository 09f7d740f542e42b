//! DynamicQuantizeLinear as ONNX Runtime computes it: a tensor of zeros gets the scale 1, where tract's gets a scale of 0 and
//! divides by it.

use super::own::{Kernel, Own, Stock, Wired};
use super::qdq::{ROUND, clamp};
use tract_onnx::tract_hir::internal::*;

/// Makes the operator's node.
///
/// # Errors
/// When tract takes no such input.
pub fn wire(_: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    model.wire_node(prefix, Own(DynamicQuantize), inputs)
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct DynamicQuantize;

impl Kernel for DynamicQuantize {
    fn name(&self) -> StaticName {
        "TareDynamicQuantizeLinear".into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scalar = |dtype: DatumType| dtype.fact(TVec::<TDim>::new());
        Ok(tvec!(u8::datum_type().fact(inputs[0].shape.clone()), scalar(f32::datum_type()), scalar(u8::datum_type())))
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let view = inputs[0].try_as_plain_ram()?;
        let numbers = view.as_slice::<f32>()?;
        let (scale, zero) = grid(numbers);
        let mut integers = Tensor::zero_dt(u8::datum_type(), inputs[0].shape())?;
        quantized(numbers, (scale, zero), integers.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?);
        Ok(tvec!(integers.into_tvalue(), tensor0(scale).into_tvalue(), tensor0(zero as u8).into_tvalue()))
    }
}

/// Scale and zero point of these numbers as uint8.
pub fn grid(numbers: &[f32]) -> (f32, f32) {
    let (low, high) = numbers.iter().fold((0f32, 0f32), |(low, high), &v| (low.min(v), high.max(v)));
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    (scale, clamp(-low / scale, 0.0, 255.0).round_ties_even())
}

/// Writes the integers of these numbers on a grid.
pub fn quantized(numbers: &[f32], (scale, zero): (f32, f32), integers: &mut [u8]) {
    for (q, &v) in integers.iter_mut().zip(numbers) {
        // Between integers, saturating before or after rounding is the same.
        let rounded = clamp(v / scale, -zero, 255.0 - zero) + ROUND;
        *q = rounded.to_bits().wrapping_add(zero as u32) as u8;
    }
}
