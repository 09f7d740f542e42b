//! From the decision where integers run to a plan with every detail.

use super::bodies::Scope;
use super::dynamic;
use super::halves;
use super::io::{IntegerIo, integer_io};
use super::known::{Here, Known};
use super::nodes::{placement, settle_constants};
use super::place;
use super::place::join_clamps;
use super::stated;
use super::structure::Structure;
use super::weights;
use super::{NodePlan, Placement, Plan, RangeSource};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId};
use crate::policy::{HalfSettings, Matched, Mode, NodeSettings, Settings};
use crate::target::Target;
use std::borrow::Cow;
use std::collections::HashMap;

/// Plans the quantization of a prepared graph. The nodes `kept` stay float, each for its reason, unless the policy insists.
/// What is `known` is neither observed nor chosen.
///
/// # Errors
/// When a rule of the policy matches nothing, states the range of a value that shares a grid, known grids do not fit what they
/// are of, or a stored constant is malformed.
pub fn plan(
    graph: &Graph,
    settings: &Settings,
    target: &dyn Target,
    kept: &[(NodeId, String)],
    known: &Known,
) -> Result<Plan> {
    let scope = Scope::of(Cow::Borrowed(graph), settings.reaches_bodies() || known.reaches_bodies(graph))?;
    let mut matched = scope.matched(settings)?.into_iter();
    let Some(mut own) = matched.next() else { return Ok(Plan::default()) };
    let io = integer_io(graph, settings, known, &mut own)?;
    join_clamps(graph, &scope.order, settings, &mut own);
    if settings.strict {
        place::insist(graph, &scope.order, &mut own);
    }
    let mut here = Here::of(graph, known)?;
    here.settle(graph, &scope.order, &mut own, &io, known);
    stated::settle(graph, &scope.order, &mut own, &io, &here);
    let mut plan = plan_graph(&scope, &own, &here, io, settings, target, kept)?;
    let body = |scope: &Scope<'_>, matched: &Matched| plan_body(scope, matched, settings, known);
    plan.bodies = scope.plan_bodies(&mut matched, &body)?;
    let biases = known.biases.iter().filter_map(|(name, bias)| Some((graph.find(name)?, bias.clone())));
    plan.biases = biases.collect();
    let also = known.own_also.iter().filter_map(|(name, grids)| Some((graph.find(name)?, grids)));
    let also = also.flat_map(|(value, grids)| grids.iter().map(move |grid| ((value, grid.dtype), *grid)));
    plan.known_also = also.collect();
    for (name, direct) in &known.direct {
        let Some(value) = graph.find(name) else { continue };
        let readers = graph.value(value).readers().map(|(node, _)| node);
        plan.direct.extend(readers.filter(|&id| direct.nodes.contains(graph.label(id))).map(|id| (value, id)));
        plan.direct_by_name.extend(direct.by_name.then_some(value));
    }
    plan.list_unused(graph, &here, known);
    Ok(plan)
}

/// Plans a graph without the bodies of its nodes.
fn plan_graph(
    scope: &Scope<'_>,
    matched: &Matched,
    here: &Here<'_>,
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
    let mut placed = place::place(graph, order, matched, &preferences, wanted, here, target);
    for &id in order {
        settle_constants(graph, id, &mut placed, here)?;
    }
    // What was taken back above may have been the reason for something else.
    while place::sweep(graph, order, target, &mut placed) {}
    let halves = halves::place(graph, order, matched, &settings.half, kept)?;
    let mut plan = Plan { structure, io, converts_io: settings.half.convert_io, ..Plan::default() };
    for value in graph.inputs() {
        if placed.demanded[value.index()] {
            plan.add_value(graph, value, RangeSource::Observed, matched, here);
        }
    }
    for (&id, node) in order.iter().zip(&matched.nodes) {
        let placement = match node.mode {
            Mode::Static => placement(graph, id, node, &placed, here, target)?,
            Mode::Float16 | Mode::Bfloat16 => halves[id.index()].clone().unwrap_or(Placement::NoFloats),
            _ => unobserved(graph, id, node, here)?,
        };
        let placement = here.with_weights(graph, id, placement, node.quantize);
        plan.add_outputs(graph, id, &placement, &placed, matched, here);
        plan.nodes.push(NodePlan::new(graph, id, placement));
    }
    if settings.repairs.activation_error {
        plan.note_functions(graph);
    }
    for value in &plan.values {
        let of_rule = &matched.values[value.id.index()];
        if let (RangeSource::SameAs(root), true) = (value.range, of_rule.range.is_some() || of_rule.grid.is_some()) {
            let root = graph.value(root).name();
            let why = format!(
                "has a range by a rule of the policy, but shares the grid of {root:?}; state the range of that value"
            );
            return Err(settings.blame(of_rule.stated_on, Error::value(&value.name, why)));
        }
    }
    plan.kept = here.own_constants();
    plan.settle_types(graph, matched);
    plan.settle_outputs(matched);
    plan.check_grids(matched, settings)?;
    plan.list_idle(graph, matched, settings, false)?;
    if settings.sees_samples() {
        plan.watch_halves(graph, matched);
    }
    plan.ask_for_channels(graph);
    plan.plan_splits(graph, order, matched, settings)?;
    plan.find_layouts(graph);
    Ok(plan)
}

/// Plans a body.
fn plan_body(scope: &Scope<'_>, matched: &Matched, settings: &Settings, known: &Known) -> Result<Plan> {
    let graph = &*scope.graph;
    let (mut here, mut matched) = (Here::of(graph, known)?, matched.clone());
    here.settle(graph, &scope.order, &mut matched, &[], known);
    // Inputs and outputs of a body stay float32.
    let half = HalfSettings { convert_io: false, ..settings.half.clone() };
    let halves = halves::place(graph, &scope.order, &matched, &half, &[])?;
    let mut plan = Plan::default();
    for (&id, node) in scope.order.iter().zip(&matched.nodes) {
        let placement = match node.mode {
            Mode::Static if place::makes_no_floats(graph, id) => Placement::NoFloats,
            Mode::Float16 | Mode::Bfloat16 => halves[id.index()].clone().unwrap_or(Placement::NoFloats),
            Mode::Static => Placement::Float { reason: "it lies in a body, whose values are not observed".to_owned() },
            _ => unobserved(graph, id, node, &here)?,
        };
        let placement = here.with_weights(graph, id, placement, node.quantize);
        plan.nodes.push(NodePlan::new(graph, id, placement));
    }
    plan.kept = here.own_constants();
    plan.list_idle(graph, &matched, settings, true)?;
    Ok(plan)
}

/// What becomes of a node whose mode observes nothing.
fn unobserved(graph: &Graph, id: NodeId, settings: &NodeSettings, here: &Here<'_>) -> Result<Placement> {
    match settings.mode {
        Mode::Dynamic => dynamic::placement(graph, id, settings, here),
        Mode::WeightOnly => weights::placement(graph, id, settings, here),
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

impl Plan {
    /// The nodes by id.
    pub fn by_node(&self) -> HashMap<NodeId, &NodePlan> {
        self.nodes.iter().map(|n| (n.id, n)).collect()
    }
}
