//! What tract computes wrongly or cannot read, said in other words: one rewriting for each operator concerned.

use super::contrib;
use super::message::{Constants, Writer, int, node, row, text};
use super::{float8, lstm, qoperators};
use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto};

/// What a rewriting may look at, and add to.
pub struct Scope<'a> {
    /// Gives names.
    pub writer: &'a mut Writer,
    /// Small constants of this graph and those around it.
    pub known: &'a Constants,
    /// The operator that makes each value of this graph.
    pub makers: &'a HashMap<String, String>,
    /// Initializers of this graph.
    pub initializers: &'a mut Vec<TensorProto>,
    /// What this graph reads from its caller.
    pub inputs: &'a [ValueInfoProto],
    /// Initializers of the graphs around this one, innermost last.
    pub around: &'a [&'a [TensorProto]],
}

impl Scope<'_> {
    /// The constant that a value is, here or in a graph around.
    pub fn constant(&self, name: &str) -> Option<&TensorProto> {
        if let Some(own) = self.initializers.iter().find(|t| t.name == name) {
            return Some(own);
        }
        // What has the same name in this graph is another value.
        if self.makers.contains_key(name) || self.inputs.iter().any(|i| i.name == name) {
            return None;
        }
        self.around.iter().rev().find_map(|graph| graph.iter().find(|t| t.name == name))
    }
}

/// The nodes to put in the place of `found`: mostly itself.
pub fn rewritten(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    match found.op_type.as_str() {
        "Sub" | "Div" => fenced(found, scope),
        "ConstantOfShape" => zeros(found),
        "LSTM" if lstm::is_ours(&found) => {
            found.op_type = "TareLSTM".to_owned();
            vec![found]
        }
        "GRU" | "LSTM" | "RNN" => forward(found, scope),
        "Upsample" => upsample(found, scope),
        "Resize" if scope.writer.opset == 10 => resize_10(found, scope),
        "Pad" if scope.writer.opset < 11 => pads_as_input(found, scope),
        "DequantizeLinear" => float8::dequantized(found, scope),
        "QuantizeLinear" => float8::quantized(found, scope),
        "MatMulNBits" | "MatMulBnb4" | "GatherBlockQuantized" => contrib::plain(found, scope),
        _ => qoperators::simulated(found, scope),
    }
}

/// Operators whose output is never a convolution's, whatever tract fuses.
const HARMLESS: &[&str] = &[
    "Clip",
    "Constant",
    "Erf",
    "Exp",
    "Log",
    "Pow",
    "Range",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "Relu",
    "Shape",
    "Sigmoid",
    "Softmax",
    "Sqrt",
    "Tanh",
];

/// `constant - Conv(x)` and `constant / Conv(x)`: tract folds the constant into the bias, but forgets the sign of the
/// weights, and divides by them. A fence before the second operand keeps the two apart.
fn fenced(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let maker = found.input.get(1).and_then(|name| scope.makers.get(name));
    // What this graph does not make is a constant, an input, or a value from outside of a body.
    if maker.is_none_or(|op_type| HARMLESS.contains(&op_type.as_str())) {
        return vec![found];
    }
    let fenced = scope.writer.fresh();
    let fence = node("TareFence", &[&found.input[1]], &[&fenced], vec![]);
    found.input[1] = fenced;
    vec![fence, found]
}

