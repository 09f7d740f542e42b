//! What a page shows beyond the report: gathered only where a page is asked for.

use super::engines::Validating;
use super::reported::file_summary;
use super::validated::{self, Compared, Pair, Samples};
use super::{Context, Planned, TOOL};
use crate::calibrate::Calibration;
use crate::error::Result;
use crate::ir::Model;
use crate::policy::Settings;
use crate::report::{self, Details, Document, Form};
use crate::resolve::Resolved;
use crate::validate::{Comparison, Handed};
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
    if !is_page(settings)? {
        return Ok(None);
    }
    let compared = compared.as_ref().ok().zip(samples);
    let layers = match compared {
        None => Err(NOT_COMPARED.to_owned()),
        Some((_, samples)) => {
            samples.layers(&planned.original, written, settings, context).map_err(|why| why.to_string())
        }
    };
    let compared = compared.map(|(comparison, samples)| (comparison, &samples.set, samples.indices.as_slice()));
    let weights = (&planned.model.graph, Some(&planned.plan));
    let mut details = Details::new(settings, (&planned.original, written), weights, layers, compared)?;
    if let Some((resolved, calibration)) = ranges {
        details.add_values(&planned.plan, resolved, calibration);
    }
    Ok(Some(details))
}

/// Whether the report that the settings ask for is a page.
fn is_page(settings: &Settings) -> Result<bool> {
    let form = settings.report.as_deref().map(Form::of).transpose()?;
    Ok(form == Some(Form::Html))
}

/// Adds what the layers of `written` hand to each other in the runtime that was asked for, which a page shows; what cannot be
/// looked at is no error of the conversion.
///
/// # Errors
/// When the report has an ending that is none.
pub(super) fn add_handed(
    compared: &mut Compared,
    samples: Option<&Samples>,
    written: &Model,
    (settings, validating): (&Settings, &Validating<'_>),
    context: &Context<'_>,
) -> Result<()> {
    let engines = validating.engines();
    let reference = compared.as_mut().ok().and_then(|comparison| comparison.reference.as_mut());
    if let (true, Some(reference), Some(samples), Some(runtime)) =
        (is_page(settings)?, reference, samples, &engines.runtime)
    {
        let handed = samples.handed(written, (engines.own, runtime), context);
        reference.layers = Some(handed.unwrap_or_else(|why| Handed::unknown(why.to_string())));
    }
    Ok(())
}

/// Writes the page of a comparison of two model files to `path`.
///
/// # Errors
/// When one of the files or samples cannot be read any more, or the page cannot be written.
pub fn save_comparison(
    path: &Path,
    (float, quantized): (&Path, &Path),
    settings: &Settings,
    comparison: &Comparison,
    context: &Context<'_>,
) -> Result<()> {
    let Pair { original, written, samples } = &Pair::open(float, quantized, settings)?;
    let layers = match (&comparison.layers, samples) {
        (Some(layers), _) => Ok(layers.clone()),
        (None, Some(samples)) => samples.layers(original, written, settings, context).map_err(|why| why.to_string()),
        (None, None) => Err(validated::NO_SAMPLES.to_owned()),
    };
    let compared = samples.as_ref().map(|samples| (comparison, &samples.set, samples.indices.as_slice()));
    let details = Details::new(settings, (original, written), (&original.graph, None), layers, compared)?;
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
