//! From the decision where integers run to a plan with every detail.

use super::bias::{bias_place, per_channel_bias};
use super::bodies::Scope;
use super::halves;
use super::io::{IntegerIo, integer_io};
use super::place::{self, Candidate, Placed};
use super::structure::Structure;
use super::{ConstantPlan, IntegerNode, NodePlan, Placement, Plan, RangeSource, Stored, ValuePlan};
use super::{dynamic, weights};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Op, OutputRange, Role};
use crate::policy::{ALIKE, BiasType, Granularity, HalfSettings, Matched, Mode, NodeSettings, Settings};
use crate::quant::IntType;
use crate::target::Target;
use crate::tensor::DataType;
use std::borrow::Cow;
use std::collections::HashMap;

/// Plans the quantization of a prepared graph. The nodes `kept` stay float, each for its reason, unless the policy insists.
///
/// # Errors
/// When a rule of the policy matches nothing, states the range of a value that shares a grid, or a stored constant is
/// malformed.
pub fn plan(graph: &Graph, settings: &Settings, target: &dyn Target, kept: &[(NodeId, String)]) -> Result<Plan> {
    let scope = Scope::of(Cow::Borrowed(graph), settings.reaches_bodies())?;
    let mut matched = scope.matched(settings)?.into_iter();
    let Some(mut own) = matched.next() else { return Ok(Plan::default()) };
    let io = integer_io(graph, settings, &mut own)?;
    let mut plan = plan_graph(&scope, &own, io, settings, target, kept)?;
    let body = |scope: &Scope<'_>, matched: &Matched| plan_body(scope, matched, &settings.half);
    plan.bodies = scope.plan_bodies(&mut matched, &body)?;
    Ok(plan)
}

/// Plans a graph without the bodies of its nodes.
fn plan_graph(
    scope: &Scope<'_>,
    matched: &Matched,
    io: Vec<IntegerIo>,
    settings: &Settings,
    target: &dyn Target,
    kept: &[(NodeId, String)],
) -> Result<Plan> {
    let (graph, order) = (&*scope.graph, &scope.order);
    let structure = Structure::of(graph);
    let mut preferences = structure.preferences(graph);
    for (id, why) in kept {
        preferences[id.index()].get_or_insert_with(|| why.clone());
    }
    let wanted = io.iter().map(|one| one.value).collect();
    let mut placed = place::place(graph, order, matched, &preferences, wanted, target);
    for &id in order {
        settle_constants(graph, id, &mut placed)?;
    }
    // What was taken back above may have been the reason for something else.
    while place::sweep(graph, order, target, &mut placed) {}
    let halves = halves::place(graph, order, matched, &settings.half, kept)?;
    let mut plan = Plan { structure, io, converts_io: settings.half.convert_io, ..Plan::default() };
    for value in graph.inputs() {
        if placed.demanded[value.index()] {
            plan.add_value(graph, value, RangeSource::Observed, matched);
        }
    }
    for (&id, node) in order.iter().zip(&matched.nodes) {
        let placement = match node.mode {
            Mode::Static => placement(graph, id, node, &placed, target)?,
            Mode::Float16 | Mode::Bfloat16 => halves[id.index()].clone().unwrap_or(Placement::NoFloats),
            _ => unobserved(graph, id, node)?,
        };
        plan.add_outputs(graph, id, &placement, &placed, matched);
        plan.nodes.push(NodePlan::new(graph, id, placement));
    }
    for value in &plan.values {
        let of_rule = &matched.values[value.id.index()];
        if let (RangeSource::SameAs(root), true) = (value.range, of_rule.range.is_some() || of_rule.grid.is_some()) {
            let root = graph.value(root).name();
            let why = format!(
                "has a range by a rule of the policy, but shares the grid of {root:?}; state the range of that value"
            );
            return Err(Error::value(&value.name, why));
        }
    }
    plan.settle_types(graph, matched);
    plan.settle_outputs(matched);
    plan.check_grids()?;
    if settings.calibration.is_some() {
        plan.watch_halves(graph, matched);
    }
    plan.ask_for_channels(graph);
    plan.plan_splits(graph, order, matched, settings)?;
    plan.find_layouts(graph);
    Ok(plan)
}

