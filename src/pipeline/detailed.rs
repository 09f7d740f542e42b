//! What a page shows beyond the report: gathered only where a page is asked for.

use super::reported::file_summary;
use super::validated::{Compared, Samples};
use super::{Context, LAYER_SAMPLES, Planned, TOOL, planned};
use crate::calibrate::Calibration;
use crate::error::Result;
use crate::exec::Tract;
use crate::file;
use crate::inputs::{self, Dataset};
use crate::ir::Model;
use crate::policy::Settings;
use crate::report::{self, Details, Document, Form};
use crate::resolve::Resolved;
use crate::validate::{self, Comparison, Layers};
use std::path::Path;

/// Why layers are not compared where the models are not.
const NOT_COMPARED: &str = "the two models were not compared";

/// What the page of a conversion shows, if the settings ask for one: of the model `written`, the grids and the statistics they
/// are from, and the samples on which it was compared.
///
/// # Errors
/// When a constant cannot be read.
pub(super) fn details(
    settings: &Settings,
    planned: &Planned,
    written: &Model,
    ranges: Option<(&Resolved, &Calibration)>,
    (compared, samples): (&Compared, Option<&Samples>),
    context: &Context<'_>,
) -> Result<Option<Details>> {
    let Some(path) = settings.report.as_deref() else { return Ok(None) };
    if Form::of(path)? != Form::Html {
        return Ok(None);
    }
    let compared = compared.as_ref().ok().zip(samples);
    let layers = match compared {
        None => Err(NOT_COMPARED.to_owned()),
        Some((_, samples)) => layers(planned, written, samples, context),
    };
    let compared = compared.map(|(comparison, samples)| (comparison, &samples.set, samples.indices.as_slice()));
    let weights = (&planned.model.graph, Some(&planned.plan));
    let mut details = Details::new(settings, (&planned.original, written), weights, layers, compared)?;
    if let Some((resolved, calibration)) = ranges {
        details.add_values(&planned.plan, resolved, calibration);
    }
    Ok(Some(details))
}

/// The error of each value, on a few of the samples; what cannot be compared is no error of the conversion.
fn layers(
    planned: &Planned,
    written: &Model,
    samples: &Samples,
    context: &Context<'_>,
) -> std::result::Result<Layers, String> {
    let (set, indices) = (&samples.set, &samples.indices);
    let some: Vec<usize> = inputs::spread(indices.len(), LAYER_SAMPLES).into_iter().map(|k| indices[k]).collect();
    let float = &planned.original;
    validate::layers(float, written, &Tract::default(), (set, &some), context.threads, context.progress)
        .map_err(|why| why.to_string())
}

/// Writes the page of a comparison of two model files to `path`.
///
/// # Errors
/// When one of the files or samples cannot be read any more, or the page cannot be written.
pub fn save_comparison(
    path: &Path,
    float: &Path,
    quantized: &Path,
    settings: &Settings,
    comparison: &Comparison,
) -> Result<()> {
    let (original, written) = (file::load(float)?, file::load(quantized)?);
    let inputs = planned::input_specs(&original).map_err(|e| e.in_model(float))?;
    let data = settings.validation.samples().or(settings.calibration.as_ref());
    let set = data.map(|data| Dataset::open(&data.source, &inputs)).transpose()?;
    let indices = set.as_ref().zip(data).map_or(vec![], |(set, data)| inputs::spread(set.len(), data.samples));
    let layers = comparison.layers.clone().ok_or_else(|| "nobody asked".to_owned());
    let compared = set.as_ref().map(|set| (comparison, set, indices.as_slice()));
    let details = Details::new(settings, (&original, &written), (&original.graph, None), layers, compared)?;
    let document = Document {
        tool: TOOL,
        float: &file_summary(float)?,
        quantized: &file_summary(quantized)?,
        compared: Ok(comparison),
        report: None,
        details: &details,
    };
    report::save_page(&document, path)
}
