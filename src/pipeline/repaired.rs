//! Repair: what brings the quantized model nearer to the float one without training. In one walk through the layers, the integers of
//! each weight are looked for, and its channels refitted, on what the layers before it make once they are repaired.

mod wanted;

use super::fitting::{FEWEST, Fitting, NOTHING_FOUND, TOO_FEW};
use super::{Context, Planned};
use crate::error::Result;
use crate::exec::Switched;
use crate::policy::Settings;
use crate::report::{CalibrationSummary, RepairSummary, Trial};
use crate::resolve::Resolved;
use crate::sensitivity::With;
use crate::tune::rounding::Method;
use crate::tune::{HARMLESS, Refitting, Repairing};
use std::time::{Duration, Instant};
use wanted::Wanted;

/// The bytes that all samples may hold while they wait for each other: where integers are looked for, and elsewhere.
const HELD: [usize; 2] = [104 << 20, 52 << 20];

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
        let fitting = match Fitting::of(self, settings, summary, context)? {
            Some(fitting) => fitting,
            // Nobody asked for what is usual.
            None if wanted.method.is_none() && !wanted.corrects => return Ok(None),
            None => return Ok(Some(RepairSummary::none("there are no calibration samples"))),
        };
        let unrepaired = resolved.clone();
        // A model that cannot be run so is converted all the same.
        let repaired = self.walk(settings, resolved, &fitting, &wanted);
        let repaired = repaired.unwrap_or_else(|why| RepairSummary::none(why.to_string()));
        if repaired.trial.why.is_some() {
            *resolved = unrepaired;
        }
        Ok(Some(repaired))
    }

    /// Repairs layers, and tells how near the model of what is resolved is to the float one before and after, on the samples that decide.
    fn walk(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        fitting: &Fitting<'_>,
        wanted: &Wanted,
    ) -> Result<RepairSummary> {
        let with = if wanted.method.is_some() { With::Weights } else { With::Nothing };
        let (parts, program) = fitting.ready(resolved, with)?;
        let weights = wanted.weights_in(&parts);
        let rounds = !weights.is_empty();
        let refitting = Refitting::new(wanted.layers_in(self, &parts));
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let mut repairing = Repairing::new(refitting, (weights, wanted.method.unwrap_or(Method::Gptq)), until);
        let (most, room) = beside(&*program, &repairing, (Fitting::most(&*program, rounds), rounds));
        let Some((samples, others)) = fitting.dealt(&parts, &*program, (most, rounds))? else {
            return Ok(RepairSummary::none(TOO_FEW));
        };
        let progress = fitting.context.progress;
        progress.start("repairing", samples.len() + others.len());
        let corrections = program.correct(&samples, room, &mut repairing)?;
        samples.iter().for_each(|_| progress.step());
        let refits = repairing.refits();
        let found = RepairSummary {
            layers: refits.len(),
            biases: if wanted.shifts_alone() { refits.len() } else { 0 },
            rounded: repairing.rounded.len(),
            trial: Trial { late: repairing.late, samples: samples.len(), ..Trial::default() },
        };
        drop(samples);
        if found.layers + found.rounded == 0 {
            progress.finish();
            return Ok(RepairSummary { trial: found.trial.because(NOTHING_FOUND), ..found });
        }
        resolved.refit_more(refits);
        resolved.set_roundings(repairing.rounded);
        // Gains and means are as well corrected behind the layers; other integers are those of another program.
        let other = if rounds { Some(fitting.ready(resolved, With::Nothing)?.1) } else { None };
        let after = other.as_deref().map_or((&*program, &corrections[..]), |other| (other, &[]));
        let missed = "samples that did not fit it were further from the float model";
        let trial =
            fitting.decide(found.trial.clone(), &parts, [(&*program, &[]), after], (&others, HARMLESS, missed))?;
        let kept = trial.why.is_none();
        Ok(RepairSummary { trial, ..if kept { found } else { RepairSummary::default() } })
    }
}
