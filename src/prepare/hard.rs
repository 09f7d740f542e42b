//! HardSigmoid and HardSwish in terms of what integer kernels can do. ONNX Runtime has none for either, nor for Div; what
//! multiplies and shifts goes into the layer before, and Clip, Add and Mul remain.

use super::affine;
use super::normals::{self, Normals};
use crate::error::Result;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::pass::{Derived, Outcome, Pass};
use crate::patterns::{self, Kind};
use crate::tensor::Tensor;
use std::cell::RefCell;

/// Rewrites HardSigmoid and HardSwish, ONNX's operators or spelled out, of a value that a Conv, ConvTranspose or Gemm with
/// constant weights makes for them alone.
pub struct Lower<'a> {
    /// What is known of values: what a layer makes for them is scaled.
    pub normals: &'a RefCell<Normals>,
}

/// What a factor behind a HardSwish may be to go through it: beyond, float32 loses what the factor is multiplied with.
const GAINS: std::ops::RangeInclusive<f64> = 1e-4..=1e4;

/// One activation to rewrite.
struct Job {
    activation: Activation,
    x: ValueId,
    output: ValueId,
    nodes: Vec<NodeId>,
}

enum Activation {
    Sigmoid { alpha: f64, beta: f64 },
    Swish,
}

impl Pass for Lower<'_> {
    fn name(&self) -> &'static str {
        "lower-hard-activations"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        let mut taken = vec![false; graph.node_bound()];
        let jobs = jobs(graph, &mut taken);
        for mut job in jobs {
            let Some(layer) = layer_before(graph, &job) else { continue };
            let label = graph.label(layer).to_owned();
            if graph.node(layer).input(1).is_some_and(|weight| graph.is_held(weight)) {
                outcome.refuse(&label, "the layer's weights are stored as integers already");
                continue;
            }
            let layer = match affine::read_layer(graph, layer)? {
                Ok(layer) => layer,
                Err(why) => {
                    outcome.refuse(&label, why);
                    continue;
                }
            };
            let before = graph.value(job.x).name().to_owned();
            let all = |number: f64| vec![number; layer.channels];
            let (factors, addends) = match job.activation {
                Activation::Sigmoid { alpha, beta } => {
                    affine::apply(graph, &layer, &all(alpha), &all(beta))?;
                    sigmoid(graph, &job);
                    (all(alpha), all(beta))
                }
                Activation::Swish => {
                    let gain = gain_behind(graph, &mut job, &taken);
                    let factor = (gain / 6.0).sqrt();
                    affine::apply(graph, &layer, &all(factor), &all(0.0))?;
                    outcome.derived.extend(swish(graph, &job, factor));
                    (all(factor), all(0.0))
                }
            };
            normals::follow(self.normals, &before, graph.value(job.x).name(), (&factors, &addends));
            for &id in job.nodes.iter().rev() {
                graph.remove_if_unused(id);
            }
            outcome.changed += 1;
        }
        Ok(outcome)
    }
}

/// Every HardSigmoid and HardSwish, marking the nodes of all activations as taken.
fn jobs(graph: &Graph, taken: &mut [bool]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for found in patterns::activations(graph) {
        found.nodes.iter().for_each(|id| taken[id.index()] = true);
        let activation = match found.kind {
            Kind::HardSigmoid { alpha, beta } => Activation::Sigmoid { alpha: alpha.into(), beta: beta.into() },
            Kind::HardSwish => Activation::Swish,
            _ => continue,
        };
        jobs.push(Job { activation, x: found.inputs[0], output: found.output, nodes: found.nodes });
    }
    for id in graph.node_ids() {
        let node = graph.node(id);
        let (Some(x), Some(output)) = (node.input(0), node.output(0)) else { continue };
        let attribute = |name, default| f64::from(node.attributes().float(name).unwrap_or(default));
        let activation = match node.op_type() {
            _ if taken[id.index()] || !node.domain().is_empty() => continue,
            "HardSigmoid" => Activation::Sigmoid { alpha: attribute("alpha", 0.2), beta: attribute("beta", 0.5) },
            "HardSwish" => Activation::Swish,
            _ => continue,
        };
        taken[id.index()] = true;
        jobs.push(Job { activation, x, output, nodes: vec![id] });
    }
    jobs
}

