//! What a file says around its graph, and what goes in and out.

use super::{Changed, Difference};
use crate::ir::{Graph, Model, ValueId};
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

fn said(model: &Model) -> BTreeMap<String, String> {
    let name = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
    let opsets = model.opsets().map(|(domain, version)| (format!("opset of {}", name(domain)), version.to_string()));
    let entries = model.metadata_entries().map(|(key, value)| (format!("metadata {key}"), value.to_owned()));
    let own = [("IR version".to_owned(), model.ir_version().to_string()), ("producer".to_owned(), model.producer())];
    own.into_iter().chain(opsets).chain(entries).collect()
}

fn listed(graph: &Graph, values: impl Iterator<Item = ValueId>) -> BTreeMap<String, String> {
    let ty = |v: ValueId| graph.stated_type(v).map_or("of no stated type".to_owned(), |ty| ty.to_string());
    values.enumerate().map(|(at, v)| (graph.value(v).name().to_owned(), format!("{}, number {at}", ty(v)))).collect()
}

pub(super) fn compare(a: &Model, b: &Model, difference: &mut Difference) {
    difference.around = changes("", said(a), said(b));
    let (one, two) = (&a.graph, &b.graph);
    difference.interface = changes("input ", listed(one, one.inputs()), listed(two, two.inputs()));
    difference.interface.extend(changes("output ", listed(one, one.outputs()), listed(two, two.outputs())));
}
