//! Numbers of 16 bits: the nodes that compute in them read and make them; between these and all others stand Casts, one for
//! each value and type, and constants are stored in the type that they are read in.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, Source, Use, Value, ValueId};
use crate::ops::{self, Half};
use crate::plan::{HalfNode, Plan};
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::collections::HashMap;

/// Rewrites the nodes that `plan` has in 16 bits, without those of bodies. Node ids are those that the plan was made with;
/// other nodes may have been rewritten before. Inputs and outputs that the plan converts become numbers of 16 bits, too; bodies
/// that read one read a Cast of it.
///
/// # Errors
/// When plan and graph do not belong together.
pub(super) fn convert(graph: &mut Graph, plan: &Plan) -> Result<()> {
    let nodes: Vec<_> = plan.halves().collect();
    let border = if plan.converts_io { kind_of(plan) } else { None };
    if nodes.is_empty() && border.is_none() {
        return Ok(());
    }
    let mut writer = Writer::new(nodes.into_iter().map(|(id, half)| (id, half.clone())).collect(), HashMap::new());
    writer.state_types(graph)?;
    if let Some(kind) = border {
        writer.convert_inputs(graph, kind);
    }
    writer.narrow_all(graph)?;
    // Where no name has to stay, bodies read what takes the name over.
    let by_name = |value: &Value| {
        let outside = value.is_output() || value.source() == Source::Input;
        if outside { value.is_output() && border.is_none() } else { value.is_captured() }
    };
    writer.widen_all(graph, by_name);
    if let Some(kind) = border {
        convert_outputs(graph, kind, &writer.native);
    }
    Ok(())
}

/// The type of 16 bits that nodes compute in, or, where none does, those of bodies.
fn kind_of(plan: &Plan) -> Option<HalfType> {
    let own = plan.halves().map(|(_, half)| half.kind).max();
    own.or_else(|| plan.bodies.iter().filter_map(|body| kind_of(&body.plan)).max())
}

pub(super) struct Writer {
    by_node: HashMap<NodeId, HalfNode>,
    /// The values that are made in 16 bits.
    pub native: HashMap<ValueId, HalfType>,
    /// The 16-bit form of values that are not made so, and whether it was cut off at the ends of the range.
    narrow: HashMap<(ValueId, HalfType, bool), ValueId>,
    /// Whether constants that all read in 16 bits keep their names.
    pub in_place: bool,
    /// Whether bodies read numbers of 16 bits as they are.
    pub bodies_too: bool,
}

impl Writer {
    /// Writes what nodes in 16 bits read and make; these values are in 16 bits already.
    pub fn new(by_node: HashMap<NodeId, HalfNode>, native: HashMap<ValueId, HalfType>) -> Self {
        Self { by_node, native, narrow: HashMap::new(), in_place: false, bodies_too: false }
    }

    /// The nodes, in the order of their ids.
    fn nodes(&self) -> Vec<NodeId> {
        let mut nodes: Vec<_> = self.by_node.keys().copied().collect();
        nodes.sort_unstable();
        nodes
    }

    /// States of each node that it makes numbers of 16 bits.
    pub fn state_types(&mut self, graph: &mut Graph) -> Result<()> {
        for id in self.nodes() {
            let half = &self.by_node[&id];
            self.state_type(graph, id, half)?;
            let made: Vec<_> = half.outputs.iter().filter_map(|&slot| graph.node(id).output(slot)).collect();
            let kind = half.kind;
            self.native.extend(made.into_iter().map(|value| (value, kind)));
        }
        Ok(())
    }

    /// Lets each node read numbers of 16 bits.
    pub fn narrow_all(&mut self, graph: &mut Graph) -> Result<()> {
        for id in self.nodes() {
            let half = self.by_node[&id].clone();
            self.narrow_inputs(graph, id, &half)?;
        }
        Ok(())
    }

    /// Lets all others read float32, and so what goes by the name of a value where `by_name` says so.
    pub fn widen_all(&self, graph: &mut Graph, by_name: impl Fn(&Value) -> bool) {
        let mut native: Vec<_> = self.native.iter().map(|(&value, &kind)| (value, kind)).collect();
        native.sort_unstable_by_key(|(value, _)| *value);
        for (value, kind) in native {
            let by_name = by_name(graph.value(value));
            self.widen_for_others(graph, value, kind, by_name);
        }
    }

    /// Writes the type into the attribute that states it.
    fn state_type(&self, graph: &mut Graph, id: NodeId, half: &HalfNode) -> Result<()> {
        let Some(name) = half.attribute else { return Ok(()) };
        if graph.node(id).attributes().int(name).is_some() {
            graph.set_int(id, name, half.kind.dtype().onnx().into());
            return Ok(());
        }
        let stated = graph.node(id).attributes().tensor(name)?;
        let value = stated.unwrap_or_else(|| Tensor::from_f32(vec![1], &[0.0]));
        graph.set_tensor(id, name, &half.kind.tensor(&value)?);
        Ok(())
    }

    /// Makes the model's inputs numbers of 16 bits, of the type that a node reads them in, or else `any`.
    fn convert_inputs(&mut self, graph: &Graph, any: HalfType) {
        for value in graph.inputs() {
            let float32 = graph.element_type(value) == Some(DataType::Float32);
            let mut kinds = graph.value(value).readers().filter_map(|(node, slot)| self.reads(node, slot));
            let kind = float32.then(|| kinds.next().unwrap_or(any));
            self.native.extend(kind.map(|kind| (value, kind)));
        }
    }

