//! Programs some of whose parts are rounded or not from run to run, and which compute again only what that changes.
//!
//! A model is compiled twice, with its constants as they are and with all of them rounded. tract makes the same nodes of both, so
//! that any layer may be taken from either. Activations are rounded in nodes of our own, TareSwitch, which pass on what they read
//! where they are off.

mod walk;

use super::super::{Chooser, Corrections, Corrector, Ran, Side, Switched, Switches};
use super::beside::Mark;
use super::failure::{Failure, Labels, guarded, labelled};
use super::operators::Built;
use super::own::{Kernel, Own, shaped_like_first};
use super::{Tract, convert, message::Message, packed};
use crate::error::{Error, Result};
use crate::quant::Params;
use crate::tensor::{Tensor, TensorType};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::internal::*;
pub(super) use walk::Table;
use walk::Walk;

/// The operator of a node whose attribute `index` tells which switch it is.
///
/// # Errors
/// When it does not.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let index = usize::try_from(node.get_attr::<i64>("index")?)?;
    Ok((shaped_like_first(Point(index), 1, None), vec![]))
}

/// Passes its input on; whether it is rounded there is up to whoever runs the node.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Point(usize);

impl Kernel for Point {
    fn name(&self) -> StaticName {
        "TareSwitch".into()
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(inputs)
    }

    /// Where it is on, a constant does not stay what it is.
    fn folds(&self) -> bool {
        false
    }
}

pub(super) type Values = TVec<TValue>;

/// The program of one model twice.
pub(super) struct Twofold {
    /// With constants as they are, and rounded.
    pub plans: [Arc<TypedRunnableModel>; 2],
    pub grids: Vec<Params>,
    /// How many layers there are.
    pub layers: usize,
    /// The switch that each node is, or the layer that it is a part of, as an index into what is on.
    pub switch: Vec<Option<usize>>,
    /// The input that each node is.
    source: Vec<Option<usize>>,
    /// What nobody needs any more after each step.
    pub done: Vec<Vec<usize>>,
    pub labels: Labels,
}

/// What one run computed: the values of each node that can be kept.
struct Kept {
    on: Vec<bool>,
    values: Vec<Option<Values>>,
    outputs: Vec<Tensor>,
}

impl Ran for Kept {
    fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Tract {
    /// A program that rounds or does not round from run to run: see [`Switched`].
    ///
    /// # Errors
    /// As [`Executor::compile`](super::Executor::compile), and when tract cannot analyse the model for inputs of these types.
    pub fn switched(
        &self,
        models: [&[u8]; 2],
        inputs: &[TensorType],
        switches: &Switches<'_>,
    ) -> Result<Box<dyn Switched>> {
        let [float, rounded] = models.map(|model| {
            let message = guarded(|| Message::read(&self.onnx, model, true))?;
            let program = guarded(|| self.of_message(&message, inputs, &[]))?;
            Ok::<_, Error>((program.plan, message.labels))
        });
        let ((float, labels), (rounded, _)) = (float?, rounded?);
        let (order, count) = (float.order_without_consts(), float.model().nodes().len());
        let unlike = || {
            Error::Engine("tract makes programs of different structure of the float and the rounded model".to_owned())
        };
        let structure = |plan: &TypedRunnableModel| {
            let node = |node: &TypedNode| (node.op.name().into_owned(), node.inputs.clone(), node.outputs.len());
            plan.model().nodes().iter().map(node).collect::<Vec<_>>()
        };
        if structure(&float) != structure(&rounded) || order != rounded.order_without_consts() {
            return Err(unlike());
        }
        let layers: HashMap<&str, usize> =
            switches.layers.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        let mut switch = vec![None; count];
        for &id in order {
            let (node, other) = (float.model().node(id), rounded.model().node(id));
            if let Some(Own(Point(index))) = node.op_as() {
                switch[id] = Some(*index);
                continue;
            }
            let constant = |plan: &TypedRunnableModel, i: &OutletId| {
                plan.model().node(i.node).op_as::<Const>().map(|c| c.val().clone())
            };
            let pair = |i: &OutletId| match (constant(&float, i), constant(&rounded, i)) {
                (Some(a), Some(b)) => packed::same(&a, &b),
                (a, b) => a.is_none() && b.is_none(),
            };
            if node.same_as(other) && node.inputs.iter().all(pair) {
                continue;
            }
            let layer = match node.op_as() {
                // All of the layer before it is a constant.
                Some(Own(Mark(index))) => Some(*index),
                None => labelled(&node.name, &labels).and_then(|label| layers.get(label.name.as_str()).copied()),
            };
            let Some(layer) = layer else {
                let label = labelled(&node.name, &labels).map_or_else(|| node.name.clone(), |label| label.name);
                let why =
                    "has rounded constants, but which layer they belong to cannot be told: leave that layer in float";
                return Err(Error::node(label, node.op.name(), why));
            };
            switch[id] = Some(switches.grids.len() + layer);
        }
        let mut source = vec![None; count];
        for (index, outlet) in float.model().inputs.iter().enumerate() {
            source[outlet.node] = Some(index);
        }
        let mut last = vec![usize::MAX; count];
        for (step, &id) in order.iter().enumerate() {
            last[id] = step;
            float.model().node(id).inputs.iter().for_each(|i| last[i.node] = step);
        }
        float.model().outputs.iter().for_each(|o| last[o.node] = usize::MAX);
        let mut done = vec![Vec::new(); order.len()];
        for (id, &step) in last.iter().enumerate().filter(|(_, step)| **step < order.len()) {
            done[step].push(id);
        }
        let (grids, layers) = (switches.grids.to_vec(), switches.layers.len());
        Ok(Box::new(Twofold { plans: [float, rounded], grids, layers, switch, source, done, labels }))
    }
}

impl Twofold {
    pub fn inputs(inputs: &[Tensor]) -> TractResult<Vec<TValue>> {
        inputs.iter().map(|t| Ok(convert::to_tract(t)?.into_tvalue())).collect()
    }

