//! Inputs and outputs of a model on file.

use super::engines::calibrating;
use super::validated::{self, Samples};
use super::{Context, planned};
use crate::error::{Error, Result};
use crate::file;
use crate::inputs::{Dataset, InputSpec, Meaning, Recorder};
use crate::ir::Model;
use crate::policy::Settings;
use crate::validate;
use std::path::Path;

/// Runs the model at `path` on the validation samples of `settings` and writes inputs and outputs to `output`. Returns how many
/// samples these are.
///
/// # Errors
/// When the model or a sample cannot be loaded or run, there are none, or `output` cannot be written.
pub fn record(path: &Path, output: &Path, settings: &Settings, context: &Context<'_>) -> Result<usize> {
    let engine = calibrating(settings, context)?;
    let model = file::load(path)?;
    let specs = planned::input_specs(&model).map_err(|e| e.in_model(path))?;
    let Samples { set, indices } = Samples::all(settings, |data| {
        if output.extension().is_some() {
            let mut read = settings.files();
            read.push(("model", path));
            file::check_outputs(&[output], &read)?;
            check_beside_samples(output, &data.source.path)?;
        }
        Dataset::open(&data.source, &specs)
    })?;
    let recorder = Recorder::create(output, &specs, &validated::output_names(&model))?;
    validate::record(&model, &*engine, (&set, &indices), recorder, context.threads, context.progress)
        .map_err(|e| e.in_model(path))
}

/// In a folder of samples, a file that is there may be one of them.
fn check_beside_samples(output: &Path, samples: &Path) -> Result<()> {
    let found = samples.canonicalize().ok().filter(|samples| samples.is_dir()).zip(output.canonicalize().ok());
    match found {
        Some((samples, output)) if output.starts_with(&samples) => {
            Err(Error::file(output, "is a file in the folder of samples; name another output"))
        }
        _ => Ok(()),
    }
}

/// Lets a recording hold the integers that `quantized` takes in the place of numbers.
///
/// # Errors
/// When the metadata of `quantized` is malformed.
pub(super) fn note_integers(inputs: &mut [InputSpec], quantized: &Model) -> Result<()> {
    for spec in inputs.iter_mut().filter(|spec| spec.meaning.is_none()) {
        if let Some(value) = quantized.graph.find(&spec.name) {
            spec.meaning = Meaning::of(quantized, value)?.filter(|meaning| matches!(meaning, Meaning::Grid(_)));
        }
    }
    Ok(())
}
