//! QuantizeLinear with the DequantizeLinear behind it, in one walk over memory.

use super::own::{Kernel, Own};
use super::qdq::{Linear, ROUND, clamp};
use tract_onnx::tract_hir::internal::*;

/// What to put in the place of `node`, a DequantizeLinear, when it reads a QuantizeLinear of the same grid.
///
/// # Errors
/// When the model is not what tract says that it is.
pub fn fused(dequantize: &Linear, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let before = model.node(node.inputs[0].node);
    let Some(quantize) = before.op_as::<Own<Linear>>().filter(|quantize| dequantize.undoes(&quantize.0)) else {
        return Ok(None);
    };
    if model.outlet_fact(before.inputs[0])?.datum_type != f32::datum_type() {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, &before.inputs, Own(Simulated(quantize.0.clone()))).map(Some)
}

/// What is left of float32 numbers on the grid of this QuantizeLinear.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Simulated(Linear);

impl Kernel for Simulated {
    fn name(&self) -> StaticName {
        "TareSimulated".into()
    }

    fn run(&self, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = inputs.remove(0).into_tensor();
        let shape: TVec<usize> = tensor.shape().into();
        let (smallest, largest) = self.0.bounds()?;
        {
            let mut view = tensor.try_as_plain_ram_mut()?;
            let values = view.as_slice_mut::<f32>()?;
            self.0.runs(&shape, |run, scale, zero| {
                let (low, high) = ((smallest - zero) as f32, (largest - zero) as f32);
                for x in &mut values[run] {
                    // The sum less what was added is the rounded number of steps, and exact.
                    *x = (clamp(*x / scale, low, high) + ROUND - ROUND) * scale;
                }
            })?;
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}
