//! The borders of bodies: If, Loop and Scan hand on numbers of 16 bits where they did.

use super::{HalfNode, Keeper};
use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::quant::HalfType;

/// The types of 16 bits that the bodies of a node read and give; nothing where it is another type.
#[derive(Debug, Default)]
pub(super) struct Border {
    pub inputs: Vec<Option<HalfType>>,
    pub outputs: Vec<Option<HalfType>>,
}

/// How the inputs and outputs of a node belong to those of its bodies.
struct Shape {
    /// So many inputs come ahead of those that the body gives anew, in node and body alike.
    ahead: usize,
    /// So many outputs of the body come ahead of those of the node.
    conditions: usize,
    /// So many values go around: the body gives each as an output, and reads it as an input.
    states: usize,
}

impl Keeper<'_> {
    /// What a node with bodies reads and makes in 16 bits, if anything, and what its bodies do.
    pub(super) fn around_bodies(&self, graph: &Graph, id: NodeId) -> Result<(Option<HalfNode>, Border)> {
        let node = graph.node(id);
        let body = graph.body(id, 0)?;
        let (inputs, outputs): (Vec<_>, Vec<_>) = (body.inputs().collect(), body.outputs().collect());
        let scanned = node.attributes().int("num_scan_inputs").and_then(|count| usize::try_from(count).ok());
        let shape = match scanned {
            Some(count) if node.is("Scan") => {
                Shape { ahead: 0, conditions: 0, states: inputs.len().saturating_sub(count) }
            }
            _ if node.is("Loop") => Shape { ahead: 2, conditions: 1, states: inputs.len().saturating_sub(2) },
            _ if node.is("If") => Shape { ahead: 0, conditions: 0, states: 0 },
            _ => return Ok((None, Border::default())),
        };
        let was = |graph: &Graph, value| self.kinds.of_value(graph.value(value).name()).flatten();
        let kind_of = |index: usize, value| {
            let outside = node.output(index).and_then(|v| was(graph, v));
            outside.or_else(|| was(&body, value).filter(|_| node.output(index).is_none()))
        };
        let given = outputs.iter().skip(shape.conditions).enumerate();
        let given: Vec<_> = given.map(|(index, &value)| kind_of(index, value)).collect();
        let states = given.iter().copied().take(shape.states);
        let mut border = Border { inputs: vec![None; shape.ahead], outputs: vec![None; shape.conditions] };
        border.inputs.extend(states);
        let scanned = inputs.iter().skip(border.inputs.len()).map(|&value| was(&body, value));
        border.inputs.extend(scanned.collect::<Vec<_>>());
        border.outputs.extend(&given);
        let kind = border.inputs.iter().chain(&border.outputs).copied().flatten().next();
        let half = kind.map(|kind| {
            let slots = |kinds: &[Option<HalfType>]| {
                let some = kinds.iter().enumerate().filter(|(_, kind)| kind.is_some());
                some.map(|(slot, _)| slot).collect::<Vec<_>>()
            };
            let inputs = slots(&border.inputs).into_iter().filter(|&slot| node.input(slot).is_some()).collect();
            let outputs = slots(&given).into_iter().filter(|&slot| node.output(slot).is_some()).collect();
            HalfNode { kind, inputs, cut_off: Vec::new(), outputs, attribute: None }
        });
        Ok((half, border))
    }
}
