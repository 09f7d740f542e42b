//! Samples that run in float and rounded side by side, layer by layer, so that what a layer makes of rounded inputs can be
//! corrected before the layers behind it read it.

use super::super::{Corrector, Shown, Sides};
use super::failure::{Failure, guarded};
use super::operators::Built;
use super::own::{Kernel, Own, shaped_like_first};
use super::switched::{Twofold, Values};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::threads;
use std::ops::Range;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// The operator of a node whose attribute `index` tells which layer it stands behind.
///
/// # Errors
/// When it does not.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let index = usize::try_from(node.get_attr::<i64>("index")?)?;
    Ok((shaped_like_first(Mark(index), node.input.len(), None), vec![]))
}

/// Passes its first input on, and keeps the engine from making one of the layer before it and what reads it. What the layer read
/// may be its second input, and is then at hand when the layer is shown.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(super) struct Mark(pub usize);

impl Kernel for Mark {
    fn name(&self) -> StaticName {
        "TareMark".into()
    }

    fn run(&self, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        inputs.truncate(1);
        Ok(inputs)
    }

    /// A table that is looked up at fixed places becomes a constant: who reads it then still reads it of this layer.
    fn folds(&self) -> bool {
        false
    }
}

/// What nodes made of a sample.
type Table = Vec<Option<Values>>;

/// One sample, with what is needed yet of what it made: in float and rounded.
struct Lane {
    inputs: Vec<TValue>,
    tables: [Table; 2],
}

impl Twofold {
    /// See [`Switched::correct`](super::super::Switched::correct).
    pub(super) fn beside(
        &self,
        samples: &[Vec<Tensor>],
        corrector: &mut dyn Corrector,
    ) -> Result<Vec<[Vec<Tensor>; 2]>> {
        let failed = |error: TractError| Failure::of(&error, &self.labels);
        let count = self.plans[0].model().nodes().len();
        let lane = |inputs: &Vec<Tensor>| {
            let inputs = Self::inputs(inputs).map_err(failed)?;
            Ok(Lane { inputs, tables: [vec![None; count], vec![None; count]] })
        };
        let mut lanes: Vec<Lane> = samples.iter().map(|inputs| guarded(|| lane(inputs))).collect::<Result<_>>()?;
        let order = self.order();
        let mut from = 0;
        while from < order.len() {
            let mark = |&id: &usize| self.plans[0].model().node(id).op_as::<Own<Mark>>().map(|mark| mark.0.0);
            let found = order[from..].iter().enumerate().find_map(|(step, id)| Some((from + step, mark(id)?)));
            let to = found.map_or(order.len(), |(step, _)| step + 1);
            let mut results: Vec<Result<()>> = lanes.iter().map(|_| Ok(())).collect();
            threads::for_each(lanes.iter_mut().zip(&mut results), |(lane, result)| {
                *result = guarded(|| self.advance(lane, from..to).map_err(failed));
            });
            results.into_iter().collect::<Result<()>>()?;
            if let Some((step, layer)) = found {
                let inputs = &self.plans[0].model().node(order[step]).inputs;
                let read = inputs.get(1).copied().filter(|_| corrector.reads(layer));
                lanes.iter_mut().for_each(|lane| self.let_go(lane, step, read));
                self.show((order[step], read), layer, &mut lanes, corrector)?;
                lanes.iter_mut().for_each(|lane| self.let_go(lane, step, None));
            }
            from = to;
        }
        lanes.iter().map(|lane| Ok([self.made(&lane.tables[0])?, self.made(&lane.tables[1])?])).collect()
    }

    /// See [`Switched::outputs`](super::super::Switched::outputs).
    pub(super) fn streamed(&self, inputs: &[Tensor], on: bool) -> Result<Vec<Tensor>> {
        let failed = |error: TractError| Failure::of(&error, &self.labels);
        let mut table = vec![None; self.plans[0].model().nodes().len()];
        guarded(|| {
            let inputs = Self::inputs(inputs).map_err(failed)?;
            let all = 0..self.order().len();
            self.advance_side(&mut table, &inputs, on, all).map_err(failed)
        })?;
        self.made(&table)
    }

    /// The outputs that a table has.
    fn made(&self, table: &Table) -> Result<Vec<Tensor>> {
        let value = |outlet: OutletId| Ok(table[outlet.node].as_ref().context("not computed")?[outlet.slot].clone());
        guarded(|| self.outputs(value).map_err(|error| Failure::of(&error, &self.labels)))
    }

    /// Lets go of what nobody needs after a step, but for what is `kept` of the rounded side.
    fn let_go(&self, lane: &mut Lane, step: usize, kept: Option<OutletId>) {
        for (table, kept) in lane.tables.iter_mut().zip([None, kept]) {
            let gone = self.done[step].iter().filter(|&&gone| kept.is_none_or(|kept| kept.node != gone));
            gone.for_each(|&gone| table[gone] = None);
        }
    }

