//! Repair: what brings the quantized model nearer to the float one without training. In one walk through the layers, the integers of
//! each weight are looked for, and its channels refitted, on what the layers before it make once they are repaired.

pub(super) mod deciding;
pub(super) mod samples;
mod wanted;

use super::{Context, Planned};
use crate::error::Result;
use crate::exec::{Switched, Tract};
use crate::heap;
use crate::policy::{Format, Settings};
use crate::report::{CalibrationSummary, RepairSummary};
use crate::resolve::Resolved;
use crate::sensitivity::{Parts, With};
use crate::tensor::Tensor;
use crate::tune::rounding::Method;
use crate::tune::{Refitting, Repairing};
use deciding::Deciding;
use samples::Samples;
use std::time::{Duration, Instant};
use wanted::Wanted;

/// So many samples run side by side at least.
pub(super) const FEWEST: usize = 6;
/// And at most: of models whose samples cost much, and of others.
const BESIDE: [usize; 2] = [12, 32];
/// The same of others where integers are looked for: what a layer reads is seen from as many sides as there are numbers in a patch.
const ROUNDING: usize = 96;
/// A sample costs little if so many could run at once in so many bytes.
const CHEAP: usize = 144 << 20;
/// The bytes that all may hold while they wait for each other: where integers are looked for, and elsewhere.
const HELD: [usize; 2] = [104 << 20, 52 << 20];
/// So many more, one by one, only decide whether what was found is kept: few say little of models that follow small changes.
const DECIDING: [usize; 2] = [24, 64];

/// How many samples run side by side at most, and how many decide.
pub(super) fn counts(program: &dyn Switched, rounds: bool) -> (usize, usize) {
    let cheap = CHEAP / program.bytes_at_once().max(1);
    let most = cheap.clamp(BESIDE[0], if rounds { ROUNDING } else { BESIDE[1] });
    (most, (2 * cheap).clamp(DECIDING[0], DECIDING[1]))
}

/// How many of `most` samples run side by side, and how many bytes each may hold meanwhile.
fn beside(program: &dyn Switched, repairing: &Repairing, (most, rounds): (usize, bool)) -> (usize, usize) {
    let all = HELD[usize::from(!rounds)];
    let room = all / most;
    let held = program.bytes_held(room, repairing);
    let beside = (all / held.max(1)).clamp(FEWEST, most);
    tracing::debug!(held, at_once = program.bytes_at_once(), beside, "samples side by side");
    (beside, room)
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
            return Ok(wanted
                .corrects
                .then(|| RepairSummary::none("no layer with weights on integers has a place for a bias")));
        }
        if self.plan.halves().next().is_some() {
            return Ok(Some(RepairSummary::none("some nodes compute in 16 bits")));
        }
        let samples = match Samples::of(self, settings)? {
            Some(samples) => samples,
            // Nobody asked for what is usual.
            None if wanted.method.is_none() && !wanted.corrects => return Ok(None),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let with = if wanted.method.is_some() { With::Weights } else { With::Nothing };
        let parts = |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0, with);
        let unrepaired = resolved.clone();
        // A model that cannot be run so is converted all the same.
        let repaired = self.walk(settings, resolved, &parts, (&wanted, &samples), context);
        let repaired = repaired.unwrap_or_else(|why| RepairSummary::none(why.to_string()));
        if repaired.why.is_some() {
            *resolved = unrepaired;
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
        heap::give_back();
        let mut before = parts(resolved)?;
        heap::give_back();
        let program = before.program(&Tract::default(), &samples.types)?;
        before.let_go();
        heap::give_back();
        let weights = wanted.weights_in(&before);
        let rounds = !weights.is_empty();
        let refitting = Refitting::new(wanted.layers_in(self, &before));
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let mut repairing = Repairing::new(refitting, (weights, wanted.method.unwrap_or(Method::Gptq)), until);
        let (most, deciding) = counts(&*program, rounds);
        let (beside, room) = beside(&*program, &repairing, (most, rounds));
        let (beside, others) = samples.dealt(beside, deciding);
        if beside.len() < FEWEST {
            return Ok(RepairSummary::none("there are too few calibration samples"));
        }
        context.progress.start("repairing", beside.len() + others.len());
        let lanes = samples.read(&beside).map(|sample| before.inputs(&sample?.inputs)).collect::<Result<Vec<_>>>()?;
        if lanes.len() < FEWEST {
            return Ok(RepairSummary::none("there are too few calibration samples of one shape"));
        }
        program.correct(&lanes, room, &mut repairing)?;
        lanes.iter().for_each(|_| context.progress.step());
        let refits = repairing.refits();
        let found = RepairSummary {
            layers: refits.len(),
            biases: if wanted.shifts_alone() { refits.len() } else { 0 },
            rounded: repairing.rounded.len(),
            late: repairing.late,
            samples: lanes.len(),
            ..RepairSummary::default()
        };
        drop(lanes);
        let plain = resolved.clone();
        resolved.refit_more(refits);
        resolved.set_roundings(repairing.rounded);
        let made = |resolved: &Resolved| {
            let program = parts(resolved)?.program(&Tract::default(), &samples.types);
            heap::give_back();
            program
        };
        let inputs = |sample: &[Tensor]| before.inputs(sample);
        let deciding = Deciding { samples, inputs: &inputs, context };
        let [before, after] = deciding.nearness(program, [&|| made(&plain), &|| made(resolved)], &others)?;
        context.progress.finish();
        if before.samples() < FEWEST {
            return Ok(RepairSummary::none("there are too few calibration samples of one shape"));
        }
        let sqnr_db = Some((before.sqnr_db(), after.sqnr_db()));
        let why = match (found.layers + found.rounded, after.stands(&before)) {
            (0, _) => "nothing was found that helps on samples which it was not found on",
            (_, true) => return Ok(RepairSummary { sqnr_db, ..found }),
            (_, false) => "samples that did not fit it were further from the float model",
        };
        Ok(RepairSummary { layers: 0, biases: 0, rounded: 0, sqnr_db, why: Some(why.to_owned()), ..found })
    }
}
