//! The QDQ form: every activation that has a grid passes through QuantizeLinear and DequantizeLinear.
//!
//! Rules that runtimes ask for and that hold here by construction: an integer node reads and makes values only through
//! Q/DQ; what it makes is read by its QuantizeLinear alone; scale and zero point of a pair are the same initializers; a
//! graph output keeps its name, on the DequantizeLinear.

use super::constants::Constants;
use super::contrib;
use super::dynamic::Dynamic;
use super::recurrent::Recurrent;
use super::{carried, halves, io, outliers, shared, shifted};
use crate::error::{Error, Result};
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::plan::{IntegerNode, Placement, Plan};
use crate::policy::ActivationSettings;
use crate::qoperators::MICROSOFT;
use crate::quant::{GridType, Params};
use crate::resolve::Resolved;
use crate::tensor::Tensor;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};

/// Rewrites the prepared `model` as the plan says. Node and value ids are those that the plan was made with. Gives the bounds of
/// the clamps that vanished, by the name of the scale of the grid that each vanished into.
///
/// # Errors
/// When plan and model do not belong together.
pub fn insert_qdq(model: &mut Model, plan: &Plan, resolved: &Resolved) -> Result<BTreeMap<String, (f32, f32)>> {
    shifted::shift(&mut model.graph, plan, resolved)?;
    let vanished = rewrite(&mut model.graph, plan, resolved)?;
    if contrib::is_asked_for(plan) && model.opset(MICROSOFT).is_none() {
        model.set_opset(MICROSOFT, 1);
    }
    if !plan.bodies.is_empty() {
        shared::share(&mut model.graph)?;
    }
    if model.opset("").is_some_and(|opset| opset >= carried::FROM_OPSET) {
        carried::pair(&mut model.graph)?;
    }
    Ok(vanished)
}

fn rewrite(graph: &mut Graph, plan: &Plan, resolved: &Resolved) -> Result<BTreeMap<String, (f32, f32)>> {
    // Bodies first, while the ids are those that the plan was made with. What is resolved is of the graph around, whose ids mean other
    // nodes and values there.
    for body in &plan.bodies {
        graph.edit_body(body.node, body.index, |inside| rewrite(inside, &body.plan, &Resolved::default()))?;
    }
    let (grids, constants) = (HashMap::new(), Constants::knowing(&plan.biases));
    let (quantized, behind) = (HashMap::new(), HashMap::new());
    let mut writer = Writer { plan, resolved, grids, quantized, behind, constants };
    let (mut dynamic, mut recurrent) = (Dynamic::default(), Recurrent::default());
    let readers = integer_readers(plan);
    for value in &plan.values {
        if graph.value(value.id).producer().is_none() {
            let integers = plan.io.iter().any(|one| one.value == value.id);
            writer.activation(graph, value.id, &readers, integers)?;
        }
    }
    for node in &plan.nodes {
        match &node.placement {
            Placement::Integer(integer) => writer.integer_node(graph, node.id, integer, &readers)?,
            Placement::Float { .. }
            | Placement::Half(_)
            | Placement::Lookup(_)
            | Placement::Weight(_)
            | Placement::Dynamic(_)
            | Placement::Recurrent(_) => {
                let outputs: Vec<_> = graph.node(node.id).outputs().iter().flatten().copied().collect();
                let constants = &mut writer.constants;
                match &node.placement {
                    Placement::Lookup(table) => constants.look_up(graph, node.id, table)?,
                    Placement::Dynamic(weight) => {
                        let columns = weight.split.map_or(&[][..], |split| resolved.outliers(split.value));
                        dynamic.layer(graph, node.id, weight, columns, constants)?;
                    }
                    Placement::Recurrent(weights) => recurrent.layer(graph, node.id, weights)?,
                    Placement::Weight(weights) => {
                        let rounding = resolved.rounding(node.id);
                        weights
                            .iter()
                            .try_for_each(|weight| constants.store_weight(graph, node.id, weight, rounding))?;
                    }
                    _ => {}
                }
                for value in outputs {
                    writer.activation(graph, value, &readers, false)?;
                }
            }
            // Done with the node it belongs to.
            Placement::Clamp { .. } | Placement::NoFloats => {}
        }
    }
    plan.kept.iter().try_for_each(|(value, constant)| writer.constants.keep(graph, *value, constant))?;
    writer.constants.keep_biases(graph)?;
    halves::convert(graph, plan)?;
    let vanished = writer.vanished(graph);
    io::expose(graph, &plan.io, &writer.quantized)?;
    graph.remove_unused();
    Ok(vanished)
}

