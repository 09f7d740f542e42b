//! Where samples that run side by side are shown, and where each waits there for the others.

use super::super::switched::Twofold;
use super::Mark;
use crate::exec::Corrector;
use crate::exec::tract::own::Own;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// By so much of once through may a sample go further, so that it holds less while it waits.
const AGAIN: f64 = 0.25;
/// So many multiply-accumulates take as long as writing an element.
const WRITING: u64 = 16;

/// A layer that is shown.
pub(in crate::exec::tract) struct Stop {
    /// The step after which it is.
    pub step: usize,
    /// The layer.
    pub layer: usize,
    /// What it read, where that is shown, too.
    pub read: Option<OutletId>,
    /// Whether samples wait here and go on from here. Otherwise they come once more from where they waited before.
    pub waits: bool,
    /// What each holds here.
    pub bytes: usize,
}

impl Twofold {
    /// The layers that `corrector` wants to see, where each sample may hold about `room` bytes.
    pub(in crate::exec::tract) fn stops(&self, room: usize, corrector: &dyn Corrector) -> Vec<Stop> {
        let mut stops = self.shown(corrector);
        let done: Vec<u64> = self.work().collect();
        let most = done.last().map_or(0.0, |&all| AGAIN * all as f64);
        let mut rooms: Vec<usize> = stops.iter().map(|stop| stop.bytes).filter(|&bytes| bytes > room).collect();
        rooms.push(room);
        rooms.sort_unstable();
        for room in rooms {
            stops.iter_mut().for_each(|stop| stop.waits = stop.read.is_some() || stop.bytes <= room);
            if again(&stops, &done) as f64 <= most {
                break;
            }
        }
        stops
    }

    /// See [`Switched::bytes_held`](crate::exec::Switched::bytes_held).
    pub(in crate::exec::tract) fn held(&self, room: usize, corrector: &dyn Corrector) -> usize {
        let waiting = self.stops(room, corrector).into_iter().filter(|stop| stop.waits);
        waiting.map(|stop| stop.bytes).max().unwrap_or(0)
    }

    /// See [`Switched::bytes_at_once`](crate::exec::Switched::bytes_at_once).
    pub(in crate::exec::tract) fn at_once(&self) -> usize {
        // In float and rounded.
        2 * self.live().map(|(taken, _)| taken).max().unwrap_or(0)
    }

    /// The layers that are shown.
    fn shown(&self, corrector: &dyn Corrector) -> Vec<Stop> {
        let model = self.plans[0].model();
        let shown = |(step, (_, left)): (usize, (usize, usize))| {
            let node = model.node(self.order()[step]);
            let layer = node.op_as::<Own<Mark>>().map(|mark| mark.0.0)?;
            let read = node.inputs.get(1).copied().filter(|_| corrector.corrects(layer));
            let kept = read.filter(|from| self.done[step].contains(&from.node)).map_or(0, |from| self.bytes(from.node));
            let wanted = read.is_some() || corrector.sees(layer);
            wanted.then(|| Stop { step, layer, read, waits: true, bytes: 2 * left + kept })
        };
        self.live().enumerate().filter_map(shown).collect()
    }

    /// The bytes of a sample on one side: while each step runs, and once what nobody needs any more is let go of.
    fn live(&self) -> impl Iterator<Item = (usize, usize)> {
        let held = vec![0; self.plans[0].model().nodes().len()];
        self.order().iter().enumerate().scan((0, held), |(now, held), (step, &id)| {
            held[id] = self.bytes(id);
            *now += held[id];
            let taken = *now;
            self.done[step].iter().for_each(|&gone| *now -= std::mem::take(&mut held[gone]));
            Some((taken, *now))
        })
    }

    /// The bytes of what a node makes.
    fn bytes(&self, id: usize) -> usize {
        let outputs = self.plans[0].model().node(id).outputs.iter();
        outputs.map(|output| elements(&output.fact) * output.fact.datum_type.size_of()).sum()
    }

    /// How much is done after each step, roughly in multiply-accumulates.
    fn work(&self) -> impl Iterator<Item = u64> {
        let model = self.plans[0].model();
        self.order().iter().scan(0u64, move |done, &id| {
            let node = model.node(id);
            let inputs = model.node_input_facts(id).and_then(|inputs| node.op.cost(&inputs));
            let one = |(cost, count): &(Cost, TDim)| match cost {
                Cost::FMA(_) => count.to_i64().map_or(0, i64::unsigned_abs),
                _ => 0,
            };
            let multiplied: u64 = inputs.iter().flatten().map(one).sum();
            let written: usize = node.outputs.iter().map(|output| elements(&output.fact)).sum();
            *done = done.saturating_add(multiplied).saturating_add(WRITING.saturating_mul(written as u64));
            Some(*done)
        })
    }
}

/// How many elements a value has.
fn elements(fact: &TypedFact) -> usize {
    fact.shape.as_concrete().map_or(0, |dims| dims.iter().product())
}

/// What is done more than once, by what is `done` after each step.
fn again(stops: &[Stop], done: &[u64]) -> u64 {
    let (mut from, mut again) = (0, 0u64);
    for stop in stops {
        if stop.waits {
            from = done[stop.step];
        } else {
            again = again.saturating_add(done[stop.step] - from);
        }
    }
    again
}
