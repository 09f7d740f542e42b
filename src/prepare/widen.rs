//! Models in floating-point numbers of 16 bits, as float32.

use super::Kinds;
use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::ir::{Graph, Model, NewNode, NodeId, Source, Use, ValueId};
use crate::ops::{self, Half};
use crate::pass::{Outcome, Pass};
use crate::quant::HalfType;
use crate::tensor::{DataType, Tensor};
use std::cell::RefCell;
use std::collections::HashMap;

/// Attributes that state the type of numbers.
const TYPES: &[&str] = &["dtype", "output_dtype", "output_datatype", "softmax_precision", "stash_type", "to"];

/// Makes the graph compute in float32: constants, and what states a type. Inputs and outputs of the model keep their types,
/// through a Cast.
pub struct Widen<'a> {
    /// Tells the types of values, so that Casts from float32 to float32 can go.
    executor: &'a dyn Executor,
    /// The types that values had.
    pub kinds: RefCell<Kinds>,
}

impl<'a> Widen<'a> {
    /// The pass, which has noted nothing yet.
    pub fn new(executor: &'a dyn Executor) -> Self {
        Self { executor, kinds: RefCell::default() }
    }
}

impl Pass for Widen<'_> {
    fn name(&self) -> &'static str {
        "widen-halves"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if !has_halves(&mut model.graph)? {
            return Ok(outcome);
        }
        let [inputs, outputs] = border(&model.graph);
        if model
            .graph
            .outputs()
            .any(|v| model.graph.value(v).source() == Source::Input && of(&model.graph, v).is_some())
        {
            outcome.refuse("", "an input of the model in 16 bits is an output, too");
            return Ok(outcome);
        }
        let types = super::types::infer(model, self.executor);
        let mut kinds = Kinds::of(&model.graph, &types)?;
        let graph = &mut model.graph;
        let at_border = |graph: &Graph, id: NodeId| {
            let made = graph.node(id).output(0);
            made.is_some_and(|v| matches!(graph.value(v).uses(), [Use::Output { .. }]))
        };
        outcome.changed = convert(graph, &|graph, id| casts(graph, id) && at_border(graph, id))?;
        let mut halves = Vec::new();
        for (value, kind) in inputs {
            graph.set_element_type(value, kind.dtype());
            let read = graph.value(value).readers().any(|(node, _)| !casts(graph, node));
            if read {
                kinds.note(&widen_input(graph, value), kind);
                outcome.changed += 1;
            }
            halves.push(graph.value(value).name().to_owned());
        }
        for (value, kind) in outputs {
            let done = graph.value(value).producer().is_some_and(|id| casts(graph, id) && at_border(graph, id));
            if !done {
                let name = graph.value(value).name().to_owned();
                let narrow = cast(graph, value, kind.dtype(), &format!("{name}_{kind}"));
                graph.hand_over_name(value, narrow, &format!("{name}_float32"));
                graph.set_element_type(narrow, kind.dtype());
                kinds.note(graph.value(value).name(), kind);
                outcome.changed += 1;
                halves.push(name);
                continue;
            }
            graph.set_element_type(value, kind.dtype());
        }
        widen_captured(graph, &halves, &mut kinds)?;
        let float = |graph: &Graph, v: ValueId| types.get(graph.value(v).name()).is_some_and(|ty| ty.dtype.is_float());
        remove_casts(graph, float);
        self.kinds.replace(kinds);
        Ok(outcome)
    }
}

/// Makes everything in a graph and its bodies float32: constants, attributes, and what is said of types. Says how much there
/// was.
///
/// # Errors
/// When a constant is malformed.
pub fn widen(graph: &mut Graph) -> Result<usize> {
    convert(graph, &|_, _| false)
}

fn of(graph: &Graph, value: ValueId) -> Option<HalfType> {
    graph.element_type(value).and_then(HalfType::of)
}

/// Inputs and outputs of 16 bits.
fn border(graph: &Graph) -> [Vec<(ValueId, HalfType)>; 2] {
    let kind = |v: ValueId| Some((v, of(graph, v)?));
    [graph.inputs().filter_map(kind).collect(), graph.outputs().filter_map(kind).collect()]
}

