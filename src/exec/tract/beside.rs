//! Samples that run in float and rounded side by side, layer by layer, so that what a layer makes of rounded inputs can be
//! corrected before the layers behind it read it.

mod stops;

use super::super::{Correction, Corrections, Corrector, Shown, Side, Sides};
use super::failure::{Failure, guarded};
use super::operators::Built;
use super::own::{Kernel, Own, shaped_like_first};
use super::switched::{Table, Twofold};
use crate::error::Result;
use crate::heap;
use crate::tensor::Tensor;
use crate::threads;
use std::ops::Range;
use stops::Stop;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Where samples hold more bytes, what they let go of goes back to the system at once: an allocator that works for several threads
/// finds little use for it.
const MUCH: usize = 16 << 20;

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

/// One sample, with what is needed yet of what it made: in float and rounded.
#[derive(Clone)]
struct Lane {
    inputs: Vec<TValue>,
    tables: [Table; 2],
}

impl Lane {
    /// Lets go of what nobody needs after a step, but for what is `kept` of the rounded side.
    fn let_go(&mut self, of: &Twofold, step: usize, kept: Option<OutletId>) {
        self.tables.iter_mut().zip([None, kept]).for_each(|(table, kept)| of.let_go(table, step, kept));
    }
}

/// A correction of what is made after a step.
type Behind = (usize, Correction);

impl Twofold {
    /// See [`Switched::correct`](super::super::Switched::correct).
    pub(super) fn beside(
        &self,
        samples: &[Vec<Tensor>],
        room: usize,
        corrector: &mut dyn Corrector,
    ) -> Result<Corrections> {
        let count = self.plans[0].model().nodes().len();
        let lane = |inputs: &Vec<Tensor>| {
            let inputs = self.told(Self::inputs(inputs))?;
            Ok(Lane { inputs, tables: [vec![None; count], vec![None; count]] })
        };
        let mut lanes: Vec<Lane> = samples.iter().map(lane).collect::<Result<_>>()?;
        let (mut from, mut behind, mut settled): (usize, Vec<Behind>, _) = (0, Vec::new(), Corrections::new());
        for stop in self.stops(room, corrector) {
            let steps = from..stop.step + 1;
            let shown = &*corrector;
            each(&mut lanes, |sample, lane| {
                if !stop.waits {
                    let mut ahead = lane.clone();
                    self.advance(&mut ahead, steps.clone(), &behind)?;
                    return self.see(&stop, &ahead, sample, shown);
                }
                self.advance(lane, steps.clone(), &behind)?;
                if stop.read.is_none() { self.see(&stop, lane, sample, shown) } else { Ok(()) }
            })?;
            if stop.waits {
                (from, behind) = (stop.step + 1, Vec::new());
            }
            if let Some(read) = stop.read {
                lanes.iter_mut().for_each(|lane| lane.let_go(self, stop.step, Some(read)));
                self.show(&stop, read, &mut lanes, corrector)?;
                let shown = &*corrector;
                each(&mut lanes, |sample, lane| self.see(&stop, lane, sample, shown))?;
            }
            if stop.waits && lanes.len() * stop.bytes > MUCH {
                heap::give_back();
            }
            let correction = if corrector.sees(stop.layer) { corrector.settle(stop.layer) } else { None };
            settled.extend(correction.clone().map(|found| (stop.layer, found)));
            if stop.waits {
                each(&mut lanes, |_, lane| {
                    lane.let_go(self, stop.step, None);
                    let id = self.order()[stop.step];
                    correction.iter().try_for_each(|found| self.told(correct(&mut lane.tables[1], id, found)))
                })?;
            } else {
                behind.extend(correction.map(|found| (stop.step, found)));
            }
        }
        Ok(settled)
    }

    /// See [`Switched::outputs`](super::super::Switched::outputs).
    pub(super) fn streamed(&self, inputs: &[Tensor], side: Side<'_>) -> Result<Vec<Tensor>> {
        let failed = |error: TractError| Failure::of(&error, &self.labels);
        let mut table = vec![None; self.plans[0].model().nodes().len()];
        let (on, corrections) = match side {
            Side::Float => (false, &[][..]),
            Side::Rounded(corrections) => (true, corrections),
        };
        let behind = self.marked(corrections);
        guarded(|| {
            let inputs = Self::inputs(inputs).map_err(failed)?;
            let run = self.walk(&inputs).advance(&mut table, on, 0..self.order().len(), self.corrected(&behind));
            run.map_err(failed)
        })?;
        self.made(&table)
    }

    /// Corrections by the steps at which layers are marked.
    fn marked(&self, corrections: &[(usize, Correction)]) -> Vec<Behind> {
        let mark = |(step, &id): (usize, &usize)| {
            let layer = self.plans[0].model().node(id).op_as::<Own<Mark>>().map(|mark| mark.0.0)?;
            let (_, found) = corrections.iter().find(|(of, _)| *of == layer)?;
            Some((step, found.clone()))
        };
        self.order().iter().enumerate().filter_map(mark).collect()
    }

