//! `tare inspect`: what a model is and what quantizing it would do.

use super::PlacementSummary;
use super::terminal::size;
use crate::error::Result;
use crate::ir::{Graph, Model, ValueId};
use crate::plan::{Placement, Plan};
use crate::qoperators;
use crate::quant::HalfType;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write;

/// Notes are spoken of where they are more than one of so many parts of a file.
const WORTH_SAYING: u64 = 20;

/// A model that is looked at.
pub struct Inspected<'a> {
    /// As its file has it.
    pub loaded: &'a Model,
    /// As it would be quantized.
    pub prepared: &'a Model,
    /// How it would be.
    pub plan: &'a Plan,
    /// Constants of the prepared model that the file has as integers.
    pub stored: &'a BTreeSet<&'a str>,
    /// The size of its file, in bytes.
    pub bytes: u64,
    /// Of one that is quantized already: what is shown of it.
    pub how: String,
}

/// An audit of a model whose plan `summary` sums up.
///
/// # Errors
/// When a stored constant is malformed.
pub fn audit(inspected: &Inspected<'_>, summary: &PlacementSummary) -> Result<String> {
    let &Inspected { loaded: original, prepared, bytes: file_bytes, .. } = inspected;
    let mut text = String::new();
    let opsets: Vec<_> = original
        .opsets()
        .map(|(domain, v)| format!("{} {v}", if domain.is_empty() { "ai.onnx" } else { domain }))
        .collect();
    let _ = writeln!(
        text,
        "format       IR {}, opset {}, by {:?}",
        original.ir_version(),
        opsets.join(", "),
        original.producer()
    );
    let describe = |v: ValueId| {
        let ty = original.graph.stated_type(v).map_or("no type".to_owned(), |t| t.to_string());
        format!("{} {ty}", original.graph.value(v).name())
    };
    original.graph.inputs().for_each(|v| text.push_str(&format!("input        {}\n", describe(v))));
    original.graph.outputs().for_each(|v| text.push_str(&format!("output       {}\n", describe(v))));
    let quantized = quantized_operators(&original.graph)?;
    // A quantized model becomes float before it is prepared, and one of 16 bits float32.
    let stands = if quantized.is_empty() && !has_halves(original) { prepared } else { original };
    let _ = writeln!(text, "size         {}, of which constants by operator:", size(file_bytes));
    let mut rows: Vec<_> = constant_bytes(stands)?.into_iter().collect();
    rows.sort_by_key(|(name, (bytes, _))| (std::cmp::Reverse(*bytes), name.clone()));
    for (op_type, (bytes, nodes)) in &rows {
        let _ = writeln!(text, "  {op_type:<24} {:>10}  {nodes} nodes", size(*bytes));
    }
    let notes = original.strippable_bytes()?;
    if notes > file_bytes / WORTH_SAYING {
        let _ = writeln!(
            text,
            "notes        {} of doc strings and exporter's notes, which --strip leaves out; stack traces go without it, too",
            size(notes)
        );
    }
    if !quantized.is_empty() {
        let found: Vec<_> = quantized.iter().map(|(op_type, count)| format!("{count} {op_type}")).collect();
        let _ = writeln!(text, "quantized    {}", found.join(", "));
        let _ = writeln!(text, "             {}", inspected.how);
    }
    let _ = write!(text, "{summary}");
    let saved = quantized_savings(inspected)?;
    let expected = file_bytes.saturating_sub(saved);
    let _ = writeln!(
        text,
        "expected     about {} ({:.0} %)",
        size(expected),
        expected as f64 / file_bytes.max(1) as f64 * 100.0
    );
    Ok(text)
}

/// Whether constants of a model are numbers of 16 bits.
fn has_halves(model: &Model) -> bool {
    let half = |value| model.graph.element_type(value).and_then(HalfType::of).is_some();
    model.graph.value_ids().any(|value| model.graph.is_constant(value) && half(value))
}

/// How many nodes of each operator that says that a model is quantized there are, bodies included.
fn quantized_operators(graph: &Graph) -> Result<BTreeMap<String, usize>> {
    let mut found = BTreeMap::new();
    for id in graph.node_ids() {
        let node = graph.node(id);
        if qoperators::is_quantized(node.domain(), node.op_type()) {
            *found.entry(node.op_type().to_owned()).or_default() += 1;
        }
        for index in 0..graph.body_count(id) {
            for (op_type, count) in quantized_operators(&graph.body(id, index)?)? {
                *found.entry(op_type).or_default() += count;
            }
        }
    }
    Ok(found)
}

/// Bytes of constants that nodes of each operator read, and the number of its nodes. A shared constant counts once.
fn constant_bytes(model: &Model) -> Result<BTreeMap<String, (u64, usize)>> {
    let graph = &model.graph;
    let mut seen = vec![false; graph.value_bound()];
    let mut rows: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for id in graph.topological()? {
        let row = rows.entry(graph.node(id).op_type().to_owned()).or_default();
        row.1 += 1;
        for &value in graph.node(id).inputs().iter().flatten() {
            if !std::mem::replace(&mut seen[value.index()], true) {
                row.0 += graph.constant(value)?.map_or(0, |t| t.bytes().len() as u64);
            }
        }
    }
    Ok(rows)
}

/// Bytes that constants save that are to become integers or numbers of 16 bits, not counting scales.
fn quantized_savings(inspected: &Inspected<'_>) -> Result<u64> {
    let mut constants = Vec::new();
    inspected.plan.walk(&inspected.prepared.graph, &mut |graph, node| {
        let stored = node.placement.constants().iter();
        let stored = stored.map(|constant| (constant.slot, u64::from(constant.scheme.dtype.bits())));
        let halves = match &node.placement {
            Placement::Half(half) => half.inputs.as_slice(),
            _ => &[],
        };
        let all = stored.chain(halves.iter().map(|&slot| (slot, 16)));
        constants.extend(all.filter_map(|(slot, bits)| Some((graph, graph.node(node.id).input(slot)?, bits))));
    });
    let before: u64 = if has_halves(inspected.loaded) { 16 } else { 32 };
    let (mut seen, mut saved) = (HashSet::new(), 0);
    for (graph, value, bits) in constants {
        let stored = inspected.stored.contains(graph.value(value).name());
        if !stored && seen.insert((std::ptr::from_ref(graph), value)) {
            saved += graph.constant(value)?.map_or(0, |t| t.bytes().len() as u64 * before.saturating_sub(bits) / 32);
        }
    }
    Ok(saved)
}