/// Whether anything in a graph or its bodies is a number of 16 bits.
///
/// # Errors
/// When a body is malformed.
pub fn has_halves(graph: &mut Graph) -> Result<bool> {
    if graph.value_ids().any(|v| of(graph, v).is_some()) {
        return Ok(true);
    }
    for id in graph.node_ids().collect::<Vec<_>>() {
        let attributes = graph.node(id).attributes();
        let states = TYPES.iter().any(|name| attributes.int(name).is_some_and(|code| half_code(code).is_some()));
        if states || attributes.names().any(|name| half_tensor(graph, id, name).is_some()) {
            return Ok(true);
        }
        for index in 0..graph.body_count(id) {
            if graph.edit_body(id, index, has_halves)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn half_code(code: i64) -> Option<HalfType> {
    HalfType::of(DataType::from_onnx(i32::try_from(code).ok()?)?)
}

fn half_tensor(graph: &Graph, id: NodeId, name: &str) -> Option<Tensor> {
    let tensor = graph.node(id).attributes().tensor(name).ok().flatten()?;
    HalfType::of(tensor.dtype()).map(|_| tensor)
}

fn wide(tensor: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_f32(tensor.shape().to_vec(), &tensor.to_f32()?))
}

/// Makes everything in a graph and its bodies float32, but for the nodes that `spared` names; says how much there was.
fn convert(graph: &mut Graph, spared: &dyn Fn(&Graph, NodeId) -> bool) -> Result<usize> {
    let mut changed = 0;
    for value in graph.value_ids() {
        if of(graph, value).is_none() {
            continue;
        }
        if let Some(tensor) = graph.constant(value)? {
            graph.replace_constant(value, &wide(&tensor)?);
            changed += 1;
        }
        graph.set_element_type(value, DataType::Float32);
    }
    for id in graph.node_ids().collect::<Vec<_>>() {
        if spared(graph, id) {
            continue;
        }
        for name in TYPES {
            if graph.node(id).attributes().int(name).is_some_and(|code| half_code(code).is_some()) {
                graph.set_int(id, name, DataType::Float32.onnx().into());
                changed += 1;
            }
        }
        let names: Vec<String> = graph.node(id).attributes().names().map(str::to_owned).collect();
        for name in names {
            if let Some(tensor) = half_tensor(graph, id, &name) {
                graph.set_tensor(id, &name, &wide(&tensor)?);
                changed += 1;
            }
        }
        for index in 0..graph.body_count(id) {
            changed += graph.edit_body(id, index, widen)?;
        }
    }
    Ok(changed)
}

fn casts(graph: &Graph, id: NodeId) -> bool {
    ops::half(graph.node(id)).is_some_and(Half::casts)
}

fn cast(graph: &mut Graph, value: ValueId, dtype: DataType, output: &str) -> ValueId {
    let name = format!("{output}_Cast");
    let ints = vec![("to", i64::from(dtype.onnx()))];
    graph.add_node(NewNode { op_type: "Cast", name: &name, inputs: vec![Some(value)], ints }, output).1
}

/// Lets everybody who reads `value` read a float32 Cast of it, and gives the name of what that makes.
fn widen_input(graph: &mut Graph, value: ValueId) -> String {
    let readers: Vec<_> = graph.value(value).readers().filter(|&(node, _)| !casts(graph, node)).collect();
    let name = graph.value(value).name().to_owned();
    let wide = cast(graph, value, DataType::Float32, &format!("{name}_float32"));
    for (node, slot) in readers {
        graph.set_input(node, slot, Some(wide));
    }
    graph.value(wide).name().to_owned()
}

/// Lets bodies that read the values called `names`, which are of 16 bits, from around read a Cast of them.
fn widen_captured(graph: &mut Graph, names: &[String], kinds: &mut Kinds) -> Result<()> {
    for id in graph.node_ids().collect::<Vec<_>>() {
        let reads = graph.node(id).captured().iter().any(|&v| names.iter().any(|name| name == graph.value(v).name()));
        if !reads {
            continue;
        }
        for index in 0..graph.body_count(id) {
            graph.edit_body(id, index, |body| {
                for name in names {
                    let Some(value) = body.find(name).filter(|&v| body.value(v).source() == Source::Input) else {
                        continue;
                    };
                    if body.value(value).is_output() {
                        return Err(Error::value(
                            name,
                            "is of 16 bits, and a body hands it on as it is; mend the model",
                        ));
                    }
                    if body.value(value).readers().any(|(node, _)| !casts(body, node)) {
                        let wide = widen_input(body, value);
                        kinds.copy(name, &wide);
                    }
                }
                widen_captured(body, names, kinds)
            })?;
        }
    }
    Ok(())
}

/// Removes Casts to float32 of what is float32, as it was in 16 bits before.
fn remove_casts(graph: &mut Graph, was_float: impl Fn(&Graph, ValueId) -> bool) {
    let border: HashMap<ValueId, ()> = graph.inputs().map(|v| (v, ())).collect();
    for id in graph.node_ids().collect::<Vec<_>>() {
        let node = graph.node(id);
        let to_float32 = node.attributes().int("to") == Some(DataType::Float32.onnx().into()) && casts(graph, id);
        let (Some(from), Some(to)) = (node.input(0), node.output(0)) else { continue };
        if to_float32 && !border.contains_key(&from) && was_float(graph, from) {
            graph.redirect_readers(to, from);
            graph.remove_if_unused(id);
        }
    }
}
