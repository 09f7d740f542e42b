//! What kind of network a model is, as far as the choice of a mode goes.

use crate::error::Result;
use crate::ir::{Graph, NodeId};
use crate::ops::{self, Op, Role};
use crate::plan::Structure;
use std::fmt;

/// How deep bodies are looked into.
const MAX_DEPTH: usize = 64;

/// The parts of a network that decide about the mode, those in bodies of If, Loop and Scan included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Network {
    /// Convolutions.
    pub convolutions: usize,
    /// Of these, those along a single axis, as those of sound have.
    pub along_signal: usize,
    /// Products with constant matrices.
    pub products: usize,
    /// LSTM, GRU and RNN.
    pub recurrent: usize,
    /// Nodes with bodies.
    pub with_bodies: usize,
    /// Scaled dot-product attention.
    pub attention: usize,
    /// Layer and root mean square normalizations.
    pub normalizations: usize,
    /// Joins behind the last layers, as at the end of a detector.
    pub last_joins: usize,
}

/// The kinds of networks that are quantized differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It has LSTM, GRU or RNN.
    Recurrent,
    /// It has attention or normalizations, and more products with matrices than convolutions.
    Transformer,
    /// It has convolutions, and joins behind the last layers.
    Detector,
    /// It has convolutions.
    Convolutional,
    /// It has products with matrices.
    Layers,
}

impl Network {
    /// Looks at a prepared graph, whose plan found `structure`.
    ///
    /// # Errors
    /// When a body is no graph.
    pub fn of(graph: &Graph, structure: &Structure) -> Result<Self> {
        let mut network = Self {
            attention: structure.attention,
            normalizations: structure.normalizations,
            last_joins: structure.last_joins,
            ..Self::default()
        };
        network.count(graph, 0)?;
        Ok(network)
    }

    fn count(&mut self, graph: &Graph, depth: usize) -> Result<()> {
        for id in graph.node_ids() {
            let bodies = graph.body_count(id);
            self.with_bodies += usize::from(bodies > 0);
            for body in 0..bodies {
                if depth < MAX_DEPTH {
                    self.count(&graph.body(id, body)?, depth + 1)?;
                }
            }
            if let Some(op) = ops::lookup(graph, id) {
                self.add(graph, id, op);
            }
        }
        Ok(())
    }

    fn add(&mut self, graph: &Graph, id: NodeId, op: &Op) {
        let weight = op.weight.and_then(|weight| graph.node(id).input(weight.slot));
        if op.recurrence.is_some() {
            self.recurrent += 1;
        } else if op.convolves() {
            self.convolutions += 1;
            self.along_signal += usize::from(weight.and_then(|w| graph.rank(w)) == Some(3));
        } else if op.role == Role::Compute && weight.is_some_and(|w| graph.is_constant(w)) {
            self.products += 1;
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        if self.recurrent > 0 {
            Kind::Recurrent
        } else if self.attention + self.normalizations > 0 && self.products > self.convolutions {
            Kind::Transformer
        } else if self.convolutions > 0 && self.last_joins > 0 {
            Kind::Detector
        } else if self.convolutions > 0 {
            Kind::Convolutional
        } else {
            Kind::Layers
        }
    }
}

impl fmt::Display for Network {
    /// The kind, and the parts that make it so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind() {
            Kind::Recurrent => "a recurrent network",
            Kind::Transformer => "a transformer",
            Kind::Detector => "a convolutional network with a detector's head",
            Kind::Convolutional => "a convolutional network",
            Kind::Layers => "a network without convolutions or attention",
        })?;
        let parts = [
            (self.convolutions, "convolution", "convolutions"),
            (self.products, "product with constant matrices", "products with constant matrices"),
            (self.recurrent, "recurrent layer", "recurrent layers"),
            (self.attention, "attention", "attentions"),
            (self.normalizations, "normalization", "normalizations"),
            (self.last_joins, "join behind the last layers", "joins behind the last layers"),
            (self.with_bodies, "node with bodies (If, Loop, Scan)", "nodes with bodies (If, Loop, Scan)"),
        ];
        let there = parts.iter().filter(|(count, ..)| *count > 0);
        let words: Vec<String> =
            there.map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many })).collect();
        if words.is_empty() { Ok(()) } else { write!(f, ": {}", words.join(", ")) }
    }
}
