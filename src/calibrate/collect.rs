//! One pass over the samples.

use super::statistics::Statistics;
use super::stored::{Calibration, ModelDigest};
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::plan::Plan;
use crate::progress::Progress;

/// Runs the samples `indices` of `data` through the prepared float `model` and gathers what `plan` asks for.
///
/// # Errors
/// When a sample cannot be read, the engine cannot run the model, or a value is NaN or infinite.
pub fn collect(
    model: &Model,
    digest: ModelDigest,
    plan: &Plan,
    executor: &dyn Executor,
    (data, indices): (&Dataset, &[usize]),
    threads: usize,
    progress: &dyn Progress,
) -> Result<Calibration> {
    let names: Vec<String> = plan.observed().map(|v| v.name.clone()).collect();
    let session = Session::observing(executor, model, names.clone())?;
    progress.start("calibrating", indices.len());
    let states = inputs::run_samples(
        data.read(indices),
        threads,
        progress,
        || (0u64, vec![Statistics::default(); names.len()]),
        |(samples, statistics), _, sample| {
            let mut broken = None;
            session.run(&sample.inputs, &mut |value, _, numbers| {
                if !statistics[value].add(numbers) && broken.is_none() {
                    broken = Some(value);
                }
            })?;
            *samples += 1;
            broken.map_or(Ok(()), |value| Err(not_finite(&names[value], &sample.name)))
        },
    );
    progress.finish();
    let mut calibration = Calibration { model: digest, ..Calibration::default() };
    let mut merged = vec![Statistics::default(); names.len()];
    for (samples, statistics) in states? {
        calibration.samples += samples;
        merged.iter_mut().zip(&statistics).for_each(|(all, own)| all.merge(own));
    }
    calibration.values = names.into_iter().zip(merged).collect();
    Ok(calibration)
}

fn not_finite(value: &str, sample: &str) -> Error {
    Error::value(
        value,
        format!(
            "is NaN or infinite for the sample {sample}: look at this sample, take it out, or keep the nodes around the value in float by a rule"
        ),
    )
}
