//! Older operator sets: operators whose form or meaning changed are rewritten, the others keep their meaning.

mod attributes;
mod defaults;
mod dropout;
mod experimental;
mod normalization;
mod resize;
mod scan;
mod site;
mod softmax;
mod types;

use crate::error::{Error, Result};
use crate::exec::{Executor, Types};
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use site::Site;
use std::borrow::Cow;
use types::{Known, Outside};

/// The oldest operator set understood. Before it operators broadcast by attributes of their own.
const OLDEST: i64 = 7;

/// The newest operator set understood.
const NEWEST: i64 = 25;

/// Where the way up is interrupted: a model is brought up to here at first, and from here to where it has to go.
const HALFWAY: i64 = super::OUTPUT_OPSET;

/// The versions of the container format, and the newest operator set that each was published with.
const CONTAINERS: &[(i64, i64)] = &[(7, 14), (8, 18), (9, 20), (10, 22), (11, 23), (12, 24), (13, 25)];

/// Rewrites a node; says whether it had to.
type Adapter = fn(&mut Site<'_>) -> Result<bool>;

/// Operators, an operator set in which their form or meaning changed, and what makes a node from before it one of that
/// set. An operator has one row at most up to `HALFWAY`, and one behind it. Operators that only came to allow more types
/// or attributes are not here. Where ONNX left open what an operator gives, it gives what ONNX Runtime computes.
const ADAPTERS: &[(&str, i64, Adapter)] = &[
    ("ATen", 10, experimental::gone),
    ("Affine", 10, experimental::affine),
    ("BatchNormalization", 9, normalization::batch),
    ("BatchNormalization", 14, normalization::batch_training),
    ("Clip", 11, attributes::clip),
    ("ConstantFill", 10, experimental::gone),
    ("Crop", 10, experimental::crop),
    ("DFT", 20, attributes::dft),
    ("Dropout", 12, dropout::dropout),
    ("DynamicSlice", 10, experimental::gone),
    ("GRUUnit", 10, experimental::gone),
    ("GivenTensorFill", 10, experimental::gone),
    ("GridSample", 20, defaults::grid_sample),
    ("GroupNormalization", 21, normalization::group),
    ("Hardmax", 13, softmax::softmax),
    ("ImageScaler", 10, experimental::image_scaler),
    ("LogSoftmax", 13, softmax::softmax),
    ("MeanVarianceNormalization", 9, normalization::mean_variance),
    ("Pad", 11, attributes::pad),
    ("ParametricSoftplus", 10, experimental::parametric_softplus),
    ("ReduceL1", 18, attributes::axes),
    ("ReduceL2", 18, attributes::axes),
    ("ReduceLogSum", 18, attributes::axes),
    ("ReduceLogSumExp", 18, attributes::axes),
    ("ReduceMax", 18, attributes::axes),
    ("ReduceMean", 18, attributes::axes),
    ("ReduceMin", 18, attributes::axes),
    ("ReduceProd", 18, attributes::axes),
    ("ReduceSum", 13, attributes::axes),
    ("ReduceSumSquare", 18, attributes::axes),
    ("Resize", 13, resize::resize),
    ("RoiAlign", 16, defaults::roi_align),
    ("Scale", 10, experimental::scale),
    ("ScaledTanh", 10, experimental::scaled_tanh),
    ("Scan", 9, scan::scan),
    ("Scatter", 11, attributes::scatter),
    ("Slice", 10, attributes::slice),
    ("Softmax", 13, softmax::softmax),
    ("Split", 13, attributes::split),
    ("Split", 18, defaults::split),
    ("Squeeze", 13, attributes::axes),
    ("TopK", 10, attributes::top_k),
    ("Unsqueeze", 13, attributes::axes),
    ("Upsample", 10, resize::upsample),
];

/// A model whose Scans are those since opset 9, which have no batch: one of opset 8 with a Scan is brought up to a later one. What
/// cannot be stays as it is.
///
/// # Errors
/// When a body is malformed.
pub fn later_scans<'a>(model: &'a Model, executor: &dyn Executor) -> Result<Cow<'a, Model>> {
    if model.opset("").is_none_or(|version| version >= 9) || !has_scan(&model.graph)? {
        return Ok(Cow::Borrowed(model));
    }
    let mut later = model.clone();
    let raised = Upgrade { to: HALFWAY, executor }.run(&mut later);
    Ok(raised.map_or(Cow::Borrowed(model), |_| Cow::Owned(later)))
}

