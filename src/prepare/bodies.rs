//! Weights in bodies of If, Loop and Scan: read from a graph around, or computed from constants, they become constants of the
//! body that uses them.

use super::constants::{Fold, is_foldable};
use crate::error::Result;
use crate::exec::Executor;
use crate::ir::{Graph, Model, NodeId, ValueId};
use crate::ops;
use crate::pass::{Outcome, Pass};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Folds constants in bodies.
pub struct FoldConstants<'a> {
    /// Computes them.
    pub executor: &'a dyn Executor,
}

impl Pass for FoldConstants<'_> {
    fn name(&self) -> &'static str {
        "fold-constants-in-bodies"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let opset = model.opset("").unwrap_or(super::OUTPUT_OPSET);
        self.below(&mut model.graph, &Around::new(), opset, &mut outcome)?;
        Ok(outcome)
    }
}

/// The constants that a body may read from the graphs around it, by name.
type Around = HashMap<String, Tensor>;

impl FoldConstants<'_> {
    /// Folds in all bodies of the nodes of `graph`, which has `around` around it.
    fn below(&self, graph: &mut Graph, around: &Around, opset: i64, outcome: &mut Outcome) -> Result<()> {
        for id in graph.node_ids().collect::<Vec<_>>() {
            let mut known = Around::new();
            for &value in graph.node(id).captured() {
                let name = graph.value(value).name();
                let constant = graph.constant(value).ok().flatten().or_else(|| around.get(name).cloned());
                known.extend(constant.map(|tensor| (name.to_owned(), tensor)));
            }
            for index in 0..graph.body_count(id) {
                graph.edit_body(id, index, |body| {
                    let fold = Fold { executor: self.executor };
                    // What folds shows which constants from around would go on.
                    fold.fold(body, opset, outcome)?;
                    outcome.changed += sink(body, &known);
                    fold.fold(body, opset, outcome)?;
                    self.below(body, &known, opset, outcome)?;
                    body.remove_unused();
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// Gives a body its own copy of each constant from around that is a weight of one of its nodes, or folds; says of how many.
fn sink(body: &mut Graph, around: &Around) -> usize {
    let mut own: HashMap<ValueId, ValueId> = HashMap::new();
    for id in body.node_ids().collect::<Vec<_>>() {
        for (slot, value) in wanted(body, id, around) {
            let Some(tensor) = around.get(body.value(value).name()) else { continue };
            let copy = *own.entry(value).or_insert_with(|| {
                let stem = body.value(value).name().to_owned();
                body.add_initializer(&stem, tensor)
            });
            body.set_input(id, slot, Some(copy));
        }
    }
    own.len()
}

/// The inputs of a node that read constants from around which it should have at hand.
fn wanted(body: &Graph, id: NodeId, around: &Around) -> Vec<(usize, ValueId)> {
    let node = body.node(id);
    let outside = |v: ValueId| !body.is_constant(v) && around.contains_key(body.value(v).name());
    let foldable = is_foldable(node) && node.inputs().iter().flatten().all(|&v| body.is_constant(v) || outside(v));
    let weights: Vec<usize> = ops::lookup(body, id).into_iter().flat_map(|op| op.weights()).map(|w| w.slot).collect();
    let slots = node.inputs().iter().enumerate().filter_map(|(slot, value)| Some((slot, (*value)?)));
    slots.filter(|&(slot, value)| outside(value) && (foldable || weights.contains(&slot))).collect()
}
