//! Nodes: which one model lacks, and what differs about those that both have.

use super::loose::Loose;
use super::pairing::{Pairing, operator, source};
use super::{Changed, Difference, around};
use crate::error::Result;
use crate::ir::{Graph, Model, NodeId, ValueId};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A node of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeOf {
    /// Its name, or that of its first output; in a body or function, with what that belongs to.
    pub node: String,
    /// Its operator, with the domain where that is not ONNX's own.
    pub operator: String,
    /// The operator that it and others spell out, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<&'static str>,
}

/// A node that both models have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeChange {
    /// Its name in the first model.
    pub node: String,
    /// Its operator there.
    pub operator: String,
    /// What differs: operator, inputs, attributes, how many bodies.
    pub changes: Vec<Changed>,
}

pub(super) fn compare(a: &Model, b: &Model, difference: &mut Difference) -> Result<()> {
    graphs(&Pairing::of(&a.graph, &b.graph)?, "", difference)?;
    // Definitions are shown for editing only: of copies.
    let (mut one, mut two) = (a.clone(), b.clone());
    let labels = |model: &Model| -> BTreeMap<String, _> {
        model.function_ids().map(|id| (model.function_label(id), id)).collect()
    };
    let (in_a, in_b) = (labels(a), labels(b));
    for name in in_a.keys().chain(in_b.keys()).collect::<BTreeSet<_>>() {
        match (in_a.get(name), in_b.get(name)) {
            (Some(&id), Some(&other)) => {
                let first = one.edit_function(id, |graph| Ok(graph.clone()))?;
                let second = two.edit_function(other, |graph| Ok(graph.clone()))?;
                inner(&first, &second, &format!("function {name}: "), difference)?;
                let stated = [around::of_function(a, id), around::of_function(b, other)];
                let [stated, others] = stated;
                difference.around.extend(around::changes(&format!("function {name}: "), stated, others));
            }
            (of_a, of_b) => {
                let there = |of: bool| of.then(|| "defined".to_owned());
                let (a, b) = (there(of_a.is_some()), there(of_b.is_some()));
                difference.around.push(Changed { what: format!("function {name}"), a, b });
            }
        }
    }
    Ok(())
}

/// The names of constants that belong together by the nodes that read them, where neither name is known to the other graph.
pub(super) fn constants_by_place(pairing: &Pairing<'_>) -> Result<BTreeMap<String, String>> {
    let [a, b] = pairing.graphs;
    let mut found = BTreeMap::new();
    for id in a.topological()? {
        let Some(&other) = pairing.nodes.get(&id).filter(|other| operator(a.node(id)) == operator(b.node(**other)))
        else {
            continue;
        };
        for (x, y) in a.node(id).inputs().iter().zip(b.node(other).inputs()) {
            let (Some(x), Some(y)) = (*x, *y) else { continue };
            let (one, two) = (a.value(x).name(), b.value(y).name());
            if a.is_constant(x) && b.is_constant(y) && b.find(one).is_none() && a.find(two).is_none() {
                found.entry(one.to_owned()).or_insert_with(|| two.to_owned());
            }
        }
    }
    Ok(found)
}

/// Compares two bodies or functions.
fn inner(a: &Graph, b: &Graph, scope: &str, difference: &mut Difference) -> Result<()> {
    let pairing = Pairing::of(a, b)?;
    around::inside(&pairing, scope, difference);
    graphs(&pairing, scope, difference)
}

fn graphs(pairing: &Pairing<'_>, scope: &str, difference: &mut Difference) -> Result<()> {
    let [a, b] = pairing.graphs;
    let order = [a.topological()?, b.topological()?];
    let loose = [Loose::of(a, &order[0]), Loose::of(b, &order[1])];
    let of = |side: usize, id: NodeId| NodeOf {
        node: format!("{scope}{}", pairing.graphs[side].label(id)),
        operator: operator(pairing.graphs[side].node(id)),
        part_of: loose[side].part_of(id),
    };
    let [first, second] = &order;
    for &id in first {
        let Some(&other) = pairing.nodes.get(&id) else {
            difference.removed.push(of(0, id));
            continue;
        };
        difference.compared.nodes += 1;
        let changes = changes(pairing, id, other, scope, difference)?;
        let NodeOf { node, operator, .. } = of(0, id);
        if !changes.is_empty() {
            difference.changed.push(NodeChange { node, operator, changes });
        }
        for index in 0..a.body_count(id).min(b.body_count(other)) {
            let scope = format!("{scope}{}, body {index}: ", a.label(id));
            inner(&a.body(id, index)?, &b.body(other, index)?, &scope, difference)?;
        }
    }
    let added = second.iter().filter(|id| !pairing.taken.contains(&id.index()));
    difference.added.extend(added.map(|&id| of(1, id)));
    Ok(())
}

/// What differs about two nodes that belong together. What only goes by another name is noted apart.
fn changes(
    pairing: &Pairing<'_>,
    id: NodeId,
    other: NodeId,
    scope: &str,
    difference: &mut Difference,
) -> Result<Vec<Changed>> {
    let [a, b] = pairing.graphs;
    let (one, two) = (a.node(id), b.node(other));
    let mut changes = Vec::new();
    let mut rename = |what: &str, x: &str, y: &str| {
        // A name that the other model has somewhere else is not just another one.
        let elsewhere = what != "node" && (b.find(x).is_some() || a.find(y).is_some());
        if x != y && !elsewhere {
            let what = format!("{scope}{what}");
            difference.renamed.push(Changed { what, a: Some(x.to_owned()), b: Some(y.to_owned()) });
        }
    };
    if operator(one) != operator(two) {
        changes.push(Changed { what: "operator".to_owned(), a: Some(operator(one)), b: Some(operator(two)) });
        // What another operator reads is in other places.
        return Ok(changes);
    }
    rename("node", one.name(), two.name());
    let name = |graph: &Graph, value: Option<ValueId>| value.map(|v| graph.value(v).name().to_owned());
    for slot in 0..one.outputs().len().max(two.outputs().len()) {
        let (made, others) = (one.output(slot), two.output(slot));
        let (x, y) = (name(a, made), name(b, others));
        if let (Some(x), Some(y)) = (&x, &y) {
            rename("value", x, y);
        }
        let alike = match (made, others) {
            (Some(made), Some(other)) => !pairing.is_made_elsewhere(made, other),
            (made, other) => made == other,
        };
        if !alike {
            changes.push(Changed { what: format!("output {slot}"), a: x, b: y });
        }
    }
    for slot in 0..one.inputs().len().max(two.inputs().len()) {
        let (x, y) = (one.input(slot), two.input(slot));
        let same = match (x, y) {
            (Some(read), Some(other)) => {
                let (x, y) = (source(a, read), source(b, other));
                if (read, other) == (x, y) && pairing.renamed(x, y) {
                    rename("constant", a.value(x).name(), b.value(y).name());
                }
                pairing.same(read, other)
            }
            (x, y) => x == y,
        };
        if !same {
            changes.push(Changed { what: format!("input {slot}"), a: name(a, x), b: name(b, y) });
        }
    }
    let (x, y) = (one.attributes(), two.attributes());
    for attribute in x.names().chain(y.names()).collect::<BTreeSet<_>>() {
        if !x.same(y, attribute)? {
            let (mut a, mut b) = (x.shown(attribute), y.shown(attribute));
            if a == b && a.is_some() {
                // Tensors of one shape.
                (a, b) = (a.map(|a| a + ", these numbers"), b.map(|b| b + ", other numbers"));
            }
            changes.push(Changed { what: format!("attribute {attribute}"), a, b });
        }
    }
    Ok(changes)
}
