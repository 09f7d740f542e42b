//! What is written for small nets: defects of other quantizers that must not come back, and rules that runtimes ask for.

mod carried;
mod clamps;
mod contrib;
mod dynamic;
mod grids;
mod halves;
mod io;
mod keep;
mod known;
mod layers;
mod lookups;
mod outliers;
mod outputs;
mod qoperators;
mod recurrent;
mod refitted;
mod saturation;
mod scale;
mod stored;
mod types;
mod weights;
mod zeros;

use super::*;
use crate::calibrate::{Calibration, Statistics};
use crate::exec::{Session, Tract};
use crate::ir::build::{Builder, int, ints, noise};
use crate::ir::{Graph, Model, NodeId, Use, ValueId};
use crate::plan::{Known, Placement, Plan, plan};
use crate::policy::{Raw, Settings};
use crate::prepare::{Options, prepare};
use crate::resolve::{Resolved, resolve};
use crate::target::OnnxRuntimeCpu;
use crate::tensor::{DataType, Tensor};
use std::path::Path;

/// A model before and after.
struct Made {
    original: Model,
    model: Model,
    plan: Plan,
    resolved: Resolved,
}

fn settings(policy: &str) -> Settings {
    let text = format!("version: 1\n{policy}");
    Raw::parse(&text, Path::new("p.yaml")).and_then(|raw| raw.settings()).expect("a policy")
}

/// Noise for each graph input.
fn feeds(model: &Model, seed: u32) -> Vec<Tensor> {
    let feed = |(i, value)| {
        let dims = model.graph.stated_type(value).expect("a typed input").dims;
        let shape: Vec<usize> = dims.into_iter().map(|d| d.unwrap_or(2)).collect();
        let numbers = noise(shape.iter().product(), seed * 10 + i as u32);
        Tensor::from_f32(shape, &numbers)
    };
    model.graph.inputs().enumerate().map(feed).collect()
}

fn calibrated(model: &Model, plan: &Plan) -> Calibration {
    let names: Vec<String> = plan.observed().map(|v| v.name.clone()).collect();
    let executor = Tract::default();
    let session = Session::new(&executor, model, names.clone()).expect("a model");
    let mut statistics: Vec<_> =
        plan.observed().map(|v| Statistics::by_channel(v.channels).by_position(v.layout)).collect();
    for seed in 1..9 {
        let mut observe =
            |value: usize, shape: &[usize], numbers: &[f32]| assert!(statistics[value].add_shaped(shape, numbers));
        session.run(&feeds(model, seed), &mut observe).expect("a model that tract runs");
    }
    Calibration { values: names.into_iter().zip(statistics).collect(), ..Calibration::default() }
}

/// Every observed value between 0 and 3, without running anything.
fn pretended(plan: &Plan) -> Calibration {
    let mut one = Statistics::default();
    assert!(one.add(&[0.0, 3.0]));
    Calibration { values: plan.observed().map(|v| (v.name.clone(), one.clone())).collect(), ..Calibration::default() }
}

fn quantized_with(model: Model, policy: &str, calibrate: impl Fn(&Model, &Plan) -> Calibration) -> Made {
    quantized_knowing(model, policy, &Known::default(), calibrate)
}

fn quantized_knowing(
    model: Model,
    policy: &str,
    known: &Known,
    calibrate: impl Fn(&Model, &Plan) -> Calibration,
) -> Made {
    let mut ready = model.clone();
    let settings = settings(policy);
    let options =
        Options { for_integers: settings.calibrates(), bodies: settings.reaches_bodies(), ..Options::default() };
    prepare(&mut ready, &Tract::default(), &options).expect("a model that can be prepared");
    let made = plan(&ready.graph, &settings, &OnnxRuntimeCpu, &[], known).expect("a plan");
    let resolved = resolve(&made, &calibrate(&ready, &made)).expect("a grid for each value");
    insert_qdq(&mut ready, &made, &resolved).expect("a quantized model");
    let made = Made { original: model, model: ready, plan: made, resolved };
    made.check();
    made
}