/// The layer that makes the activation's input, when nobody else reads it.
fn layer_before(graph: &Graph, job: &Job) -> Option<NodeId> {
    let x = graph.value(job.x);
    let layer = x.producer().filter(|&l| ["Conv", "ConvTranspose", "Gemm"].iter().any(|op| graph.node(l).is(op)))?;
    let alone = !x.goes_by_name() && x.readers().all(|(reader, _)| job.nodes.contains(&reader));
    let finite = match job.activation {
        Activation::Sigmoid { alpha, beta } => alpha.is_finite() && beta.is_finite(),
        Activation::Swish => true,
    };
    (alone && finite).then_some(layer)
}

/// A positive number that alone multiplies the HardSwish; the job then ends behind it. PP-LCNet has one behind each.
fn gain_behind(graph: &Graph, job: &mut Job, taken: &[bool]) -> f64 {
    let value = graph.value(job.output);
    let behind = || {
        let (id, slot) = value.readers().next().filter(|_| value.uses().len() == 1)?;
        let node = graph.node(id);
        let factor = node.input(1 - slot.min(1)).filter(|_| node.is("Mul") && taken.get(id.index()) == Some(&false))?;
        let factor = graph.constant(factor).ok()??;
        let number = f64::from(factor.first_f32().filter(|_| factor.len() == 1 && factor.shape().len() <= 1)?);
        GAINS.contains(&number).then_some((id, node.output(0)?, number))
    };
    let Some((id, output, number)) = behind() else { return 1.0 };
    job.nodes.push(id);
    job.output = output;
    number
}

/// Adds a node behind `inputs` whose name begins with `stem`.
fn add(graph: &mut Graph, op_type: &str, inputs: &[ValueId], stem: &str) -> (NodeId, ValueId) {
    let name = format!("{stem}_{}", op_type.to_lowercase());
    let inputs = inputs.iter().copied().map(Some).collect();
    graph.add_node(NewNode { op_type, name: &name, inputs, ..NewNode::default() }, &name)
}

fn constant(graph: &mut Graph, stem: &str, number: f64) -> ValueId {
    graph.add_initializer(stem, &Tensor::from_f32(vec![], &[number as f32]))
}

/// `Clip(x, 0, 1)`
fn sigmoid(graph: &mut Graph, job: &Job) {
    let stem = graph.value(job.output).name().to_owned();
    graph.rename(job.x, &format!("{stem}_scaled"));
    let (low, high) = (constant(graph, &format!("{stem}_low"), 0.0), constant(graph, &format!("{stem}_high"), 1.0));
    let (clip, _) = add(graph, "Clip", &[job.x, low, high], &stem);
    graph.take_over_output(clip, 0, job.output);
}

/// With `x` scaled by `factor`: `x * Clip(x + 3 factor, 0, 6 factor)`, which is HardSwish times `6 factor^2`. Below
/// `-3 factor` it is zero, so `x` is cut off there, and a grid for it need not reach further down. Returns what the factors of
/// that product follow from.
fn swish(graph: &mut Graph, job: &Job, factor: f64) -> [Derived; 2] {
    let stem = graph.value(job.output).name().to_owned();
    let source = graph.value(job.x).name().to_owned();
    graph.rename(job.x, &format!("{stem}_scaled"));
    // The same float32 number with either sign: their sum is exactly zero.
    let three = f64::from((3.0 * factor) as f32);
    let least = constant(graph, &format!("{stem}_least"), -three);
    let (_, x) = add(graph, "Clip", &[job.x, least], &format!("{stem}_cut"));
    let shift = constant(graph, &format!("{stem}_shift"), three);
    let (_, shifted) = add(graph, "Add", &[x, shift], &stem);
    let (low, high) =
        (constant(graph, &format!("{stem}_low"), 0.0), constant(graph, &format!("{stem}_high"), 6.0 * factor));
    let (_, gate) = add(graph, "Clip", &[shifted, low, high], &format!("{stem}_gate"));
    let (mul, _) = add(graph, "Mul", &[x, gate], &stem);
    graph.take_over_output(mul, 0, job.output);
    let derived = |value, shift, within| {
        let value = graph.value(value).name().to_owned();
        Derived { value, source: source.clone(), factor, shift, within }
    };
    [derived(x, 0.0, (-three, f64::INFINITY)), derived(gate, three, (0.0, 6.0 * factor))]
}
