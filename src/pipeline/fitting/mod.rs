//! What is fitted on calibration samples: the model as it would be written runs beside the float one, and samples that fitted nothing
//! decide whether what was found is kept.

mod deciding;
mod samples;

use super::{Context, Planned};
use crate::error::Result;
use crate::exec::{Switched, Tract};
use crate::heap;
use crate::policy::{Format, Settings};
use crate::report::CalibrationSummary;
use crate::resolve::Resolved;
use crate::sensitivity::{Parts, With};
use crate::tensor::Tensor;
use samples::Samples;

/// So many samples fit at least.
pub const FEWEST: usize = 6;
/// And at most: of models whose samples cost much, and of others.
const FITTING: [usize; 2] = [12, 32];
/// The same of others where integers are looked for: what a layer reads is seen from as many sides as there are numbers in a patch.
const ROUNDING: usize = 96;
/// So many more only decide: few say little of models that follow small changes.
const DECIDING: [usize; 2] = [24, 64];
/// A sample costs little if so many could run at once in so many bytes.
const CHEAP: usize = 144 << 20;

/// Why nothing is fitted where there are fewer samples than [`FEWEST`] that fit or decide.
pub const TOO_FEW: &str = "there are too few calibration samples of one shape";

/// Why nothing is kept where nothing was found.
pub const NOTHING_FOUND: &str = "nothing was found that helps on samples which it was not found on";

/// Samples that fit, and the places of those that decide.
type Dealt = (Vec<Vec<Tensor>>, Vec<usize>);

/// A model that something is fitted to.
pub struct Fitting<'a> {
    planned: &'a Planned,
    /// As the policy says, in a form that runs in float and rounded.
    settings: Settings,
    summary: &'a CalibrationSummary,
    samples: Samples,
    /// Who hears of progress, and how many samples run side by side.
    pub context: &'a Context<'a>,
}

impl<'a> Fitting<'a> {
    /// That of what was planned and calibrated. `None` where there are no samples.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn of(
        planned: &'a Planned,
        settings: &Settings,
        summary: &'a CalibrationSummary,
        context: &'a Context<'a>,
    ) -> Result<Option<Self>> {
        let Some(samples) = Samples::of(planned, settings)? else { return Ok(None) };
        let settings = Settings { format: Format::Qdq, ..settings.clone() };
        Ok(Some(Self { planned, settings, summary, samples, context }))
    }

    /// The model as it would be written with what is `resolved`, ready to run in float and rounded. Its parts have let go of the models.
    ///
    /// # Errors
    /// When the model cannot be rewritten, or the engine cannot run it.
    pub fn ready(&self, resolved: &Resolved, with: With) -> Result<(Parts, Box<dyn Switched>)> {
        heap::give_back();
        let written = self.planned.rewrite(&self.settings, resolved, self.summary)?.0;
        let mut parts = Parts::of(&self.planned.model, &written, with)?;
        drop(written);
        heap::give_back();
        let program = parts.program(&Tract::default(), &self.samples.types)?;
        parts.let_go();
        heap::give_back();
        Ok((parts, program))
    }

    /// How many samples fit at most, where integers are looked for or not.
    pub fn most(program: &dyn Switched, rounds: bool) -> usize {
        cheap(program).clamp(FITTING[0], if rounds { ROUNDING } else { FITTING[1] })
    }

    /// The samples that fit, as `parts` take them, up to `most` and more of them where integers are looked for; and the places of those
    /// that decide. `None` where there are [`TOO_FEW`] of them.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn dealt(&self, parts: &Parts, program: &dyn Switched, (most, rounds): (usize, bool)) -> Result<Option<Dealt>> {
        let deciding = (2 * cheap(program)).clamp(DECIDING[0], DECIDING[1]);
        let (few, deciding) = self.samples.dealt((most, rounds), deciding);
        let fitting =
            self.samples.read(&few).map(|sample| parts.inputs(&sample?.inputs)).collect::<Result<Vec<_>>>()?;
        Ok((fitting.len() >= FEWEST).then_some((fitting, deciding)))
    }
}

/// How many samples could run at once in [`CHEAP`] bytes.
fn cheap(program: &dyn Switched) -> usize {
    CHEAP / program.bytes_at_once().max(1)
}
