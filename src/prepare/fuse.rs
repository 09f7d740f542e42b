//! One operator for what an exporter spelled out, where the model's operator set has it: fewer values to put on a grid, and
//! kernels that were written for it.

use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, ValueId};
use crate::pass::{Outcome, Pass};
use crate::patterns::{self, Found, Kind, Normalization};

/// Replaces activations and normalizations.
pub struct Fuse {
    /// Whether to do anything at all.
    pub enabled: bool,
}

/// An operator with its attributes.
struct Operator {
    op_type: &'static str,
    /// The first operator set that has it.
    since: i64,
    inputs: Vec<ValueId>,
    floats: Vec<(&'static str, f32)>,
    axis: Option<i64>,
    approximate: Option<&'static str>,
}

impl Pass for Fuse {
    fn name(&self) -> &'static str {
        "fuse-patterns"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if !self.enabled {
            return Ok(outcome);
        }
        let opset = model.opset("").unwrap_or(super::OUTPUT_OPSET);
        let graph = &mut model.graph;
        // Activations are replaced inside of larger patterns too, for which there is no operator.
        let normalizations = patterns::find(graph).into_iter().filter(|one| normalization(&one.kind).is_some());
        let found: Vec<_> = normalizations.chain(patterns::activations(graph)).collect();
        for one in found {
            let Some(&last) = one.nodes.last().filter(|_| one.nodes.iter().all(|&id| graph.get_node(id).is_some()))
            else {
                continue;
            };
            let label = graph.label(last).to_owned();
            match operator(graph, &one) {
                Ok(new) if new.since <= opset => {
                    replace(graph, &one, &new, &label);
                    outcome.changed += 1;
                }
                Ok(new) => outcome.refuse(
                    &label,
                    format!("ONNX has {} since opset {}, the model has {opset}", new.op_type, new.since),
                ),
                Err(why) => outcome.refuse(&label, why),
            }
        }
        Ok(outcome)
    }
}

fn normalization(kind: &Kind) -> Option<&Normalization> {
    match kind {
        Kind::LayerNormalization(parameters) | Kind::RmsNormalization(parameters) => Some(parameters),
        _ => None,
    }
}

/// ONNX's operator for a pattern, or why there is none.
fn operator(graph: &Graph, found: &Found) -> std::result::Result<Operator, &'static str> {
    let inputs = found.inputs.clone();
    let plain = |op_type, since| Operator { op_type, since, inputs, floats: vec![], axis: None, approximate: None };
    let plain = match &found.kind {
        Kind::HardSigmoid { alpha, beta } => {
            Operator { floats: vec![("alpha", *alpha), ("beta", *beta)], ..plain("HardSigmoid", 6) }
        }
        Kind::HardSwish => plain("HardSwish", 14),
        Kind::LayerNormalization(_) => plain("LayerNormalization", 17),
        Kind::Mish => plain("Mish", 18),
        Kind::Gelu { tanh } => Operator { approximate: tanh.then_some("tanh"), ..plain("Gelu", 20) },
        Kind::RmsNormalization(_) => plain("RMSNormalization", 23),
        // A Sigmoid and a Mul run on integers, a Swish nowhere.
        Kind::Silu => return Err("its Sigmoid and its Mul have integer kernels, Swish has none"),
        // The alpha of Swish; tract 0.23.9 does not read it.
        Kind::QuickGelu { .. } => return Err("Swish with an alpha runs differently in different engines"),
        Kind::Attention { .. } | Kind::SqueezeExcite => return Err("its products are to run on integers one by one"),
    };
    match normalization(&found.kind) {
        Some(parameters) => with_parameters(graph, found, parameters, plain),
        None => Ok(plain),
    }
}

/// Adds what a normalization needs, if its axes are the last ones.
fn with_parameters(
    graph: &Graph,
    found: &Found,
    parameters: &Normalization,
    plain: Operator,
) -> std::result::Result<Operator, &'static str> {
    if parameters.reshaped {
        return Err("the axes of its mean are dropped and put back by a Reshape");
    }
    let stated = graph.stated_type(found.inputs[0]).or_else(|| graph.stated_type(found.output));
    let rank = stated.map(|t| t.dims.len() as i64);
    let from_back =
        |&axis: &i64| if axis < 0 { Ok(axis) } else { rank.map(|r| axis - r).ok_or("its rank is not known") };
    let mut axes = parameters.axes.iter().map(from_back).collect::<std::result::Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    let count = axes.len() as i64;
    if !axes.iter().copied().eq(-count..0) {
        return Err("it does not normalize the last axes");
    }
    let Some(scale) = parameters.scale else { return Err("it has no scale, and how long one would be is not known") };
    if plain.op_type == "RMSNormalization" && parameters.bias.is_some() {
        return Err("RMSNormalization has no bias");
    }
    let shape = |value| graph.stated_type(value).map(|t| t.dims);
    let scale_shape = shape(scale).filter(|dims| dims.len() == axes.len());
    // Numbers that are repeated along what is normalized would be accepted by few kernels.
    if scale_shape.is_none() || parameters.bias.is_some_and(|bias| shape(bias) != scale_shape) {
        return Err("its scale and bias do not have the shape of what is normalized");
    }
    let inputs = [found.inputs[0], scale].into_iter().chain(parameters.bias).collect();
    Ok(Operator { inputs, floats: vec![("epsilon", parameters.epsilon)], axis: Some(-count), ..plain })
}

/// Puts one node where the pattern was, called after the pattern's last node.
fn replace(graph: &mut Graph, found: &Found, new: &Operator, label: &str) {
    let name = format!("{label}_{}", new.op_type);
    let inputs = new.inputs.iter().copied().map(Some).collect();
    let ints = new.axis.map(|axis| ("axis", axis)).into_iter().collect();
    let (id, _) = graph.add_node(NewNode { op_type: new.op_type, name: &name, inputs, ints }, &name);
    for &(name, value) in &new.floats {
        graph.set_float(id, name, value);
    }
    if let Some(value) = new.approximate {
        graph.set_text(id, "approximate", value);
    }
    graph.take_over_output(id, 0, found.output);
    for &old in found.nodes.iter().rev() {
        graph.remove_if_unused(old);
    }
}
