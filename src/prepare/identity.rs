//! Identity nodes, which only stand between what belongs together.

use crate::error::Result;
use crate::ir::{Graph, Model, ValueId};
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
            outcome.changed += usize::from(graph.remove_if_unused(id) || make(graph, from, to));
        }
        Ok(outcome)
    }
}

/// Has the node that makes `from` make `to` instead, which goes by name: it is an output of the model, or a body reads it. Says
/// whether it does; it does not where `from` goes by name, too, or no node makes it.
fn make(graph: &mut Graph, from: ValueId, to: ValueId) -> bool {
    let made = graph.value(from);
    let Some(node) = made.producer().filter(|_| !made.goes_by_name()) else { return false };
    let Some(slot) = graph.node(node).outputs().iter().position(|&output| output == Some(from)) else { return false };
    graph.redirect_readers(from, to);
    graph.take_over_output(node, slot, to);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::build::Builder;

    fn eliminated(net: Builder) -> (Model, usize) {
        let mut model = net.build();
        let outcome = Eliminate.run(&mut model).expect("a pass");
        // What was made is sound.
        let model = Model::from_proto(model.to_proto().expect("a model")).expect("the same model");
        (model, outcome.changed)
    }

    fn op_types(model: &Model) -> Vec<&str> {
        model.graph.node_ids().map(|id| model.graph.node(id).op_type()).collect()
    }

    #[test]
    fn one_at_an_output_leaves_its_name_to_what_is_before() {
        let net = Builder::new(13).input("x", &[4]).node("Relu", &["x"], &["r"], vec![]);
        let net = net.node("Identity", &["r"], &["y"], vec![]).node("Neg", &["r"], &["z"], vec![]);
        let (model, changed) = eliminated(net.output("y", &[4]).output("z", &[4]));
        assert_eq!((op_types(&model), changed), (vec!["Relu", "Neg"], 1));
        let graph = &model.graph;
        let made = graph.find("y").and_then(|y| graph.value(y).producer()).expect("a maker");
        assert!(graph.node(made).is("Relu") && graph.find("r").is_none());
        let negated = graph.find("z").and_then(|z| graph.value(z).producer()).expect("a maker");
        assert_eq!(graph.node(negated).input(0), graph.find("y"));
    }

    #[test]
    fn one_between_two_names_from_outside_stays() {
        let net = Builder::new(13).input("x", &[4]).node("Identity", &["x"], &["y"], vec![]);
        let (model, changed) = eliminated(net.output("y", &[4]));
        assert_eq!((op_types(&model), changed), (vec!["Identity"], 0));
        let net = Builder::new(13).input("x", &[4]).node("Relu", &["x"], &["r"], vec![]);
        let net = net.node("Identity", &["r"], &["y"], vec![]);
        let (model, changed) = eliminated(net.output("y", &[4]).output("r", &[4]));
        assert_eq!((op_types(&model), changed), (vec!["Relu", "Identity"], 0));
    }
}