fn quantized(builder: Builder) -> Made {
    quantized_with(builder.build(), "activations: { calibrator: minmax }\n", calibrated)
}

fn quantized_by(policy: &str, builder: Builder) -> Made {
    quantized_with(builder.build(), policy, calibrated)
}

impl Made {
    fn graph(&self) -> &Graph {
        &self.model.graph
    }

    fn value(&self, name: &str) -> ValueId {
        self.graph().find(name).unwrap_or_else(|| panic!("no value {name:?}"))
    }

    /// The node that makes `value`, after checking its operator.
    fn producer(&self, value: ValueId, op_type: &str) -> NodeId {
        let node = self.graph().value(value).producer().expect("a node");
        assert_eq!(self.graph().node(node).op_type(), op_type, "makes {}", self.graph().value(value).name());
        node
    }

    fn input(&self, node: NodeId, slot: usize) -> ValueId {
        self.graph().node(node).input(slot).expect("an input")
    }

    /// The only node of an operator.
    fn the(&self, op_type: &str) -> NodeId {
        let all: Vec<_> = self.graph().node_ids().filter(|&id| self.graph().node(id).is(op_type)).collect();
        assert_eq!(all.len(), 1, "{op_type} in {:?}", self.operators());
        all[0]
    }

    fn named(&self, label: &str) -> NodeId {
        self.graph().node_ids().find(|&id| self.graph().label(id) == label).expect("the node")
    }

    /// Integers, scales and zero points that the DequantizeLinear before input `slot` reads.
    fn constant(&self, node: NodeId, slot: usize) -> [Tensor; 3] {
        let dequantize = self.producer(self.input(node, slot), "DequantizeLinear");
        [0, 1, 2].map(|s| self.graph().constant(self.input(dequantize, s)).expect("a tensor").expect("a constant"))
    }

    /// Scale and zero point of the activation that input `slot` reads.
    fn activation(&self, node: NodeId, slot: usize) -> (f32, Tensor) {
        let dequantize = self.producer(self.input(node, slot), "DequantizeLinear");
        self.producer(self.input(dequantize, 0), "QuantizeLinear");
        let constant = |s| self.graph().constant(self.input(dequantize, s)).expect("a tensor").expect("a constant");
        (constant(1).first_f32().expect("a scale"), constant(2))
    }

    fn operators(&self) -> Vec<&str> {
        let order = self.graph().topological().expect("no circle");
        order.into_iter().map(|id| self.graph().node(id).op_type()).collect()
    }

    fn count(&self, op_type: &str) -> usize {
        self.operators().iter().filter(|op| **op == op_type).count()
    }

    /// Signal to noise of the first output in dB, on samples that did not calibrate.
    fn sqnr(&self) -> f64 {
        let executor = Tract::default();
        let run = |model: &Model, seed| {
            let session = Session::new(&executor, model, vec![]).expect("a model");
            let outputs =
                session.run(&feeds(&self.original, seed), &mut |_, _, _| {}).expect("a model that tract runs");
            outputs[0].to_f32().expect("numbers").into_owned()
        };
        let (mut signal, mut noise) = (0f64, 0f64);
        for seed in 20..24 {
            for (a, b) in run(&self.original, seed).iter().zip(run(&self.model, seed)) {
                signal += f64::from(*a).powi(2);
                noise += f64::from(a - b).powi(2);
            }
        }
        assert!(signal > 0.0);
        10.0 * (signal / noise).log10()
    }

