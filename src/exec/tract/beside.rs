//! Samples that run in float and rounded side by side, layer by layer, so that what a layer makes of rounded inputs can be
//! corrected before the layers behind it read it.

use super::super::{Corrector, Sides};
use super::failure::{Failure, guarded};
use super::operators::Built;
use super::own::{Kernel, Own, shaped_like_first};
use super::switched::{Twofold, Values};
use crate::error::Result;
use crate::tensor::Tensor;
use crate::threads;
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
    Ok((shaped_like_first(Mark(index), 1, None), vec![]))
}

/// Passes its input on, and keeps the engine from making one of the layer before it and what reads it.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub(super) struct Mark(pub usize);

impl Kernel for Mark {
    fn name(&self) -> StaticName {
        "TareMark".into()
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
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
                self.show(order[step], layer, &mut lanes, corrector)?;
            }
            from = to;
        }
        let outputs = |table: &Table| {
            let value =
                |outlet: OutletId| Ok(table[outlet.node].as_ref().context("not computed")?[outlet.slot].clone());
            guarded(|| self.outputs(value).map_err(failed))
        };
        lanes.iter().map(|lane| Ok([outputs(&lane.tables[0])?, outputs(&lane.tables[1])?])).collect()
    }

    /// Runs some steps of the program on a sample.
    fn advance(&self, lane: &mut Lane, steps: std::ops::Range<usize>) -> TractResult<()> {
        for (table, is_on) in lane.tables.iter_mut().zip([false, true]) {
            let on = vec![is_on; self.grids.len() + self.layers];
            let mut walk = self.walk(&lane.inputs);
            for step in steps.clone() {
                let id = self.order()[step];
                let made = walk.compute(id, &on, |_, from| {
                    Ok(table[from.node].as_ref().context("not computed")?[from.slot].clone())
                })?;
                table[id] = Some(made);
                self.done[step].iter().for_each(|&gone| table[gone] = None);
            }
        }
        Ok(())
    }

    /// Shows what the layer before node `id` made.
    fn show(&self, id: usize, layer: usize, lanes: &mut [Lane], corrector: &mut dyn Corrector) -> Result<()> {
        let mut tensors = Vec::with_capacity(lanes.len());
        for lane in lanes.iter_mut() {
            // Taken out, so that nobody else has it and it need not be copied.
            let [float, rounded] = lane.tables.each_mut().map(|table| table[id].take());
            let (Some(mut float), Some(mut rounded)) = (float, rounded) else { return Ok(()) };
            tensors.push((float.remove(0).into_tensor(), rounded.remove(0).into_tensor()));
        }
        let shape = tensors.first().map(|(_, rounded)| rounded.shape().to_vec()).unwrap_or_default();
        let mut views = Vec::with_capacity(tensors.len());
        for (float, rounded) in &mut tensors {
            views.push((self.told(float.try_as_plain_ram())?, self.told(rounded.try_as_plain_ram_mut())?));
        }
        let mut sides = Vec::with_capacity(views.len());
        for (float, rounded) in &mut views {
            sides.push(Sides { float: self.told(float.as_slice())?, rounded: self.told(rounded.as_slice_mut())? });
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
    pub(super) fn most_at_once(&self) -> usize {
        let model = self.plans[0].model();
        let bytes = |id: usize| -> usize {
            let outputs = model.node(id).outputs.iter();
            let one = |fact: &TypedFact| {
                let elements = fact.shape.as_concrete().map_or(0, |dims| dims.iter().product::<usize>());
                elements * fact.datum_type.size_of()
            };
            outputs.map(|output| one(&output.fact)).sum()
        };
        let (mut now, mut most) = (0usize, 0usize);
        let mut held = vec![0; model.nodes().len()];
        for (step, &id) in self.order().iter().enumerate() {
            held[id] = bytes(id);
            now += held[id];
            most = most.max(now);
            self.done[step].iter().for_each(|&gone| now -= std::mem::take(&mut held[gone]));
        }
        // In float and rounded.
        2 * most
    }
}
