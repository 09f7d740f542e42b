//! Softmax over any axis. tract's walks one element after the other where the axis is not the last.

use super::operators::{Built, expansion};
use tract_onnx::tract_core::ops::change_axes::{AxisChangeConsequence, AxisOp, InOut};
use tract_onnx::tract_core::ops::nn::Softmax;
use tract_onnx::tract_hir::internal::*;

/// Wraps what tract builds for the operator.
///
/// # Errors
/// When that is not what it was when this was written.
pub fn build(stock: (Box<dyn InferenceOp>, Vec<String>)) -> Built {
    Ok((expand(Wrapped(expansion(stock)?)), vec![]))
}

#[derive(Debug, Clone)]
struct Wrapped(Box<dyn Expansion>);

impl Expansion for Wrapped {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let first = model.nodes.len();
        let outlets = self.0.wire(prefix, model, inputs)?;
        for node in &mut model.nodes[first..] {
            if let Some(softmax) = node.op_as::<Softmax>().cloned() {
                node.op = Box::new(AnyAxis(softmax));
            }
        }
        Ok(outlets)
    }
}

/// tract's operator, given its axis as the last one.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct AnyAxis(Softmax);

impl Op for AnyAxis {
    fn name(&self) -> StaticName {
        "TareSoftmax".into()
    }

    op_as_typed_op!();
}

impl TypedOp for AnyAxis {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        self.0.axes_mapping(inputs, outputs)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let axes: Option<TVec<usize>> = self.0.axes.iter().map(|&axis| change.transform_axis(axis)).collect();
        let changed = axes.map(|axes| Box::new(Self(Softmax { axes, ..self.0.clone() })) as Box<dyn TypedOp>);
        Ok(changed.map(|op| AxisChangeConsequence::new(model, node, Some(op), change)))
    }

    as_op!();
}

impl EvalOp for AnyAxis {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext<'_>, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let last = inputs[0].rank().checked_sub(1).context("a number has no axis")?;
        let &[axis] = &*self.0.axes else { return self.0.eval(context, inputs) };
        if axis >= last {
            return self.0.eval(context, inputs);
        }
        let turned = inputs.remove(0).into_tensor().move_axis(axis, last)?.into_tvalue();
        let softmax = Softmax { axes: tvec!(last), ..self.0.clone() };
        let made = softmax.eval(context, tvec!(turned))?.remove(0);
        Ok(tvec!(made.into_tensor().move_axis(last, axis)?.into_tvalue()))
    }
}
