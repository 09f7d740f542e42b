//! Where integers run. A node of role `Compute` always does. One of role `Arithmetic` does where an integer node reads its
//! output and some of its inputs are integers already: a grid that no integer kernel reads costs accuracy and buys nothing.
//! One of role `Movement` follows what reads it.

use super::known::Here;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops::{self, Op, Role};
use crate::policy::{Matched, Mode, NodeSettings, Settings};
use crate::quant::Params;
use crate::target::Target;
use std::collections::HashMap;

/// Nodes that stay float for the sake of what stands around them, each with the reason.
pub(super) type Preferences = Vec<Option<String>>;

/// What a node could be.
pub(super) enum Candidate {
    /// It can run on integers, as this row of the table says.
    Yes(&'static Op),
    /// It stays float, and why.
    No(String),
    /// It makes no floats: shapes, indices, conditions.
    NoFloats,
}

/// The decision for a whole graph. Tables are indexed by node or value.
pub(super) struct Placed {
    pub candidates: Vec<Option<Candidate>>,
    /// Whether the node runs on integers.
    pub integer: Vec<bool>,
    /// Whether an integer node reads the value.
    pub demanded: Vec<bool>,
    /// Clamps that may vanish into the node.
    pub clamps: Vec<Vec<NodeId>>,
    /// Whether the policy says that the node is to be quantized, whatever it is good for.
    insisted: Vec<bool>,
    /// Values whose integers are read, or come, from outside.
    wanted: Vec<ValueId>,
    /// Values that stay on the grid that they have.
    kept: Vec<ValueId>,
}

impl Placed {
    /// The values that node `id` makes, past the clamps that may vanish into it.
    pub fn ends(&self, graph: &Graph, id: NodeId) -> Vec<ValueId> {
        let last = self.clamps[id.index()].last().copied().unwrap_or(id);
        graph.node(last).outputs().iter().flatten().copied().collect()
    }
}

/// Decides for every node. `order` is a topological order; `matched` is parallel to it and to the graph's value ids;
/// `preferences` is indexed by node, and yields to a policy that insists. The values `wanted` get a grid whoever reads them.
pub(super) fn place(
    graph: &Graph,
    order: &[NodeId],
    matched: &Matched,
    preferences: &Preferences,
    wanted: Vec<ValueId>,
    here: &Here<'_>,
    target: &dyn Target,
) -> Placed {
    let mut placed = Placed {
        candidates: (0..graph.node_bound()).map(|_| None).collect(),
        integer: vec![false; graph.node_bound()],
        demanded: vec![false; graph.value_bound()],
        clamps: vec![Vec::new(); graph.node_bound()],
        insisted: vec![false; graph.node_bound()],
        wanted,
        kept: here.kept(),
    };
    let forbidden = ops::stays_float(graph, order);
    for (&id, settings) in order.iter().zip(&matched.nodes) {
        let why = (!settings.quantize || settings.mode != Mode::Static).then(|| policy_reason(settings));
        placed.insisted[id.index()] = settings.insists;
        let preferred = preferences[id.index()].clone().filter(|_| !settings.insists);
        placed.candidates[id.index()] = Some(match (why.or(preferred), &forbidden[id.index()]) {
            _ if makes_no_floats(graph, id) => Candidate::NoFloats,
            (Some(reason), _) => Candidate::No(reason),
            (None, forbidden) => match (candidate(graph, id, (matched, settings), here, target), forbidden) {
                (Candidate::Yes(_), Some(reason)) => Candidate::No(reason.clone()),
                (other, _) => other,
            },
        });
    }
    for &id in order {
        placed.integer[id.index()] = role(&placed, id).is_some_and(|role| !matches!(role, Role::Clamp | Role::Lookup));
        if placed.integer[id.index()] {
            placed.clamps[id.index()] = clamps_after(graph, &placed, id, here);
        }
    }
    keep_float_values(graph, order, matched, &mut placed);
    while sweep(graph, order, target, &mut placed) {}
    placed
}

/// Gives clamps that follow a layer on integers, and that only it feeds, the layer's mode and types, where no rule says otherwise
/// of them: they vanish into the layer, whose grid is the one behind them, and one that covers what they cut off would be too
/// wide.
pub(super) fn join_clamps(graph: &Graph, order: &[NodeId], settings: &Settings, matched: &mut Matched) {
    let at_node: HashMap<NodeId, usize> = order.iter().enumerate().map(|(at, &id)| (id, at)).collect();
    for (at, &id) in order.iter().enumerate() {
        let own = &matched.nodes[at];
        let clamps = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Clamp && op.bounds(graph, id).is_some());
        if !clamps || !own.quantize || own.mode_stated && own.mode != Mode::Static {
            continue;
        }
        let (Some(read), Some(made)) = (graph.node(id).input(0), graph.node(id).output(0)) else { continue };
        let layer = graph.value(read).producer().filter(|_| graph.value(read).uses().len() == 1);
        let Some(layer) = layer.filter(|layer| at_node.get(layer).is_some_and(|&at| is_static(&matched.nodes[at])))
        else {
            continue;
        };
        let joins = |role: Role| matches!(role, Role::Compute | Role::Arithmetic | Role::Clamp);
        if ops::lookup(graph, layer).is_some_and(|op| joins(op.role)) {
            matched.nodes[at].mode = Mode::Static;
            let behind = &matched.values[made.index()];
            if behind.activations == settings.activations && !behind.pinned && !behind.calibrator_stated {
                let layers = &matched.values[read.index()];
                let (activations, calibrator_stated, pinned) =
                    (layers.activations, layers.calibrator_stated, layers.pinned);
                let behind = &mut matched.values[made.index()];
                (behind.activations, behind.calibrator_stated) = (activations, calibrator_stated);
                behind.pinned = pinned;
            }
        }
    }
}

