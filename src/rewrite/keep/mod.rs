//! A model that was in 16 bits and has been rewritten in float32 computes in 16 bits again, wherever it did: also with its
//! scales, and inside of bodies.
//!
//! What was written stays in float32 where it has to: grids whose scales are no numbers of 16 bits, sums of integers before
//! they are scaled, constants beyond the range that preparing the model made, and operators that ONNX has for float32 only.
//! Casts stand at these borders.

mod bodies;
mod decide;
mod runtime;

use super::halves::{Writer, cast, cast_from};
use crate::error::{Error, Result};
use crate::ir::{Graph, Model, NodeId, Source, Value, ValueId};
use crate::ops::{self, Half};
use crate::plan::HalfNode;
use crate::prepare::Kinds;
use crate::quant::HalfType;
use crate::tensor::DataType;
use bodies::Border;
use decide::Decided;
use std::collections::{HashMap, HashSet};

/// Rewrites a quantized `model` whose values had the types `kinds` before it became float32. Inputs and outputs of the model
/// have them still.
///
/// # Errors
/// When a constant or a body is malformed, or a body hands on a value from around it in another type.
pub fn keep_halves(model: &mut Model, kinds: &Kinds) -> Result<()> {
    let opset = model.opset("").unwrap_or(0);
    Keeper { kinds, opset }.graph(&mut model.graph, &HashMap::new(), None)
}

struct Keeper<'a> {
    kinds: &'a Kinds,
    opset: i64,
}

impl Keeper<'_> {
    /// Rewrites a graph that sees values `around` it which are in 16 bits. `border` is what a body has to read and give.
    fn graph(&self, graph: &mut Graph, around: &HashMap<String, HalfType>, border: Option<&Border>) -> Result<()> {
        let mut native = self.given(graph, around, border);
        self.convert_captured(graph, &mut native)?;
        let float16 = self.kinds.halves().any(|kind| kind == HalfType::Float16);
        let joins = if float16 { runtime::joins_on_integers(graph) } else { HashSet::new() };
        let Decided { by_node, borders } = self.decide(graph, &native, &joins)?;
        let mut writer = Writer::new(by_node, native);
        (writer.in_place, writer.bodies_too) = (true, true);
        writer.state_types(graph)?;
        writer.narrow_all(graph)?;
        // What goes by a name is of the type that it had.
        writer.widen_all(graph, |_: &Value| false);
        if let Some(border) = border {
            give(graph, &mut writer.native, border)?;
        }
        remove_casts(graph, &mut writer.native);
        runtime::set_biases_apart(graph, &mut writer.native)?;
        let mut seen = around.clone();
        for value in graph.value_ids() {
            let name = graph.value(value).name();
            match writer.native.get(&value) {
                Some(&kind) => seen.insert(name.to_owned(), kind),
                None => seen.remove(name),
            };
        }
        for (id, border) in borders {
            for index in 0..graph.body_count(id) {
                graph.edit_body(id, index, |body| self.graph(body, &seen, Some(&border)))?;
            }
        }
        graph.remove_unused();
        Ok(())
    }

    /// The values of 16 bits that a graph is given: its inputs, and what a body sees from around.
    fn given(
        &self,
        graph: &mut Graph,
        around: &HashMap<String, HalfType>,
        border: Option<&Border>,
    ) -> HashMap<ValueId, HalfType> {
        let inputs: Vec<_> = graph.inputs().collect();
        let from_around = |v: &ValueId| graph.value(*v).source() == Source::Input && !inputs.contains(v);
        let from_around = graph.value_ids().filter(|v| border.is_some() && from_around(v));
        let mut native: HashMap<_, _> =
            from_around.filter_map(|v| Some((v, *around.get(graph.value(v).name())?))).collect();
        for (index, &value) in inputs.iter().enumerate() {
            let kind = match border {
                Some(border) => border.inputs.get(index).copied().flatten(),
                None => graph.element_type(value).and_then(HalfType::of),
            };
            native.extend(kind.map(|kind| (value, kind)));
        }
        native
    }

    /// Makes constants that bodies read from around numbers of 16 bits, if these hold them.
    fn convert_captured(&self, graph: &mut Graph, native: &mut HashMap<ValueId, HalfType>) -> Result<()> {
        for value in graph.value_ids() {
            let float32 = graph.element_type(value) == Some(DataType::Float32);
            if !graph.value(value).is_captured() || !graph.is_constant(value) || !float32 {
                continue;
            }
            // Scales are new, and nothing is known of them.
            let was = self.kinds.of_value(graph.value(value).name()).unwrap_or_else(|| self.kinds.halves().next());
            let (Some(kind), Some(tensor)) = (was, graph.constant(value)?) else { continue };
            if kind.loss(&tensor)?.exact {
                graph.replace_constant(value, &kind.tensor(&tensor)?);
                graph.set_element_type(value, kind.dtype());
                native.insert(value, kind);
            }
        }
        Ok(())
    }
}

