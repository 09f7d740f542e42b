//! Older operator sets: operators whose form or meaning changed are rewritten, the others keep their meaning.

mod attributes;
mod dropout;
mod experimental;
mod normalization;
mod resize;
mod scan;
mod site;
mod softmax;
mod types;

use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use site::Site;
use types::{Known, Outside};

/// The oldest operator set understood. Before it operators broadcast by attributes of their own.
const OLDEST: i64 = 7;

/// The newest operator set understood.
const NEWEST: i64 = 25;

/// Rewrites a node; says whether it had to.
type Adapter = fn(&mut Site<'_>) -> Result<bool>;

/// Operators, the operator set from which on their nodes are written as today, and what makes an older node one of
/// these. Operators that only came to allow more types are not here. Where ONNX left open what an operator gives, it
/// gives what ONNX Runtime computes.
const ADAPTERS: &[(&str, i64, Adapter)] = &[
    ("ATen", 10, experimental::gone),
    ("Affine", 10, experimental::affine),
    ("BatchNormalization", 9, normalization::batch),
    ("Clip", 11, attributes::clip),
    ("ConstantFill", 10, experimental::gone),
    ("Crop", 10, experimental::crop),
    ("Dropout", 12, dropout::dropout),
    ("DynamicSlice", 10, experimental::gone),
    ("GRUUnit", 10, experimental::gone),
    ("GivenTensorFill", 10, experimental::gone),
    ("Hardmax", 13, softmax::softmax),
    ("ImageScaler", 10, experimental::image_scaler),
    ("LogSoftmax", 13, softmax::softmax),
    ("MeanVarianceNormalization", 9, normalization::mean_variance),
    ("Pad", 11, attributes::pad),
    ("ParametricSoftplus", 10, experimental::parametric_softplus),
    ("ReduceSum", 13, attributes::axes),
    ("Resize", 13, resize::resize),
    ("Scale", 10, experimental::scale),
    ("ScaledTanh", 10, experimental::scaled_tanh),
    ("Scan", 9, scan::scan),
    ("Scatter", 11, attributes::scatter),
    ("Slice", 10, attributes::slice),
    ("Softmax", 13, softmax::softmax),
    ("Split", 13, attributes::split),
    ("Squeeze", 13, attributes::axes),
    ("TopK", 10, attributes::top_k),
    ("Unsqueeze", 13, attributes::axes),
    ("Upsample", 10, resize::upsample),
];

/// Brings the model's operator set up to `to`, never down.
pub struct Upgrade<'a> {
    /// The version to reach.
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
            changed += model.edit_function(id, |graph| upgrade(graph, version, &Outside::default())).map_err(within)?;
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
        if version >= self.to {
            return Ok(Outcome::default());
        }
        let types = super::types::infer(model, self.executor);
        let changed = upgrade(&mut model.graph, version, &Outside::of_types(types))? + self.functions(model)?;
        model.set_opset("", self.to);
        model.require_ir_version(7);
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

/// Rewrites the nodes of a graph and of its bodies; says how many.
fn upgrade(graph: &mut Graph, version: i64, outside: &Outside) -> Result<usize> {
    let known = Known::of(graph, outside)?;
    let mut changed = 0;
    for id in graph.node_ids().collect::<Vec<_>>() {
        // The body first: an adapter may move it.
        for index in 0..graph.body_count(id) {
            let outside = Outside::of_body(graph, id, &known, version);
            changed += graph.edit_body(id, index, |body| upgrade(body, version, &outside))?;
        }
        let Some(adapter) = adapter(graph, id, version) else { continue };
        if let Some(name) = graph.node(id).attributes().references().next() {
            let what = format!(
                "its attribute {name:?} is chosen by each call of a function of the model, and it has to be rewritten for \
                 opset {version}; export the model without functions, or with opset 13 or later"
            );
            return Err(graph.node_error(id, what));
        }
        changed += usize::from(adapter(&mut Site { graph, id, version, known: &known })?);
    }
    Ok(changed)
}

/// What rewrites node `id`, written for operator set `version`.
fn adapter(graph: &Graph, id: NodeId, version: i64) -> Option<Adapter> {
    let node = graph.node(id);
    let found = ADAPTERS.iter().find(|(op_type, since, _)| node.is(op_type) && version < *since);
    found.map(|(_, _, adapter)| *adapter)
}
