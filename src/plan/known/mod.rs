//! Grids that are known before anything is observed, as they meet a graph: here what is known of it; `types` gives its nodes and
//! values the types that go with that, `constants` puts weights on their grids, and `unused` lists what the plan made no use of.

mod checks;
mod constants;
mod told;
mod types;
mod unused;

pub use unused::Unused;

use crate::dequantize::Direct;
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::{GridType, KnownBias, KnownConstant, KnownGrids, Params, Scheme};
use checks::{check_constant, check_grid};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use told::Told;

/// What is known of a model before anything is observed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// Grids that somebody states beside the model. They are for what the plan puts on a grid; the others are not used.
    pub told: KnownGrids,
    /// The grids that a model quantized in part has itself. They stay, whatever the plan would do without them.
    pub own: KnownGrids,
    /// Grids of other types that it has activations on, too.
    pub own_also: BTreeMap<String, Vec<Params>>,
    /// Who reads the numbers of these as they are before they are rounded.
    pub direct: BTreeMap<String, Direct>,
    /// Its stored biases, by the name of the float32 constant that they have become.
    pub biases: BTreeMap<String, KnownBias>,
    /// Its layers on grids that each run finds anew, by the names of what they make and of their weights.
    pub dynamic: BTreeSet<String>,
    /// Scale and zero point of uint8 inputs that take the levels of a picture.
    pub levels: BTreeMap<String, (f32, i32)>,
}

impl Known {
    /// Whether bodies of nodes of `graph` have constants on grids that stay.
    pub fn reaches_bodies(&self, graph: &Graph) -> bool {
        self.own.constants.keys().any(|name| graph.find(name).is_none())
            && graph.node_ids().any(|id| graph.body_count(id) > 0)
    }
}

/// The grid of an activation, and whether the model has it itself.
#[derive(Clone, Copy)]
struct Activation {
    params: Params,
    own: bool,
}

/// What is known of one graph, by value.
#[derive(Default)]
pub(super) struct Here<'a> {
    activations: HashMap<ValueId, Activation>,
    constants: HashMap<ValueId, (&'a KnownConstant, bool)>,
    /// Constants that the model has as int32.
    biases: HashSet<ValueId>,
    /// Nodes whose activations are floating-point numbers of 8 bits.
    floats: HashSet<NodeId>,
    told: Told,
    /// Why a known grid is not used, where that is clear before the plan is made.
    refused: BTreeMap<String, &'static str>,
}

impl<'a> Here<'a> {
    /// What is known of `graph`. Of a name that both sources have, the model's own grid holds.
    ///
    /// # Errors
    /// When grids do not fit their constant.
    pub fn of(graph: &Graph, known: &'a Known) -> Result<Self> {
        let biases = known.biases.keys().filter_map(|name| graph.find(name)).collect();
        let mut here = Self { biases, told: Told::of(graph, &known.told), ..Self::default() };
        for (grids, own) in [(&known.told, false), (&known.own, true)] {
            for (name, &params) in &grids.activations {
                let Some(value) = graph.find(name).filter(|&value| !graph.is_constant(value)) else { continue };
                if graph.known_type(value).is_some_and(|ty| !ty.dtype.is_float()) {
                    here.refused.insert(name.clone(), "it holds no floating-point numbers");
                    continue;
                }
                check_grid(name, &params)?;
                here.activations.insert(value, Activation { params, own });
            }
            for (name, constant) in &grids.constants {
                let Some(value) = graph.find(name).filter(|&value| graph.is_constant(value)) else { continue };
                check_constant(graph, value, constant)?;
                here.constants.insert(value, (constant, own));
            }
        }
        Ok(here)
    }

    /// The known grid of an activation.
    pub fn activation(&self, value: ValueId) -> Option<Params> {
        self.activations.get(&value).map(|known| known.params)
    }

    /// The range that is known of an activation.
    pub fn range(&self, value: ValueId) -> Option<(f32, f32)> {
        self.told.ranges.get(&value).copied()
    }

    /// Whether the model itself has an activation on a grid, so that it stays on it.
    pub fn keeps(&self, value: ValueId) -> bool {
        self.activations.get(&value).is_some_and(|known| known.own)
    }

    /// The activations that stay on their grid, in their order.
    pub fn kept(&self) -> Vec<ValueId> {
        let mut kept: Vec<ValueId> =
            self.activations.iter().filter(|known| known.1.own).map(|known| *known.0).collect();
        kept.sort_by_key(|value| value.index());
        kept
    }

    /// Why the known grid of a value is not used, where that was clear before the plan was made.
    pub fn refusal(&self, name: &str) -> Option<&'static str> {
        self.refused.get(name).copied()
    }
}

/// The scheme that grids are of, as far as they tell.
fn scheme(grids: &[Params]) -> Scheme {
    let dtype = grids.first().map_or(GridType::Int8, |grid| grid.dtype);
    let (low, high) = dtype.limits();
    let middle = (low + high + 1) / 2;
    Scheme::new(dtype, grids.iter().all(|grid| grid.zero_point == middle))
}