/// Inputs that must read a dequantized activation.
fn integer_readers(plan: &Plan) -> HashMap<NodeId, &IntegerNode> {
    let integer = plan.nodes.iter().filter_map(|n| match &n.placement {
        Placement::Integer(node) => Some((n.id, node)),
        _ => None,
    });
    integer.collect()
}

struct Writer<'a> {
    plan: &'a Plan,
    resolved: &'a Resolved,
    /// Scale and zero point initializers of each grid, by the value it belongs to and its type.
    grids: HashMap<(ValueId, GridType), (ValueId, ValueId)>,
    /// What QuantizeLinear makes of a value, by type.
    quantized: HashMap<(ValueId, GridType), ValueId>,
    /// For what a DequantizeLinear makes: the value that it stands for, and the grid.
    behind: HashMap<ValueId, (ValueId, Params)>,
    constants: Constants,
}

impl Writer<'_> {
    fn integer_node(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        node: &IntegerNode,
        readers: &HashMap<NodeId, &IntegerNode>,
    ) -> Result<()> {
        let input = node.activations.first().and_then(|&slot| graph.node(id).input(slot));
        // The input is a DequantizeLinear's output by now; its grid is that of what was quantized.
        let quantized = input.and_then(|v| self.behind.get(&v).copied());
        let params = quantized.map(|(_, params)| params);
        let moments = quantized.and_then(|(v, _)| self.resolved.moments(v));
        let split = node.constants.iter().find_map(|c| c.split).filter(|s| !self.resolved.outliers(s.value).is_empty());
        let beside = match split {
            Some(split) => outliers::beside(graph, id, split.value, self.resolved.outliers(split.value))?,
            None => None,
        };
        self.constants.quantize(graph, id, node, params, moments, self.resolved)?;
        if let Some(beside) = beside {
            let sum = outliers::join(graph, id, beside);
            let made = graph.node(sum).output(0).filter(|_| node.quantized_output);
            return made.map_or(Ok(()), |made| self.activation(graph, made, readers, false));
        }
        if !node.quantized_output {
            return Ok(());
        }
        for &clamp in &node.clamps {
            let Some(end) = graph.get_node(clamp).and_then(|n| n.output(0)) else { continue };
            if self.resolved.absorbed.contains(&clamp) {
                graph.take_over_output(id, 0, end);
            }
        }
        for value in graph.node(id).outputs().to_vec().into_iter().flatten() {
            self.activation(graph, value, readers, true)?;
            match node.end {
                // A clamp that stays reads the node's output on the grid that it will have after the clamp.
                Some(end) if end != value && self.plan.value(value).is_none() => {
                    let params = self.resolved.params(end).ok_or_else(|| lost(graph, end))?;
                    self.pair(graph, value, end, (value, params), |_, _| true);
                    self.activation(graph, end, readers, true)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Puts a pair behind `value`, if it has a grid. What an integer node makes is read through the pair by everybody, what
    /// a float node makes only by integer nodes.
    fn activation(
        &mut self,
        graph: &mut Graph,
        value: ValueId,
        readers: &HashMap<NodeId, &IntegerNode>,
        made_by_integers: bool,
    ) -> Result<()> {
        let Some(plan) = self.plan.value(value) else { return Ok(()) };
        // On what stays on its grid everybody reads the integers.
        let all = made_by_integers || plan.kept;
        let params = self.resolved.params(value).ok_or_else(|| lost(graph, value))?;
        let root = self.plan.root(value);
        // Whether an integer node wants to read the value as another type than its own.
        let wants = |node: NodeId, slot: usize, settings: &ActivationSettings| {
            let reader = readers.get(&node).filter(|n| n.activations.contains(&slot)).and_then(|n| n.settings);
            reader.is_some_and(|own| own.scheme.dtype == settings.scheme.dtype)
        };
        let dequantized = self.pair(graph, value, root, (value, params), |node, slot| {
            let integer = readers.get(&node).is_some_and(|n| n.activations.contains(&slot));
            let direct = !made_by_integers && self.plan.direct.contains(&(value, node));
            all && !direct || integer && !plan.also.iter().any(|other| wants(node, slot, other))
        });
        let source = if all { dequantized } else { value };
        for other in &plan.also {
            let params = self.resolved.converted(value, other.scheme.dtype).ok_or_else(|| lost(graph, value))?;
            self.pair(graph, source, root, (value, params), |node, slot| wants(node, slot, other));
        }
        let goes_by_name = graph.value(value).goes_by_name();
        let input = graph.value(value).producer().is_none();
        let direct = !made_by_integers && self.plan.direct_by_name.contains(&value);
        if all && !direct && !input && goes_by_name {
            let stem = format!("{}_QuantizeLinear_Input", graph.value(value).name());
            graph.hand_over_name(value, dequantized, &stem);
        }
        Ok(())
    }

    /// Adds QuantizeLinear and DequantizeLinear behind `source` and points the readers that `takes` accepts to the latter. It
    /// stands for a value, on a grid that it shares with `root`.
    fn pair(
        &mut self,
        graph: &mut Graph,
        source: ValueId,
        root: ValueId,
        (value, params): (ValueId, Params),
        takes: impl Fn(NodeId, usize) -> bool,
    ) -> ValueId {
        let taken: Vec<_> = graph.value(source).readers().filter(|&(node, slot)| takes(node, slot)).collect();
        let name = graph.value(value).name().to_owned();
        let (scale, zero) = self.grid(graph, root, params);
        let mut add = |op_type: &str, input: ValueId| {
            let node = format!("{name}_{op_type}");
            let inputs = vec![Some(input), Some(scale), Some(zero)];
            graph.add_node(NewNode { op_type, name: &node, inputs, ints: vec![] }, &format!("{node}_Output")).1
        };
        let quantized = add("QuantizeLinear", source);
        let dequantized = add("DequantizeLinear", quantized);
        self.behind.insert(dequantized, (value, params));
        self.quantized.insert((value, params.dtype), quantized);
        for (node, slot) in taken {
            graph.set_input(node, slot, Some(dequantized));
        }
        dequantized
    }

    /// The bounds of the clamps that vanished, by the name of a scale.
    fn vanished(&self, graph: &Graph) -> BTreeMap<String, (f32, f32)> {
        let nodes = self.plan.by_node();
        let mut all = BTreeMap::new();
        for node in &self.plan.nodes {
            let Placement::Clamp { into, low, high } = node.placement else { continue };
            let end = match nodes.get(&into).map(|n| &n.placement) {
                Some(Placement::Integer(integer)) => integer.end,
                _ => None,
            };
            let Some(root) = end.map(|end| self.plan.root(end)).filter(|_| self.resolved.absorbed.contains(&node.id))
            else {
                continue;
            };
            let grid = self.resolved.params(root).and_then(|params| self.grids.get(&(root, params.dtype)));
            if let Some(&(scale, _)) = grid {
                let name = graph.value(scale).name().to_owned();
                let bounds = all.entry(name).or_insert((f32::NEG_INFINITY, f32::INFINITY));
                *bounds = (low.max(bounds.0), high.min(bounds.1));
            }
        }
        all
    }

    /// The initializers of a grid, made once.
    fn grid(&mut self, graph: &mut Graph, root: ValueId, params: Params) -> (ValueId, ValueId) {
        *self.grids.entry((root, params.dtype)).or_insert_with(|| {
            let name = graph.value(root).name().to_owned();
            let scale = graph.add_initializer(&format!("{name}_scale"), &Tensor::from_f32(vec![], &[params.scale]));
            let zero = Bytes::from(params.zero_point_bytes());
            let zero = Tensor::new(params.dtype.data_type(), vec![], zero).expect("the bytes of one element");
            (scale, graph.add_initializer(&format!("{name}_zero_point"), &zero))
        })
    }
}

fn lost(graph: &Graph, value: ValueId) -> Error {
    Error::value(graph.value(value).name(), "has no grid: plan and statistics do not belong together")
}