/// Plans a body.
fn plan_body(scope: &Scope<'_>, matched: &Matched, half: &HalfSettings) -> Result<Plan> {
    let graph = &*scope.graph;
    // Inputs and outputs of a body stay float32.
    let half = HalfSettings { convert_io: false, ..half.clone() };
    let halves = halves::place(graph, &scope.order, matched, &half, &[])?;
    let mut plan = Plan::default();
    for (&id, node) in scope.order.iter().zip(&matched.nodes) {
        let placement = match node.mode {
            Mode::Static if place::makes_no_floats(graph, id) => Placement::NoFloats,
            Mode::Float16 | Mode::Bfloat16 => halves[id.index()].clone().unwrap_or(Placement::NoFloats),
            Mode::Static => Placement::Float { reason: "it lies in a body, whose values are not observed".to_owned() },
            _ => unobserved(graph, id, node)?,
        };
        plan.nodes.push(NodePlan::new(graph, id, placement));
    }
    Ok(plan)
}

/// What becomes of a node whose mode observes nothing.
fn unobserved(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<Placement> {
    match settings.mode {
        Mode::Dynamic => dynamic::placement(graph, id, settings),
        Mode::WeightOnly => weights::placement(graph, id, settings),
        Mode::Static | Mode::Float16 | Mode::Bfloat16 | Mode::Float32 if place::makes_no_floats(graph, id) => {
            Ok(Placement::NoFloats)
        }
        Mode::Static | Mode::Float16 | Mode::Bfloat16 | Mode::Float32 => {
            Ok(Placement::Float { reason: place::policy_reason(settings) })
        }
    }
}

impl NodePlan {
    fn new(graph: &Graph, id: NodeId, placement: Placement) -> Self {
        let (name, op_type) = (graph.label(id).to_owned(), graph.node(id).op_type().to_owned());
        Self { id, name, op_type, placement }
    }
}

/// Takes back integer nodes and lookups whose constants have no integer form.
fn settle_constants(graph: &Graph, id: NodeId, placed: &mut Placed) -> Result<()> {
    let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { return Ok(()) };
    if !placed.integer[id.index()] && op.role != Role::Lookup {
        return Ok(());
    }
    for slot in op.activation_slots(graph, id).into_iter().chain(op.weight.map(|w| w.slot)) {
        let Some(value) = graph.node(id).input(slot).filter(|&v| graph.is_constant(v)) else { continue };
        let why = match graph.constant(value)? {
            None => Some("a constant input is sparse"),
            Some(t) if t.dtype() != DataType::Float32 => Some("a constant input is not float32"),
            Some(t) if t.is_empty() => Some("a constant input is empty"),
            Some(t) if op.role == Role::Lookup && t.shape().len() < 2 => Some("its table has no rows"),
            Some(t) if !weights::is_finite(&t) => Some("a constant input holds NaN or infinity"),
            Some(_) => None,
        };
        if let Some(why) = why {
            place::reject(placed, id, why);
            return Ok(());
        }
    }
    if let Some(place) = bias_place(graph, op, id)? {
        match per_channel_bias(graph, op, id, place)? {
            None => place::reject(placed, id, "its bias is not one float32 constant per channel"),
            Some(bias) if bias.iter().any(|b| !b.is_finite()) => {
                place::reject(placed, id, "its bias holds NaN or infinity");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn placement(
    graph: &Graph,
    id: NodeId,
    settings: &NodeSettings,
    placed: &Placed,
    target: &dyn Target,
) -> Result<Placement> {
    match &placed.candidates[id.index()] {
        Some(Candidate::Yes(op)) if placed.integer[id.index()] => {
            integer_node(graph, id, op, settings, placed, target).map(Placement::Integer)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Clamp => Ok(clamp(graph, id, op, placed)),
        // Gather takes no floating-point numbers of 8 bits: the whole table is dequantized ahead of it.
        Some(Candidate::Yes(op)) if op.role == Role::Lookup && settings.weights.scheme.dtype.is_float() => {
            weights::placement(graph, id, settings)
        }
        Some(Candidate::Yes(op)) if op.role == Role::Lookup => Ok(Placement::Lookup(table(graph, id, op, settings)?)),
        Some(Candidate::NoFloats) => Ok(Placement::NoFloats),
        Some(Candidate::No(reason)) => Ok(Placement::Float { reason: reason.clone() }),
        _ => Ok(Placement::Float { reason: "no integer node reads its output".to_owned() }),
    }
}

/// The table that a lookup reads, with a scale for each column unless the columns are what is looked up.
pub(super) fn table(graph: &Graph, id: NodeId, op: &Op, settings: &NodeSettings) -> Result<ConstantPlan> {
    let table = graph.node(id).input(0).map(|v| graph.constant(v)).transpose()?.flatten();
    let rank = table.map_or(0, |t| t.shape().len());
    let axis = graph.node(id).attributes().int("axis").unwrap_or(0);
    let columns = axis == -1 || axis + 1 == rank as i64;
    let per_channel = settings.weights.granularity == Granularity::PerChannel && !columns && rank > 0;
    let (slot, mut scheme) = (op.weight.map_or(0, |w| w.slot), settings.weights.scheme);
    // Where they have one type, ONNX Runtime puts a float Add of what was looked up and its QuantizeLinear together, and then
    // fails at the scales. The same grid in the other type keeps it from that.
    if per_channel && scheme.symmetric && scheme.dtype == settings.activations.scheme.dtype {
        scheme.dtype = scheme.dtype.other_signedness();
    }
    let axis = per_channel.then(|| rank - 1);
    Ok(ConstantPlan {
        slot,
        scheme,
        axis,
        block: None,
        is_weight: true,
        form: Stored::Plain,
        sum_order: None,
        summed: None,
        positive: false,
        split: None,
        least_error: false,
    })
}

/// A clamp vanishes into the integer node whose chain it ends.
fn clamp(graph: &Graph, id: NodeId, op: &Op, placed: &Placed) -> Placement {
    let mut before = id;
    let into = loop {
        let producer = graph.node(before).input(0).and_then(|v| graph.value(v).producer());
        match producer {
            Some(node) if placed.clamps[node.index()].contains(&id) => break Some(node),
            Some(node) if ops::lookup(graph, node).is_some_and(|op| op.role == Role::Clamp) => before = node,
            _ => break None,
        }
    };
    match (into.filter(|node| placed.integer[node.index()]), op.bounds(graph, id)) {
        (Some(into), Some((low, high))) => Placement::Clamp { into, low, high },
        _ => Placement::Float { reason: "it does not follow an integer node that only it reads".to_owned() },
    }
}

fn integer_node(
    graph: &Graph,
    id: NodeId,
    op: &Op,
    settings: &NodeSettings,
    placed: &Placed,
    target: &dyn Target,
) -> Result<IntegerNode> {
    let activations = place::dynamic_inputs(graph, op, id);
    let slots = op.activation_slots(graph, id);
    let weight_slot =
        op.weight.map(|w| w.slot).filter(|&s| graph.node(id).input(s).is_some_and(|v| graph.is_constant(v)));
    let mut constants = Vec::new();
    for slot in slots.into_iter().filter(|s| !activations.contains(s) && Some(*s) != weight_slot) {
        // A constant operand beside an activation takes the activation's type: kernels want both alike.
        constants.push(ConstantPlan {
            slot,
            scheme: settings.activations.scheme,
            axis: None,
            block: None,
            is_weight: false,
            form: Stored::Plain,
            sum_order: None,
            summed: None,
            positive: false,
            split: None,
            least_error: false,
        });
    }
    if let Some(slot) = weight_slot {
        let value = graph.node(id).input(slot).map(|v| graph.constant(v)).transpose()?.flatten();
        let shape = value.map(|t| t.shape().to_vec()).unwrap_or_default();
        // In a transposed convolution of groups, channels at the same place of their groups share an index, and so a scale.
        let per_channel = settings.weights.granularity == Granularity::PerChannel;
        let scheme = settings.weights.scheme;
        let eight_bits = scheme.dtype == IntType::Int8 && scheme.symmetric && !scheme.reduce_range;
        let guarded = settings.weights.avoid_saturation && eight_bits && settings.activations.scheme.dtype.bits() == 8;
        let sum_order = op.sum_order(graph, id, &shape).filter(|_| guarded);
        let axis = op.weight_axis(graph, id, &shape).filter(|_| per_channel);
        check_alike(graph, id, settings)?;
        let least_error = settings.weights.searches();
        constants.push(ConstantPlan {
            slot,
            scheme: settings.weights.scheme,
            axis,
            block: None,
            is_weight: true,
            form: Stored::Plain,
            sum_order,
            summed: None,
            positive: false,
            split: None,
            least_error,
        });
    }
    let bias = match settings.weights.bias {
        BiasType::Int32 if !settings.weights.scheme.dtype.is_float() => bias_place(graph, op, id)?,
        BiasType::Int32 | BiasType::Float32 => None,
    };
    let demanded = placed.ends(graph, id).iter().any(|v| placed.demanded[v.index()]);
    let quantized_output = demanded || target.needs_quantized_output(graph, id);
    Ok(IntegerNode {
        activations,
        settings: (op.role != Role::Movement).then_some(settings.activations),
        constants,
        bias: bias.filter(|(node, _)| *node == id || !quantized_output && !placed.integer[node.index()]),
        clamps: placed.clamps[id.index()].clone(),
        end: placed.ends(graph, id).first().copied(),
        quantized_output,
    })
}

/// Whether weight and activations of a node are both integers, or both floating-point numbers of 8 bits: runtimes have kernels
/// for either.
fn check_alike(graph: &Graph, id: NodeId, settings: &NodeSettings) -> Result<()> {
    let (weights, activations) = (settings.weights.scheme.dtype, settings.activations.scheme.dtype);
    if weights.is_float() == activations.is_float() {
        return Ok(());
    }
    let why = format!("has weights of {weights} and activations of {activations} by the policy; {ALIKE}");
    Err(graph.node_error(id, why))
}

impl Plan {
    /// Whether each grid that the policy states is one of its value's type.
    fn check_grids(&self) -> Result<()> {
        for value in &self.values {
            let RangeSource::Grid { zero_point, .. } = value.range else { continue };
            let dtype = value.settings.scheme.dtype;
            let (low, high) = dtype.limits();
            if dtype.is_float() && zero_point != 0 {
                let why = format!("has the zero_point {zero_point} by a rule of the policy; that of {dtype} is 0");
                return Err(Error::value(&value.name, why));
            }
            if !(low..=high).contains(&zero_point) {
                let why = format!(
                    "has the zero_point {zero_point} by a rule of the policy; its type, {dtype}, reaches from {low} to {high}"
                );
                return Err(Error::value(&value.name, why));
            }
        }
        Ok(())
    }

    fn add_value(&mut self, graph: &Graph, id: ValueId, range: RangeSource, matched: &Matched) {
        let settings = &matched.values[id.index()];
        let range = match (settings.range, settings.grid, range) {
            (_, _, RangeSource::SameAs(_)) | (None, None, _) => range,
            (Some((low, high)), ..) => RangeSource::Given(low, high),
            (None, Some((scale, zero_point)), _) => RangeSource::Grid { scale, zero_point },
        };
        let name = graph.value(id).name().to_owned();
        self.index.insert(id, self.values.len());
        let settings = settings.activations;
        self.values.push(ValuePlan { id, name, settings, also: vec![], range, channels: None, layout: None });
    }

    fn add_outputs(&mut self, graph: &Graph, id: NodeId, placement: &Placement, placed: &Placed, matched: &Matched) {
        let outputs = graph.node(id).outputs().iter().flatten().copied();
        match placement {
            Placement::Integer(node) if node.quantized_output && node.clamps.is_empty() => {
                let op = ops::lookup(graph, id);
                let moved = op.filter(|op| op.role == Role::Movement).and_then(|_| graph.node(id).input(0));
                let range = match (moved, op.map(|op| op.range)) {
                    // The one that has a range: following a chain of movements again for each would be quadratic.
                    (Some(from), _) => RangeSource::SameAs(self.root(from)),
                    (None, Some(range)) => fixed(range),
                    (None, None) => RangeSource::Observed,
                };
                outputs.for_each(|v| self.add_value(graph, v, range, matched));
            }
            Placement::Clamp { into, .. } if placed.clamps[into.index()].last() == Some(&id) => {
                let quantized = self
                    .nodes
                    .iter()
                    .rev()
                    .find(|n| n.id == *into)
                    .is_some_and(|n| matches!(&n.placement, Placement::Integer(node) if node.quantized_output));
                if quantized {
                    outputs.for_each(|v| self.add_value(graph, v, RangeSource::Observed, matched));
                }
            }
            Placement::Float { .. }
            | Placement::Half(_)
            | Placement::Lookup(_)
            | Placement::Weight(_)
            | Placement::Dynamic(_) => {
                let range = ops::lookup(graph, id).map_or(RangeSource::Observed, |op| fixed(op.range));
                outputs.filter(|v| placed.demanded[v.index()]).for_each(|v| self.add_value(graph, v, range, matched));
            }
            _ => {}
        }
    }
}

fn fixed(range: OutputRange) -> RangeSource {
    match range {
        OutputRange::Calibrated => RangeSource::Observed,
        known => RangeSource::Fixed(known),
    }
}

impl Plan {
    /// The nodes by id.
    pub fn by_node(&self) -> HashMap<NodeId, &NodePlan> {
        self.nodes.iter().map(|n| (n.id, n)).collect()
    }
}
