//! A model and the bodies in it: its layers, and theirs.

use super::error::{LayerError, LayerSums};
use super::inside::{Inside, insides};
use super::runs::Runs;
use crate::error::Result;
use crate::exec::Executor;
use crate::ir::Model;
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// Two models, or two bodies, whose layers are compared.
pub(super) struct Level<'a> {
    runs: Runs<'a>,
    insides: Vec<Inside<'a>>,
}

/// Why not all is known of the layers in the bodies of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Note {
    /// The node, by the names of those around it and its own.
    pub path: Vec<String>,
    pub op_type: String,
    pub why: String,
}

/// What a sample, or an iteration of it, showed of a level.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of each of its own places.
    own: Vec<LayerSums>,
    /// Of each body of each node that has some.
    bodies: Vec<Vec<Self>>,
    pub notes: BTreeSet<Note>,
}

impl Seen {
    /// Adds what another iteration showed.
    pub fn add(&mut self, other: Self) {
        if self.own.is_empty() {
            self.own = other.own;
        } else {
            self.own.iter_mut().zip(other.own).for_each(|(sums, more)| sums.add(more));
        }
        if self.bodies.is_empty() {
            self.bodies = other.bodies;
        } else {
            let pairs = self.bodies.iter_mut().flatten().zip(other.bodies.into_iter().flatten());
            pairs.for_each(|(body, more)| body.add(more));
        }
        self.notes.extend(other.notes);
    }
}

impl<'a> Level<'a> {
    /// Of a float model and the quantized one, for inputs like the `first` ones.
    ///
    /// # Errors
    /// When the quantized model cannot be turned back, or what is run cannot be made.
    pub fn new([float, quantized]: [&Model; 2], executor: &'a dyn Executor, first: &[Tensor]) -> Result<Self> {
        Ok(Self { runs: Runs::new(float, quantized, executor, first)?, insides: insides([float, quantized], executor) })
    }

    /// What a sample shows. `whole` is what the quantized model as a whole is fed.
    ///
    /// # Errors
    /// When the engine cannot run one of the models. What it cannot run of bodies is a note.
    pub fn look(&self, inputs: &[Tensor], whole: Option<&[Tensor]>) -> Result<Seen> {
        let mut seen = Seen { own: self.runs.look(inputs, whole)?, ..Seen::default() };
        for inside in &self.insides {
            let (bodies, notes) = inside.look(inputs, whole);
            seen.bodies.push(bodies);
            seen.notes.extend(notes);
        }
        Ok(seen)
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.runs.places().iter().all(|place| place.is_inner) && self.insides.is_empty()
    }

    /// The errors of all values, in an order of computation, by what the samples showed; `prefix` is what stands before the
    /// names.
    pub fn errors(&self, samples: &[&Seen], prefix: &str) -> Vec<LayerError> {
        let places = self.runs.places();
        let mut errors = Vec::new();
        let mut inside: Vec<Option<Vec<LayerError>>> = self
            .insides
            .iter()
            .enumerate()
            .map(|(at, inside)| Some(inside.errors(&of_bodies(samples, at), prefix)))
            .collect();
        for (k, place) in places.iter().enumerate() {
            for (at, _) in self.insides.iter().enumerate().filter(|(_, one)| one.label() == place.node) {
                errors.extend(inside[at].take().into_iter().flatten());
            }
            let sums: Vec<&LayerSums> = samples.iter().filter_map(|seen| seen.own.get(k)).collect();
            let error = LayerError::of(place, &sums, self.runs.halves());
            if place.is_inner && !error.is_suspect() && error.rarely_cut().is_none() {
                continue;
            }
            let named = |name: String| if name.is_empty() { name } else { format!("{prefix}{name}") };
            errors.push(LayerError { value: named(error.value), node: named(error.node), ..error });
        }
        errors.extend(inside.into_iter().flatten().flatten());
        errors
    }
}

/// What samples showed of the bodies of node number `at`.
fn of_bodies<'s>(samples: &[&'s Seen], at: usize) -> Vec<&'s [Seen]> {
    samples.iter().filter_map(|seen| seen.bodies.get(at)).map(Vec::as_slice).collect()
}
