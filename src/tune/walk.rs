//! One walk through the layers, in which each is repaired on what the layers before it make once they are.

use super::refit::Refitting;
use super::rounding::{self, Asked, Method, Rounding, Weight};
use crate::error::Result;
use crate::exec::{Correction, Corrector, Sides};
use crate::ir::NodeId;
use std::collections::HashMap;
use std::time::Instant;

/// A weight that is to be rounded by what its layer makes: of which node, and what its integers have to keep to.
pub type Rounded = (NodeId, Weight, Asked);

/// Repairs layers while samples run side by side: first the integers of a weight, then the gain and mean of its channels.
pub struct Repairing {
    refitting: Refitting,
    weights: HashMap<usize, Rounded>,
    method: Method,
    until: Instant,
    /// The integers that were found, in the order of the layers.
    pub rounded: Vec<(NodeId, Rounding)>,
    /// The layers for whose weights no time was left.
    pub late: usize,
}

impl Repairing {
    /// Refits layers, and looks `until` then for the integers of `weights`, by the places of their layers among all that are shown.
    pub fn new(refitting: Refitting, (weights, method): (HashMap<usize, Rounded>, Method), until: Instant) -> Self {
        Self { refitting, weights, method, until, rounded: Vec::new(), late: 0 }
    }

    /// What layers are refitted by.
    pub fn refits(&mut self) -> Vec<(NodeId, super::Refit)> {
        std::mem::take(&mut self.refitting.found)
    }
}

impl Corrector for Repairing {
    fn corrects(&self, layer: usize) -> bool {
        self.weights.contains_key(&layer)
    }

    fn correct(&mut self, layer: usize, shape: &[usize], samples: &mut [Sides<'_>]) -> Result<()> {
        let Some((node, weight, asked)) = self.weights.get(&layer) else { return Ok(()) };
        if Instant::now() > self.until {
            self.late += 1;
        } else if let Some(found) = rounding::round(weight, asked, self.method, shape, samples)? {
            self.rounded.push((*node, found));
        }
        Ok(())
    }

    fn sees(&self, layer: usize) -> bool {
        self.refitting.refits(layer)
    }

    fn see(&self, layer: usize, shape: &[usize], sample: usize, [float, rounded]: [&[f32]; 2]) {
        self.refitting.see(layer, shape, sample, float, rounded);
    }

    fn settle(&mut self, layer: usize) -> Option<Correction> {
        self.refitting.settle(layer)
    }
}
