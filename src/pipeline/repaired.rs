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
use std::time::{Duration, Instant};
use wanted::Wanted;

/// So many samples run side by side at least and at most.
const SAMPLES: std::ops::RangeInclusive<usize> = 6..=12;
/// The bytes that they may take.
const MEMORY: usize = 144 << 20;
/// So many are taken to run at once, whatever the threads: what is found does not depend on these.
const RUNNING: usize = 2;
/// So many more, one by one, only decide whether what was found is kept: few say little of models that follow small changes.
const DECIDING: usize = 24;
/// So many of them are looked at before it is asked whether that is clear already.
const TOGETHER: usize = 12;

/// Samples of one shape.
struct Alike {
    types: Vec<TensorType>,
    samples: Vec<Vec<Tensor>>,
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
        let alike = match self.alike_samples(settings)? {
            Some(alike) if alike.samples.len() >= 2 * *SAMPLES.start() => alike,
            Some(_) => return Ok(Some(RepairSummary::none("there are too few calibration samples of one shape"))),
            // Nobody asked for what is usual.
            None if wanted.method.is_none() => return Ok(None),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let parts = |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0);
        // A model that cannot be run so is converted all the same.
        let repaired = self.walk(settings, resolved, &parts, (&wanted, alike), context);
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
        (wanted, Alike { types, mut samples }): (&Wanted, Alike),
        context: &Context<'_>,
    ) -> Result<RepairSummary> {
        let mut before = parts(resolved)?;
        let program = before.program(&Tract::default(), &types)?;
        before.let_go();
        let weights = wanted.weights_in(&before);
        let (held, at_once) = program.live_bytes(&|layer| weights.contains_key(&layer));
        let room = MEMORY.saturating_sub(RUNNING * at_once) / held.max(1);
        let room = room.min(samples.len() / 2).clamp(*SAMPLES.start(), *SAMPLES.end());
        tracing::debug!(held, at_once, room, "samples side by side");
        samples.truncate(room + DECIDING);
        let samples = samples.iter().map(|sample| before.inputs(sample)).collect::<Result<Vec<_>>>()?;
        let (beside, others) = samples.split_at(room.min(samples.len()));
        context.progress.start("repairing", samples.len());
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let refitting = Refitting::new(wanted.layers_in(self, &before));
        let mut repairing = Repairing::new(refitting, (weights, wanted.method.unwrap_or(Method::Gptq)), until);
        program.correct(beside, &mut repairing)?;
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
        let repaired = || parts(resolved)?.program(&Tract::default(), &types);
        let [before, after] = nearness(program, &repaired, others, context)?;
        let sqnr_db = Some((before.sqnr_db(), after.sqnr_db()));
        if after.improves(&before) {
            return Ok(RepairSummary { sqnr_db, ..found });
        }
        let why = Some("samples that did not fit it were no nearer to the float model".to_owned());
        Ok(RepairSummary { layers: 0, rounded: 0, sqnr_db, why, ..found })
    }

    /// Calibration samples of the shape of the first, but those with numbers that are none; `None` where there is no data.
    fn alike_samples(&self, settings: &Settings) -> Result<Option<Alike>> {
        let Some(data) = &settings.calibration else { return Ok(None) };
        // As the model takes them that is converted, whatever levels layers read since it was prepared.
        let set = Dataset::open(&data.source, &self.inputs()?)?;
        let indices = calibrating(data, settings, set.len());
        let few: Vec<usize> =
            inputs::spread(indices.len(), *SAMPLES.end() + DECIDING).into_iter().map(|k| indices[k]).collect();
        let mut alike: Option<Alike> = None;
        for sample in set.read(&few) {
            let sample: Sample = sample?;
            if !sample.inputs.iter().all(is_finite) {
                continue;
            }
            let types = sample.types();
            let alike = alike.get_or_insert_with(|| Alike { types: types.clone(), samples: Vec::new() });
            if alike.types == types {
                alike.samples.push(sample.inputs);
            }
        }
        Ok(alike)
    }
}

/// How near what `program` was made of is to the float model with all it rounds, and how near what `repaired` gives, on as many of the
/// samples as make that clear.
fn nearness(
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