    /// What corrects what is made after a step.
    fn corrected(&self, behind: &[Behind]) -> impl Fn(&mut Table, usize) -> TractResult<()> {
        |table, step| {
            let mut found = behind.iter().filter(|(at, _)| *at == step);
            found.try_for_each(|(_, found)| correct(table, self.order()[step], found))
        }
    }

    /// The outputs that a table has.
    fn made(&self, table: &Table) -> Result<Vec<Tensor>> {
        let value = |outlet: OutletId| Ok(table[outlet.node].as_ref().context("not computed")?[outlet.slot].clone());
        guarded(|| self.outputs(value).map_err(|error| Failure::of(&error, &self.labels)))
    }

    /// Runs some steps of the program on a sample, and corrects what is rounded `behind` some of them. What the last of them read is not
    /// let go of.
    fn advance(&self, lane: &mut Lane, steps: Range<usize>, behind: &[Behind]) -> Result<()> {
        let Lane { inputs, tables } = lane;
        let [float, rounded] = tables;
        guarded(|| {
            let run = self.walk(inputs).advance(float, false, steps.clone(), |_, _| Ok(()));
            run.and_then(|()| self.walk(inputs).advance(rounded, true, steps, self.corrected(behind)))
                .map_err(|error| Failure::of(&error, &self.labels))
        })
    }

    /// Shows what a layer made of a sample.
    fn see(&self, stop: &Stop, lane: &Lane, sample: usize, corrector: &dyn Corrector) -> Result<()> {
        let id = self.order()[stop.step];
        let tensor = |table: &'_ Table| Ok(table[id].as_ref().context("not computed")?[0].clone());
        let [float, rounded] = [self.told(tensor(&lane.tables[0]))?, self.told(tensor(&lane.tables[1]))?];
        let [seen, other] = [self.told(float.try_as_plain_ram())?, self.told(rounded.try_as_plain_ram())?];
        let made = [self.told(seen.as_slice())?, self.told(other.as_slice())?];
        corrector.see(stop.layer, rounded.shape(), sample, made);
        Ok(())
    }

    /// Shows what a layer made of all samples, and what it read.
    fn show(&self, stop: &Stop, read: OutletId, lanes: &mut [Lane], corrector: &mut dyn Corrector) -> Result<()> {
        let id = self.order()[stop.step];
        let (mut inputs, mut tensors) = (Vec::with_capacity(lanes.len()), Vec::with_capacity(lanes.len()));
        for lane in lanes.iter_mut() {
            let value = lane.tables[1][read.node].as_ref().context("not computed");
            inputs.push(self.told(value.map(|values| values[read.slot].clone()))?);
            // Taken out, so that nobody else has it and it need not be copied.
            let [float, rounded] = lane.tables.each_mut().map(|table| table[id].take());
            let (Some(mut float), Some(mut rounded)) = (float, rounded) else { return Ok(()) };
            tensors.push((float.remove(0).into_tensor(), rounded.remove(0).into_tensor()));
        }
        let shape = tensors.first().map(|(_, rounded)| rounded.shape().to_vec()).unwrap_or_default();
        let mut views = Vec::with_capacity(tensors.len());
        for (input, (float, rounded)) in inputs.iter().zip(&mut tensors) {
            let (float, rounded) = (self.told(float.try_as_plain_ram())?, self.told(rounded.try_as_plain_ram_mut())?);
            views.push((input.shape(), self.told(input.try_as_plain_ram())?, float, rounded));
        }
        let mut sides = Vec::with_capacity(views.len());
        for (shape, read, float, rounded) in &mut views {
            let read = Shown { shape, numbers: self.told(read.as_slice())? };
            let (float, rounded) = (self.told(float.as_slice())?, self.told(rounded.as_slice_mut())?);
            sides.push(Sides { read, float, rounded });
        }
        corrector.correct(stop.layer, &shape, &mut sides)?;
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
}

/// Corrects what node `id` made.
fn correct(table: &mut Table, id: usize, found: &Correction) -> TractResult<()> {
    let value = table[id].take().context("not computed")?.remove(0);
    let mut tensor = value.into_tensor();
    found.apply(tensor.try_as_plain_ram_mut()?.as_slice_mut()?);
    table[id] = Some(tvec!(tensor.into_tvalue()));
    Ok(())
}

/// Does `work` on each sample, on all cores.
fn each(lanes: &mut [Lane], work: impl Fn(usize, &mut Lane) -> Result<()> + Sync) -> Result<()> {
    let mut results: Vec<Result<()>> = lanes.iter().map(|_| Ok(())).collect();
    threads::for_each(lanes.iter_mut().zip(&mut results).enumerate(), |(sample, (lane, result))| {
        *result = work(sample, lane);
    });
    results.into_iter().collect()
}
