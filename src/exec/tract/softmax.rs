//! Softmax over any axis. tract's walks one element after the other where the axis is not the last.

use super::own::{Kernel, Own, Stock, Wired};
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::nn::Softmax;
use tract_onnx::tract_hir::internal::*;

/// Makes what tract does of the operator, with one for any axis in place of its own.
///
/// # Errors
/// When tract cannot.
pub fn wire(stock: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    let first = model.nodes.len();
    let outlets = stock.wire(prefix, model, inputs)?;
    for node in &mut model.nodes[first..] {
        if let Some(softmax) = node.op_as::<Softmax>().cloned() {
            node.op = Box::new(Own(AnyAxis(softmax)));
        }
    }
    Ok(outlets)
}

/// tract's operator, given its axis as the last one.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct AnyAxis(Softmax);

impl Kernel for AnyAxis {
    fn name(&self) -> StaticName {
        "TareSoftmax".into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes_mapping(inputs, outputs)
    }

    fn with_axes(&self, change: &AxisOp) -> Option<Self> {
        let axes: Option<TVec<usize>> = self.0.axes.iter().map(|&axis| change.transform_axis(axis)).collect();
        Some(Self(Softmax { axes: axes?, ..self.0.clone() }))
    }

    fn run(&self, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let context = EvalContext::out_of_plan();
        let last = inputs[0].rank().checked_sub(1).context("a number has no axis")?;
        let &[axis] = &*self.0.axes else { return self.0.eval(&context, inputs) };
        if axis >= last {
            return self.0.eval(&context, inputs);
        }
        let turned = inputs.remove(0).into_tensor().move_axis(axis, last)?.into_tvalue();
        let softmax = Softmax { axes: tvec!(last), ..self.0.clone() };
        let made = softmax.eval(&context, tvec!(turned))?.remove(0);
        Ok(tvec!(made.into_tensor().move_axis(last, axis)?.into_tvalue()))
    }
}
