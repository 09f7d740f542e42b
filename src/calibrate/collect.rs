//! One pass over the samples.

use super::statistics::Statistics;
use super::stored::Calibration;
use crate::error::{Error, Result};
use crate::exec::{Executor, Session};
use crate::heap;
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::plan::ValuePlan;
use crate::policy::OnBadValue;
use crate::prepare;
use crate::progress::Progress;
use crate::tensor::Tensor;
use std::borrow::Cow;

/// Runs the samples `indices` of `data` through the prepared float `model` and gathers what is to be known of `values`; the caller says
/// which file the model is. Also returns what was skipped, one line for each sample, in the order of their names.
///
/// # Errors
/// When a sample cannot be read, the engine cannot run the model, or a value is NaN or infinite and the policy does not say
/// to skip such samples.
pub fn collect(
    model: &Model,
    values: &[&ValuePlan],
    executor: &dyn Executor,
    (data, indices): (&Dataset, &[usize]),
    on_bad_value: OnBadValue,
    (threads, progress): (usize, &dyn Progress),
) -> Result<(Calibration, Vec<String>)> {
    let names: Vec<String> = values.iter().map(|v| v.name.clone()).collect();
    let empty = |v: &&ValuePlan| Statistics::by_channel(v.channels).by_position(v.layout);
    let none: Vec<Statistics> = values.iter().map(empty).collect();
    let runs = prepare::in_float32(model)?;
    let wide = matches!(runs, Cow::Owned(_));
    let session = Session::observing(executor, &runs, names.clone())?;
    progress.start("calibrating", indices.len());
    let states = inputs::run_samples(
        data.read(indices),
        threads,
        progress,
        || (0u64, none.clone(), Vec::new()),
        |(samples, statistics, skipped), _, sample| {
            let widened = wide.then(|| sample.inputs.iter().map(Tensor::widened).collect::<Result<Vec<_>>>());
            let widened = widened.transpose()?;
            let inputs = widened.as_deref().unwrap_or(&sample.inputs);
            if on_bad_value == OnBadValue::Skip {
                // Once to look: statistics cannot be taken back.
                let mut broken = None;
                session.run(inputs, &mut |value, _, numbers| {
                    if broken.is_none() && numbers.iter().any(|v| !v.is_finite()) {
                        broken = Some(value);
                    }
                })?;
                if let Some(value) = broken {
                    skipped.push(format!(
                        "sample {}: {} is NaN or infinite",
                        sample.name,
                        made_by(model, &names[value])
                    ));
                    return Ok(());
                }
            }
            let mut broken = None;
            session.run(inputs, &mut |value, shape, numbers| {
                if !statistics[value].add_shaped(shape, numbers) && broken.is_none() {
                    broken = Some(value);
                }
            })?;
            *samples += 1;
            broken.map_or(Ok(()), |value| Err(not_finite(model, &names[value], &sample.name)))
        },
    );
    progress.finish();
    drop(session);
    let mut calibration = Calibration::default();
    let mut states = states?.into_iter();
    let (samples, mut merged, mut all_skipped) = states.next().unwrap_or((0, none, Vec::new()));
    calibration.samples = samples;
    for (samples, statistics, skipped) in states {
        all_skipped.extend(skipped);
        calibration.samples += samples;
        merged.iter_mut().zip(statistics).for_each(|(all, own)| all.merge(&own));
    }
    // The programs are gone, whose weights may be as much as the model, and so is what each thread had seen.
    heap::give_back();
    calibration.values = names.into_iter().zip(merged).collect();
    all_skipped.sort();
    if let (0, Some(first)) = (calibration.samples, all_skipped.first()) {
        return Err(Error::other(format!("every calibration sample was skipped, first {first}")));
    }
    Ok((calibration, all_skipped))
}

/// A value with the node that makes it.
fn made_by(model: &Model, value: &str) -> String {
    let graph = &model.graph;
    match graph.find(value).and_then(|v| graph.value(v).producer()) {
        Some(node) => format!("{value:?}, made by {} {:?},", graph.node(node).op_type(), graph.label(node)),
        None => format!("the input {value:?}"),
    }
}

fn not_finite(model: &Model, value: &str, sample: &str) -> Error {
    Error::other(format!(
        "{} is NaN or infinite for the sample {sample}: look at this sample, take it out, skip such samples \
         (data.calibration.on_bad_value: skip), or keep the nodes around the value in float by a rule",
        made_by(model, value)
    ))
}
