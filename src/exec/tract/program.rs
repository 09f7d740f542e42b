//! Programs: a model after tract's optimisation, or as it stands.

use super::super::{Observer, Program};
use super::failure::{Failure, Label, Labels, guarded, guarded_at, labelled};
use super::observe::{self, Sink};
use super::own::Own;
use super::{bounds, convert, registers};
use crate::error::Result;
use crate::tensor::Tensor;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Runs a node. It has to make all its outputs: tract looks at that in debug builds alone, and a BatchNormalization that trains
/// makes one in the place of three, which is wrong.
macro_rules! evaluate {
    ($context:expr, $state:expr, $node:expr, $values:expr) => {{
        let made = tract_onnx::tract_core::plan::eval($context, $state, $node, $values);
        registers::tidy();
        made.and_then(|made| {
            let (name, wanted, found) = (&$node.name, $node.outputs.len(), made.len());
            ensure!(
                found == wanted,
                "#{} {name:?} {}: expected {wanted} outputs, got {found}",
                $node.id,
                $node.op.name()
            );
            Ok(made)
        })
    }};
}

/// Runs a node, and tells who wants to hear it how long that took.
macro_rules! told_of {
    (($told:expr, $labels:expr), $node:expr, $evaluate:expr) => {{
        let begun = $told.is_some().then(Instant::now);
        let made = $evaluate;
        if let (Some(told), Some(begun)) = (&mut $told, begun) {
            let took = begun.elapsed();
            told(label_of(&$node.name, &$node.op.name(), &$labels), took);
        }
        made
    }};
}

/// Who hears of the time that a node of the model took.
pub type NodeTold<'a> = dyn FnMut(Label, Duration) + 'a;

/// A program that can be timed.
pub trait Stepped: Program {
    /// Runs once and returns how long that took, telling `told` of each node. Nothing is observed.
    ///
    /// # Errors
    /// As [`Program::run`].
    fn time(&self, inputs: &[Tensor], told: Option<&mut NodeTold<'_>>) -> Result<Duration>;
}

/// The node of the model that tract's node called `name` comes from; one of tract's own goes by the names that it has there.
fn label_of(name: &str, op_type: &str, labels: &Labels) -> Label {
    labelled(name, labels).unwrap_or_else(|| Label { name: name.to_owned(), op_type: op_type.to_owned() })
}

/// The outlet of each value of a model.
pub type Outlets = HashMap<String, OutletId>;

/// The outlets of the values called `observed`.
fn taps(outlets: &Outlets, observed: &[String]) -> TractResult<Vec<OutletId>> {
    let find = |name: &String| outlets.get(name).copied();
    observed.iter().map(|name| find(name).with_context(|| format!("tract does not know the value {name:?}"))).collect()
}

fn inputs_of(inputs: &[Tensor]) -> TractResult<TVec<TValue>> {
    inputs.iter().map(|t| Ok(convert::to_tract(t)?.into_tvalue())).collect()
}

/// A model that tract analysed for concrete shapes and optimised.
pub struct Optimised {
    pub(super) plan: Arc<TypedRunnableModel>,
    outputs: usize,
    /// Observed values that do not depend on the inputs, each with its number.
    constants: Vec<(usize, TValue)>,
    labels: Labels,
}

impl Optimised {
    /// Optimises a model, whose inputs have concrete types.
    ///
    /// # Errors
    /// When tract cannot analyse it.
    pub fn new(
        mut model: InferenceModel,
        outlets: &Outlets,
        observed: &[String],
        labels: &Labels,
    ) -> TractResult<Self> {
        model.analyse(false)?;
        let outputs = model.outputs.clone();
        // Optimisation follows an outlet through every rewrite by its position among the outputs, and only so.
        let all: Vec<_> = outputs.iter().copied().chain(taps(outlets, observed)?).collect();
        model.select_output_outlets(&all)?;
        let mut model = model.into_optimized()?;
        // A sink on each tap, so that the tapped tensor is freed as soon as it was seen.
        let mut kept = model.outputs[..outputs.len()].to_vec();
        let taps = model.outputs[outputs.len()..].to_vec();
        let mut constants = Vec::new();
        for (tap, outlet) in taps.into_iter().enumerate() {
            // tract would run the sink of a constant at once, and never again.
            if let Some(constant) = model.outlet_fact(outlet)?.konst.clone() {
                constants.push((tap, constant.into_tvalue()));
                continue;
            }
            kept.push(model.wire_node(format!("tare-sink-{tap}"), Own(Sink(tap)), &[outlet])?[0]);
        }
        model.select_output_outlets(&kept)?;
        Ok(Self { plan: model.into_runnable()?, outputs: outputs.len(), constants, labels: labels.clone() })
    }

