//! Padding with zeros before a convolution: the convolution pads by itself, without a tensor in between.

use crate::error::Result;
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};

/// Moves a Pad's zeros into the `pads` of the Conv that alone reads it.
pub struct Fold;

impl Pass for Fold {
    fn name(&self) -> &'static str {
        "fold-pad"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        // Last first: of two Pads in a row the second one goes, and then the Conv reads the first.
        for id in graph.topological()?.into_iter().rev() {
            if !graph.node(id).is("Pad") {
                continue;
            }
            match reader(graph, id).and_then(|conv| Ok((conv, pads_together(graph, id, conv)?))) {
                Ok((conv, pads)) => {
                    let input = graph.node(id).input(0);
                    graph.set_ints(conv, "pads", &pads);
                    graph.set_input(conv, 0, input);
                    graph.remove_if_unused(id);
                    outcome.changed += 1;
                }
                Err(why) => outcome.refuse(graph.label(id), why),
            }
        }
        Ok(outcome)
    }
}

/// The Conv that alone reads the padded tensor.
fn reader(graph: &Graph, id: NodeId) -> std::result::Result<NodeId, &'static str> {
    let output = graph.node(id).output(0).ok_or("its output is not used")?;
    match graph.value(output).readers().collect::<Vec<_>>()[..] {
        [(conv, 0)] if graph.value(output).uses().len() == 1 && graph.node(conv).is("Conv") => Ok(conv),
        _ => Err("it is not read by one Conv alone"),
    }
}

/// The Conv's pads with those of the Pad added, for each spatial axis: all beginnings, then all ends.
fn pads_together(graph: &Graph, id: NodeId, conv: NodeId) -> std::result::Result<Vec<i64>, &'static str> {
    let node = graph.node(id);
    if node.attributes().text("mode").is_some_and(|mode| mode != "constant") || node.input(3).is_some() {
        return Err("it does not pad every axis with a constant");
    }
    let constant = |slot: usize| node.input(slot).and_then(|v| graph.constant(v).ok().flatten());
    if node.input(2).is_some() && constant(2).and_then(|t| t.first_f32()) != Some(0.0) {
        return Err("it pads with something else than zero");
    }
    let pads = constant(1).ok_or("its pads are computed while the model runs")?;
    let pads = pads.to_i64().map_err(|_| "its pads are not integers")?;
    let rank = pads.len() / 2;
    let attributes = graph.node(conv).attributes();
    if attributes.text("auto_pad").is_some_and(|mode| mode != "NOTSET") {
        return Err("the Conv chooses its own pads");
    }
    if rank < 3 || pads.iter().any(|&p| p < 0) || [0, 1, rank, rank + 1].iter().any(|&axis| pads[axis] != 0) {
        return Err("it pads another axis than height and width, or cuts");
    }
    let spatial: Vec<i64> = pads[2..rank].iter().chain(&pads[rank + 2..]).copied().collect();
    let own = attributes.ints("pads").map_or_else(|| vec![0; spatial.len()], <[i64]>::to_vec);
    if own.len() != spatial.len() {
        return Err("the Conv has pads for another number of axes");
    }
    Ok(own.iter().zip(&spatial).map(|(a, b)| a.saturating_add(*b)).collect())
}
