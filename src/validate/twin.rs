//! A model in float32 that computes what one in 16 bits does, for an engine that has no such kernels.

use crate::error::Result;
use crate::exec::Executor;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::ops::{self, Half, Role};
use crate::prepare;
use crate::quant::HalfType;
use crate::target::OnnxRuntimeCpu;
use crate::tensor::DataType;
use std::borrow::Cow;

/// The engine's operator that rounds float32 numbers to those of the type in its attribute `rounds_to`. No file holds it.
const ROUND: &str = "TareRound";

/// See [`in_float32`].
pub struct Twin {
    /// The model.
    pub model: Model,
    /// The type of 16 bits that each input is read in.
    pub inputs: Vec<Option<HalfType>>,
    /// The type of 16 bits that each output is written in.
    pub outputs: Vec<Option<HalfType>>,
}

/// What `model` computes with numbers of 16 bits, in float32, with their constants. Numbers are rounded where ONNX Runtime's
/// CPU kernels round them: float16 where a kernel reads it that has no float32 on both sides, bfloat16, for which it has none,
/// behind every node. `None` where there are no such numbers, or functions hide them.
///
/// # Errors
/// When a constant is malformed.
pub fn in_float32(model: &Model) -> Result<Option<Twin>> {
    let mut twin = model.clone();
    if model.has_functions() || !prepare::has_halves(&mut twin.graph)? {
        return Ok(None);
    }
    let kind = |v: ValueId| model.graph.element_type(v).and_then(HalfType::of);
    let inputs = model.graph.inputs().map(kind).collect();
    let outputs = model.graph.outputs().map(kind).collect();
    round(&mut twin.graph)?;
    prepare::widen(&mut twin.graph)?;
    Ok(Some(Twin { model: twin, inputs, outputs }))
}

/// `twin` as `executor` runs it: engines that know numbers of 16 bits, and not the operator that rounds, are given Casts there and
/// back.
///
/// # Errors
/// When a body is malformed.
pub fn runnable<'a>(twin: &'a Model, executor: &dyn Executor) -> Result<Cow<'a, Model>> {
    if !executor.runs_halves() {
        return Ok(Cow::Borrowed(twin));
    }
    let mut twin = twin.clone();
    cast(&mut twin.graph)?;
    Ok(Cow::Owned(twin))
}

/// Puts Casts in the place of the operators that round.
fn cast(graph: &mut Graph) -> Result<()> {
    for id in graph.node_ids().collect::<Vec<_>>() {
        for index in 0..graph.body_count(id) {
            graph.edit_body(id, index, cast)?;
        }
        let kind =
            Some(graph.node(id)).filter(|node| node.is(ROUND)).and_then(|node| node.attributes().int("rounds_to"));
        let Some((kind, made)) = kind.zip(graph.node(id).output(0)) else { continue };
        graph.set_op_type(id, "Cast");
        graph.remove_attribute(id, "rounds_to");
        graph.set_int(id, "to", kind);
        let name = format!("{}_rounded", graph.value(made).name());
        let half = graph.split_output(id, 0, &name);
        let ints = vec![("to", i64::from(DataType::Float32.onnx()))];
        let (back, _) = graph.add_node(NewNode { op_type: "Cast", name: &name, inputs: vec![Some(half)], ints }, &name);
        graph.take_over_output(back, 0, made);
    }
    Ok(())
}

/// Whether `id` is one of the operators that were put in.
pub fn rounds(twin: &Graph, id: NodeId) -> bool {
    twin.node(id).is(ROUND)
}

/// The node whose numbers `id` rounds, if it is one of the operators that were put in.
pub fn rounded_by(twin: &Graph, id: NodeId) -> Option<NodeId> {
    let node = Some(twin.node(id)).filter(|_| rounds(twin, id))?;
    twin.value(node.input(0)?).producer()
}

/// The type of 16 bits of each value by index, as far as it is stated or follows, for nodes in this order.
pub fn kinds(graph: &Graph, order: &[NodeId]) -> Vec<Option<HalfType>> {
    let mut types: Vec<_> = graph.value_ids().map(|v| graph.element_type(v)).collect();
    order.iter().for_each(|&id| ops::follow_type(graph, id, &mut types));
    types.into_iter().map(|dtype| dtype.and_then(HalfType::of)).collect()
}

