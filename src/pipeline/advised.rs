//! Init: a first policy for a model, checked by planning with it.

use super::Planned;
use crate::advise::{self, Data, Facts, Network, OpenDimension};
use crate::error::{Error, Result};
use crate::file;
use crate::inputs::{Dataset, InputSpec, Source};
use crate::ir::{Graph, Model, ValueId};
use crate::policy::{Overrides, Raw, Settings};
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::path::{Component, Path, PathBuf};

/// The side of pictures where the model leaves it open: what classifiers are mostly trained on.
const SIDE: usize = 224;
/// The same for detectors.
const DETECTOR_SIDE: usize = 640;

/// The policy for the model that `flags` name, with the samples that they name, as it is to stand at `path`. Samples that
/// calibrate are `flags.calibration`.
///
/// # Errors
/// When the model cannot be loaded, is quantized already or has nothing that could be quantized; when the samples are not what
/// it takes.
pub fn init(flags: &Overrides, path: &Path) -> Result<String> {
    let mut raw = Raw::default();
    let given = Overrides { calibration: flags.calibration.clone(), ..flags.clone() };
    raw.override_with(&given);
    let settings = raw.settings()?;
    let planned = Planned::new(&settings)?;
    planned.check_quantizable()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let facts = facts(&planned, &settings, folder)?;
    for choice in advise::choices(&facts) {
        let text = advise::text(&facts, &choice);
        // What it writes has to be a policy, and one that does something.
        let settings = Raw::parse(&text, path)?.settings()?;
        if Planned::new(&settings)?.is_quantized() {
            return Ok(text);
        }
    }
    Err(Error::file(&planned.path, "has no layer with constant weights: there is nothing in it to quantize"))
}

fn facts(planned: &Planned, settings: &Settings, folder: &Path) -> Result<Facts> {
    let model = &planned.original;
    let inputs = planned.inputs()?;
    let network = Network::of(&planned.model.graph, &planned.plan.structure).map_err(|e| e.in_model(&planned.path))?;
    let side = if network.kind() == advise::Kind::Detector { DETECTOR_SIDE } else { SIDE };
    let (mut data, mut labelled, mut first) = (None, false, None);
    if let Some(calibration) = &settings.calibration {
        let (set, size_is_guessed) = open(&calibration.source, &inputs, side)?;
        let described = set.describe();
        first = set.read(&[0]).next().transpose()?.map(|sample| sample.inputs);
        let validation = settings.validation.samples();
        labelled = set.has_labels();
        if let Some(validation) = validation {
            labelled = open(&validation.source, &inputs, side)?.0.has_labels();
        }
        let named = |path: &Path| relative(path, folder);
        data = Some(Data {
            path: named(&described.path)?,
            kind: described.kind,
            count: described.count,
            samples: calibration.samples,
            pictures: described.pictures.clone(),
            size_is_guessed,
            scale_is_told: calibration.source.preprocess.scale.is_some(),
            validation: validation.map(|v| named(&v.source.path)).transpose()?,
            labels: validation.and_then(|v| v.source.labels.as_deref()).map(named).transpose()?,
        });
    }
    // A limit on what could not be measured would be missed.
    labelled &= scores_classes(&planned.model.graph);
    let takes_pictures = matches!(inputs.as_slice(), [input] if input.ty.dims.len() == 4);
    let stem = planned.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Facts {
        model: relative(&planned.path, folder)?,
        stem,
        bytes: file::size(&planned.path)?,
        opset: model.opset("").unwrap_or_default(),
        network,
        half: half(model),
        inputs: inputs.iter().map(|input| format!("{} {}", input.name, input.ty)).collect(),
        takes_pictures,
        open: open_dimensions(model, first.as_deref()),
        data,
        labelled,
    })
}