    /// Runs some steps of the program on a sample. What the last of them read is not let go of.
    fn advance(&self, lane: &mut Lane, steps: Range<usize>) -> TractResult<()> {
        let Lane { inputs, tables } = lane;
        let mut both = tables.iter_mut().zip([false, true]);
        both.try_for_each(|(table, on)| self.advance_side(table, inputs, on, steps.clone()))
    }

    /// The same with everything on, or nothing.
    fn advance_side(&self, table: &mut Table, inputs: &[TValue], on: bool, steps: Range<usize>) -> TractResult<()> {
        let last = steps.end - 1;
        let on = vec![on; self.grids.len() + self.layers];
        let mut walk = self.walk(inputs);
        for step in steps {
            let id = self.order()[step];
            let made = walk.compute(id, &on, |_, from| {
                Ok(table[from.node].as_ref().context("not computed")?[from.slot].clone())
            })?;
            table[id] = Some(made);
            if step != last {
                self.done[step].iter().for_each(|&gone| table[gone] = None);
            }
        }
        Ok(())
    }

    /// Shows what the layer before node `id` made, and what it `read` where that is kept.
    fn show(
        &self,
        (id, read): (usize, Option<OutletId>),
        layer: usize,
        lanes: &mut [Lane],
        corrector: &mut dyn Corrector,
    ) -> Result<()> {
        let mut tensors = Vec::with_capacity(lanes.len());
        for lane in lanes.iter_mut() {
            // Taken out, so that nobody else has it and it need not be copied.
            let [float, rounded] = lane.tables.each_mut().map(|table| table[id].take());
            let (Some(mut float), Some(mut rounded)) = (float, rounded) else { return Ok(()) };
            tensors.push((float.remove(0).into_tensor(), rounded.remove(0).into_tensor()));
        }
        let inputs: Vec<TValue> = match read {
            Some(from) => {
                lanes.iter().filter_map(|lane| Some(lane.tables[1][from.node].as_ref()?[from.slot].clone())).collect()
            }
            None => Vec::new(),
        };
        let shape = tensors.first().map(|(_, rounded)| rounded.shape().to_vec()).unwrap_or_default();
        let mut views = Vec::with_capacity(tensors.len());
        for (float, rounded) in &mut tensors {
            views.push((self.told(float.try_as_plain_ram())?, self.told(rounded.try_as_plain_ram_mut())?));
        }
        let mut plain = Vec::with_capacity(inputs.len());
        for value in &inputs {
            plain.push((value.shape(), self.told(value.try_as_plain_ram())?));
        }
        let mut read = Vec::with_capacity(inputs.len());
        for (shape, view) in &plain {
            read.push(Shown { shape, numbers: self.told(view.as_slice())? });
        }
        let mut sides = Vec::with_capacity(views.len());
        for (sample, (float, rounded)) in views.iter_mut().enumerate() {
            let (float, rounded) = (self.told(float.as_slice())?, self.told(rounded.as_slice_mut())?);
            sides.push(Sides { read: read.get(sample).copied(), float, rounded });
        }
        corrector.correct(layer, &shape, &mut sides)?;
        drop(sides);
        drop(views);
        for (lane, (float, rounded)) in lanes.iter_mut().zip(tensors) {
            lane.tables[0][id] = Some(tvec!(float.into_tvalue()));
            lane.tables[1][id] = Some(tvec!(rounded.into_tvalue()));
        }
        Ok(())
    }

    /// What tract gave, or its error as ours.
    fn told<T>(&self, given: TractResult<T>) -> Result<T> {
        guarded(|| given.map_err(|e| Failure::of(&e, &self.labels)))
    }

    /// See [`Switched::live_bytes`](super::super::Switched::live_bytes).
    pub(super) fn held(&self, reads: &dyn Fn(usize) -> bool) -> (usize, usize) {
        let model = self.plans[0].model();
        let bytes = |id: usize| -> usize {
            let outputs = model.node(id).outputs.iter();
            let one = |fact: &TypedFact| {
                let elements = fact.shape.as_concrete().map_or(0, |dims| dims.iter().product::<usize>());
                elements * fact.datum_type.size_of()
            };
            outputs.map(|output| one(&output.fact)).sum()
        };
        let (mut now, mut shown, mut most) = (0usize, 0usize, 0usize);
        let mut held = vec![0; model.nodes().len()];
        for (step, &id) in self.order().iter().enumerate() {
            held[id] = bytes(id);
            now += held[id];
            most = most.max(now);
            self.done[step].iter().for_each(|&gone| now -= std::mem::take(&mut held[gone]));
            let node = model.node(id);
            if let Some(mark) = node.op_as::<Own<Mark>>() {
                let read = node.inputs.get(1).filter(|from| reads(mark.0.0) && self.done[step].contains(&from.node));
                shown = shown.max(2 * now + read.map_or(0, |from| bytes(from.node)));
            }
        }
        // In float and rounded.
        (shown, 2 * most)
    }
}
