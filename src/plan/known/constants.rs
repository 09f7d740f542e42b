//! Weights and other constants on grids that are known.

use super::super::{ConstantPlan, Placement};
use super::{Here, scheme};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::quant::{GridType, KnownConstant, Params};

impl Here<'_> {
    /// `plan` on the known grids of the constant that it is about, if there are any.
    pub fn apply(&self, graph: &Graph, id: NodeId, plan: ConstantPlan) -> ConstantPlan {
        let constant = graph.node(id).input(plan.slot).and_then(|value| self.constants.get(&value));
        match constant {
            Some((known, own)) => {
                let policy = plan.scheme.dtype;
                let stated = known.grids.first().map_or(policy, |grid| grid.dtype);
                let alike = (policy.bits(), policy.is_float()) == (stated.bits(), stated.is_float());
                let overruled = Some(policy).filter(|_| !own && plan.is_weight && !alike);
                ConstantPlan { overruled, ..on_grids(plan, known) }
            }
            None => plan,
        }
    }

    /// Whether the grids of the constant that `id` reads at `slot` are known.
    pub fn knows(&self, graph: &Graph, id: NodeId, slot: usize) -> bool {
        graph.node(id).input(slot).is_some_and(|value| self.constants.contains_key(&value))
    }

    /// Why no kernel takes the constant at input `slot` of `id` as integers on the grids that are known. It takes one for all,
    /// or one for each index of one of `axes`.
    ///
    /// # Errors
    /// When somebody states grids along another axis: those can be stated anew.
    pub fn unfit(&self, graph: &Graph, id: NodeId, slot: usize, axes: &[usize]) -> Result<Option<String>> {
        let Some(value) = graph.node(id).input(slot) else { return Ok(None) };
        if self.biases.contains(&value) {
            return Ok(Some("its constant is stored as int32, which no integer kernel reads there".to_owned()));
        }
        let Some(&(known, own)) = self.constants.get(&value) else { return Ok(None) };
        let dtype = known.grids.first().map_or(GridType::Int8, |grid| grid.dtype);
        if dtype.bits() != 8 {
            return Ok(Some(format!("its weight is stored as {dtype}, which no integer kernel reads")));
        }
        if dtype.is_float() != self.floats.contains(&id) {
            return Ok(Some(format!("its weight is stored as {dtype}, and its activations are of another kind")));
        }
        if known.block.is_some() {
            return Ok(Some("its weight is stored in blocks, which no integer kernel reads".to_owned()));
        }
        if let Some(axis) = known.axis.filter(|axis| !axes.contains(axis)) {
            let axes = match axes {
                [] => "one grid for all".to_owned(),
                [axis] => format!("axis {axis}, or one grid for all"),
                several => format!("one of the axes {several:?}, or one grid for all"),
            };
            let name = graph.value(value).name();
            if own {
                return Ok(Some(format!("its constant {name:?} has grids along axis {axis}, expected {axes}")));
            }
            let (node, op_type) = (graph.label(id), graph.node(id).op_type());
            let why = format!("has known grids along axis {axis}, but node {node:?} ({op_type}) wants {axes}");
            return Err(Error::value(name, why));
        }
        let zero = known.grids.first().map_or(0, |grid| grid.zero_point);
        if known.grids.iter().any(|grid| grid.zero_point != zero) {
            return Ok(Some("the zero points of its weight differ, which no integer kernel takes".to_owned()));
        }
        Ok(None)
    }

    /// `placement` with the weights that are stored as integers all the same: those that the model itself has so, and, where
    /// the policy would `quantize` the node, those of types that only floats are computed from.
    pub fn with_weights(&self, graph: &Graph, id: NodeId, placement: Placement, quantize: bool) -> Placement {
        let mut plans = match &placement {
            Placement::Float { .. } => vec![],
            Placement::Weight(weights) => weights.clone(),
            _ => return placement,
        };
        let before = plans.len();
        for weight in ops::lookup(graph, id).iter().flat_map(|op| op.weights()) {
            let constant = graph.node(id).input(weight.slot).and_then(|value| self.constants.get(&value));
            let Some(&(known, own)) = constant.filter(|_| plans.iter().all(|plan| plan.slot != weight.slot)) else {
                continue;
            };
            let odd = |grid: &Params| grid.dtype.bits() != 8 || grid.dtype.is_float();
            let small = known.block.is_some() || known.grids.first().is_some_and(odd);
            if own || small && quantize {
                plans.push(stored(weight.slot, known));
            }
        }
        if plans.len() > before { Placement::Weight(plans) } else { placement }
    }

    /// The constants that the model itself has on grids, whatever reads them.
    pub fn own_constants(&self) -> Vec<(ValueId, ConstantPlan)> {
        let own = self.constants.iter().filter(|constant| constant.1.1);
        let mut all: Vec<_> = own.map(|(&value, (known, _))| (value, stored(0, known))).collect();
        all.sort_by_key(|(value, _)| value.index());
        all
    }
}

/// A weight of which only the grids are known.
fn stored(slot: usize, known: &KnownConstant) -> ConstantPlan {
    on_grids(ConstantPlan::weight(slot, scheme(&known.grids)), known)
}

fn on_grids(plan: ConstantPlan, known: &KnownConstant) -> ConstantPlan {
    ConstantPlan {
        axis: known.axis,
        block: known.block,
        is_weight: plan.is_weight,
        positive: plan.positive,
        known: Some(known.grids.as_slice().into()),
        ..ConstantPlan::weight(plan.slot, scheme(&known.grids))
    }
}