    fn evaluate(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> TractResult<Vec<Tensor>> {
        for (tap, constant) in &self.constants {
            observe::show(*tap, constant, observe)?;
        }
        let results = self.plan.spawn()?.run_plan_with_eval(inputs_of(inputs)?, |context, state, node, values| {
            if let Some(Own(Sink(tap))) = node.op_as() {
                observe::show(*tap, &values[0], observe)?;
            }
            evaluate!(context, state, node, values)
        })?;
        results.iter().take(self.outputs).map(|value| convert::from_tract(value)).collect()
    }
}

impl Program for Optimised {
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        guarded(|| self.evaluate(inputs, observe).map_err(|e| Failure::of(&e, &self.labels)))
    }
}

impl Stepped for Optimised {
    fn time(&self, inputs: &[Tensor], mut told: Option<&mut NodeTold<'_>>) -> Result<Duration> {
        let mut run = || -> TractResult<Duration> {
            let inputs = inputs_of(inputs)?;
            let start = Instant::now();
            let results = self.plan.spawn()?.run_plan_with_eval(inputs, |context, state, node, values| {
                told_of!((told, self.labels), node, evaluate!(context, state, node, values))
            });
            let took = start.elapsed();
            results.map(|_| took)
        };
        guarded(|| run().map_err(|e| Failure::of(&e, &self.labels)))
    }
}

/// A model as it was read. Each node is wired when its inputs are there, so it need not be known beforehand what shapes and
/// types they have.
pub struct Raw {
    plan: Arc<SimplePlan<InferenceFact, Box<dyn InferenceOp>>>,
    outputs: usize,
    /// The observed value that each sink swallows, by the id of its node.
    sinks: HashMap<usize, usize>,
    labels: Labels,
}

impl Raw {
    /// Plans a model.
    ///
    /// # Errors
    /// When a value to observe is not there.
    pub fn new(
        mut model: InferenceModel,
        outlets: &Outlets,
        observed: &[String],
        labels: &Labels,
    ) -> TractResult<Self> {
        for node in 0..model.nodes.len() {
            for slot in 0..model.nodes[node].outputs.len() {
                model.set_outlet_fact(OutletId::new(node, slot), InferenceFact::default())?;
            }
        }
        let mut kept = model.outputs.clone();
        let outputs = kept.len();
        let mut sinks = HashMap::new();
        for (tap, outlet) in taps(outlets, observed)?.into_iter().enumerate() {
            let fact = tvec!(InferenceFact::default());
            let id = model.add_node(format!("tare-sink-{tap}"), expand(Sink(tap)), fact)?;
            model.add_edge(outlet, InletId::new(id, 0))?;
            kept.push(OutletId::new(id, 0));
            sinks.insert(id, tap);
        }
        model.select_output_outlets(&kept)?;
        Ok(Self { plan: SimplePlan::new(model)?, outputs, sinks, labels: labels.clone() })
    }

    /// Runs; `at` is always the node that is being computed.
    fn evaluate(
        &self,
        inputs: &[Tensor],
        observe: &mut Observer<'_>,
        at: &Cell<Option<usize>>,
    ) -> TractResult<Vec<Tensor>> {
        let results = self.plan.spawn()?.run_plan_with_eval(inputs_of(inputs)?, |context, state, node, values| {
            at.set(Some(node.id));
            if let Some(tap) = self.sinks.get(&node.id) {
                observe::show(*tap, &values[0], observe)?;
                return Ok(tvec!(tensor0(0u8).into()));
            }
            bounds::check_run(&*node.op, &values).with_context(|| format!("#{} \"{}\"", node.id, node.name))?;
            evaluate!(context, state, node, values)
        })?;
        results.iter().take(self.outputs).map(|value| convert::from_tract(value)).collect()
    }
}

impl Program for Raw {
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        let at = Cell::new(None);
        let run = || self.evaluate(inputs, observe, &at).map_err(|e| Failure::of(&e, &self.labels));
        guarded_at(run, || labelled(&self.plan.model().node(at.get()?).name, &self.labels))
    }
}

impl Stepped for Raw {
    fn time(&self, inputs: &[Tensor], mut told: Option<&mut NodeTold<'_>>) -> Result<Duration> {
        let at = Cell::new(None);
        let mut run = || -> TractResult<Duration> {
            let inputs = inputs_of(inputs)?;
            let start = Instant::now();
            let results = self.plan.spawn()?.run_plan_with_eval(inputs, |context, state, node, values| {
                at.set(Some(node.id));
                bounds::check_run(&*node.op, &values).with_context(|| format!("#{} \"{}\"", node.id, node.name))?;
                told_of!((told, self.labels), node, evaluate!(context, state, node, values))
            });
            let took = start.elapsed();
            results.map(|_| took)
        };
        let failing = || run().map_err(|e| Failure::of(&e, &self.labels));
        guarded_at(failing, || labelled(&self.plan.model().node(at.get()?).name, &self.labels))
    }
}
