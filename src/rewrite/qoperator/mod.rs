//! The operator form: where QuantizeLinear and DequantizeLinear stand around a node, one operator on quantized tensors takes
//! the place of all three.

mod forecast;
mod operands;

pub use forecast::{Written, forecast};

use crate::error::Result;
use crate::ir::{Graph, Model, NodeId, Use, ValueId};
use crate::ops::{self, Role};
use crate::plan::{Placement, Plan};
use crate::qoperators::{self, Form, MICROSOFT, Output, Part};
use crate::tensor::Tensor;
use operands::{Grid, Operand};

/// An integer node that keeps its DequantizeLinear and QuantizeLinear nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name, or that of its first output.
    pub node: String,
    /// Its operator.
    pub op_type: String,
    /// Why.
    pub reason: String,
}

/// Turns the nodes of a model in QDQ form that `plan` calls integer into operators on quantized tensors, and gives those for
/// which there is none.
///
/// # Errors
/// When a stored constant is malformed.
pub fn to_qoperators(model: &mut Model, plan: &Plan) -> Result<Vec<Kept>> {
    let opset = model.opset("").unwrap_or(0);
    let graph = &mut model.graph;
    let mut kept = Vec::new();
    let mut microsoft = false;
    for node in &plan.nodes {
        let integer = matches!(node.placement, Placement::Integer(_));
        if graph.get_node(node.id).is_none() || !integer && !may_follow(graph, node.id) {
            continue;
        }
        match convert(graph, node.id, opset)? {
            Ok(domain) => microsoft |= domain == MICROSOFT,
            Err(reason) if integer => {
                kept.push(Kept { node: node.name.clone(), op_type: node.op_type.clone(), reason });
            }
            Err(_) => {}
        }
    }
    graph.remove_unused();
    if microsoft && model.opset(MICROSOFT).is_none() {
        model.set_opset(MICROSOFT, 1);
    }
    Ok(kept)
}

/// Whether a node that the plan leaves in float loses nothing on integers, if those around it are: runtimes take it along.
fn may_follow(graph: &Graph, id: NodeId) -> bool {
    ops::lookup(graph, id).is_some_and(|op| op.role == Role::Float)
}

/// Converts one node; gives the domain of its operator, or why it stays.
fn convert(graph: &mut Graph, id: NodeId, opset: i64) -> Result<std::result::Result<&'static str, String>> {
    let op_type = graph.node(id).op_type().to_owned();
    if qoperators::moves_integers(&op_type) {
        return Ok(move_integers(graph, id));
    }
    let output = graph.node(id).output(0).and_then(|value| quantizer(graph, value));
    let Some(form) = qoperators::standing_for(&op_type, output.is_some()) else { return Ok(Err(no_form(&op_type))) };
    Ok(match inputs(graph, id, form, output)? {
        Ok(inputs) => {
            take_form(graph, id, form, inputs, opset);
            if let Some(output) = output {
                make_integers(graph, id, 0, output);
            }
            Ok(form.domain)
        }
        Err(why) => Err(why),
    })
}

fn no_form(op_type: &str) -> String {
    format!("there is no operator on integers for {op_type}")
}

/// The QuantizeLinear that alone reads `value`.
fn quantizer(graph: &Graph, value: ValueId) -> Option<NodeId> {
    match graph.value(value).uses() {
        [Use::Input { node, slot: 0 }] if graph.node(*node).is("QuantizeLinear") => Some(*node),
        _ => None,
    }
}

/// Output `slot` of `id` is now what the QuantizeLinear behind it made.
fn make_integers(graph: &mut Graph, id: NodeId, slot: usize, quantizer: NodeId) {
    if let Some(integers) = graph.node(quantizer).output(0) {
        graph.take_over_output(id, slot, integers);
    }
}

/// Lets a node move the integers themselves, which stand for the same numbers before and behind it.
fn move_integers(graph: &mut Graph, id: NodeId) -> std::result::Result<&'static str, String> {
    let operand = Operand::of(graph, id, 0).ok_or("what it moves is not quantized")?;
    operand.dtype(graph)?;
    let outputs: Vec<_> = graph.node(id).outputs().iter().enumerate().filter_map(|(s, v)| Some((s, (*v)?))).collect();
    let mut quantizers = Vec::new();
    for (slot, value) in outputs {
        if graph.value(value).uses().is_empty() {
            continue;
        }
        let quantizer = quantizer(graph, value).ok_or("its output is not quantized")?;
        let grid = Grid::of(graph, quantizer).ok_or("its output has no zero point")?;
        if grid != operand.grid {
            return Err("its output has another grid than its input".to_owned());
        }
        quantizers.push((slot, quantizer));
    }
    let node = graph.node(id);
    if node.is("Pad") && node.attributes().text("mode").is_none_or(|mode| mode == "constant") {
        let padding = padding_integer(graph, id, operand.grid)?.unwrap_or(operand.grid.zero_point);
        graph.set_input(id, 2, Some(padding));
    }
    graph.set_input(id, 0, Some(operand.integers));
    quantizers.into_iter().for_each(|(slot, quantizer)| make_integers(graph, id, slot, quantizer));
    Ok("")
}