fn has_scan(graph: &Graph) -> Result<bool> {
    for id in graph.node_ids() {
        if graph.node(id).is("Scan") {
            return Ok(true);
        }
        for index in 0..graph.body_count(id) {
            if has_scan(&graph.body(id, index)?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Brings the model's operator set up to `to`, never down.
pub struct Upgrade<'a> {
    /// The version to reach: from 13 to 25.
    pub to: i64,
    /// Tells the types of values, which some rewrites depend on.
    pub executor: &'a dyn Executor,
}

impl Upgrade<'_> {
    /// Brings the functions that the model still has to the operator set that it gets itself: the two have to agree.
    fn functions(&self, model: &mut Model) -> Result<usize> {
        let mut changed = 0;
        for id in model.function_ids() {
            let Some(version) = model.function_opset(id, "").filter(|v| *v < self.to) else { continue };
            let label = model.function_label(id);
            let within = |e| Error::other(format!("in the function {label} of the model: {e}"));
            check(version, "the function").map_err(within)?;
            let raised = |graph: &mut Graph| raise(graph, version, self.to, &Outside::default());
            changed += model.edit_function(id, raised).map_err(within)?;
            model.set_function_opset(id, self.to);
        }
        Ok(changed)
    }
}

impl Pass for Upgrade<'_> {
    fn name(&self) -> &'static str {
        "upgrade-opset"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let Some(version) = model.opset("") else {
            return Err(Error::other("the model does not import ONNX's own operator set"));
        };
        check(version, "the model")?;
        if !(HALFWAY..=NEWEST).contains(&self.to) {
            let asked =
                format!("opset {} was asked for; models are brought up to opset {HALFWAY} to {NEWEST}", self.to);
            return Err(Error::other(asked));
        }
        if version >= self.to {
            return Ok(Outcome::default());
        }
        let types = if version < HALFWAY { super::types::infer(model, self.executor) } else { Types::default() };
        let outside = Outside::of_types(types);
        let changed = raise(&mut model.graph, version, self.to, &outside)? + self.functions(model)?;
        model.set_opset("", self.to);
        if let Some((container, _)) = CONTAINERS.iter().find(|(_, newest)| self.to <= *newest) {
            model.require_ir_version(*container);
        }
        Ok(Outcome { changed, ..Outcome::default() })
    }
}

fn check(version: i64, what: &str) -> Result<()> {
    if version < OLDEST {
        return Err(Error::other(format!(
            "{what} uses opset {version}; opsets {OLDEST} to {NEWEST} are understood. Export it again with a later opset, \
             or convert it with onnx.version_converter"
        )));
    }
    if version > NEWEST {
        return Err(Error::other(format!(
            "{what} uses opset {version}; opsets {OLDEST} to {NEWEST} are understood. Export it again with an opset that \
             is, or convert it with onnx.version_converter"
        )));
    }
    Ok(())
}

/// From one operator set to a later one.
#[derive(Debug, Clone, Copy)]
struct Step {
    from: i64,
    to: i64,
}

/// Brings a graph and its bodies from operator set `version` up to `to`; says how many nodes were rewritten on the way.
fn raise(graph: &mut Graph, version: i64, to: i64, outside: &Outside) -> Result<usize> {
    let steps = [Step { from: version, to: to.min(HALFWAY) }, Step { from: version.max(HALFWAY), to }];
    steps.into_iter().filter(|step| step.from < step.to).map(|step| upgrade(graph, step, outside)).sum()
}

/// Rewrites the nodes of a graph and of its bodies; says how many.
fn upgrade(graph: &mut Graph, step: Step, outside: &Outside) -> Result<usize> {
    // Behind the first half no adapter asks, and what later operators make is not known there.
    let known = if step.from < HALFWAY { Known::of(graph, outside)? } else { Known::default() };
    let mut changed = 0;
    for id in graph.node_ids().collect::<Vec<_>>() {
        // The body first: an adapter may move it.
        for index in 0..graph.body_count(id) {
            let outside = Outside::of_body(graph, id, &known, step.from);
            changed += graph.edit_body(id, index, |body| upgrade(body, step, &outside))?;
        }
        let Some((since, adapter)) = adapter(graph, id, step) else { continue };
        if let Some(name) = graph.node(id).attributes().references().next() {
            let what = format!(
                "its attribute {name:?} is chosen by each call of a function of the model, and it has to be rewritten for \
                 opset {since}; export the model without functions, or with opset {since} or later"
            );
            return Err(graph.node_error(id, what));
        }
        changed += usize::from(adapter(&mut Site { graph, id, version: step.from, known: &known })?);
    }
    Ok(changed)
}

/// What rewrites node `id` on a step, and since when it is written so.
fn adapter(graph: &Graph, id: NodeId, step: Step) -> Option<(i64, Adapter)> {
    let node = graph.node(id);
    let changed = |since: i64| step.from < since && since <= step.to;
    let found = ADAPTERS.iter().find(|(op_type, since, _)| changed(*since) && node.is(op_type));
    found.map(|(_, since, adapter)| (*since, *adapter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_has_one_adapter_at_most_on_each_half_of_the_way() {
        for (index, (op_type, since, _)) in ADAPTERS.iter().enumerate() {
            let half = |since: i64| since <= HALFWAY;
            let others = ADAPTERS[index + 1..].iter().filter(|(other, ..)| other == op_type);
            assert!(others.clone().all(|(_, other, _)| half(*other) != half(*since)), "{op_type} has two");
            assert!((OLDEST + 1..=NEWEST).contains(since), "{op_type} {since}");
        }
        assert!(ADAPTERS.is_sorted_by_key(|(op_type, since, _)| (*op_type, *since)));
        assert_eq!(CONTAINERS.last().map(|(_, newest)| *newest), Some(NEWEST));
    }
}
