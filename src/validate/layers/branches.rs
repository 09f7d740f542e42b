//! Branches of If that every sample takes alike become part of the graph, so that their layers are looked at, too.

use crate::exec::{Executor, Session};
use crate::ir::{Model, NewNode, NodeId};
use crate::tensor::{DataType, Tensor};

/// So deep does one branch lie in another, at most.
const DEPTH: usize = 16;

/// Both models with the branches that all `samples` take in the place of their If; `None` where there are none. An If of which one
/// model has a branch that cannot stand there stays as it is in both.
pub(super) fn take_branches(
    models: [&Model; 2],
    executor: &dyn Executor,
    samples: &[Vec<Tensor>],
) -> Option<[Model; 2]> {
    let mut taken: Option<[Model; 2]> = None;
    for _ in 0..DEPTH {
        let mut any = false;
        let [float, quantized] = taken.as_ref().map_or(models, |[float, quantized]| [float, quantized]);
        let both: Vec<(NodeId, NodeId)> = choices(float)
            .filter_map(|id| {
                let label = float.graph.label(id);
                choices(quantized).find(|&other| quantized.graph.label(other) == label).map(|other| (id, other))
            })
            .collect();
        let taking: Vec<_> =
            both.into_iter().filter_map(|pair| Some((pair, taken_by_all(float, pair.0, executor, samples)?))).collect();
        for ((id, other), branch) in taking {
            let [mut float, mut quantized] = taken.clone().unwrap_or_else(|| models.map(Model::clone));
            if float.take_branch(id, branch).is_ok() && quantized.take_branch(other, branch).is_ok() {
                taken = Some([float, quantized]);
                any = true;
            }
        }
        if !any {
            break;
        }
    }
    taken
}

/// Whether a model has an If.
pub(super) fn has_branches(model: &Model) -> bool {
    choices(model).next().is_some()
}

fn choices(model: &Model) -> impl Iterator<Item = NodeId> {
    model.graph.node_ids().filter(|&id| model.graph.node(id).is("If"))
}

/// The branch of `id` that all samples take; `None` where they differ, or the engine cannot tell.
fn taken_by_all(model: &Model, id: NodeId, executor: &dyn Executor, samples: &[Vec<Tensor>]) -> Option<&'static str> {
    let mut model = model.clone();
    let inputs = vec![model.graph.node(id).input(0)];
    let ints = vec![("to", i64::from(DataType::Float32.onnx()))];
    let cast = NewNode { op_type: "Cast", name: "condition", inputs, ints };
    let (_, condition) = model.graph.add_node(cast, "condition");
    let name = model.graph.value(condition).name().to_owned();
    let session = Session::observing(executor, &model, vec![name]).ok()?;
    let mut seen = Vec::new();
    for inputs in samples {
        session.run(inputs, &mut |_, _, numbers| seen.extend(numbers.iter().map(|&v| v != 0.0))).ok()?;
    }
    let first = *seen.first()?;
    let alike = seen.len() == samples.len() && seen.iter().all(|&taken| taken == first);
    alike.then_some(if first { "then_branch" } else { "else_branch" })
}
