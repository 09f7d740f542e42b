//! What tract lacks, or computes wrongly without a word, and what is therefore not run.

use super::failure::Failure;
use super::message::{bodies, label};
use super::{contrib, lstm, qoperators};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto};

/// Checks that every node of the graph and of its bodies can be run, and rightly.
///
/// # Errors
/// At the first node that cannot.
pub fn check(onnx: &tract_onnx::Onnx, graph: &GraphProto, opset: i64) -> Result<(), Failure> {
    for node in &graph.node {
        if let Some(why) = refusal(onnx, node, opset) {
            return Err(Failure::at(label(node), why));
        }
        for body in bodies(node) {
            if let Some((inner, why)) = in_body(onnx, body, opset) {
                let inner = label(inner);
                let why = format!("its body holds {} {:?}: {why}", inner.op_type, inner.name);
                return Err(Failure::at(label(node), why));
            }
        }
    }
    Ok(())
}

fn in_body<'a>(onnx: &tract_onnx::Onnx, graph: &'a GraphProto, opset: i64) -> Option<(&'a NodeProto, String)> {
    graph.node.iter().find_map(|node| match refusal(onnx, node, opset) {
        Some(why) => Some((node, why)),
        None => bodies(node).find_map(|body| in_body(onnx, body, opset)),
    })
}

/// Operators of ONNX Runtime's own domain that tract knows. It looks operators up without their domain, and others have
/// only the name in common with ONNX's.
const MICROSOFT: &[&str] = &[
    "BiasGelu",
    "DequantizeLinear",
    "DynamicQuantizeLSTM",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "MultiHeadAttention",
    "QuantizeLinear",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
];

/// Attributes of Attention that tract reads; it ignores all others.
const ATTENTION: &[&str] =
    &["is_causal", "kv_num_heads", "q_num_heads", "qk_matmul_output_mode", "scale", "softcap", "softmax_precision"];

/// What recurrent operators compute where their attributes do not say otherwise, for each direction.
const ACTIVATIONS: &[(&str, &[&str])] =
    &[("GRU", &["Sigmoid", "Tanh"]), ("LSTM", LSTM), ("DynamicQuantizeLSTM", LSTM), ("RNN", &["Tanh"])];
const LSTM: &[&str] = &["Sigmoid", "Tanh", "Tanh"];

/// Why a node is not run.
fn refusal(onnx: &tract_onnx::Onnx, node: &NodeProto, opset: i64) -> Option<String> {
    let op_type = node.op_type.as_str();
    let known = onnx.op_register.0.contains_key(op_type)
        && match node.domain.as_str() {
            "" | "ai.onnx" | "ai.onnx.ml" => true,
            "com.microsoft" => MICROSOFT.contains(&op_type),
            _ => false,
        }
        || qoperators::is_simulated(node)
        || contrib::is_rewritten(node);
    if !known {
        let domain = if node.domain.is_empty() { String::new() } else { format!(" of {}", node.domain) };
        return Some(format!("it has no operator {op_type}{domain}"));
    }
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let given = |slot: usize| node.input.get(slot).is_some_and(|name| !name.is_empty());
    let other = |name: &str, usual: f32| attribute(name).is_some_and(|a| a.f != usual);
    let wrong = |what: &str| Some(format!("it computes {what} wrongly"));
    match op_type {
        "Transpose" => not_a_permutation(node),
        "Attention" => match node.attribute.iter().find(|a| !ATTENTION.contains(&a.name.as_str())) {
            Some(a) => Some(format!("it ignores the attribute {:?}", a.name)),
            None if attribute("is_causal").is_some_and(|a| a.i != 0) && given(4) => wrong("a causal mask with a past"),
            None => None,
        },
        "DynamicQuantizeLSTM" | "GRU" | "LSTM" | "RNN" => recurrent(node),
        "BitShift" if opset >= SIGNED_SHIFTS => wrong("shifts of signed integers"),
        "GlobalLpPool" => wrong("norms"),
        "SpaceToDepth" if attribute("mode").is_some_and(|a| a.s != b"DCR") => wrong("the mode CRD"),
        "Swish" if other("alpha", 1.0) => wrong("an alpha other than 1"),
        _ => None,
    }
}

/// Whether the node, or one in a body of it, is such that tract never comes to an end with it.
pub fn is_malformed(node: &NodeProto) -> bool {
    node.op_type == "Transpose" && not_a_permutation(node).is_some()
        || bodies(node).any(|body| body.node.iter().any(is_malformed))
}

/// tract looks for a permutation for ever where there is none.
fn not_a_permutation(node: &NodeProto) -> Option<String> {
    let perm = &node.attribute.iter().find(|a| a.name == "perm")?.ints;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    let sound = sorted.iter().zip(0i64..).all(|(&axis, place)| axis == place);
    (!sound).then(|| format!("its attribute perm is {perm:?}, which does not hold each axis once: mend the model"))
}

/// The operator set that lets integers with a sign be shifted, by more than their width too.
const SIGNED_SHIFTS: i64 = 28;

fn recurrent(node: &NodeProto) -> Option<String> {
    let ours = lstm::is_ours(node);
    let ignored = |a: &&AttributeProto| match a.name.as_str() {
        "activation_alpha" | "activation_beta" => true,
        "clip" => !ours,
        "input_forget" => a.i != 0 && !ours,
        "activations" => {
            let usual = ACTIVATIONS.iter().find(|(op_type, _)| *op_type == node.op_type).map_or(&[][..], |u| u.1);
            let same = |(i, s): (usize, &Vec<u8>)| s.eq_ignore_ascii_case(usual[i % usual.len()].as_bytes());
            usual.is_empty() || !a.strings.iter().enumerate().all(same)
        }
        _ => false,
    };
    let found = node.attribute.iter().find(ignored)?;
    Some(format!("it ignores the attribute {:?}", found.name))
}
