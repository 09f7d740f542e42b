//! Report: what was done and how much was lost.

use super::validated::Compared;
use super::{Planned, TOOL};
use crate::error::Result;
use crate::exec::Types;
use crate::file;
use crate::plan::{Idle, NodePlan, Placement, Stored};
use crate::policy::{QuantizedInput, Settings};
use crate::quant::GridType;
use crate::report::{CalibrationSummary, FileSummary, Report, SplitLayer, UnusedGrid, summarize};
use crate::resolve::Resolved;
use crate::rewrite::Kept;
use crate::target::Target;
use crate::validate::{self, Comparison};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The report of a conversion whose model lies at `output`.
///
/// # Errors
/// When one of the two models cannot be read any more.
pub fn report(
    settings: &Settings,
    planned: &Planned,
    resolved: &Resolved,
    types: Option<&Types>,
    compared: Compared,
    calibration: CalibrationSummary,
    output: &Path,
) -> Result<Report> {
    let (validation, not_validated) = match compared {
        Ok(comparison) => (Some(comparison), None),
        Err(why) => (None, Some(why)),
    };
    let mut warnings: Vec<String> =
        resolved.warnings.iter().map(|(value, what)| format!("value {value:?} {what}")).collect();
    if !planned.is_quantized() && settings.quantized_input != QuantizedInput::Keep {
        let what =
            "nothing in the model became integers: it was written as it is; `tare inspect` says why of each node";
        warnings.insert(0, what.to_owned());
    }
    let (bad, files) = (calibration.skipped.len(), calibration.skipped.join("; "));
    if bad > 0 {
        warnings.push(format!("skipped, {bad} in all: {files}"));
    }
    let values = planned.plan.values.iter().flat_map(|value| std::iter::once(&value.settings).chain(&value.also));
    let nodes = planned.plan.nodes.iter().filter(|_| !planned.plan.values.is_empty());
    let constants = nodes.flat_map(|node| node.placement.constants()).map(|constant| constant.scheme.dtype);
    let stored = values.map(|settings| settings.scheme.dtype).chain(constants.filter(|dtype| dtype.is_float()));
    // The wider type's caution holds for both.
    let stored: Vec<GridType> = stored.collect();
    let narrow = stored.iter().filter_map(|dtype| dtype.float8()).max_by_key(|kind| Reverse(kind.mantissa()));
    warnings.extend(narrow.and_then(|kind| planned.target.caution(GridType::Float8(kind))).map(str::to_owned));
    warnings.extend(half_caution(planned).map(str::to_owned));
    if validation.as_ref().is_some_and(|v| v.outputs.iter().any(|o| o.not_finite > 0)) {
        warnings.push("an output is NaN or infinite where the other model's is not".to_owned());
    }
    let checks = validate::checks(&settings.thresholds, validation.as_ref());
    warnings.extend(overruled(planned));
    warnings.extend(idle(&planned.plan.idle()));
    let unused = planned.plan.unused.iter();
    let mut unused: Vec<_> =
        unused.map(|unused| UnusedGrid { name: unused.name.clone(), reason: unused.reason.clone() }).collect();
    let encodings = planned.encoded.as_ref().map(|encoded| encoded.summary(&mut unused));
    warnings.extend(few_bits_cautions(planned).into_iter().map(str::to_owned));
    let (model, output) = (file_summary(&planned.path)?, file_summary(output)?);
    if output.bytes > model.bytes {
        warnings.push(
            "the file is larger than the one it is made from: what was added takes more than integers save".to_owned(),
        );
    }
    Ok(Report {
        tool: TOOL.to_owned(),
        model,
        output,
        policy_sha256: planned.policy_sha256(settings),
        calibration,
        placement: summarize(&planned.plan, &planned.model.graph, &planned.target, Some(resolved), types),
        missed: validate::misses(&checks),
        checks,
        failed: validation.iter().flat_map(Comparison::faults).map(|fault| fault.to_string()).collect(),
        quantized_input: planned.completes.then(|| completed(planned)),
        validation,
        not_validated,
        budget: None,
        split: split(planned, resolved),
        encodings,
        known_not_used: unused,
        notes_left_out: planned.notes,
        warnings,
    })
}

