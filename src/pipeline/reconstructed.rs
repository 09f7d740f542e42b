//! Joint reconstruction of ranges: which of them may be others, the samples that choose and those that decide.

use super::repaired::deciding::Deciding;
use super::repaired::samples::Samples;
use super::repaired::{FEWEST, counts};
use super::{Context, Planned};
use crate::error::Result;
use crate::exec::Tract;
use crate::ir::ValueId;
use crate::plan::{RangeSource, ValuePlan};
use crate::policy::{Format, Settings};
use crate::report::{CalibrationSummary, RangesSummary};
use crate::resolve::Resolved;
use crate::sensitivity::{Parts, With};
use crate::tensor::Tensor;
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
        // A model that cannot be run so is converted all the same.
        let before = resolved.clone();
        let done = self.reconstruct_blocks(settings, resolved, (&free, summary), context);
        let done = done.unwrap_or_else(|why| RangesSummary::none(why.to_string()));
        if done.why.is_some() {
            *resolved = before;
        }
        Ok(Some(done))
    }

    fn reconstruct_blocks(
        &self,
        settings: &Settings,
        resolved: &mut Resolved,
        (free, summary): (&[(&ValuePlan, Free)], &CalibrationSummary),
        context: &Context<'_>,
    ) -> Result<RangesSummary> {
        let Some(samples) = Samples::of(self, settings)? else {
            return Ok(RangesSummary::none("there are no calibration samples"));
        };
        let plain = Settings { format: Format::Qdq, ..settings.clone() };
        let parts =
            |resolved: &Resolved| Parts::of(&self.model, &self.rewrite(&plain, resolved, summary)?.0, With::Nothing);
        let mut before = parts(resolved)?;
        let program = before.program(&Tract::default(), &samples.types)?;
        before.let_go();
        let (most, deciding) = counts(&*program, false);
        let (beside, others) = samples.dealt(most, deciding);
        let beside = samples.read(&beside).map(|sample| before.inputs(&sample?.inputs)).collect::<Result<Vec<_>>>()?;
        if beside.len() < FEWEST {
            return Ok(RangesSummary::none("there are too few calibration samples of one shape"));
        }
        let until = Instant::now() + Duration::from_secs(settings.repairs.rounding_seconds);
        let places: HashMap<ValueId, usize> = free.iter().enumerate().map(|(at, (value, _))| (value.id, at)).collect();
        let place = |name: &String| places.get(&self.plan.root(self.model.graph.find(name)?)).copied();
        let of_grid = before.rounded().iter().map(place).collect();
        let mut ranging = Ranging::new(free.iter().map(|(_, free)| *free).collect(), of_grid, until);
        context.progress.start("reconstructing", others.len());
        program.choose(&beside, &mut ranging)?;
        let found = RangesSummary {
            values: ranging.found.len(),
            late: ranging.late,
            samples: beside.len(),
            ..RangesSummary::default()
        };
        let unchanged = resolved.clone();
        for (at, (value, _)) in free.iter().enumerate() {
            if let Some(&ends) = ranging.found.get(&at) {
                resolved.set_range(&self.plan, value, ends);
            }
        }
        if found.values == 0 {
            context.progress.finish();
            let why = "nothing was found that helps on samples which it was not found on";
            return Ok(RangesSummary { why: Some(why.to_owned()), ..found });
        }
        resolved.clamp_anew(&self.plan);
        let made = |resolved: &Resolved| parts(resolved)?.program(&Tract::default(), &samples.types);
        let inputs = |sample: &[Tensor]| before.inputs(sample);
        let deciding = Deciding { samples: &samples, inputs: &inputs, context };
        let [before, after] = deciding.nearness(program, [&|| made(&unchanged), &|| made(resolved)], &others)?;
        context.progress.finish();
        let sqnr_db = Some((before.sqnr_db(), after.sqnr_db()));
        if after.surpasses(&before) {
            return Ok(RangesSummary { sqnr_db, ..found });
        }
        let why = "samples that did not fit it were no nearer to the float model, or by chance";
        Ok(RangesSummary { values: 0, sqnr_db, why: Some(why.to_owned()), ..found })
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
