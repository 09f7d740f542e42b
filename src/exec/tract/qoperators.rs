//! Operators on quantized tensors that tract lacks, said as what they stand for: DequantizeLinear, the float operator,
//! QuantizeLinear.

use super::mend::Scope;
use super::message::{int, node};
use super::unpack::floats;
use crate::qoperators::{self, Channels, Form, Part};
use tract_onnx::pb::{NodeProto, TensorProto, tensor_proto};

/// Whether the node is an operator that [`simulated`] rewrites.
pub fn is_simulated(node: &NodeProto) -> bool {
    form(node).is_some()
}

fn form(node: &NodeProto) -> Option<&'static Form> {
    let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
    qoperators::find(domain, &node.op_type)
}

/// The nodes to put in the place of an operator on quantized tensors; any other node itself.
pub fn simulated(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let Some(form) = form(&found) else { return vec![found] };
    let attribute = |name: &str| found.attribute.iter().find(|a| a.name == name).map(|a| a.i);
    if attribute("channels_last").unwrap_or(0) != 0 {
        scope.writer.refuse(&found, "its channels come last, which is not re-executed");
        return vec![found];
    }
    // Opset 13 gave another meaning to the axis.
    if attribute("opset").is_some_and(|opset| (opset < 13) != (scope.writer.opset < 13)) {
        scope.writer.refuse(&found, "it counts its axis as another operator set does");
        return vec![found];
    }
    let given = |at: usize| found.input.get(at).filter(|name| !name.is_empty());
    let parts = form.inputs_of(found.input.len());
    let place = |wanted: Part| parts.iter().position(|&part| part == wanted).and_then(given);
    let (mut nodes, mut inputs, mut addend) = (Vec::new(), Vec::new(), None);
    for &part in &parts {
        let (slot, read) = match part {
            Part::Integers(slot) => {
                let grid = (place(Part::Scale(slot)), place(Part::ZeroPoint(slot)));
                let axis = axis(form, slot, attribute("transB").unwrap_or(0) != 0);
                (slot, place(part).map(|integers| dequantize(integers, grid, axis, &mut nodes, scope)))
            }
            Part::Bias(slot) => {
                let Some(integers) = place(part) else { continue };
                let scale = product([Part::Scale(0), Part::Scale(1)].map(place), scope);
                let Some(scale) = scale else {
                    scope.writer.refuse(&found, "its scales are computed while the model runs");
                    return vec![found];
                };
                (slot, Some(dequantize(integers, (Some(&scale), None), 0, &mut nodes, scope)))
            }
            Part::Plain(slot) => (slot, place(part).cloned()),
            Part::Addend => {
                addend = place(part).cloned();
                continue;
            }
            _ => continue,
        };
        if inputs.len() <= slot {
            inputs.resize(slot + 1, String::new());
        }
        inputs[slot] = read.unwrap_or_default();
    }
    let target = place(Part::OutputScale).zip(place(Part::OutputZeroPoint));
    let output = found.output.first().cloned().unwrap_or_default();
    let attributes = found.attribute.iter().filter(|a| !qoperators::is_own_attribute(&a.name)).cloned().collect();
    let made = if target.is_some() || addend.is_some() { scope.writer.fresh() } else { output.clone() };
    let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
    nodes.push(node(form.float, &inputs, &[&made], attributes));
    if let Some((scale, zero)) = target {
        nodes.push(node("QuantizeLinear", &[&made, scale, zero], &[&output], vec![]));
    } else if let Some(addend) = addend {
        nodes.push(node("Add", &[&made, &addend], &[&output], vec![]));
    }
    nodes
}

/// The axis of the scales of input `slot`, where it has several.
fn axis(form: &Form, slot: usize, transposed: bool) -> i64 {
    match form.weight.filter(|_| slot == 1) {
        Some(Channels::Axis(axis)) => axis,
        Some(Channels::OfGemm) => i64::from(!transposed),
        None => 1,
    }
}

fn dequantize(
    integers: &str,
    (scale, zero): (Option<&String>, Option<&String>),
    axis: i64,
    nodes: &mut Vec<NodeProto>,
    scope: &mut Scope<'_>,
) -> String {
    let output = scope.writer.fresh();
    let inputs: Vec<_> =
        [integers].into_iter().chain(scale.map(String::as_str)).chain(zero.map(String::as_str)).collect();
    nodes.push(node("DequantizeLinear", &inputs, &[&output], vec![int("axis", axis)]));
    output
}

/// A constant with the product of an input's scale and those of a weight.
fn product([input, weight]: [Option<&String>; 2], scope: &mut Scope<'_>) -> Option<String> {
    let scales = |name: &String, scope: &Scope<'_>| {
        let stored = scope.constant(name);
        stored.or_else(|| scope.known.get(name)).and_then(|t| Some((t.dims.clone(), floats(t)?)))
    };
    let ((_, input), (dims, weight)) = (scales(input?, scope)?, scales(weight?, scope)?);
    let [input] = input[..] else { return None };
    let name = scope.writer.fresh();
    let products = weight.iter().map(|scale| input * scale).collect();
    let data_type = tensor_proto::DataType::Float as i32;
    scope.initializers.push(TensorProto {
        name: name.clone(),
        dims,
        data_type,
        float_data: products,
        ..TensorProto::default()
    });
    Some(name)
}
