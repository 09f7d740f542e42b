//! If. What follows it reads, to tract, the constant that its first branch gives, where that is one, whatever the condition.

use super::operators::{Built, stock};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::logic::IfThenElse;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator.
///
/// # Errors
/// When tract cannot read the node.
pub fn build(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let (stock, around) = stock(context, node, "stock If")?;
    Ok((Box::new(Choice(stock)), around))
}

/// tract's operator, as long as types and shapes are not known.
#[derive(Debug, Clone)]
struct Choice(Box<dyn InferenceOp>);

/// tract's operator, whose outputs are no constants.
#[derive(Debug, Clone)]
struct Branches(IfThenElse);

// Two of them are never taken for the same.
impl PartialEq for Choice {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Choice {}

impl PartialEq for Branches {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Branches {}

impl Op for Choice {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    not_a_typed_op!();
}

impl EvalOp for Choice {
    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    op_out_of_plan!();
}

impl InferenceOp for Choice {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        self.0.infer_facts(inputs, outputs, observed)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.0.nboutputs()
    }

    fn to_typed(
        &self,
        source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let outlets = self.0.to_typed(source, node, target, mapping)?;
        let Some(id) = outlets.first().map(|outlet| outlet.node) else { return Ok(outlets) };
        if let Some(branches) = target.node(id).op_as::<IfThenElse>().cloned() {
            let wired = target.node_mut(id);
            wired.op = Box::new(Branches(branches));
            wired.outputs.iter_mut().for_each(|output| output.fact = output.fact.without_value());
        }
        Ok(outlets)
    }

    as_op!();
}

impl Op for Branches {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Branches {
    fn eval(&self, context: &EvalContext<'_>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }

    op_out_of_plan!();
}

impl TypedOp for Branches {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.0.output_facts(inputs)?.iter().map(TypedFact::without_value).collect())
    }

    fn declutter(&self, model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
        self.0.declutter(model, node)
    }

    as_op!();
}
