//! MatMul and Gemm, with a look at their shapes: run as they stand, tract's multiply matrices that do not fit.

use super::operators::{Built, expansion};
use tract_onnx::tract_hir::internal::*;

/// Wraps what tract builds for either operator; `transposed` tells which of the two matrices is.
///
/// # Errors
/// When that is not what it was when this was written.
pub fn build(stock: (Box<dyn InferenceOp>, Vec<String>), transposed: [bool; 2]) -> Built {
    Ok((expand(Product { inner: expansion(stock)?, transposed }), vec![]))
}

#[derive(Debug, Clone)]
struct Product {
    inner: Box<dyn Expansion>,
    transposed: [bool; 2],
}

impl Expansion for Product {
    fn name(&self) -> StaticName {
        self.inner.name()
    }

    fn validation(&self) -> Validation {
        self.inner.validation()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.inner.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        // The axis that is summed over: the last of the first matrix, the last but one of the second.
        let summed = |input: usize, from_end: usize| -> TractResult<(TDim, ShapeFact)> {
            let outlet = inputs.get(input).context("a product of two matrices")?;
            let shape = model.outlet_fact(*outlet)?.shape.clone();
            let from_end = if self.transposed[input] { 3 - from_end } else { from_end };
            let axis = shape.rank().checked_sub(from_end.min(shape.rank())).filter(|&axis| axis < shape.rank());
            Ok((shape[axis.context("a product with a number")?].clone(), shape))
        };
        let ((left, a), (right, b)) = (summed(0, 1)?, summed(1, 2)?);
        if let (Ok(left), Ok(right)) = (left.to_usize(), right.to_usize()) {
            ensure!(left == right, "a matrix of shape {a:?} times one of shape {b:?}");
        }
        self.inner.wire(prefix, model, inputs)
    }
}
