//! Runs a model and hands on what goes in and comes out, sample by sample in their order.

use super::border::Border;
use super::side::Side;
use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::inputs::{Dataset, Recorder, Sample, run_samples};
use crate::ir::Model;
use crate::progress::Progress;
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// A sample's name, its inputs and outputs, and its class.
type Row = (String, [Vec<Tensor>; 2], Option<u32>);

/// What waits for the samples before it.
struct Ordered {
    recorder: Recorder,
    next: usize,
    waiting: BTreeMap<usize, Row>,
}

impl Ordered {
    fn add(&mut self, index: usize, row: Row) -> Result<()> {
        self.waiting.insert(index, row);
        while let Some((name, [inputs, outputs], label)) = self.waiting.remove(&self.next) {
            self.recorder.add(&name, &inputs, &outputs, label)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// Runs the samples `indices` of `data` through `model` and writes them with its outputs. Inputs and outputs that are integers on
/// a grid are written as the numbers that these stand for, and those of 16 bits in the type that the model states. Returns how many samples there are.
///
/// # Errors
/// When a sample cannot be read or run, or the reference cannot be written; there is then none.
pub fn record(
    model: &Model,
    engine: &dyn Executor,
    (data, indices): (&Dataset, &[usize]),
    recorder: Recorder,
    threads: usize,
    progress: &dyn Progress,
) -> Result<usize> {
    let (side, border) = (Side::new(engine, model)?, Border::of(model)?);
    let inputs: Vec<String> = model.graph.inputs().map(|v| model.graph.value(v).name().to_owned()).collect();
    let kind = |value| model.graph.element_type(value).and_then(HalfType::of);
    let kinds: [Vec<_>; 2] = [model.graph.inputs().map(kind).collect(), model.graph.outputs().map(kind).collect()];
    let ordered = Mutex::new(Ordered { recorder, next: 0, waiting: BTreeMap::new() });
    let one = |(): &mut (), index: usize, sample: &Sample| {
        super::compare::check_finite(sample, &inputs)?;
        let outputs = side.run(&sample.inputs)?;
        let read = stated(border.numbers(&sample.inputs)?, &kinds[0])?;
        let row = (sample.name.clone(), [read, stated(outputs, &kinds[1])?], sample.label);
        ordered.lock().unwrap_or_else(PoisonError::into_inner).add(index, row)
    };
    progress.start("recording", indices.len());
    let done = run_samples(data.read(indices), threads, progress, || (), one);
    progress.finish();
    done?;
    let Ordered { recorder, next, .. } = ordered.into_inner().unwrap_or_else(PoisonError::into_inner);
    if next == 0 {
        return Err(Error::other("none of the samples can be read: there is nothing to record"));
    }
    recorder.finish()?;
    Ok(next)
}

/// Float32 numbers in the types `kinds`, in whose place they may have been computed.
fn stated(tensors: Vec<Tensor>, kinds: &[Option<HalfType>]) -> Result<Vec<Tensor>> {
    let one = |(tensor, kind): (Tensor, &Option<HalfType>)| match kind {
        Some(kind) if tensor.dtype() == DataType::Float32 => kind.tensor(&tensor),
        _ => Ok(tensor),
    };
    tensors.into_iter().zip(kinds).map(one).collect()
}
