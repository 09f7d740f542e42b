//! What a file says around its graph, and what goes in and out: of the model, its functions and bodies.

use super::pairing::Pairing;
use super::{Changed, Difference};
use crate::ir::{FunctionId, Graph, Model, ValueId};
use std::collections::BTreeMap;

/// Entries of both, by what they are.
pub(super) fn changes(what: &str, a: BTreeMap<String, String>, mut b: BTreeMap<String, String>) -> Vec<Changed> {
    let mut all = Vec::new();
    for (key, one) in a {
        let two = b.remove(&key);
        if two.as_ref() != Some(&one) {
            all.push(Changed { what: format!("{what}{key}"), a: Some(one), b: two });
        }
    }
    all.extend(b.into_iter().map(|(key, two)| Changed { what: format!("{what}{key}"), a: None, b: Some(two) }));
    all
}

fn opsets<'a>(all: impl Iterator<Item = (&'a str, i64)>) -> impl Iterator<Item = (String, String)> {
    let name = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
    all.map(move |(domain, version)| (format!("opset of {}", name(domain)), version.to_string()))
}

fn said(model: &Model) -> BTreeMap<String, String> {
    let entries = model.metadata_entries().map(|(key, value)| (format!("metadata {key}"), value.to_owned()));
    let own = [("IR version".to_owned(), model.ir_version().to_string()), ("producer".to_owned(), model.producer())];
    own.into_iter().chain(opsets(model.opsets())).chain(entries).collect()
}

/// What a function states besides its nodes, and what goes in and out of these.
pub(super) fn of_function(model: &Model, id: FunctionId) -> BTreeMap<String, String> {
    let wanted = model.function_attributes(id).iter();
    let wanted = wanted.map(|name| (format!("attribute {name}"), "that each call states".to_owned()));
    let defaults = model.function_defaults(id);
    let shown =
        |name: &str| (format!("attribute {name}"), format!("else {}", defaults.shown(name).unwrap_or_default()));
    opsets(model.function_opsets(id)).chain(wanted).chain(defaults.names().map(shown)).collect()
}

fn ty(graph: &Graph, value: ValueId) -> String {
    graph.stated_type(value).map_or("of no stated type".to_owned(), |ty| ty.to_string())
}

fn listed(graph: &Graph, values: impl Iterator<Item = ValueId>) -> BTreeMap<String, String> {
    let one = |(at, v): (usize, ValueId)| (graph.value(v).name().to_owned(), format!("{}, number {at}", ty(graph, v)));
    values.enumerate().map(one).collect()
}

pub(super) fn compare(a: &Model, b: &Model, difference: &mut Difference) {
    difference.around = changes("", said(a), said(b));
    let (one, two) = (&a.graph, &b.graph);
    difference.interface = changes("input ", listed(one, one.inputs()), listed(two, two.inputs()));
    difference.interface.extend(changes("output ", listed(one, one.outputs()), listed(two, two.outputs())));
}

/// Compares what goes in and out of the bodies or functions `pairing` is of. It goes by place: no caller knows its names.
pub(super) fn inside(pairing: &Pairing<'_>, scope: &str, difference: &mut Difference) {
    let [a, b] = pairing.graphs;
    let mut ends = |what: &str, one: Vec<ValueId>, two: Vec<ValueId>, same: &dyn Fn(ValueId, ValueId) -> bool| {
        for at in 0..one.len().max(two.len()) {
            let (x, y) = (one.get(at).copied(), two.get(at).copied());
            let shown = |graph: &Graph, v: ValueId| format!("{}, {}", graph.value(v).name(), ty(graph, v));
            let alike = matches!((x, y), (Some(x), Some(y)) if same(x, y) && ty(a, x) == ty(b, y));
            if !alike {
                let what = format!("{scope}{what} {at}");
                difference.interface.push(Changed { what, a: x.map(|x| shown(a, x)), b: y.map(|y| shown(b, y)) });
            }
        }
    };
    ends("input", a.inputs().collect(), b.inputs().collect(), &|x, y| {
        let (one, two) = (a.value(x).name(), b.value(y).name());
        one == two || b.find(one).is_none() && a.find(two).is_none()
    });
    ends("output", a.outputs().collect(), b.outputs().collect(), &|x, y| pairing.same(x, y));
}