/// Zeros are of float32 where nothing is said of them; tract makes them of float64.
fn zeros(mut found: NodeProto) -> Vec<NodeProto> {
    if found.attribute.iter().all(|a| a.name != "value") {
        let (name, r#type, t) = ("value".to_owned(), AttributeType::Tensor as i32, Some(row("", &[0.0], &[])));
        found.attribute.push(AttributeProto { name, r#type, t, ..AttributeProto::default() });
    }
    vec![found]
}

/// tract takes `direction: reverse` for forward: so let it run forward over the reversed sequence.
fn forward(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    if !found.attribute.iter().any(|a| a.name == "direction" && a.s == b"reverse") || found.input.is_empty() {
        return with_states(found, scope);
    }
    found.attribute.retain(|a| a.name != "direction");
    let time = found.attribute.iter().find(|a| a.name == "layout").map_or(0, |a| a.i);
    let reversed = |from: &str, to: &str| node("TareReverse", &[from], &[to], vec![int("axis", time)]);
    let backwards = scope.writer.fresh();
    let mut nodes = vec![reversed(&found.input[0], &backwards)];
    found.input[0] = backwards;
    // The first output is the whole sequence, the others are states at its end.
    let sequence = found.output.first().cloned().filter(|o| !o.is_empty());
    let back = sequence.map(|sequence| {
        let backwards = scope.writer.fresh();
        found.output[0] = backwards.clone();
        reversed(&backwards, &sequence)
    });
    nodes.extend(with_states(found, scope));
    nodes.extend(back);
    nodes
}

/// An LSTM starts from zeros where it is not told from what. Where tract knows that both its initial states are the same, it
/// merges them and confuses their axes: so they have to look as if they were computed, each by itself.
fn with_states(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let hidden = found.attribute.iter().find(|a| a.name == "hidden_size").map(|a| a.i);
    let (Some(hidden), "LSTM") = (hidden, found.op_type.as_str()) else { return vec![found] };
    let both = found.attribute.iter().any(|a| a.name == "direction" && a.s == b"bidirectional");
    let layout = found.attribute.iter().find(|a| a.name == "layout").map_or(0, |a| a.i);
    let mut nodes = Vec::new();
    found.input.resize(found.input.len().max(7), String::new());
    for slot in [5, 6] {
        let state = std::mem::replace(&mut found.input[slot], scope.writer.fresh());
        let from = if state.is_empty() { vec![found.input[0].as_str()] } else { vec![found.input[0].as_str(), &state] };
        let attributes = vec![
            int("directions", 1 + i64::from(both)),
            int("hidden", hidden),
            int("layout", layout),
            int("slot", slot as i64),
        ];
        nodes.push(node("TareStates", &from, &[&found.input[slot]], attributes));
    }
    nodes.push(found);
    nodes
}

fn set(attributes: &mut Vec<AttributeProto>, attribute: AttributeProto) {
    attributes.retain(|a| a.name != attribute.name);
    attributes.push(attribute);
}

/// Upsample is a Resize that rounds coordinates down. Its scales were an attribute once.
fn upsample(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    if let Some(at) = found.attribute.iter().position(|a| a.name == "scales") {
        let name = scope.writer.fresh();
        scope.initializers.push(row(&name, &found.attribute.remove(at).floats, &[]));
        found.input.push(name);
    }
    set(&mut found.attribute, text("nearest_mode", "floor"));
    vec![found]
}

/// In its first version Resize rounded coordinates down to make larger and up to make smaller, whatever it is called since.
fn resize_10(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let scales = found.input.get(1).and_then(|name| scope.known.get(name)).map(floats).unwrap_or_default();
    let smaller = scales.iter().any(|&s| s < 1.0);
    let nearest = found.attribute.iter().find(|a| a.name == "mode").is_none_or(|a| a.s == b"nearest");
    if nearest && (scales.is_empty() || smaller && scales.iter().any(|&s| s > 1.0)) {
        scope.writer.refuse(&found, "its scales have to be constant, and all of them above or all below 1");
    }
    set(&mut found.attribute, text("nearest_mode", if smaller { "ceil" } else { "floor" }));
    vec![found]
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    if tensor.data_type != tensor_proto::DataType::Float as i32 {
        return Vec::new();
    }
    let raw = tensor.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    if tensor.raw_data.is_empty() { tensor.float_data.clone() } else { raw.collect() }
}

/// The pads of old were an attribute, which tract reads as numbers without a sign. As an input they may crop.
fn pads_as_input(mut found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let Some(at) = found.attribute.iter().position(|a| a.name == "pads" && a.ints.iter().any(|&p| p < 0)) else {
        return vec![found];
    };
    let name = scope.writer.fresh();
    scope.initializers.push(row(&name, &[], &found.attribute.remove(at).ints));
    found.input.push(name);
    vec![found]
}