    pub fn order(&self) -> &[usize] {
        self.plans[0].order_without_consts()
    }

    /// The outputs, of which `value` has those that the run before did not make.
    pub fn outputs(&self, mut value: impl FnMut(OutletId) -> TractResult<TValue>) -> TractResult<Vec<Tensor>> {
        let model = self.plans[0].model();
        let output = |outlet: &OutletId| match model.node(outlet.node).op_as::<Const>() {
            Some(constant) => convert::from_tract(constant.val()),
            None => convert::from_tract(&*value(*outlet)?),
        };
        model.outputs.iter().map(output).collect()
    }

    fn whole(&self, inputs: &[TValue], on: &[bool]) -> TractResult<Kept> {
        let model = self.plans[0].model();
        let mut values: Vec<Option<Values>> = vec![None; model.nodes().len()];
        let mut walk = self.walk(inputs);
        for (step, &id) in self.order().iter().enumerate() {
            let read = |_: &mut Walk<'_>, from: OutletId| {
                Ok(values[from.node].as_ref().context("not computed")?[from.slot].clone())
            };
            let made = walk.compute(id, on, read)?;
            values[id] = Some(made);
            // Operands in the layout of a kernel may be many times as large as what they are made of.
            for &gone in &self.done[step] {
                if model.node(gone).outputs.iter().any(|o| o.fact.exotic_fact.is_some()) {
                    values[gone] = None;
                }
            }
        }
        let outputs = self.outputs(|o| Ok(values[o.node].as_ref().context("not computed")?[o.slot].clone()))?;
        Ok(Kept { on: on.to_vec(), values, outputs })
    }

    fn again(&self, kept: &Kept, inputs: &[TValue], on: &[bool]) -> TractResult<Vec<Tensor>> {
        let model = self.plans[0].model();
        let mut values: Vec<Option<Values>> = vec![None; model.nodes().len()];
        let mut changed = vec![false; model.nodes().len()];
        let mut again = HashMap::new();
        let mut walk = self.walk(inputs);
        for (step, &id) in self.order().iter().enumerate() {
            let other = self.switch[id].is_some_and(|switch| on[switch] != kept.on[switch]);
            let inputs = &model.node(id).inputs;
            if other || inputs.iter().any(|i| changed[i.node]) {
                let read = |walk: &mut Walk<'_>, from: OutletId| match &mut values[from.node] {
                    Some(made) if self.reads_alone(step, from.node) => Ok(made.swap_remove(from.slot)),
                    Some(made) => Ok(made[from.slot].clone()),
                    None => walk.before(from, kept, &mut again),
                };
                let made = walk.compute(id, on, read)?;
                let is_point = self.switch[id].is_some_and(|switch| switch < self.grids.len());
                changed[id] = !is_point || kept.values[id].as_ref() != Some(&made);
                values[id] = Some(made);
            }
            for &gone in &self.done[step] {
                values[gone] = None;
            }
        }
        let mut value = |o: OutletId| match &values[o.node] {
            Some(made) => Ok(made[o.slot].clone()),
            None => walk.before(o, kept, &mut again),
        };
        self.outputs(&mut value)
    }
}

impl Switched for Twofold {
    fn run(&self, inputs: &[Tensor], on: &[bool]) -> Result<Box<dyn Ran>> {
        let run = || self.whole(&Self::inputs(inputs)?, on);
        let kept = guarded(|| run().map_err(|e| Failure::of(&e, &self.labels)))?;
        Ok(Box::new(kept))
    }

    fn vary(&self, ran: &dyn Ran, inputs: &[Tensor], on: &[bool]) -> Result<Vec<Tensor>> {
        let kept = ran.as_any().downcast_ref::<Kept>();
        let kept = kept.ok_or_else(|| Error::other("the run is one of another engine"))?;
        let run = || self.again(kept, &Self::inputs(inputs)?, on);
        guarded(|| run().map_err(|e| Failure::of(&e, &self.labels)))
    }

    fn correct(&self, samples: &[Vec<Tensor>], room: usize, corrector: &mut dyn Corrector) -> Result<Corrections> {
        self.beside(samples, room, corrector)
    }

    fn choose(&self, samples: &[Vec<Tensor>], chooser: &mut dyn Chooser) -> Result<()> {
        self.chosen(samples, chooser)
    }

    fn outputs(&self, inputs: &[Tensor], side: Side<'_>) -> Result<Vec<Tensor>> {
        self.streamed(inputs, side)
    }

    fn bytes_held(&self, room: usize, corrector: &dyn Corrector) -> usize {
        self.held(room, corrector)
    }

    fn bytes_at_once(&self) -> usize {
        self.at_once()
    }
}