    /// The same where inputs and outputs may be integers.
    fn border_sqnr(&self) -> f64 {
        let executor = Tract::default();
        let (original, session) = (&self.original, |model| Session::new(&executor, model, vec![]).expect("a model"));
        let (float, integer) = (session(original), session(&self.model));
        let graph = &self.original.graph;
        let grid = |value: ValueId, dtype: DataType| {
            let own = self.resolved.params(value).filter(|p| p.dtype.data_type() == dtype);
            let io = self.plan.io.iter().find(|one| one.value == value)?;
            own.or_else(|| self.resolved.converted(value, io.dtype))
        };
        let outputs: Vec<ValueId> = graph.outputs().collect();
        let (mut signal, mut noise) = (0f64, 0f64);
        for seed in 20..24 {
            let sample = feeds(original, seed);
            let mut border = Vec::new();
            for (value, tensor) in graph.inputs().zip(&sample) {
                let name = graph.value(value).name();
                let dtype = self.graph().stated_type(self.value(name)).expect("a type").dtype;
                border.push(match grid(value, dtype) {
                    Some(params) => {
                        let bytes = crate::quant::quantize(&tensor.to_f32().expect("numbers"), &params);
                        Tensor::new(dtype, tensor.shape().to_vec(), bytes.into()).expect("as many")
                    }
                    None => tensor.clone(),
                });
            }
            let expected = float.run(&sample, &mut |_, _, _| {}).expect("a run");
            let found = integer.run(&border, &mut |_, _, _| {}).expect("a run");
            for ((a, b), &value) in expected.iter().zip(&found).zip(&outputs) {
                let params = grid(value, b.dtype());
                for (a, b) in a.to_f32().expect("numbers").iter().zip(b.to_f32().expect("numbers").iter()) {
                    let b = params.map_or(*b, |p| p.dequantize(*b as i32));
                    signal += f64::from(*a).powi(2);
                    noise += f64::from(a - b).powi(2);
                }
            }
        }
        10.0 * (signal / noise).log10()
    }

    /// What holds for every quantized model.
    fn check(&self) {
        let graph = self.graph();
        graph.verify().expect("a sound graph");
        let outputs = |m: &Model| m.graph.outputs().map(|v| m.graph.value(v).name().to_owned()).collect::<Vec<_>>();
        assert_eq!(outputs(&self.original), outputs(&self.model));
        for (before, after) in self.original.graph.outputs().zip(graph.outputs()) {
            if self.plan.io.iter().any(|one| one.output.is_some()) {
                continue;
            }
            assert_eq!(self.original.graph.stated_type(before), graph.stated_type(after));
        }
        for node in &self.plan.nodes {
            let Placement::Integer(integer) = &node.placement else { continue };
            let Some(found) = graph.get_node(node.id) else { continue };
            for &slot in integer.activations.iter().chain(integer.constants.iter().map(|c| &c.slot)) {
                self.producer(found.input(slot).expect("an input"), "DequantizeLinear");
            }
            // The sum with the columns beside is what is quantized.
            let split = integer.constants.iter().find_map(|c| c.split);
            let whole = split.is_none_or(|split| self.resolved.outliers(split.value).is_empty());
            for &output in found.outputs().iter().flatten().filter(|_| integer.quantized_output && whole) {
                let uses = graph.value(output).uses();
                let one = matches!(uses, [Use::Input { node, slot: 0 }] if graph.node(*node).is("QuantizeLinear"));
                assert!(one, "{} is read by {uses:?}", graph.value(output).name());
            }
        }
        for id in graph.node_ids().filter(|&id| graph.node(id).is("QuantizeLinear")) {
            let made = graph.node(id).output(0).expect("an output");
            // The integers of an output have a reader outside.
            if graph.value(made).is_output() {
                continue;
            }
            let readers: Vec<_> = graph.value(made).readers().collect();
            let [(pair, 0)] = readers[..] else { panic!("{} has not one reader", graph.label(id)) };
            assert!(graph.node(pair).is("DequantizeLinear"));
            // The same initializers, not equal ones.
            assert_eq!(graph.node(id).inputs()[1..], graph.node(pair).inputs()[1..]);
        }
    }
}

/// A pointwise Conv of 4 to 4 channels, with weights of its own.
fn conv(builder: Builder, x: &str, y: &str) -> Builder {
    let (w, b) = (format!("{y}_w"), format!("{y}_b"));
    builder.noise(&w, &[4, 4, 1, 1], y.len() as u32 + 40).noise(&b, &[4], 7).node("Conv", &[x, &w, &b], &[y], vec![])
}

/// An image with a Conv behind it, which makes `c`.
fn start() -> Builder {
    conv(Builder::new(13).input("x", &[1, 4, 8, 8]), "x", "c")
}
