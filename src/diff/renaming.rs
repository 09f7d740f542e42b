//! The second model under the names of the first: what belongs together by structure is then compared by name.

use super::loose::past;
use super::pairing::{Pairing, operator, read, source};
use super::{Changed, Difference};
use crate::dequantize;
use crate::error::Result;
use crate::ir::{Graph, Model, Node, NodeId, ValueId};
use crate::qoperators;
use std::collections::{BTreeMap, BTreeSet};

/// The second model in names of the first, where those that it has itself are not known to the first; what went by another name is
/// noted.
///
/// # Errors
/// When a graph has a circle or a body is malformed.
pub(super) fn renamed(a: &Model, b: &Model, difference: &mut Difference) -> Result<Model> {
    let mut b = b.clone();
    walk(&a.graph, &mut b.graph, "", &mut difference.renamed)?;
    Ok(b)
}

/// Says of constants that differ what the second model calls them.
pub(super) fn note_names(difference: &mut Difference) {
    let Difference { renamed, constants, .. } = difference;
    let constant = |change: &Changed| change.what.rsplit(' ').next() == Some("constant");
    let names: BTreeMap<String, &String> = renamed
        .iter()
        .filter(|change| constant(change))
        .filter_map(|change| {
            let scope = change.what.strip_suffix("constant").unwrap_or_default();
            Some((format!("{scope}{}", change.a.as_ref()?), change.b.as_ref()?))
        })
        .collect();
    for change in constants.iter_mut().filter(|change| change.a.is_some() && change.b.is_some()) {
        if let Some(&name) = names.get(&change.name) {
            change.b_name.get_or_insert_with(|| name.clone());
        }
    }
}

fn walk(a: &Graph, b: &mut Graph, scope: &str, renamed: &mut Vec<Changed>) -> Result<()> {
    let before = b.clone();
    let pairing = Pairing::of(a, &before)?;
    let nodes = [a, &before].map(|graph| graph.node_ids().map(|id| graph.node(id).name()).collect());
    let mut names = Names { a, b, nodes, scope, renamed };
    if a.inputs().count() == before.inputs().count() {
        for (x, y) in a.inputs().zip(before.inputs()) {
            names.give(y, a.value(x).name(), "input");
        }
    }
    let order = a.topological()?;
    let pairs = order.iter().filter_map(|&id| Some((id, *pairing.nodes.get(&id)?)));
    let (pairs, others): (Vec<(NodeId, NodeId)>, Vec<_>) =
        pairs.partition(|&(id, other)| operator(a.node(id)) == operator(before.node(other)));
    for &(id, other) in &pairs {
        names.of_pair(&pairing, id, other);
    }
    for (id, other) in others {
        // Operators on integers make these, what they stand for makes numbers.
        let is_float = |node: &Node| qoperators::find(node.domain(), node.op_type()).is_none();
        if is_float(a.node(id)) && is_float(before.node(other)) {
            names.of_made(&pairing, id, other);
        }
    }
    for (id, other) in pairs {
        for index in 0..a.body_count(id).min(before.body_count(other)) {
            let (inner, scope) = (a.body(id, index)?, format!("{scope}{}, body {index}: ", a.label(id)));
            b.edit_body(other, index, |body| walk(&inner, body, &scope, renamed))?;
        }
    }
    Ok(())
}

/// The second graph while it gets the names of the first.
struct Names<'n> {
    a: &'n Graph,
    b: &'n mut Graph,
    /// What the nodes of both are called.
    nodes: [BTreeSet<&'n str>; 2],
    scope: &'n str,
    renamed: &'n mut Vec<Changed>,
}

impl Names<'_> {
    fn note(&mut self, what: &str, x: &str, y: &str) {
        let what = format!("{}{what}", self.scope);
        self.renamed.push(Changed { what, a: Some(x.to_owned()), b: Some(y.to_owned()) });
    }

    /// Calls `value` by `name`, unless one of both names is known to both graphs.
    fn give(&mut self, value: ValueId, name: &str, what: &str) {
        let old = self.b.value(value).name().to_owned();
        let known = self.b.find(name).is_some() || self.a.find(&old).is_some();
        if !known && self.b.rename_throughout(value, name) {
            self.note(what, name, &old);
        }
    }

    /// Names what two nodes make.
    fn of_made(&mut self, pairing: &Pairing<'_>, id: NodeId, other: NodeId) {
        let (one, two) = (self.a.node(id), self.b.node(other).clone());
        for (x, y) in one.outputs().iter().zip(two.outputs()) {
            let (Some(x), Some(y)) = (*x, *y) else { continue };
            let x = last(pairing, 0, x);
            let y = last(pairing, 1, y);
            let what = if self.b.value(y).is_output() { "output" } else { "value" };
            self.give(y, self.a.value(x).name(), what);
        }
    }

    fn of_pair(&mut self, pairing: &Pairing<'_>, id: NodeId, other: NodeId) {
        let (one, two) = (self.a.node(id), self.b.node(other).clone());
        let (name, old) = (one.name(), two.name());
        if !name.is_empty() && !old.is_empty() && name != old {
            let known = self.nodes[1].contains(name) || self.nodes[0].contains(old);
            if !known && self.b.rename_node(other, name) {
                self.note("node", name, old);
            }
        }
        self.of_made(pairing, id, other);
        for (x, y) in read(one, &two) {
            let (first, second) = (source(self.a, x), source(self.b, y));
            if !self.a.is_constant(first) || !self.b.is_constant(second) {
                continue;
            }
            let name = self.a.value(first).name();
            // Numbers that only one of them stores as integers have a name for these.
            match (first == x, second == y) {
                (true, false) => self.give(second, &format!("{name}_quantized"), "constant"),
                (false, true) => self.give(second, dequantize::stem(name).unwrap_or(name), "constant"),
                (true, true) => self.give(second, name, "constant"),
                // Who leads them to floats is a node of its own.
                (false, false) => {}
            }
        }
    }
}

/// What `value` becomes in clamps and the like behind it that alone read it, and that the other model does not have.
fn last(pairing: &Pairing<'_>, side: usize, mut value: ValueId) -> ValueId {
    let graph = pairing.graphs[side];
    loop {
        let mut uses = graph.value(value).uses().iter();
        let (Some(_), None) = (uses.next(), uses.next()) else { return value };
        let Some((reader, _)) = graph.value(value).readers().next() else { return value };
        let paired =
            if side == 0 { pairing.nodes.contains_key(&reader) } else { pairing.taken.contains(&reader.index()) };
        let next = graph.node(reader).output(0).filter(|&made| !paired && past(graph, made) == Some(value));
        match next {
            Some(next) => value = next,
            None => return value,
        }
    }
}
