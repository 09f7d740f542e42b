//! Grids that are known before anything is observed, as they meet a graph.

use super::io::IntegerIo;
use super::known_checks::{check_constant, check_grid};
use super::told::Told;
use super::{ConstantPlan, Placement, Stored};
use crate::dequantize::Direct;
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Role};
use crate::policy::{Matched, Mode};
use crate::quant::{GridType, KnownBias, KnownConstant, KnownGrids, Params, Scheme};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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
    /// Its layers on grids that each run finds anew, by the name of what they make.
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

/// A grid that is known and that the plan does not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The value or constant.
    pub name: String,
    /// Why.
    pub reason: String,
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
    pub(super) told: Told,
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

    /// Lets the policy's own words come first, and gives nodes and values the types that go with what is known.
    pub fn settle(
        &mut self,
        graph: &Graph,
        order: &[NodeId],
        matched: &mut Matched,
        io: &[IntegerIo],
        dynamic: &BTreeSet<String>,
    ) {
        self.told.settle(graph, order, matched);
        if self.activations.is_empty() && self.constants.is_empty() {
            return;
        }
        let refused = &mut self.refused;
        self.activations.retain(|&value, known| {
            let settings = &matched.values[value.index()];
            let why = if settings.range.is_some() || settings.grid.is_some() {
                "a rule of the policy states its range or scale"
            } else if io.iter().any(|one| one.value == value && one.dtype != known.params.dtype) {
                "it is an input or output that the policy wants as another type"
            } else {
                return true;
            };
            refused.insert(graph.value(value).name().to_owned(), why);
            false
        });
        self.lift(graph, order);
        for (value, known) in &self.activations {
            let settings = &mut matched.values[value.index()];
            settings.activations.scheme = scheme(std::slice::from_ref(&known.params));
            settings.quantize |= known.own;
        }
        self.adopt_types(graph, order, matched, io);
        let float = |at: &usize| matched.nodes[*at].activations.scheme.dtype.is_float();
        self.floats = (0..order.len()).filter(float).map(|at| order[at]).collect();
        let at_node: HashMap<NodeId, usize> = order.iter().enumerate().map(|(at, &id)| (id, at)).collect();
        for (at, &id) in order.iter().enumerate() {
            let stored = graph.node(id).inputs().iter().flatten().any(|v| self.constants.get(v).is_some_and(|c| c.1));
            let settings = &mut matched.nodes[at];
            if self.was_integer(graph, id) {
                (settings.mode, settings.quantize, settings.insists) = (Mode::Static, true, true);
                self.with_clamps(graph, id, &at_node, matched);
            } else if stored && !matches!(settings.mode, Mode::Static | Mode::Dynamic | Mode::WeightOnly) {
                // What it reads is float32.
                (settings.mode, settings.quantize) = (Mode::WeightOnly, false);
            } else if !matches!(settings.mode, Mode::Static | Mode::Dynamic)
                && graph.node(id).output(0).is_some_and(|made| dynamic.contains(graph.value(made).name()))
            {
                (settings.mode, settings.quantize) = (Mode::Dynamic, true);
            }
        }
    }

    /// What is only moved has its grid already before that, if nobody else reads it: rounding what is picked is picking what
    /// is rounded.
    fn lift(&mut self, graph: &Graph, order: &[NodeId]) {
        for &id in order.iter().rev() {
            let node = graph.node(id);
            // What is computed between numbers may stay within a narrower range than they.
            let picks = |op: &ops::Op| op.role == Role::Movement && op.op_type != "Resize";
            let moves = ops::lookup(graph, id).is_some_and(picks);
            let (Some(from), Some(to)) = (node.input(0).filter(|_| moves), node.output(0)) else { continue };
            let alone = matches!(graph.value(from).uses(), [Use::Input { .. }]) && node.outputs().len() == 1;
            let Some(&known) = self.activations.get(&to).filter(|_| alone && !graph.is_constant(from)) else {
                continue;
            };
            self.activations.entry(from).or_insert(Activation { own: false, ..known });
        }
    }

    /// A node reads and makes one type: that of what it makes, else that of what it reads, where either is known. What the
    /// model gives away as integers may be of another type than all before it: its layer keeps what it reads.
    fn adopt_types(&self, graph: &Graph, order: &[NodeId], matched: &mut Matched, io: &[IntegerIo]) {
        let mut types: HashMap<ValueId, Scheme> =
            self.activations.iter().map(|(&value, known)| (value, scheme(&[known.params]))).collect();
        for (at, &id) in order.iter().enumerate() {
            let Some(op) = ops::lookup(graph, id) else { continue };
            let node = graph.node(id);
            let end = node.output(0).and_then(|value| self.end(graph, value));
            let mut read = op.activation_slots(graph, id).into_iter().filter_map(|slot| node.input(slot));
            let given = end.is_some_and(|value| given_as_integers(graph, value)) && self.was_integer(graph, id);
            let made = end.filter(|_| !given).and_then(|value| types.get(&value));
            let Some(&scheme) = made.or_else(|| read.find_map(|value| types.get(&value))) else { continue };
            matched.nodes[at].activations.scheme = scheme;
            for &value in node.outputs().iter().flatten() {
                // What goes out as integers has the type that the policy gave it.
                let stated = matched.values[value.index()].pinned || io.iter().any(|one| one.value == value);
                if !stated && !self.activations.contains_key(&value) {
                    matched.values[value.index()].activations.scheme = scheme;
                    types.insert(value, scheme);
                }
            }
        }
    }

    /// The value behind the clamps that only read `value`, if its grid is known.
    fn end(&self, graph: &Graph, mut value: ValueId) -> Option<ValueId> {
        while !self.activations.contains_key(&value) {
            let [Use::Input { node, slot: 0 }] = graph.value(value).uses() else { return None };
            ops::lookup(graph, *node).filter(|op| op.role == Role::Clamp)?;
            value = graph.node(*node).output(0)?;
        }
        Some(value)
    }

    /// Whether the model itself has all that a node reads and makes on grids.
    fn was_integer(&self, graph: &Graph, id: NodeId) -> bool {
        let Some(op) = ops::lookup(graph, id).filter(|op| !matches!(op.role, Role::Clamp | Role::Lookup)) else {
            return false;
        };
        let node = graph.node(id);
        let own = |value: ValueId| match self.constants.get(&value) {
            Some(constant) => constant.1,
            None => self.keeps(value),
        };
        let slots = op.activation_slots(graph, id).into_iter().chain(op.weight.map(|weight| weight.slot));
        let mut read = slots.filter_map(|slot| node.input(slot));
        let made = node.output(0).is_some_and(|value| self.end(graph, value).is_some_and(|end| self.keeps(end)));
        made && read.all(own)
    }

    /// Lets the clamps between a node and the grid behind it be part of it.
    fn with_clamps(&self, graph: &Graph, id: NodeId, at_node: &HashMap<NodeId, usize>, matched: &mut Matched) {
        let mut made = graph.node(id).output(0);
        while let Some(value) = made.filter(|value| !self.activations.contains_key(value)) {
            let [Use::Input { node, slot: 0 }] = graph.value(value).uses() else { return };
            if let Some(&at) = at_node.get(node) {
                (matched.nodes[at].mode, matched.nodes[at].quantize) = (Mode::Static, true);
            }
            made = graph.node(*node).output(0);
        }
    }

    /// `plan` on the known grids of the constant that it is about, if there are any.
    pub fn apply(&self, graph: &Graph, id: NodeId, plan: ConstantPlan) -> ConstantPlan {
        let constant = graph.node(id).input(plan.slot).and_then(|value| self.constants.get(&value));
        match constant {
            Some((known, _)) => on_grids(plan, known),
            None => plan,
        }
    }

    /// Whether the grids of the constant that `id` reads at `slot` are known.
    pub fn knows(&self, graph: &Graph, id: NodeId, slot: usize) -> bool {
        graph.node(id).input(slot).is_some_and(|value| self.constants.contains_key(&value))
    }

    /// Why no kernel takes the constant at input `slot` of `id` as integers on the grids that are known. It takes one for all,
    /// or one for each index of one of `axes`.
    ///
    /// # Errors
    /// When somebody states grids along another axis: those can be stated anew.
    pub fn unfit(&self, graph: &Graph, id: NodeId, slot: usize, axes: &[usize]) -> Result<Option<String>> {
        let Some(value) = graph.node(id).input(slot) else { return Ok(None) };
        if self.biases.contains(&value) {
            return Ok(Some("its constant is stored as int32, which no integer kernel reads there".to_owned()));
        }
        let Some(&(known, own)) = self.constants.get(&value) else { return Ok(None) };
        let dtype = known.grids.first().map_or(GridType::Int8, |grid| grid.dtype);
        if dtype.bits() != 8 {
            return Ok(Some(format!("its weight is stored as {dtype}, which no integer kernel reads")));
        }
        if dtype.is_float() != self.floats.contains(&id) {
            return Ok(Some(format!("its weight is stored as {dtype}, and its activations are of another kind")));
        }
        if known.block.is_some() {
            return Ok(Some("its weight is stored in blocks, which no integer kernel reads".to_owned()));
        }
        if let Some(axis) = known.axis.filter(|axis| !axes.contains(axis)) {
            let axes = match axes {
                [] => "one grid for all".to_owned(),
                [axis] => format!("axis {axis}, or one grid for all"),
                several => format!("one of the axes {several:?}, or one grid for all"),
            };
            let name = graph.value(value).name();
            if own {
                return Ok(Some(format!("its constant {name:?} has grids along axis {axis}, expected {axes}")));
            }
            let (node, op_type) = (graph.label(id), graph.node(id).op_type());
            let why = format!("has known grids along axis {axis}, but node {node:?} ({op_type}) wants {axes}");
            return Err(Error::value(name, why));
        }
        let zero = known.grids.first().map_or(0, |grid| grid.zero_point);
        if known.grids.iter().any(|grid| grid.zero_point != zero) {
            return Ok(Some("the zero points of its weight differ, which no integer kernel takes".to_owned()));
        }
        Ok(None)
    }

    /// Why the known grid of a value is not used, where that was clear before the plan was made.
    pub fn refusal(&self, name: &str) -> Option<&'static str> {
        self.refused.get(name).copied()
    }

    /// `placement` with the weights that are stored as integers all the same: those that the model itself has so, and, where
    /// the policy would `quantize` the node, those of types that only floats are computed from.
    pub fn with_weights(&self, graph: &Graph, id: NodeId, placement: Placement, quantize: bool) -> Placement {
        let mut plans = match &placement {
            Placement::Float { .. } => vec![],
            Placement::Weight(weights) => weights.clone(),
            _ => return placement,
        };
        let before = plans.len();
        for weight in ops::lookup(graph, id).iter().flat_map(|op| op.weights()) {
            let constant = graph.node(id).input(weight.slot).and_then(|value| self.constants.get(&value));
            let Some(&(known, own)) = constant.filter(|_| plans.iter().all(|plan| plan.slot != weight.slot)) else {
                continue;
            };
            let odd = |grid: &Params| grid.dtype.bits() != 8 || grid.dtype.is_float();
            let small = known.block.is_some() || known.grids.first().is_some_and(odd);
            if own || small && quantize {
                plans.push(stored(weight.slot, known));
            }
        }
        if plans.len() > before { Placement::Weight(plans) } else { placement }
    }

    /// The constants that the model itself has on grids, whatever reads them.
    pub fn own_constants(&self) -> Vec<(ValueId, ConstantPlan)> {
        let own = self.constants.iter().filter(|constant| constant.1.1);
        let mut all: Vec<_> = own.map(|(&value, (known, _))| (value, stored(0, known))).collect();
        all.sort_by_key(|(value, _)| value.index());
        all
    }
}

