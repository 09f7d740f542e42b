//! MatMul and Gemm, with a look at their shapes: run as they stand, tract's multiply matrices that do not fit.

use super::own::{Stock, Wired};
use tract_onnx::tract_hir::internal::*;

/// Makes what tract does of either operator; `transposed` tells which of the two matrices is.
///
/// # Errors
/// When the matrices do not fit, or tract cannot.
pub fn wire(transposed: [bool; 2], stock: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    // The axis that is summed over: the last of the first matrix, the last but one of the second.
    let summed = |input: usize, from_end: usize| -> TractResult<(TDim, ShapeFact)> {
        let outlet = inputs.get(input).context("a product of two matrices")?;
        let shape = model.outlet_fact(*outlet)?.shape.clone();
        let from_end = if transposed[input] { 3 - from_end } else { from_end };
        let axis = shape.rank().checked_sub(from_end.min(shape.rank())).filter(|&axis| axis < shape.rank());
        Ok((shape[axis.context("a product with a number")?].clone(), shape))
    };
    let ((left, a), (right, b)) = (summed(0, 1)?, summed(1, 2)?);
    if let (Ok(left), Ok(right)) = (left.to_usize(), right.to_usize()) {
        ensure!(left == right, "a matrix of shape {a:?} times one of shape {b:?}");
    }
    stock.wire(prefix, model, inputs)
}
