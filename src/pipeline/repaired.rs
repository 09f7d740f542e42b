//! Repair: what brings the quantized model nearer to the float one without training. In one walk through the layers, the integers of
//! each weight are looked for, and its channels refitted, on what the layers before it make once they are repaired.

mod wanted;

use super::calibrated::calibrating;
use super::{Context, Planned};
use crate::error::Result;
use crate::exec::{Switched, Tract};
use crate::inputs::{self, Dataset, Sample};
use crate::policy::{Format, Settings};
use crate::report::{CalibrationSummary, RepairSummary};
use crate::resolve::Resolved;
use crate::sensitivity::Parts;
use crate::tensor::{DataType, Tensor, TensorType};
use crate::threads;
use crate::tune::rounding::Method;
use crate::tune::{Nearness, Refitting, Repairing};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use wanted::Wanted;

/// So many samples run side by side at least.
const FEWEST: usize = 6;
/// And at most: of models whose samples cost much, and of others.
const BESIDE: [usize; 2] = [12, 32];
/// The same of others where integers are looked for: what a layer reads is seen from as many sides as there are numbers in a patch.
const ROUNDING: usize = 96;
/// The bytes that they may take.
const MEMORY: usize = 144 << 20;
/// So many are taken to run at once, whatever the threads: what is found does not depend on these.
const RUNNING: usize = 2;
/// So many more, one by one, only decide whether what was found is kept: few say little of models that follow small changes.
const DECIDING: [usize; 2] = [24, 64];
/// So many of them are looked at before it is asked whether that is clear already.
const TOGETHER: usize = 12;

/// Samples that run side by side, and others that decide.
pub(super) struct Dealt {
    pub beside: Vec<Vec<Tensor>>,
    pub others: Vec<Vec<Tensor>>,
}

/// The calibration samples.
pub(super) struct Samples {
    set: Dataset,
    indices: Vec<usize>,
    /// The types of those that are used: the first one's.
    types: Vec<TensorType>,
}

impl Samples {
    /// Their types.
    pub fn types(&self) -> &[TensorType] {
        &self.types
    }

    /// As many as memory holds of what `program`, made of `parts`, makes of them, and as many as decide; `None` where there are too few.
    pub fn dealt(&self, program: &dyn Switched, parts: &Parts) -> Result<Option<Dealt>> {
        let (beside, deciding) = counts(program.live_bytes(&|_| false), false);
        let samples = self.read(beside + deciding)?;
        if samples.len() < 2 * FEWEST {
            return Ok(None);
        }
        let samples = samples.iter().map(|sample| parts.inputs(sample)).collect::<Result<Vec<_>>>()?;
        let (beside, others) = dealt(samples, beside);
        Ok(Some(Dealt { beside, others }))
    }

    /// Up to `count` of them, but those of other types, and those with numbers that are none.
    fn read(&self, count: usize) -> Result<Vec<Vec<Tensor>>> {
        let few: Vec<usize> =
            inputs::spread(self.indices.len(), count).into_iter().map(|at| self.indices[at]).collect();
        let mut read = Vec::new();
        for sample in self.set.read(&few) {
            let sample: Sample = sample?;
            if sample.types() == self.types && sample.inputs.iter().all(is_finite) {
                read.push(sample.inputs);
            }
        }
        Ok(read)
    }
}

/// Those of `samples` that run side by side, up to `count` and half of them, each from the middle of a stretch of its own; and the others.
fn dealt(samples: Vec<Vec<Tensor>>, count: usize) -> (Vec<Vec<Tensor>>, Vec<Vec<Tensor>>) {
    let count = count.min(samples.len() / 2);
    let middles: HashSet<usize> = (0..count).map(|at| (2 * at + 1) * samples.len() / (2 * count)).collect();
    let (mut beside, mut others) = (Vec::new(), Vec::new());
    for (at, sample) in samples.into_iter().enumerate() {
        if middles.contains(&at) { beside.push(sample) } else { others.push(sample) }
    }
    (beside, others)
}

/// How many samples run side by side, and how many decide, where each holds and takes while it runs so many bytes.
fn counts((held, at_once): (usize, usize), rounds: bool) -> (usize, usize) {
    let cheap = MEMORY / at_once.max(1);
    let room = MEMORY.saturating_sub(RUNNING * at_once) / held.max(1);
    let most = if rounds { ROUNDING } else { BESIDE[1] };
    let beside = room.clamp(FEWEST, cheap.clamp(BESIDE[0], most));
    (beside, (2 * cheap).clamp(DECIDING[0], DECIDING[1]))
}

impl Planned {
    /// Repairs the layers of the model as it was resolved, on calibration samples, where the settings ask for it. Nothing is kept
    /// that samples which did not fit it do not agree with. `None` where there is nothing to repair.
    ///
    /// # Errors
    /// When the model cannot be rewritten, or a sample cannot be read.
    pub(super) fn repair(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
        context: &Context<'_>,
    ) -> Result<Option<RepairSummary>> {
        let wanted = Wanted::of(self, settings, resolved);
        if wanted.is_empty() || self.completes {
            return Ok(None);
        }
        if self.plan.halves().next().is_some() {
            return Ok(Some(RepairSummary::none("some nodes compute in 16 bits")));
        }
        let samples = match self.samples(settings)? {
            Some(samples) => samples,
            // Nobody asked for what is usual.
            None if wanted.method.is_none() => return Ok(None),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let parts = |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0);
        // A model that cannot be run so is converted all the same.
        let repaired = self.walk(settings, resolved, &parts, (&wanted, &samples), context);
        let repaired = repaired.unwrap_or_else(|why| RepairSummary::none(why.to_string()));
        if repaired.why.is_some() {
            resolved.set_refits([]);
            resolved.set_roundings([]);
        }
        Ok(Some(repaired))
    }

