//! Gemm's factors. ONNX Runtime's integer Gemm computes `A B + C` whatever alpha and beta say.

use crate::error::Result;
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use crate::tensor::Tensor;

/// Multiplies alpha into the weights and beta into the bias.
pub struct FoldAlphaBeta;

impl Pass for FoldAlphaBeta {
    fn name(&self) -> &'static str {
        "fold-gemm-factors"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        for id in graph.node_ids().collect::<Vec<_>>() {
            if !graph.node(id).is("Gemm") {
                continue;
            }
            for (name, slot) in [("alpha", 1), ("beta", 2)] {
                let factor = graph.node(id).attributes().float(name).unwrap_or(1.0);
                if factor == 1.0 {
                    continue;
                }
                match fold(graph, id, slot, factor)? {
                    Ok(()) => {
                        graph.set_float(id, name, 1.0);
                        outcome.changed += 1;
                    }
                    Err(why) => outcome.refuse(graph.label(id), format!("{name}: {why}")),
                }
            }
        }
        Ok(outcome)
    }
}

fn fold(graph: &mut Graph, id: NodeId, slot: usize, factor: f32) -> Result<std::result::Result<(), &'static str>> {
    let Some(value) = graph.node(id).input(slot) else { return Ok(Ok(())) };
    if graph.is_held(value) {
        return Ok(Err("the input it multiplies is stored as integers already"));
    }
    let Some(tensor) = graph.constant(value)?.filter(|t| t.dtype() == crate::tensor::DataType::Float32) else {
        return Ok(Err("the input it multiplies is not a float32 constant"));
    };
    let scaled: Vec<f32> = tensor.to_f32()?.iter().map(|v| v * factor).collect();
    let name = graph.value(value).name().to_owned();
    let new = graph.add_initializer(&name, &Tensor::from_f32(tensor.shape().to_vec(), &scaled));
    graph.set_input(id, slot, Some(new));
    Ok(Ok(()))
}