/// What to say of integer nodes that have no operator on integers: a line for each reason.
pub fn kept(kept: &[Kept]) -> Vec<String> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for Kept { node, reason, .. } in kept {
        match groups.iter_mut().find(|group| group.0 == reason) {
            Some(group) => group.1.push(node),
            None => groups.push((reason, vec![node])),
        }
    }
    let line = |(reason, nodes): (&str, Vec<&str>)| {
        let names = nodes.join(", ");
        format!("between DequantizeLinear and QuantizeLinear, {} in all: {reason} ({names})", nodes.len())
    };
    groups.into_iter().map(line).collect()
}

/// What to say of a model whose quantized parts stay.
fn completed(planned: &Planned) -> String {
    let (activations, constants) = (planned.known.own.activations.len(), planned.known.own.constants.len());
    format!(
        "completed: {activations} activations and {constants} stored constants keep their grids; compared with the model \
         turned back to float"
    )
}

/// What has to be known before a model is run whose nodes compute in 16 bits, if there is something.
fn half_caution(planned: &Planned) -> Option<&'static str> {
    let mut caution = None;
    planned.plan.walk(&planned.model.graph, &mut |_, node| {
        if let Placement::Half(half) = &node.placement {
            caution = caution.or_else(|| planned.target.caution_half(half.kind));
        }
    });
    caution
}

/// What has to be known before a model is run that has weights of few bits.
fn few_bits_cautions(planned: &Planned) -> BTreeSet<&'static str> {
    let mut cautions = BTreeSet::new();
    planned.plan.walk(&planned.model.graph, &mut |graph, node| {
        let on_integers = matches!(node.placement, Placement::Integer(_));
        for constant in node.placement.constants().iter().filter(|constant| constant.form == Stored::Plain) {
            let dtype = constant.scheme.dtype;
            cautions.extend(planned.target.caution_stored(graph, node.id, dtype));
            cautions.extend(planned.target.caution_beside(dtype).filter(|_| on_integers && constant.is_weight));
        }
    });
    cautions
}

/// How many values of a rule a warning names.
const NAMES_SHOWN: usize = 3;

/// What to say of ranges and scales that rules state of values without a grid: a line for each rule and reason.
fn idle(found: &[&Idle]) -> Vec<String> {
    let mut groups: BTreeMap<(usize, &str), Vec<String>> = BTreeMap::new();
    for Idle { line, name, reason } in found {
        groups.entry((*line, reason)).or_default().push(format!("{name:?}"));
    }
    let line = |((line, reason), names): ((usize, &str), Vec<String>)| {
        let more = names.len().saturating_sub(NAMES_SHOWN);
        let shown = names.into_iter().take(NAMES_SHOWN).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!(
            "the range or scale that the policy's rule on line {line} states of {shown}{more} is not used: {reason}"
        )
    };
    groups.into_iter().map(line).collect()
}

/// What to say of weights whose stated grids are of another type than the policy has for them: a line for each two types.
fn overruled(planned: &Planned) -> Vec<String> {
    let mut groups: BTreeMap<(String, String), usize> = BTreeMap::new();
    planned.plan.walk(&planned.model.graph, &mut |_, node| {
        for constant in node.placement.constants() {
            if let Some(policy) = constant.overruled {
                *groups.entry((constant.scheme.dtype.to_string(), policy.to_string())).or_default() += 1;
            }
        }
    });
    let line = |((stated, policy), count): ((String, String), usize)| {
        format!("{count} weights are {stated}, as is stated beside the model, and not {policy}, as the policy has it")
    };
    groups.into_iter().map(line).collect()
}

fn split(planned: &Planned, resolved: &Resolved) -> Vec<SplitLayer> {
    let of = |node: &NodePlan| {
        let split = node.placement.constants().iter().find_map(|constant| constant.split)?;
        let columns = resolved.outliers(split.value).to_vec();
        (!columns.is_empty()).then(|| SplitLayer { node: node.name.clone(), columns })
    };
    planned.plan.nodes.iter().filter_map(of).collect()
}

/// What tells policies apart that make other models.
pub fn policy_sha256(settings: &Settings) -> String {
    file::digest_bytes(settings.canonical().to_string().as_bytes())
}

/// The name, size and digest of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn file_summary(path: &Path) -> Result<FileSummary> {
    Ok(FileSummary { path: path.display().to_string(), bytes: file::size(path)?, sha256: file::digest(path)? })
}