    /// Repairs layers, and tells how near the model that `parts` makes of what is resolved is to the float one before and after, on the
    /// samples that decide.
    fn walk(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        parts: &dyn Fn(&Resolved) -> Result<Parts>,
        (wanted, samples): (&Wanted, &Samples),
        context: &Context<'_>,
    ) -> Result<RepairSummary> {
        let mut before = parts(resolved)?;
        let program = before.program(&Tract::default(), &samples.types)?;
        before.let_go();
        let weights = wanted.weights_in(&before);
        let (held, at_once) = program.live_bytes(&|layer| weights.contains_key(&layer));
        let (beside, deciding) = counts((held, at_once), !weights.is_empty());
        tracing::debug!(held, at_once, beside, deciding, "samples side by side");
        let types = &samples.types;
        let samples = samples.read(beside + deciding)?;
        if samples.len() < 2 * FEWEST {
            return Ok(RepairSummary::none("there are too few calibration samples of one shape"));
        }
        let samples = samples.iter().map(|sample| before.inputs(sample)).collect::<Result<Vec<_>>>()?;
        let (beside, others) = dealt(samples, beside);
        context.progress.start("repairing", beside.len() + others.len());
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let refitting = Refitting::new(wanted.layers_in(self, &before));
        let mut repairing = Repairing::new(refitting, (weights, wanted.method.unwrap_or(Method::Gptq)), until);
        program.correct(&beside, &mut repairing)?;
        beside.iter().for_each(|_| context.progress.step());
        let refits = repairing.refits();
        let found = RepairSummary {
            layers: refits.len(),
            rounded: repairing.rounded.len(),
            late: repairing.late,
            samples: beside.len(),
            ..RepairSummary::default()
        };
        resolved.set_refits(refits);
        resolved.set_roundings(repairing.rounded);
        let repaired = || parts(resolved)?.program(&Tract::default(), types);
        let [before, after] = nearness(program, &repaired, &others, context)?;
        let sqnr_db = Some((before.sqnr_db(), after.sqnr_db()));
        let why = match (found.layers + found.rounded, after.stands(&before)) {
            (0, _) => "nothing was found that helps on samples which it was not found on",
            (_, true) => return Ok(RepairSummary { sqnr_db, ..found }),
            (_, false) => "samples that did not fit it were further from the float model",
        };
        Ok(RepairSummary { layers: 0, rounded: 0, sqnr_db, why: Some(why.to_owned()), ..found })
    }

    /// Calibration samples, of the types of the first; `None` where there are none.
    pub(super) fn samples(&self, settings: &Settings) -> Result<Option<Samples>> {
        let Some(data) = &settings.calibration else { return Ok(None) };
        // As the model takes them that is converted, whatever levels layers read since it was prepared.
        let set = Dataset::open(&data.source, &self.inputs()?)?;
        let indices = calibrating(data, settings, set.len());
        let first = set.read(&indices).next().transpose()?;
        Ok(first.map(|first| Samples { types: first.types(), set, indices }))
    }
}

/// How near what `program` was made of is to the float model with all it rounds, and how near what `repaired` gives, on as many of the
/// samples as make that clear.
pub(super) fn nearness(
    program: Box<dyn Switched>,
    repaired: &dyn Fn() -> Result<Box<dyn Switched>>,
    samples: &[Vec<Tensor>],
    context: &Context<'_>,
) -> Result<[Nearness; 2]> {
    let both = each(samples, &|inputs| {
        context.progress.step();
        Ok([program.outputs(inputs, false)?, program.outputs(inputs, true)?])
    })?;
    // Two programs at once would take twice the memory.
    drop(program);
    let program = repaired()?;
    let (mut before, mut after) = (Nearness::default(), Nearness::default());
    for (some, both) in samples.chunks(TOGETHER).zip(both.chunks(TOGETHER)) {
        let repaired = each(some, &|inputs| program.outputs(inputs, true))?;
        for ([float, plain], repaired) in both.iter().zip(&repaired) {
            before.add(float, plain);
            after.add(float, repaired);
        }
        if after.is_clear(&before) {
            break;
        }
    }
    context.progress.finish();
    Ok([before, after])
}

/// Whether no number of a tensor of float32 is infinite or none at all.
fn is_finite(tensor: &Tensor) -> bool {
    tensor.dtype() != DataType::Float32 || tensor.to_f32().is_ok_and(|numbers| numbers.iter().all(|x| x.is_finite()))
}

/// What `run` makes of each sample, on all cores.
fn each<T: Send>(samples: &[Vec<Tensor>], run: &(dyn Fn(&Vec<Tensor>) -> Result<T> + Sync)) -> Result<Vec<T>> {
    let mut made: Vec<Option<Result<T>>> = samples.iter().map(|_| None).collect();
    threads::for_each(samples.iter().zip(&mut made), |(inputs, made)| *made = Some(run(inputs)));
    made.into_iter().flatten().collect()
}