/// Insists on the integer kernels that accuracy would rather do without, where nothing may stay in float.
pub(super) fn insist(graph: &Graph, order: &[NodeId], matched: &mut Matched) {
    for (&id, settings) in order.iter().zip(&mut matched.nodes) {
        let float = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Float);
        settings.insists |= float && is_static(settings);
    }
}

fn is_static(settings: &NodeSettings) -> bool {
    settings.quantize && settings.mode == Mode::Static
}

/// Why a node is float that could be an integer one.
pub const UNREAD: &str = "no integer node reads its output";

/// Why the policy leaves a node in float.
pub(super) fn policy_reason(settings: &NodeSettings) -> String {
    settings.reason.clone().unwrap_or_else(|| "the policy says so".to_owned())
}

/// Whether every output is known to hold something else than numbers that could be quantized.
pub(super) fn makes_no_floats(graph: &Graph, id: NodeId) -> bool {
    let other = |v: &ValueId| graph.known_type(*v).is_some_and(|ty| !ty.dtype.is_float());
    graph.node(id).outputs().iter().flatten().all(other)
}

fn role(placed: &Placed, id: NodeId) -> Option<Role> {
    match &placed.candidates[id.index()] {
        Some(Candidate::Yes(op)) => Some(op.role),
        _ => None,
    }
}

fn candidate(
    graph: &Graph,
    id: NodeId,
    (matched, own): (&Matched, &NodeSettings),
    here: &Here<'_>,
    target: &dyn Target,
) -> Candidate {
    let Some(op) = ops::lookup(graph, id) else {
        return Candidate::No(format!("{} has no integer form", graph.node(id).op_type()));
    };
    if let Some(reason) = (op.unless)(graph, id).filter(|_| !pads_on_grid(graph, id, matched, here)) {
        return Candidate::No(reason);
    }
    if op.role == Role::Float && !(own.insists && target.has_integer_kernel(graph, id)) {
        return Candidate::No(format!("{} needs more than eight bits in its input", op.op_type));
    }
    if op.role == Role::Lookup && graph.node(id).input(1).is_none_or(|v| graph.is_constant(v)) {
        return Candidate::No("it looks up the same rows each time".to_owned());
    }
    if op.role == Role::Movement && dynamic_inputs(graph, op, id).is_empty() {
        // There is no grid of an activation to share: a lookup in a table.
        return Candidate::No("it moves numbers of a constant".to_owned());
    }
    if op.role == Role::Clamp && op.bounds(graph, id).is_none() {
        return Candidate::No("its bounds are computed while the model runs".to_owned());
    }
    if op.role == Role::Arithmetic && !target.has_integer_kernel(graph, id) {
        return Candidate::No(format!("{} has no integer kernel for it", target.name()));
    }
    Candidate::Yes(op)
}

/// Whether a node pads with a number of the grid that is stated or known for what it pads.
fn pads_on_grid(graph: &Graph, id: NodeId, matched: &Matched, here: &Here<'_>) -> bool {
    let (Some(value), Some(padding)) = (graph.node(id).input(0), ops::padding(graph, id)) else { return false };
    let mut root = value;
    // What only moves numbers has the grid of what it moves.
    while let Some(mover) = graph.value(root).producer().filter(|&mover| moves_first(graph, mover)) {
        let Some(moved) = graph.node(mover).input(0) else { break };
        root = moved;
    }
    let stated = &matched.values[root.index()];
    let dtype = stated.activations.scheme.dtype;
    let stated = stated.grid.map(|(scale, zero_point)| Params { dtype, scale, zero_point });
    let holds = |params: Params| params.dequantize(params.quantize(padding)) == padding;
    stated.or_else(|| here.activation(root)).is_some_and(holds)
}

