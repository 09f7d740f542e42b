//! Joint reconstruction of ranges: which of them may be others, the samples that choose and those that decide.

use super::fitting::{Fitting, NOTHING_FOUND, TOO_FEW};
use super::{Context, Planned};
use crate::error::Result;
use crate::exec::Switched;
use crate::ir::ValueId;
use crate::plan::{RangeSource, ValuePlan};
use crate::policy::Settings;
use crate::report::{CalibrationSummary, RangesSummary, Trial};
use crate::resolve::Resolved;
use crate::sensitivity::With;
use crate::tune::CERTAIN;
use crate::tune::ranges::{Free, Ranging};
use std::collections::HashMap;
use std::time::{Duration, Instant};

impl Planned {
    /// Chooses the ranges of activations block by block, where the settings ask for it. Nothing is kept that samples which did not
    /// choose do not agree with.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub(super) fn reconstruct(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        summary: &CalibrationSummary,
        context: &Context<'_>,
    ) -> Result<Option<RangesSummary>> {
        if !settings.repairs.reconstruct || self.completes {
            return Ok(None);
        }
        let free = self.free_ranges(resolved);
        if free.is_empty() {
            return Ok(Some(RangesSummary::none("no range of the model was chosen by calibration")));
        }
        if self.plan.halves().next().is_some() {
            return Ok(Some(RangesSummary::none("some nodes compute in 16 bits")));
        }
        let Some(fitting) = Fitting::of(self, settings, summary, context)? else {
            return Ok(Some(RangesSummary::none("there are no calibration samples")));
        };
        // A model that cannot be run so is converted all the same.
        let before = resolved.clone();
        let done = self.reconstruct_blocks(settings, resolved, &fitting, &free);
        let done = done.unwrap_or_else(|why| RangesSummary::none(why.to_string()));
        if done.trial.why.is_some() {
            *resolved = before;
        }
        Ok(Some(done))
    }

    fn reconstruct_blocks(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        fitting: &Fitting<'_>,
        free: &[(&ValuePlan, Free)],
    ) -> Result<RangesSummary> {
        let (parts, program) = fitting.ready(resolved, With::Nothing)?;
        let Some((samples, others)) = fitting.dealt(&parts, &*program, (Fitting::most(&*program, false), false))?
        else {
            return Ok(RangesSummary::none(TOO_FEW));
        };
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let places: HashMap<ValueId, usize> = free.iter().enumerate().map(|(at, (value, _))| (value.id, at)).collect();
        let place = |name: &String| places.get(&self.plan.root(self.model.graph.find(name)?)).copied();
        let of_grid = parts.rounded().iter().map(place).collect();
        let mut ranging = Ranging::new(free.iter().map(|(_, free)| *free).collect(), of_grid, until);
        let progress = fitting.context.progress;
        progress.start("reconstructing", samples.len() + others.len());
        program.choose(&samples, &mut ranging)?;
        samples.iter().for_each(|_| progress.step());
        let found = RangesSummary {
            values: ranging.found.len(),
            trial: Trial { late: ranging.late, samples: samples.len(), ..Trial::default() },
        };
        drop(samples);
        if found.values == 0 {
            progress.finish();
            return Ok(RangesSummary { trial: found.trial.because(NOTHING_FOUND), ..found });
        }
        for (at, (value, _)) in free.iter().enumerate() {
            if let Some(&ends) = ranging.found.get(&at) {
                resolved.set_range(&self.plan, value, ends);
            }
        }
        resolved.clamp_anew(&self.plan);
        let (_, chosen) = fitting.ready(resolved, With::Nothing)?;
        let missed = "samples that did not fit it were no nearer to the float model, or by chance";
        let programs: [(&dyn Switched, &[_]); 2] = [(&*program, &[]), (&*chosen, &[])];
        let trial = fitting.decide(found.trial, &parts, programs, (&others, CERTAIN, missed))?;
        let values = if trial.why.is_none() { found.values } else { 0 };
        Ok(RangesSummary { values, trial })
    }

    /// The values whose ranges calibration chose, and nothing else says or has to be told of them.
    fn free_ranges<'a>(&'a self, resolved: &Resolved) -> Vec<(&'a ValuePlan, Free)> {
        let graph = &self.model.graph;
        let free = |value: &&ValuePlan| {
            let own = value.range == RangeSource::Observed && value.also.is_empty() && !value.kept && !value.headroom;
            let made = graph.value(value.id).producer().is_some();
            own && made && !value.settings.scheme.dtype.is_float() && resolved.outliers(value.id).is_empty()
        };
        let ends = |value: &'a ValuePlan| {
            let &ends = resolved.ranges.get(&value.name)?;
            Some((value, Free { ends, scheme: value.settings.scheme }))
        };
        self.plan.values.iter().filter(free).filter_map(ends).collect()
    }
}
