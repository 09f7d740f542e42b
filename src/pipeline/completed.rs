//! Models that are quantized already, in part or as a whole.

use super::detailed;
use super::engines::Validating;
use super::reported;
use super::validated::{self, Samples};
use super::{Context, Planned};
use crate::calibrate::Calibration;
use crate::dequantize;
use crate::error::{Error, Result};
use crate::file;
use crate::ir::{Graph, Model, ValueId};
use crate::ops;
use crate::plan::{Known, Plan};
use crate::policy::Settings;
use crate::qoperators::{self, MICROSOFT};
use crate::quant::{GridType, KnownGrids, Params};
use crate::report::{CalibrationSummary, Details, Report};
use crate::resolve::Resolved;
use std::collections::BTreeSet;
use std::path::Path;

/// Operator sets with which integers of 4 and 16 bits, and scales for blocks, come; floating-point numbers of 8 bits; and
/// integers of 2 bits.
const WIDE_OPSET: i64 = 21;
const FLOAT8_OPSET: i64 = 19;
/// Scales of 16 bits came with those.
pub(super) const HALF_SCALES_OPSET: i64 = FLOAT8_OPSET;
const TWO_BITS_OPSET: i64 = 25;

/// The first node, in bodies too, that says that a model is quantized: its name and its operator.
///
/// # Errors
/// When a body is malformed.
pub(super) fn quantized_node(graph: &Graph) -> Result<Option<(String, String)>> {
    for id in graph.node_ids() {
        let node = graph.node(id);
        if qoperators::is_quantized(node.domain(), node.op_type()) {
            return Ok(Some((graph.label(id).to_owned(), node.op_type().to_owned())));
        }
        for index in 0..graph.body_count(id) {
            if let Some(found) = quantized_node(&graph.body(id, index)?)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Makes `model` float, and adds the grids that it had to `known`.
///
/// # Errors
/// When it cannot be turned back, or has grids that could not be kept.
pub(super) fn take_apart(model: &mut Model, known: &mut Known) -> Result<()> {
    let (_, found) = dequantize::take_apart(model)?;
    if let Some((name, why)) = found.lost.first() {
        let why =
            format!("is quantized, but {why}, so its grid cannot be kept; make the model float: `tare dequantize`");
        return Err(Error::value(name, why));
    }
    // What is gone leaves its names to what will be written in its place.
    *model = Model::from_proto(model.to_proto()?)?;
    model.graph.verify()?;
    let dequantize::Found { grids, also, direct, biases, dynamic, .. } = found;
    (known.own, known.own_also, known.direct) = (grids, also, direct);
    (known.biases, known.dynamic) = (biases, dynamic);
    Ok(())
}

/// Sees to it that what `known` says of the model itself is still there when `prepare` is through: constants as they are, and
/// activations under their names.
pub(super) fn outlasting<T>(
    model: &mut Model,
    known: &Known,
    prepare: impl FnOnce(&mut Model) -> Result<T>,
) -> Result<T> {
    let graph = &mut model.graph;
    let before = graph.clone();
    let outputs = graph.outputs().count();
    for value in known.own.constants.keys().filter_map(|name| before.find(name)) {
        graph.hold(value);
    }
    for value in known.own.activations.keys().filter_map(|name| before.find(name)) {
        graph.expose(value);
    }
    let done = prepare(model)?;
    let graph = &mut model.graph;
    graph.conceal(outputs);
    graph.remove_unused();
    for name in known.own.constants.keys() {
        let constant =
            |graph: &Graph| graph.find(name).map(|value| graph.constant(value)).transpose().map(Option::flatten);
        if let (Some(was), Some(is)) = (constant(&before)?, constant(graph)?)
            && (was.shape() != is.shape() || was.bytes() != is.bytes() && was.to_f32()? != is.to_f32()?)
        {
            return Err(Error::value(name, "is stored as integers, and preparing the model would change it"));
        }
    }
    Ok(done)
}

/// Whether the constants that bodies of `original` have on grids are on them in the plan, too: preparing could have changed
/// them.
///
/// # Errors
/// When one is not.
pub(super) fn check_bodies(original: &Graph, plan: &Plan, known: &Known) -> Result<()> {
    let of_body = |name: &str| known.own.constants.contains_key(name) && original.find(name).is_none();
    match plan.unused.iter().find(|unused| of_body(&unused.name)) {
        None => Ok(()),
        Some(lost) => {
            let why = "is stored as integers in the body of an If, Loop or Scan, and would not stay so; make the model float: \
                       `tare dequantize`";
            Err(Error::value(&lost.name, why))
        }
    }
}

/// The names of constants that operators of `graph` read which were, and become again, ones of ONNX Runtime's own domain: these
/// take a scale for each row of each matrix.
///
/// # Errors
/// When a body is malformed.
fn taken_in_rows(graph: &Graph, known: &Known) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for id in graph.node_ids() {
        let name = |value: &ValueId| graph.value(*value).name().to_owned();
        let node = graph.node(id);
        let was_dynamic = node.outputs().iter().flatten().any(|value| known.dynamic.contains(&name(value)));
        if was_dynamic && ops::lookup(graph, id).is_some_and(|op| op.contrib_form.is_some()) {
            names.extend(node.inputs().iter().flatten().map(name));
        }
        for index in 0..graph.body_count(id) {
            names.extend(taken_in_rows(&graph.body(id, index)?, known)?);
        }
    }
    Ok(names)
}

/// The oldest operator set that has all that `known` asks for of `graph`; with `contrib` but for what ONNX Runtime's own domain
/// has.
///
/// # Errors
/// When a body is malformed.
pub(super) fn opset(graph: &Graph, known: &Known, encoded: Option<&KnownGrids>, contrib: bool) -> Result<i64> {
    let in_rows = if known.dynamic.is_empty() { BTreeSet::new() } else { taken_in_rows(graph, known)? };
    let of_type = |dtype: GridType| match dtype.bits() {
        2 => TWO_BITS_OPSET,
        8 if dtype.is_float() => FLOAT8_OPSET,
        8 => 0,
        _ if contrib => 0,
        _ => WIDE_OPSET,
    };
    let of = |grids: &KnownGrids| {
        let activations = grids.activations.values().map(|grid: &Params| of_type(grid.dtype));
        let constants = grids.constants.iter().flat_map(|(name, known)| {
            let blocks = known.block.filter(|_| !in_rows.contains(name)).map_or(0, |_| WIDE_OPSET);
            known.grids.first().map(|grid| of_type(grid.dtype)).into_iter().chain([blocks])
        });
        activations.chain(constants).max().unwrap_or(0)
    };
    Ok([Some(&known.told), Some(&known.own), encoded].into_iter().flatten().map(of).max().unwrap_or(0))
}

/// Whether a model has quantizers of ONNX Runtime's own domain.
pub(super) fn is_contrib(graph: &Graph) -> bool {
    graph.node_ids().any(|id| {
        let node = graph.node(id);
        node.domain() == MICROSOFT && matches!(node.op_type(), "QuantizeLinear" | "DequantizeLinear")
    })
}

/// Writes the quantized model `loaded`, which lies at `path`, as it is, and compares it with what it is in float.
///
/// # Errors
/// When samples are missing or bad, or the output cannot be written.
pub(super) fn keep(
    settings: &Settings,
    (loaded, path): (Model, &Path),
    output: &Path,
    (validating, context): (&Validating<'_>, &Context<'_>),
) -> Result<(Report, Option<Details>)> {
    let mut float = loaded.clone();
    let turned = dequantize::dequantize(&mut float);
    let mut planned = Planned::kept(float, loaded, path);
    planned.notes = super::planned::strip(&mut planned.model, settings.strip);
    let samples = Samples::held_back(settings, &planned.inputs()?, &validated::output_names(&planned.original))?;
    let staged = file::stage(&planned.model, output)?;
    let written = staged.load()?;
    let compared = match turned {
        Ok(_) => {
            let samples = samples.as_ref().map_err(|why| *why);
            validated::compare(&planned, &written, samples, (settings, validating), context)?
        }
        Err(why) => Err(format!("the model cannot be turned back into a float one to compare with: {why}")),
    };
    let details = detailed::details(settings, &planned, &written, None, (&compared, samples.as_ref().ok()), context)?;
    staged.commit()?;
    let mut summary = CalibrationSummary {
        source: "none: the model is quantized already".to_owned(),
        statistics_sha256: Calibration::default().digest()?,
        ..CalibrationSummary::default()
    };
    samples.iter().for_each(|samples| samples.add_skipped(&mut summary));
    let mut report = reported::report(settings, &planned, &Resolved::default(), None, compared, summary, output)?;
    report.quantized_input = Some("kept: the model is quantized already, and was written as it is".to_owned());
    Ok((report, details))
}

impl Planned {
    /// A quantized model to which nothing is done, and what it is in `float`.
    fn kept(float: Model, model: Model, path: &Path) -> Self {
        Self::of(float, model, Plan::default(), Known::default(), path)
    }
}