fn moves_first(graph: &Graph, id: NodeId) -> bool {
    let moves = ops::lookup(graph, id).is_some_and(|op| op.role == Role::Movement && (op.unless)(graph, id).is_none());
    moves && graph.node(id).inputs().iter().flatten().skip(1).all(|&v| graph.is_constant(v))
}

/// The clamps behind a node that nothing else reads in between.
fn clamps_after(graph: &Graph, placed: &Placed, id: NodeId, here: &Here<'_>) -> Vec<NodeId> {
    let mut clamps: Vec<NodeId> = Vec::new();
    if role(placed, id) == Some(Role::Movement) {
        return clamps;
    }
    loop {
        let last = clamps.last().copied().unwrap_or(id);
        // What stays on its grid needs what makes it.
        let Some(value) = graph.node(last).output(0).filter(|&value| !here.keeps(value)) else { return clamps };
        match graph.value(value).uses() {
            [Use::Input { node, slot: 0 }] if role(placed, *node) == Some(Role::Clamp) => clamps.push(*node),
            _ => return clamps,
        }
    }
}

/// The inputs that a node reads as activations and that are computed while the model runs.
pub(super) fn dynamic_inputs(graph: &Graph, op: &Op, id: NodeId) -> Vec<usize> {
    let constant = |slot: &usize| graph.node(id).input(*slot).is_some_and(|v| graph.is_constant(v));
    op.activation_slots(graph, id).into_iter().filter(|slot| !constant(slot)).collect()
}

pub(super) fn reject(placed: &mut Placed, id: NodeId, reason: impl Into<String>) {
    placed.integer[id.index()] = false;
    placed.candidates[id.index()] = Some(Candidate::No(reason.into()));
}

/// Values that the policy keeps in float take the nodes around them along.
fn keep_float_values(graph: &Graph, order: &[NodeId], matched: &Matched, placed: &mut Placed) {
    for &id in order {
        let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { continue };
        let inputs = dynamic_inputs(graph, op, id).into_iter().filter_map(|slot| graph.node(id).input(slot));
        let touched: Vec<_> = inputs.chain(placed.ends(graph, id)).collect();
        let kept = touched.into_iter().find(|v| !matched.values[v.index()].quantize);
        if let Some(value) = kept.filter(|_| op.role != Role::Clamp) {
            let reason = matched.values[value.index()].reason.as_deref().unwrap_or("the policy says so");
            reject(placed, id, format!("{:?} stays float: {reason}", graph.value(value).name()));
        }
    }
}

/// Takes back what does not pay; says whether anything was. Both directions run along the whole graph, so a chain of any
/// length is settled in one sweep.
pub(super) fn sweep(graph: &Graph, order: &[NodeId], target: &dyn Target, placed: &mut Placed) -> bool {
    let mut changed = false;
    placed.demanded.fill(false);
    placed.wanted.iter().chain(&placed.kept).for_each(|value| placed.demanded[value.index()] = true);
    let mut computed_on = vec![false; graph.value_bound()];
    for &id in order.iter().rev() {
        let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { continue };
        if !placed.integer[id.index()] {
            continue;
        }
        let wanted = op.role == Role::Compute || placed.insisted[id.index()];
        if !wanted && !placed.ends(graph, id).iter().any(|v| placed.demanded[v.index()]) {
            reject(placed, id, UNREAD);
            changed = true;
            continue;
        }
        for slot in dynamic_inputs(graph, op, id) {
            if let Some(value) = graph.node(id).input(slot) {
                placed.demanded[value.index()] = true;
                computed_on[value.index()] |= op.role == Role::Compute;
            }
        }
    }
    let mut available = computed_on;
    placed.kept.iter().for_each(|value| available[value.index()] = true);
    for &id in order {
        let Some(Candidate::Yes(op)) = placed.candidates[id.index()] else { continue };
        if !placed.integer[id.index()] {
            continue;
        }
        let ends = placed.ends(graph, id);
        let inputs = dynamic_inputs(graph, op, id);
        let any_available = inputs.iter().filter_map(|&s| graph.node(id).input(s)).any(|v| available[v.index()]);
        let makes_integers = match op.role {
            Role::Compute => {
                target.needs_quantized_output(graph, id) || ends.iter().any(|v| placed.demanded[v.index()])
            }
            Role::Arithmetic if !any_available && !placed.insisted[id.index()] => {
                reject(placed, id, "none of its inputs is quantized for another node");
                changed = true;
                false
            }
            _ => any_available || placed.insisted[id.index()],
        };
        for value in ends {
            available[value.index()] |= makes_integers;
        }
    }
    changed
}