/// Whether the first output of floats, which labels are about, is known to be one score for each class.
fn scores_classes(graph: &Graph) -> bool {
    let is_float = |&value: &ValueId| graph.element_type(value).is_none_or(DataType::is_float);
    let Some(ty) = graph.outputs().find(is_float).and_then(|value| graph.known_type(value)) else { return false };
    ty.dims.len() >= 2 && ty.dims.iter().skip(1).filter(|&&size| size != Some(1)).count() == 1
}

/// The samples at `source`. Where pictures need a size that neither the model nor `source` gives, it is guessed, and the second
/// of what is returned says so.
fn open(source: &Source, inputs: &[InputSpec], side: usize) -> Result<(Dataset, bool)> {
    let found = Dataset::open(source, inputs);
    let (Err(_), [input], None) = (&found, inputs, source.preprocess.size) else { return Ok((found?, false)) };
    // A side that the model fixes stays; which axes they are depends on where the channels are.
    let last = |at: usize| input.ty.dims.iter().rev().nth(at).copied().flatten().unwrap_or(side);
    for size in [[last(1), last(0)], [last(2), last(1)]] {
        let mut guess = source.clone();
        guess.preprocess.size = Some(size);
        if let Ok(set) = Dataset::open(&guess, inputs) {
            return Ok((set, true));
        }
    }
    Ok((found?, false))
}

/// The type of 16 bits that inputs or constants of `model` are in.
fn half(model: &Model) -> Option<HalfType> {
    model.graph.value_ids().find_map(|value| match model.graph.element_type(value)? {
        DataType::Float16 => Some(HalfType::Float16),
        DataType::Bfloat16 => Some(HalfType::Bfloat16),
        _ => None,
    })
}

/// Dimensions of inputs that `model` leaves open, but for those that are somewhere the first one; with their sizes in the
/// sample `first`.
fn open_dimensions(model: &Model, first: Option<&[Tensor]>) -> Vec<OpenDimension> {
    let axes = model.graph.open_axes();
    let batches: Vec<&String> = axes.iter().filter(|open| open.axis == 0).map(|open| &open.name).collect();
    let mut found: Vec<OpenDimension> = Vec::new();
    for open in axes.iter().filter(|open| !batches.contains(&&open.name)) {
        let input = model.graph.inputs().position(|v| v == open.input);
        let sample = input.and_then(|input| first?.get(input));
        let size = sample.and_then(|tensor| tensor.shape().get(open.axis).copied());
        if found.iter().all(|known| known.name != open.name) {
            found.push(OpenDimension { name: open.name.clone(), size });
        }
    }
    found
}

/// `path`, which is relative to the working directory, as a policy in `folder` names it.
///
/// # Errors
/// When it is not UTF-8.
pub(super) fn relative(path: &Path, folder: &Path) -> Result<String> {
    let named = if path.is_absolute() || folder.as_os_str().is_empty() {
        path.to_path_buf()
    } else {
        match (path.canonicalize(), folder.canonicalize()) {
            (Ok(path), Ok(folder)) => way(&folder, &path),
            _ => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
        }
    };
    let text =
        named.to_str().ok_or_else(|| Error::file(path, "has a name that is not UTF-8, which no policy can name"))?;
    Ok(text.to_owned())
}

/// The way from the folder `from` to `to`, both absolute.
fn way(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::Builder;

    #[test]
    fn labels_are_of_models_that_score_classes() {
        let of = |outputs: &[&[i64]]| {
            let net = Builder::new(17).input("x", &[0, 8]);
            let add = |net: Builder, (index, dims): (usize, &&[i64])| {
                let y = format!("y{index}");
                net.node("Relu", &["x"], &[&y], vec![]).output(&y, dims)
            };
            scores_classes(&outputs.iter().enumerate().fold(net, add).build().graph)
        };
        assert!(of(&[&[0, 8]]) && of(&[&[0, 8, 1, 1]]) && of(&[&[0, 8], &[0, 4, 8]]));
        assert!(!of(&[&[0, 4, 8]]) && !of(&[&[8]]) && !of(&[&[0, 1]]) && !of(&[&[0, 4, 8], &[0, 8]]));
    }
}