/// Puts operators that round into a graph and its bodies.
fn round(graph: &mut Graph) -> Result<()> {
    let order = graph.topological()?;
    let kinds = kinds(graph, &order);
    let kind = |v: ValueId| kinds.get(v.index()).copied().flatten();
    // Nodes that read and make float16 themselves: alone among others, they are run in float32, too.
    let has_kernel = |graph: &Graph, id: NodeId| OnnxRuntimeCpu.has_half_kernel(graph, id);
    let reads_half =
        |graph: &Graph, id: NodeId| has_kernel(graph, id) || ops::half(graph.node(id)).is_some_and(Half::casts);
    let native: Vec<bool> = (0..graph.node_bound()).map(|_| false).collect();
    let native = order.iter().fold(native, |mut native, &id| {
        let node = graph.node(id);
        let made: Vec<_> = node.inputs().iter().flatten().filter_map(|&v| graph.value(v).producer()).collect();
        let read = node.outputs().iter().flatten().flat_map(|&v| graph.value(v).readers()).map(|(reader, _)| reader);
        let read: Vec<_> = read.collect();
        let given = node.outputs().iter().flatten().any(|&v| graph.value(v).is_output());
        let alone = match ops::half_quantizer(node) {
            // It makes no float16 that could be float32 instead.
            Some(row) if row.quantizes() => false,
            // The integers that it reads say nothing; where none of it is computed before, it stands as it is.
            Some(row) if row.dequantizes() => {
                !made.is_empty() && !given && !read.into_iter().any(|r| reads_half(graph, r))
            }
            _ => !made.into_iter().chain(read).any(|other| reads_half(graph, other)),
        };
        native[id.index()] = has_kernel(graph, id) && !alone;
        native
    });
    for id in order {
        for index in 0..graph.body_count(id) {
            graph.edit_body(id, index, round)?;
        }
        let Some(row) = ops::half(graph.node(id)).or_else(|| ops::half_quantizer(graph.node(id))) else { continue };
        for slot in row.reads(graph.node(id)).into_iter().filter(|_| native[id.index()]) {
            let Some(value) = graph.node(id).input(slot) else { continue };
            let from_native = graph.value(value).producer().is_none_or(|p| native.get(p.index()) == Some(&true));
            let Some(kind) = kind(value).filter(|kind| *kind == HalfType::Float16 && !from_native) else { continue };
            let rounded = rounding(graph, value, kind);
            graph.set_input(id, slot, Some(rounded));
            // What lies on a grid is known by its name.
            if row.quantizes() && graph.value(value).uses().len() == 1 {
                let stem = format!("{}_Input", graph.value(rounded).name());
                graph.hand_over_name(value, rounded, &stem);
            }
        }
        let exact =
            ops::lookup(graph, id).is_some_and(|op| matches!(op.role, Role::Movement | Role::Clamp | Role::Lookup));
        for slot in row.makes(graph.node(id)) {
            let Some(value) = graph.node(id).output(slot) else { continue };
            let Some(kind) = kind(value).filter(|_| !exact || row.casts()) else { continue };
            if kind == HalfType::Bfloat16 || native[id.index()] && !Half::casts(row) {
                let name = format!("{}_{ROUND}_Input", graph.value(value).name());
                let made = graph.split_output(id, slot, &name);
                let node = new(made, kind);
                let (rounded, _) = graph.add_node(NewNode { name: &name, ..node }, &name);
                graph.take_over_output(rounded, 0, value);
            }
        }
    }
    Ok(())
}

fn rounding(graph: &mut Graph, value: ValueId, kind: HalfType) -> ValueId {
    let name = format!("{}_{ROUND}", graph.value(value).name());
    graph.add_node(NewNode { name: &name, ..new(value, kind) }, &name).1
}

fn new(value: ValueId, kind: HalfType) -> NewNode<'static> {
    let ints = vec![("rounds_to", i64::from(kind.dtype().onnx()))];
    NewNode { op_type: ROUND, name: "", inputs: vec![Some(value)], ints }
}
