//! Numbers of 16 bits: the nodes that compute in them read and make them; between these and all others stand Casts, one for
//! each value and type, and constants are stored in the type that they are read in.

use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::ops::{self, Half};
use crate::plan::{HalfNode, Plan};
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::collections::HashMap;

/// Rewrites the nodes that `plan` has in 16 bits, without those of bodies. Node ids are those that the plan was made with;
/// other nodes may have been rewritten before. Inputs and outputs that the plan converts become numbers of 16 bits, too, but
/// for those that a body reads.
///
/// # Errors
/// When plan and graph do not belong together.
pub(super) fn convert(graph: &mut Graph, plan: &Plan) -> Result<()> {
    let (nodes, convert_io): (Vec<_>, _) = (plan.halves().collect(), plan.converts_io);
    if nodes.is_empty() {
        return Ok(());
    }
    let by_node = nodes.iter().copied().collect();
    let mut writer = Writer { by_node, native: HashMap::new(), narrow: HashMap::new() };
    for (id, half) in &nodes {
        writer.state_type(graph, *id, half)?;
        for value in half.outputs.iter().filter_map(|&slot| graph.node(*id).output(slot)) {
            writer.native.insert(value, half.kind);
        }
    }
    if convert_io {
        writer.convert_inputs(graph);
    }
    for (id, half) in nodes {
        writer.narrow_inputs(graph, id, half)?;
    }
    let mut native: Vec<_> = writer.native.iter().map(|(&value, &kind)| (value, kind)).collect();
    native.sort_unstable_by_key(|(value, _)| *value);
    for (value, kind) in native {
        writer.widen_for_others(graph, value, kind, convert_io);
    }
    if convert_io {
        writer.convert_outputs(graph);
    }
    Ok(())
}

struct Writer<'a> {
    by_node: HashMap<NodeId, &'a HalfNode>,
    /// The values that are made in 16 bits.
    native: HashMap<ValueId, HalfType>,
    /// The 16-bit form of values that are not made so, and whether it was cut off at the ends of the range.
    narrow: HashMap<(ValueId, HalfType, bool), ValueId>,
}

impl Writer<'_> {
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

    /// Makes the model's inputs numbers of 16 bits, of the type that a node reads them in, or of the only one.
    fn convert_inputs(&mut self, graph: &Graph) {
        let any = self.by_node.values().map(|half| half.kind).max();
        for value in graph.inputs() {
            let float32 = graph.element_type(value) == Some(DataType::Float32);
            let mut kinds = graph.value(value).readers().filter_map(|(node, slot)| self.reads(node, slot));
            let kind = kinds.next().or(any).filter(|_| float32 && !graph.value(value).is_captured());
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

    /// `value` in 16 bits.
    fn narrow(&mut self, graph: &mut Graph, value: ValueId, kind: HalfType, cut_off: bool) -> Result<ValueId> {
        if let Some(&known) = self.narrow.get(&(value, kind, cut_off)) {
            return Ok(known);
        }
        let name = graph.value(value).name().to_owned();
        let made = match graph.constant(value)? {
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

    /// Who does not read `value`, which is made in 16 bits, as it is, reads a float32 Cast of it. What goes by name keeps
    /// the name, unless it is an output that is converted.
    fn widen_for_others(&self, graph: &mut Graph, value: ValueId, kind: HalfType, convert_io: bool) {
        let takes_any = |graph: &Graph, node: NodeId| {
            ops::half(graph.node(node)).is_some_and(|row| row.casts() || Half::measures(row))
        };
        let others: Vec<_> = graph.value(value).readers().collect();
        let others: Vec<_> = others
            .into_iter()
            .filter(|&(node, slot)| self.reads(node, slot).is_none() && !takes_any(graph, node))
            .collect();
        let (output, captured) = (graph.value(value).is_output(), graph.value(value).is_captured());
        let by_name = captured || output && !convert_io;
        let name = graph.value(value).name().to_owned();
        if by_name || !others.is_empty() {
            let wide = cast(graph, value, DataType::Float32, &format!("{name}_float32"));
            for (node, slot) in others {
                graph.set_input(node, slot, Some(wide));
            }
            if by_name {
                graph.hand_over_name(value, wide, &format!("{name}_{kind}"));
                graph.set_element_type(wide, DataType::Float32);
            }
        }
        graph.set_element_type(value, kind.dtype());
    }

    /// Puts a Cast to 16 bits behind outputs of the model that are still float32, all of one type.
    fn convert_outputs(&self, graph: &mut Graph) {
        let Some(kind) = self.by_node.values().map(|half| half.kind).max() else { return };
        for value in graph.outputs().collect::<Vec<_>>() {
            let float32 = graph.element_type(value) == Some(DataType::Float32);
            let made = graph.value(value).producer().is_some();
            if !float32 || !made || self.native.contains_key(&value) || graph.value(value).is_captured() {
                continue;
            }
            let name = graph.value(value).name().to_owned();
            let narrow = cast(graph, value, kind.dtype(), &format!("{name}_{kind}"));
            graph.hand_over_name(value, narrow, &format!("{name}_float32"));
            graph.set_element_type(narrow, kind.dtype());
        }
    }
}

/// What the Cast reads that makes `value`.
fn cast_from(graph: &Graph, value: ValueId) -> Option<ValueId> {
    let node = graph.node(graph.value(value).producer()?);
    node.input(0).filter(|_| ops::half(node).is_some_and(Half::casts))
}

fn cast(graph: &mut Graph, value: ValueId, dtype: DataType, output: &str) -> ValueId {
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
