//! `tare inspect`: what a model is and what quantizing it would do.

use super::PlacementSummary;
use super::terminal::size;
use crate::error::Result;
use crate::ir::{Model, ValueId};
use crate::plan::{Placement, Plan};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

/// An audit of `original`, whose prepared form `prepared` has the plan `plan`, summed up in `summary`.
///
/// # Errors
/// When a stored constant is malformed.
pub fn audit(
    original: &Model,
    prepared: &Model,
    plan: &Plan,
    summary: &PlacementSummary,
    file_bytes: u64,
) -> Result<String> {
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
    let weights = constant_bytes(prepared)?;
    let _ = writeln!(text, "size         {}, of which constants by operator:", size(file_bytes));
    let mut rows: Vec<_> = weights.into_iter().collect();
    rows.sort_by_key(|(name, (bytes, _))| (std::cmp::Reverse(*bytes), name.clone()));
    for (op_type, (bytes, nodes)) in &rows {
        let _ = writeln!(text, "  {op_type:<24} {:>10}  {nodes} nodes", size(*bytes));
    }
    let _ = write!(text, "{summary}");
    let saved = quantized_savings(prepared, plan)?;
    let expected = file_bytes.saturating_sub(saved);
    let _ = writeln!(
        text,
        "expected     about {} ({:.0} %)",
        size(expected),
        expected as f64 / file_bytes.max(1) as f64 * 100.0
    );
    Ok(text)
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

/// Bytes that constants save as integers or in 16 bits, not counting scales.
fn quantized_savings(model: &Model, plan: &Plan) -> Result<u64> {
    let mut constants = Vec::new();
    plan.walk(&model.graph, &mut |graph, node| {
        let stored = node.placement.constants().iter();
        let stored = stored.map(|constant| (constant.slot, constant.scheme.dtype.bits()));
        let halves = match &node.placement {
            Placement::Half(half) => half.inputs.as_slice(),
            _ => &[],
        };
        let all = stored.chain(halves.iter().map(|&slot| (slot, 16)));
        constants.extend(all.filter_map(|(slot, bits)| Some((graph, graph.node(node.id).input(slot)?, bits))));
    });
    let (mut seen, mut saved) = (HashSet::new(), 0);
    for (graph, value, bits) in constants {
        if seen.insert((std::ptr::from_ref(graph), value)) {
            saved += graph.constant(value)?.map_or(0, |t| t.bytes().len() as u64 * (32 - u64::from(bits)) / 32);
        }
    }
    Ok(saved)
}