/// Gives the outputs of a body in the types that the node has them in.
fn give(graph: &mut Graph, native: &mut HashMap<ValueId, HalfType>, border: &Border) -> Result<()> {
    for (value, &wanted) in graph.outputs().collect::<Vec<_>>().into_iter().zip(&border.outputs) {
        let found = native.get(&value).copied();
        let dtype = wanted.map_or(DataType::Float32, HalfType::dtype);
        if found == wanted {
            if wanted.is_some() {
                graph.set_element_type(value, dtype);
            }
            continue;
        }
        let name = graph.value(value).name().to_owned();
        let around = graph.value(value).source() == Source::Input && !graph.inputs().any(|v| v == value);
        if around {
            let why = format!("a body hands it on as it is, where the numbers are {dtype}; set half.input: widen");
            return Err(Error::value(&name, why));
        }
        let made = cast(graph, value, dtype, &format!("{name}_{dtype}"));
        let was = found.map_or(DataType::Float32, HalfType::dtype);
        graph.hand_over_name(value, made, &format!("{name}_{was}"));
        graph.set_element_type(made, dtype);
        native.extend(wanted.map(|kind| (made, kind)));
    }
    Ok(())
}

/// Removes Casts to what their input is already.
fn remove_casts(graph: &mut Graph, native: &mut HashMap<ValueId, HalfType>) {
    for id in graph.node_ids().collect::<Vec<_>>() {
        let Some((from, to, kind)) = idle_cast(graph, id, native) else { continue };
        let goes_by_name = |v: ValueId| graph.value(v).goes_by_name();
        if !goes_by_name(to) {
            graph.redirect_readers(to, from);
            graph.remove_if_unused(id);
            continue;
        }
        let Source::Node { node, slot } = graph.value(from).source() else { continue };
        if goes_by_name(from) {
            continue;
        }
        let others: Vec<_> = graph.value(from).readers().filter(|&(reader, _)| reader != id).collect();
        others.into_iter().for_each(|(reader, slot)| graph.set_input(reader, slot, Some(to)));
        graph.take_over_output(node, slot, to);
        native.insert(to, kind);
    }
}

/// What a Cast reads and makes, where both are of one type of 16 bits.
fn idle_cast(graph: &Graph, id: NodeId, native: &HashMap<ValueId, HalfType>) -> Option<(ValueId, ValueId, HalfType)> {
    let node = graph.node(id);
    let row = ops::half(node).filter(|row| row.casts())?;
    let (from, to) = (node.input(0)?, node.output(0)?);
    let kind = row.stated(node).and_then(HalfType::of)?;
    (native.get(&from) == Some(&kind)).then_some((from, to, kind))
}

/// A node that computes in 16 bits.
fn half_node(graph: &Graph, id: NodeId, row: &Half, kind: HalfType) -> HalfNode {
    let node = graph.node(id);
    let (inputs, outputs) = (row.reads(node), row.makes(node));
    HalfNode { kind, inputs, cut_off: Vec::new(), outputs, attribute: row.attribute }
}
