//! Bodies of If, Loop and Scan: they stay messages, but the values they read from outside are uses like any other.

use crate::proto::{AttributeProto, GraphProto};
use std::collections::HashSet;

/// How deep bodies may nest. Deeper models are refused rather than overflowing the stack.
const MAX_DEPTH: usize = 64;

/// What the bodies in a node's attributes read from outside, and every name they define themselves.
#[derive(Debug, Default)]
pub struct BodyNames {
    /// Names read from the graph around, in order of first reading.
    pub captured: Vec<String>,
    /// Names defined inside.
    pub defined: Vec<String>,
    /// Whether bodies nest deeper than this module follows.
    pub too_deep: bool,
}

/// Looks into every graph among `attributes`.
pub fn names(attributes: &[AttributeProto]) -> BodyNames {
    let mut found = BodyNames::default();
    let mut seen = HashSet::new();
    visit_attributes(attributes, &mut Vec::new(), &mut seen, &mut found);
    found
}

fn visit_attributes(
    attributes: &[AttributeProto],
    scopes: &mut Vec<HashSet<String>>,
    seen: &mut HashSet<String>,
    found: &mut BodyNames,
) {
    for attribute in attributes {
        for body in attribute.g.iter().chain(&attribute.graphs) {
            visit(body, scopes, seen, found);
        }
    }
}

fn visit(body: &GraphProto, scopes: &mut Vec<HashSet<String>>, seen: &mut HashSet<String>, found: &mut BodyNames) {
    if scopes.len() >= MAX_DEPTH {
        found.too_deep = true;
        return;
    }
    let mut own: HashSet<String> = HashSet::new();
    own.extend(body.input.iter().map(|i| i.name().to_owned()));
    own.extend(body.initializer.iter().map(|t| t.name().to_owned()));
    own.extend(body.sparse_initializer.iter().filter_map(|t| Some(t.values.as_ref()?.name().to_owned())));
    own.extend(body.node.iter().flat_map(|n| n.output.iter().cloned()));
    let mut defined: Vec<_> = own.iter().cloned().collect();
    defined.sort_unstable();
    found.defined.append(&mut defined);
    scopes.push(own);
    let read = body.node.iter().flat_map(|n| &n.input).chain(body.output.iter().filter_map(|o| o.name.as_ref()));
    for name in read {
        let outer = !name.is_empty() && !scopes.iter().any(|s| s.contains(name));
        if outer && seen.insert(name.clone()) {
            found.captured.push(name.clone());
        }
    }
    for node in &body.node {
        visit_attributes(&node.attribute, scopes, seen, found);
    }
    scopes.pop();
}