/// Whether all that reads `value` makes integers of it that are outputs of the model.
fn given_as_integers(graph: &Graph, value: ValueId) -> bool {
    let gives = |one: &Use| match one {
        Use::Input { node, slot: 0 } => {
            let made = graph.node(*node).output(0);
            graph.node(*node).is("QuantizeLinear") && made.is_some_and(|made| graph.value(made).is_output())
        }
        _ => false,
    };
    let uses = graph.value(value).uses();
    !uses.is_empty() && uses.iter().all(gives)
}

/// A weight of which only the grids are known.
fn stored(slot: usize, known: &KnownConstant) -> ConstantPlan {
    let plan = ConstantPlan {
        slot,
        scheme: scheme(&known.grids),
        axis: None,
        block: None,
        form: Stored::Plain,
        is_weight: true,
        sum_order: None,
        least_error: false,
        summed: None,
        positive: false,
        split: None,
        known: None,
    };
    on_grids(plan, known)
}

fn on_grids(plan: ConstantPlan, known: &KnownConstant) -> ConstantPlan {
    ConstantPlan {
        scheme: scheme(&known.grids),
        axis: known.axis,
        block: known.block,
        form: Stored::Plain,
        sum_order: None,
        least_error: false,
        summed: None,
        split: None,
        known: Some(known.grids.as_slice().into()),
        ..plan
    }
}

/// The scheme that grids are of, as far as they tell.
fn scheme(grids: &[Params]) -> Scheme {
    let dtype = grids.first().map_or(GridType::Int8, |grid| grid.dtype);
    let (low, high) = dtype.limits();
    let middle = (low + high + 1) / 2;
    Scheme::new(dtype, grids.iter().all(|grid| grid.zero_point == middle))
}
