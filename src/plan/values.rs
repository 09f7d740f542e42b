//! The values that get a grid.

use super::idle::check_zero_point;
use super::known::Here;
use super::place::Placed;
use super::{Placement, Plan, RangeSource, ValuePlan};
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::ops::{OutputRange, Role};
use crate::policy::{Matched, Settings};
use crate::quant::Params;

impl Plan {
    /// Whether each grid that the policy states is one of its value's type.
    pub(super) fn check_grids(&self, matched: &Matched, settings: &Settings) -> Result<()> {
        for value in &self.values {
            let RangeSource::Grid { zero_point, .. } = value.range else { continue };
            let dtype = value.settings.scheme.dtype;
            let place = matched.values[value.id.index()].stated_on;
            check_zero_point(&value.name, dtype, zero_point).map_err(|why| settings.blame(place, why))?;
        }
        Ok(())
    }

    pub(super) fn add_value(
        &mut self,
        graph: &Graph,
        id: ValueId,
        range: RangeSource,
        matched: &Matched,
        here: &Here<'_>,
    ) {
        let (settings, kept) = (&matched.values[id.index()], here.keeps(id));
        let range = match (here.activation(id), range) {
            // Its own grid, where the model has it on another than that which it would share.
            (Some(params), RangeSource::SameAs(root)) if kept && !self.has_grid(root, params) => {
                RangeSource::Known(params)
            }
            (Some(_), RangeSource::SameAs(_)) | (None, _) => range,
            (Some(params), _) => RangeSource::Known(params),
        };
        let range = match (here.range(id), range) {
            (Some((low, high)), RangeSource::Observed) => RangeSource::Given(low, high),
            _ => range,
        };
        let range = match (settings.range, settings.grid, range) {
            (_, _, RangeSource::SameAs(_) | RangeSource::Known(_)) | (None, None, _) => range,
            (Some((low, high)), ..) => RangeSource::Given(low, high),
            (None, Some((scale, zero_point)), _) => RangeSource::Grid { scale, zero_point },
        };
        self.index.insert(id, self.values.len());
        self.values.push(ValuePlan { range, kept, ..ValuePlan::observed(graph, id, settings.activations) });
    }

    /// Whether a value is known to have this grid.
    fn has_grid(&self, value: ValueId, params: Params) -> bool {
        self.value(value).is_some_and(|value| value.range == RangeSource::Known(params))
    }

    /// Gives the grids that stay to those outputs of a node that got none.
    fn keep_outputs(&mut self, graph: &Graph, id: NodeId, matched: &Matched, here: &Here<'_>) {
        for &value in graph.node(id).outputs().iter().flatten() {
            if here.keeps(value) && self.value(value).is_none() {
                self.add_value(graph, value, RangeSource::Observed, matched, here);
            }
        }
    }

    pub(super) fn add_outputs(
        &mut self,
        graph: &Graph,
        id: NodeId,
        placement: &Placement,
        placed: &Placed,
        matched: &Matched,
        here: &Here<'_>,
    ) {
        let outputs = graph.node(id).outputs().iter().flatten().copied();
        match placement {
            Placement::Integer(node) if node.quantized_output && node.clamps.is_empty() => {
                let op = ops::lookup(graph, id);
                let moved = op.filter(|op| op.role == Role::Movement).and_then(|_| graph.node(id).input(0));
                let range = match (moved, op.map(|op| op.range)) {
                    // The one that has a range: following a chain of movements again for each would be quadratic.
                    (Some(from), _) => RangeSource::SameAs(self.root(from)),
                    (None, Some(range)) => fixed(range),
                    (None, None) => RangeSource::Observed,
                };
                outputs.for_each(|v| self.add_value(graph, v, range, matched, here));
            }
            Placement::Clamp { into, .. } if placed.clamps[into.index()].last() == Some(&id) => {
                let quantized = self
                    .nodes
                    .iter()
                    .rev()
                    .find(|n| n.id == *into)
                    .is_some_and(|n| matches!(&n.placement, Placement::Integer(node) if node.quantized_output));
                if quantized {
                    outputs.for_each(|v| self.add_value(graph, v, RangeSource::Observed, matched, here));
                }
            }
            Placement::Float { .. }
            | Placement::Half(_)
            | Placement::Lookup(_)
            | Placement::Weight(_)
            | Placement::Dynamic(_)
            | Placement::Recurrent(_) => {
                let range = ops::lookup(graph, id).map_or(RangeSource::Observed, |op| fixed(op.range));
                outputs
                    .filter(|v| placed.demanded[v.index()])
                    .for_each(|v| self.add_value(graph, v, range, matched, here));
            }
            _ => {}
        }
        self.keep_outputs(graph, id, matched, here);
    }
}

fn fixed(range: OutputRange) -> RangeSource {
    match range {
        OutputRange::Calibrated => RangeSource::Observed,
        known => RangeSource::Fixed(known),
    }
}
