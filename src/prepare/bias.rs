//! Biases that integer kernels cannot take: they want one constant for each output channel, as int32. Any other bias is
//! added behind the layer.

use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Outcome, Pass};
use crate::tensor::{DataType, Tensor};

/// Takes biases that are computed while the model runs, or that differ from row to row, out of Conv, ConvTranspose and Gemm.
pub struct Detach;

impl Pass for Detach {
    fn name(&self) -> &'static str {
        "detach-bias"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        for id in graph.node_ids().collect::<Vec<_>>() {
            let gemm = graph.node(id).is("Gemm");
            let layer = gemm || graph.node(id).is("Conv") || graph.node(id).is("ConvTranspose");
            let (Some(weight), Some(bias)) = (graph.node(id).input(1), graph.node(id).input(2)) else { continue };
            // A convolution by computed weights runs in float, for which its bias is right where it is.
            let float = !gemm && !graph.is_constant(weight);
            if !layer || float || is_per_channel(graph, id, weight, bias)? {
                continue;
            }
            let done = if gemm { from_gemm(graph, id, bias)? } else { from_conv(graph, id, weight, bias) };
            match done {
                Ok(()) => outcome.changed += 1,
                Err(why) => outcome.refuse(graph.label(id), why),
            }
        }
        Ok(outcome)
    }
}

/// Whether the weight is constant and the bias one float32 constant for each of its output channels.
fn is_per_channel(graph: &Graph, id: NodeId, weight: ValueId, bias: ValueId) -> Result<bool> {
    let (Some(weight), Some(bias)) = (graph.constant(weight)?, graph.constant(bias)?) else { return Ok(false) };
    let attributes = graph.node(id).attributes();
    let shape = weight.shape();
    let channels = match graph.node(id).op_type() {
        "Gemm" => shape.get(usize::from(attributes.int("transB").unwrap_or(0) == 0)).copied(),
        "Conv" => shape.first().copied(),
        _ => shape.get(1).map(|c| c.saturating_mul(attributes.int("group").unwrap_or(1).max(1) as usize)),
    };
    let along_last = bias.shape().iter().rev().skip(1).all(|&d| d == 1);
    // A number for all channels is spread out later; what is not float32 says so in the plan.
    Ok(along_last && (bias.len() == 1 || Some(bias.len()) == channels))
}

type Refusal = &'static str;

/// `alpha A B + beta C` becomes `alpha A B` with `beta C` added.
fn from_gemm(graph: &mut Graph, id: NodeId, bias: ValueId) -> Result<std::result::Result<(), Refusal>> {
    let beta = graph.node(id).attributes().float("beta").unwrap_or(1.0);
    let float = |v: ValueId| graph.known_type(v).is_none_or(|ty| ty.dtype == DataType::Float32);
    if !float(bias) {
        return Ok(Err("its bias is not float32"));
    }
    let name = graph.label(id).to_owned();
    let mut addend = bias;
    if beta != 1.0 {
        let factor = graph.add_initializer(&format!("{name}_beta"), &Tensor::from_f32(vec![], &[beta]));
        let stem = format!("{name}_scaled_bias");
        let inputs = vec![Some(bias), Some(factor)];
        addend = graph.add_node(NewNode { op_type: "Mul", name: &stem, inputs, ints: vec![] }, &stem).1;
        graph.set_float(id, "beta", 1.0);
    }
    add_behind(graph, id, addend);
    Ok(Ok(()))
}

/// The bias of a convolution gets its channel axis behind the batch axis.
fn from_conv(graph: &mut Graph, id: NodeId, weight: ValueId, bias: ValueId) -> std::result::Result<(), Refusal> {
    let rank = graph.rank(weight).filter(|&rank| rank >= 3).ok_or("the rank of its weights is not known")?;
    let name = graph.label(id).to_owned();
    let axes: Vec<i64> = (1..rank as i64 - 1).collect();
    let axes = graph.add_initializer(&format!("{name}_bias_axes"), &Tensor::from_i64(vec![axes.len()], &axes));
    let stem = format!("{name}_bias_Unsqueeze");
    let inputs = vec![Some(bias), Some(axes)];
    let (_, addend) = graph.add_node(NewNode { op_type: "Unsqueeze", name: &stem, inputs, ints: vec![] }, &stem);
    add_behind(graph, id, addend);
    Ok(())
}

/// An Add behind node `id`, whose bias goes, makes what the node made.
fn add_behind(graph: &mut Graph, id: NodeId, addend: ValueId) {
    let Some(output) = graph.node(id).output(0) else { return };
    let ty = graph.known_type(output);
    graph.set_input(id, 2, None);
    let name = graph.label(id).to_owned();
    let bare = graph.split_output(id, 0, &format!("{name}_without_bias"));
    if let Some(ty) = ty {
        graph.learn_type(bare, ty);
    }
    let stem = format!("{name}_Add");
    let inputs = vec![Some(bare), Some(addend)];
    let (add, _) = graph.add_node(NewNode { op_type: "Add", name: &stem, inputs, ints: vec![] }, &stem);
    graph.take_over_output(add, 0, output);
}