/// The integer that stands for what a Pad puts in, where that is not 0.
fn padding_integer(graph: &mut Graph, id: NodeId, grid: Grid) -> std::result::Result<Option<ValueId>, String> {
    let Some(number) = ops::padding(graph, id).filter(|&number| number != 0.0) else { return Ok(None) };
    let constant = |value: ValueId| graph.constant(value).ok().flatten();
    let (scale, zero_point) = (constant(grid.scale).and_then(|t| t.first_f32()), constant(grid.zero_point));
    let parts =
        scale.zip(zero_point).and_then(|(scale, zero)| Some((scale, zero.dtype(), *zero.to_i64().ok()?.first()?)));
    let (scale, dtype, zero_point) = parts.ok_or("its grid is no constant")?;
    // The plan takes no number that is not on the grid.
    let integer = (number / scale).round() as i64 + zero_point;
    let bytes = integer.to_le_bytes()[..dtype.bits().unwrap_or(8) / 8].to_vec();
    let integer = Tensor::new(dtype, vec![], bytes.into()).map_err(|e| e.to_string())?;
    Ok(Some(graph.add_initializer(&format!("{}_padding", graph.label(id)), &integer)))
}

/// The inputs of `form` in the place of `id`.
fn inputs(
    graph: &mut Graph,
    id: NodeId,
    form: &Form,
    output: Option<NodeId>,
) -> Result<std::result::Result<Vec<Option<ValueId>>, String>> {
    let operands: Vec<_> = (0..graph.node(id).inputs().len()).map(|slot| Operand::of(graph, id, slot)).collect();
    let parts = form.inputs(operands.len());
    if let Err(why) = operands::fit(graph, id, form, &parts, &operands) {
        return Ok(Err(why));
    }
    let target = output.and_then(|quantizer| Grid::of(graph, quantizer));
    let dtype = |grid: &Grid| graph.known_type(grid.zero_point).map(|ty| ty.dtype);
    let first = parts.iter().find_map(|part| match part {
        Part::ZeroPoint(slot) => operands[*slot].map(|o| o.grid),
        _ => None,
    });
    if form.output != Output::Floats
        && target.is_some()
        && target.as_ref().and_then(dtype) != first.as_ref().and_then(dtype)
    {
        return Ok(Err("its output has another type than its input".to_owned()));
    }
    let mut made = Vec::with_capacity(parts.len());
    for part in parts {
        let operand = |slot: usize| operands.get(slot).copied().flatten();
        made.push(match part {
            Part::Integers(slot) => operand(slot).map(|o| o.integers),
            Part::Scale(slot) => operand(slot).map(|o| o.grid.scale),
            Part::ZeroPoint(slot) => operand(slot).map(|o| o.grid.zero_point),
            Part::OutputScale => target.map(|grid| grid.scale),
            Part::OutputZeroPoint => target.map(|grid| grid.zero_point),
            Part::Bias(slot) => match operand(slot) {
                None => None,
                Some(bias) if operands::is_on_products(graph, &bias, &operands)? => Some(bias.integers),
                Some(_) => return Ok(Err("its bias is not in steps of input scale times weight scale".to_owned())),
            },
            Part::Plain(slot) => graph.node(id).input(slot),
            Part::Addend => addend(graph, id)?,
            // Spelled out by `Form::inputs`.
            Part::Each => None,
        });
    }
    Ok(Ok(made))
}

/// The bias that an Add behind `id` adds, as a float constant; that Add then is `id` itself.
fn addend(graph: &mut Graph, id: NodeId) -> Result<Option<ValueId>> {
    let Some(sum) = graph.node(id).output(0) else { return Ok(None) };
    let &[Use::Input { node: add, slot }] = graph.value(sum).uses() else { return Ok(None) };
    let bias = if graph.node(add).is("Add") { Operand::of(graph, add, 1 - slot.min(1)) } else { None };
    let Some(bias) = bias else { return Ok(None) };
    let Some(numbers) = bias.numbers(graph, 0)? else { return Ok(None) };
    let weight = Operand::of(graph, id, 1).and_then(|o| graph.known_type(o.integers));
    let columns = weight.and_then(|ty| ty.dims.last().copied()?);
    // A row may add an axis to the product, a vector of one number for each column does not.
    if numbers.shape().len() != 1 || columns != Some(numbers.len()) {
        return Ok(None);
    }
    let Some(output) = graph.node(add).output(0) else { return Ok(None) };
    let name = graph.value(bias.integers).name().to_owned();
    let constant = graph.add_initializer(&format!("{name}_bias"), &numbers);
    graph.take_over_output(id, 0, output);
    Ok(Some(constant))
}

fn take_form(graph: &mut Graph, id: NodeId, form: &Form, inputs: Vec<Option<ValueId>>, opset: i64) {
    for slot in 0..graph.node(id).inputs().len().max(inputs.len()) {
        graph.set_input(id, slot, inputs.get(slot).copied().flatten());
    }
    for attribute in form.lacks {
        graph.remove_attribute(id, attribute);
    }
    graph.set_operator(id, form.domain, form.op_type);
    if form.counts_axes_by_opset {
        graph.set_int(id, "opset", opset);
    }
}
