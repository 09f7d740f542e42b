//! Identity nodes, which only stand between what belongs together.

use crate::error::Result;
use crate::ir::Model;
use crate::pass::{Outcome, Pass};

/// Removes Identity, and Dropout, which does nothing outside training.
pub struct Eliminate;

impl Pass for Eliminate {
    fn name(&self) -> &'static str {
        "eliminate-identity"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        for id in graph.node_ids().collect::<Vec<_>>() {
            let node = graph.node(id);
            let dropout = node.is("Dropout") && node.input(2).is_none() && node.output(1).is_none();
            let (Some(from), Some(to)) = (node.input(0), node.output(0)) else { continue };
            if !(node.is("Identity") || dropout) {
                continue;
            }
            graph.redirect_readers(to, from);
            outcome.changed += usize::from(graph.remove_if_unused(id));
        }
        Ok(outcome)
    }
}