    /// The type of 16 bits that a node reads an input in.
    fn reads(&self, node: NodeId, slot: usize) -> Option<HalfType> {
        self.by_node.get(&node).filter(|half| half.inputs.contains(&slot)).map(|half| half.kind)
    }

    fn narrow_inputs(&mut self, graph: &mut Graph, id: NodeId, half: &HalfNode) -> Result<()> {
        for &slot in &half.inputs {
            let Some(value) = graph.node(id).input(slot) else { continue };
            if self.native.get(&value) == Some(&half.kind) {
                continue;
            }
            let narrow = self.narrow(graph, value, half.kind, half.cut_off.contains(&slot))?;
            graph.set_input(id, slot, Some(narrow));
        }
        Ok(())
    }

    /// Whether all read a constant in 16 bits of this type.
    fn only_in(&self, graph: &Graph, value: ValueId, kind: HalfType) -> bool {
        let reads = |one: &Use| matches!(*one, Use::Input { node, slot } if self.reads(node, slot) == Some(kind));
        !graph.is_overridable(value) && graph.value(value).uses().iter().all(reads)
    }

    /// `value` in 16 bits.
    fn narrow(&mut self, graph: &mut Graph, value: ValueId, kind: HalfType, cut_off: bool) -> Result<ValueId> {
        if let Some(&known) = self.narrow.get(&(value, kind, cut_off)) {
            return Ok(known);
        }
        let name = graph.value(value).name().to_owned();
        let made = match graph.constant(value)? {
            Some(tensor) if self.in_place && self.only_in(graph, value, kind) => {
                graph.replace_constant(value, &kind.tensor(&tensor)?);
                graph.set_element_type(value, kind.dtype());
                self.native.insert(value, kind);
                return Ok(value);
            }
            Some(tensor) => graph.add_initializer(&format!("{name}_{kind}"), &kind.tensor(&tensor)?),
            None => {
                let source = if cut_off { cut(graph, value, kind) } else { value };
                // A Cast from what it is to be again undoes nothing.
                let again = cast_from(graph, source).filter(|from| self.native.get(from) == Some(&kind));
                again.unwrap_or_else(|| cast(graph, source, kind.dtype(), &format!("{name}_{kind}")))
            }
        };
        self.narrow.insert((value, kind, cut_off), made);
        Ok(made)
    }

    /// Who does not read `value`, which is made in 16 bits, as it is, reads a float32 Cast of it, which takes over the name
    /// where what goes by it has to stay float32.
    fn widen_for_others(&self, graph: &mut Graph, value: ValueId, kind: HalfType, by_name: bool) {
        let takes_any = |graph: &Graph, node: NodeId| {
            ops::half(graph.node(node)).is_some_and(|row| row.casts() || Half::measures(row))
        };
        let others: Vec<_> = graph.value(value).readers().collect();
        let others: Vec<_> = others
            .into_iter()
            .filter(|&(node, slot)| self.reads(node, slot).is_none() && !takes_any(graph, node))
            .collect();
        let name = graph.value(value).name().to_owned();
        let captured = graph.value(value).is_captured() && !self.bodies_too;
        if by_name || captured || !others.is_empty() {
            let wide = cast(graph, value, DataType::Float32, &format!("{name}_float32"));
            for (node, slot) in others {
                graph.set_input(node, slot, Some(wide));
            }
            if by_name {
                graph.hand_over_name(value, wide, &format!("{name}_{kind}"));
                graph.set_element_type(wide, DataType::Float32);
            } else if captured {
                graph.redirect_captured(value, wide);
            }
        }
        graph.set_element_type(value, kind.dtype());
    }
}

/// Puts a Cast to 16 bits behind outputs of the model that are still float32, which those of `native` are not.
fn convert_outputs(graph: &mut Graph, kind: HalfType, native: &HashMap<ValueId, HalfType>) {
    for value in graph.outputs().collect::<Vec<_>>() {
        let float32 = graph.element_type(value) == Some(DataType::Float32);
        let made = graph.value(value).producer().is_some();
        if !float32 || !made || native.contains_key(&value) {
            continue;
        }
        let name = graph.value(value).name().to_owned();
        let narrow = cast(graph, value, kind.dtype(), &format!("{name}_{kind}"));
        graph.hand_over_name(value, narrow, &format!("{name}_float32"));
        graph.set_element_type(narrow, kind.dtype());
        graph.redirect_captured(narrow, value);
    }
}

/// What the Cast reads that makes `value`.
pub(super) fn cast_from(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.node(graph.value(value).producer()?);
    node.input(0).filter(|_| ops::half(node).is_some_and(Half::casts))
}

pub(super) fn cast(graph: &mut Graph, value: ValueId, dtype: DataType, output: &str) -> ValueId {
    let name = format!("{output}_Cast");
    let ints = vec![("to", i64::from(dtype.onnx()))];
    graph.add_node(NewNode { op_type: "Cast", name: &name, inputs: vec![Some(value)], ints }, output).1
}

/// `value` cut off at the ends of the range.
fn cut(graph: &mut Graph, value: ValueId, kind: HalfType) -> ValueId {
    let name = format!("{}_in_range", graph.value(value).name());
    let [low, high] = [("lowest", -kind.max()), ("highest", kind.max())]
        .map(|(end, number)| graph.add_initializer(&format!("{name}_{end}"), &Tensor::from_f32(vec![], &[number])));
    let inputs = vec![Some(value), Some(low), Some(high)];
    graph.add_node(NewNode { op_type: "Clip", name: &format!("{name}_Clip"), inputs, ints: vec![] }, &name).1
}
