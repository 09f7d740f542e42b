//! A walk through a program, node by node, each in float or rounded.

use super::super::qdq::{ROUND, clamp};
use super::super::registers;
use super::{Kept, Twofold, Values};
use crate::quant::Params;
use std::collections::HashMap;
use std::ops::Range;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::*;

impl Twofold {
    /// A walk from the start, on the grids of the model.
    pub fn walk<'a>(&'a self, inputs: &'a [TValue]) -> Walk<'a> {
        self.walk_on(inputs, &self.grids)
    }

    /// The same on other grids.
    pub fn walk_on<'a>(&'a self, inputs: &'a [TValue], grids: &'a [Params]) -> Walk<'a> {
        Walk { of: self, grids, states: [None, None], inputs }
    }

    /// Whether nobody needs what `node` makes but a single input of the node of this step, which may write over it.
    pub(super) fn reads_alone(&self, step: usize, node: usize) -> bool {
        let inputs = &self.plans[0].model().node(self.order()[step]).inputs;
        self.done[step].contains(&node) && inputs.iter().filter(|input| input.node == node).count() == 1
    }

    /// Lets go of what nobody needs after a step, but for what is `kept`.
    pub fn let_go(&self, table: &mut Table, step: usize, kept: Option<OutletId>) {
        let gone = self.done[step].iter().filter(|&&gone| kept.is_none_or(|kept| kept.node != gone));
        gone.for_each(|&gone| table[gone] = None);
    }
}

/// What nodes made of a sample, as far as it is needed yet.
pub(in crate::exec::tract) type Table = Vec<Option<Values>>;

/// One walk through a program.
pub(in crate::exec::tract) struct Walk<'a> {
    of: &'a Twofold,
    grids: &'a [Params],
    states: [Option<SimpleState<TypedFact, Box<dyn TypedOp>>>; 2],
    inputs: &'a [TValue],
}

impl Walk<'_> {
    /// What node `id` makes of `read`, which has a value for each input that is no constant.
    pub fn compute(
        &mut self,
        id: usize,
        on: &[bool],
        mut read: impl FnMut(&mut Self, OutletId) -> TractResult<TValue>,
    ) -> TractResult<Values> {
        let of = self.of;
        if let Some(index) = of.source[id] {
            return Ok(tvec!(self.inputs.get(index).context("an input is missing")?.clone()));
        }
        let is_on = of.switch[id].is_some_and(|switch| on[switch]);
        let side = usize::from(is_on && of.switch[id].is_some_and(|switch| switch >= of.grids.len()));
        let plan = &of.plans[side];
        let mut values = tvec!();
        for &outlet in &plan.model().node(id).inputs {
            values.push(match plan.model().node(outlet.node).op_as::<Const>() {
                Some(constant) => constant.val().clone().into_tvalue(),
                None => read(self, outlet)?,
            });
        }
        if let Some(grid) = of.switch[id].and_then(|switch| self.grids.get(switch)) {
            return Ok(if is_on { tvec!(rounded(values.remove(0), grid)?) } else { values });
        }
        let state = match &mut self.states[side] {
            Some(state) => state,
            empty => {
                let mut state = plan.spawn()?;
                state.turn_state.values = vec![None; plan.model().nodes().len()];
                empty.insert(state)
            }
        };
        let made = state.compute_one_with_inputs(id, values);
        registers::tidy();
        made?;
        state.turn_state.values[id].take().context("a node made nothing")
    }

    /// Goes some steps on from what `table` has, with everything on or nothing, and does `behind` after each. What the last of them read is
    /// not let go of.
    pub fn advance(
        &mut self,
        table: &mut Table,
        on: bool,
        steps: Range<usize>,
        behind: impl Fn(&mut Table, usize) -> TractResult<()>,
    ) -> TractResult<()> {
        let (of, last) = (self.of, steps.end.saturating_sub(1));
        let on = vec![on; of.grids.len() + of.layers];
        for step in steps {
            let id = of.order()[step];
            let made = self.compute(id, &on, |_, from| {
                let own = step != last && of.reads_alone(step, from.node);
                let values = table[from.node].as_mut().context("not computed")?;
                Ok(if own { values.swap_remove(from.slot) } else { values[from.slot].clone() })
            })?;
            table[id] = Some(made);
            if step != last {
                of.let_go(table, step, None);
            }
            behind(table, step)?;
        }
        Ok(())
    }

    /// What node `id` made in the run before; computed again where that was not kept.
    pub(super) fn before(
        &mut self,
        outlet: OutletId,
        kept: &Kept,
        again: &mut HashMap<usize, Values>,
    ) -> TractResult<TValue> {
        if let Some(values) = &kept.values[outlet.node] {
            return Ok(values[outlet.slot].clone());
        }
        if let Some(values) = again.get(&outlet.node) {
            return Ok(values[outlet.slot].clone());
        }
        let values = self.compute(outlet.node, &kept.on, |walk, from| walk.before(from, kept, again))?;
        let value = values[outlet.slot].clone();
        again.insert(outlet.node, values);
        Ok(value)
    }
}

/// What is left of float32 numbers on `grid`, as QuantizeLinear and DequantizeLinear leave it.
fn rounded(value: TValue, grid: &Params) -> TractResult<TValue> {
    let mut tensor = value.into_tensor();
    let mut view = tensor.try_as_plain_ram_mut()?;
    let numbers = view.as_slice_mut::<f32>()?;
    if grid.dtype.is_float() {
        numbers.iter_mut().for_each(|x| *x = grid.dequantize(grid.quantize(*x)));
    } else {
        let (smallest, largest) = grid.dtype.limits();
        let (low, high) = ((smallest - grid.zero_point) as f32, (largest - grid.zero_point) as f32);
        // The sum less what was added is the rounded number of steps, and exact.
        numbers.iter_mut().for_each(|x| *x = (clamp(*x / grid.scale, low, high) + ROUND - ROUND) * grid.scale);
    }
    Ok(tensor.into_tvalue())
}
