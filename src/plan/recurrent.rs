//! Recurrent layers as operators of ONNX Runtime's own domain, which multiply integers on grids that each run finds anew, at
//! each step for the hidden state.

use super::known::Here;
use super::weights;
use super::{ConstantPlan, Placement, Stored};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{Op, Weight};
use crate::policy::{NodeSettings, WeightForm};
use crate::quant::{Params, SumOrder};
use crate::tensor::{DataType, Tensor};

/// How the weights of `id` are stored for the operator that `op` names, if the policy wants it and it takes them.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn placement(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    settings: &NodeSettings,
    here: &Here<'_>,
) -> Result<Option<Placement>> {
    let (Some(_), Some(input), Some(recurrence)) = (op.contrib_form, op.weight, op.recurrence) else {
        return Ok(None);
    };
    if settings.weights.form != WeightForm::Contrib || !is_taken(graph, id) {
        return Ok(None);
    }
    let stored = |weight: Weight| -> Result<Option<(ConstantPlan, Tensor)>> {
        let Ok(tensor) = weights::usable(graph, id, weight.slot)? else { return Ok(None) };
        let plan = weights::stored(graph, id, op, weight, tensor.shape(), settings);
        let sum_order = Some(SumOrder::Rows).filter(|_| settings.weights.guarded());
        let plan = here.apply(graph, id, ConstantPlan { sum_order, ..plan });
        let plan = ConstantPlan { form: Stored::Recurrent, ..plan };
        Ok(fits(&plan, tensor.shape()).then_some((plan, tensor)))
    };
    let (Some((w, of_input)), Some((r, of_state))) = (stored(input)?, stored(recurrence)?) else { return Ok(None) };
    let directions = match graph.node(id).attributes().text("direction") {
        Some("bidirectional") => 2,
        _ => 1,
    };
    Ok(match (of_input.shape(), of_state.shape()) {
        (&[a, gates, _], &[b, rows, hidden])
            if [a, b] == [directions; 2] && [gates, rows] == [hidden.saturating_mul(4); 2] =>
        {
            Some(Placement::Recurrent(vec![w, r]))
        }
        _ => None,
    })
}

/// Whether the operator takes the node but for its weights: in float32, and with the steps of a sequence first.
fn is_taken(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let float = node.input(0).and_then(|read| graph.known_type(read)).is_none_or(|ty| ty.dtype == DataType::Float32);
    float && node.attributes().int("layout").unwrap_or(0) == 0
}

/// Whether the operator takes weights of shape `shape` on the grids of `plan`, if these are known: of 8 bits, one for each
/// direction or one for each row of it, then with one zero point for all, which is 0 where integers have a sign.
fn fits(plan: &ConstantPlan, shape: &[usize]) -> bool {
    let Some(grids) = &plan.known else { return true };
    let whole = |block: usize| plan.axis == Some(2) && shape.get(2).is_some_and(|&length| block >= length);
    let rows = match (plan.axis, plan.block) {
        (None | Some(0), None) => false,
        (Some(1), None) => true,
        (_, Some(block)) if whole(block) => true,
        _ => return false,
    };
    let dtype = plan.scheme.dtype;
    let zero = grids.first().map_or(0, |grid| grid.zero_point);
    let one_zero = grids.iter().all(|grid: &Params| grid.zero_point == zero) && (zero == 0 || dtype.limits().0 == 0);
    dtype.bits() == 8 && !dtype.is_float() && (!rows || one_zero)
}
