//! Bodies of If, Loop and Scan as models of their own, which are fed what both models have there, run by run.

use super::super::side::Side;
use super::error::LayerError;
use super::level::{Level, Note, Seen};
use super::turns::{Kind, Turns, is_true};
use crate::error::{Error, Result};
use crate::exec::Executor;
use crate::ir::{Model, NodeId, Surroundings, ValueId};
use crate::tensor::{DataType, Tensor};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

/// A node with bodies that both models have, or why one cannot be looked into.
pub(super) struct Inside<'a> {
    label: String,
    op_type: String,
    pair: std::result::Result<Pair<'a>, String>,
}

/// The node in both models.
struct Pair<'a> {
    kind: Kind,
    executor: &'a dyn Executor,
    float: Around<'a>,
    quantized: Around<'a>,
    bodies: Vec<Body<'a>>,
}

/// A body in both models.
struct Body<'a> {
    /// Its index in each.
    index: [usize; 2],
    surroundings: [Surroundings; 2],
    /// What either reads from around, by name.
    fed: Vec<String>,
    /// Made when what it is fed is met for the first time.
    ready: OnceLock<std::result::Result<Ready<'a>, String>>,
}

/// A body that can be run.
pub(super) struct Ready<'a> {
    level: Level<'a>,
    /// The body of each model by itself.
    pub alone: [Side<'a>; 2],
}

/// The values around a node of one model that it and its bodies read.
struct Around<'a> {
    model: Arc<Model>,
    id: NodeId,
    /// The inputs of the model, by name.
    inputs: Vec<String>,
    computed: Vec<String>,
    side: Option<Side<'a>>,
}

impl<'a> Around<'a> {
    fn new(model: &Arc<Model>, id: NodeId, read: &[ValueId], executor: &'a dyn Executor) -> Result<Self> {
        let graph = &model.graph;
        let inputs = graph.inputs().map(|value| graph.value(value).name().to_owned()).collect();
        let mut computed: Vec<ValueId> =
            read.iter().copied().filter(|&value| graph.value(value).producer().is_some()).collect();
        computed.sort_unstable();
        computed.dedup();
        let mut part = Model::clone(model);
        part.graph.conceal(0);
        computed.iter().for_each(|&value| part.graph.expose(value));
        let side = if computed.is_empty() { None } else { Some(Side::new(executor, &part)?) };
        let computed = computed.into_iter().map(|value| graph.value(value).name().to_owned()).collect();
        Ok(Self { model: model.clone(), id, inputs, computed, side })
    }

    /// What a sample has there, by name.
    fn values(&self, inputs: &[Tensor]) -> Result<HashMap<&str, Tensor>> {
        let mut values: HashMap<&str, Tensor> =
            self.inputs.iter().map(String::as_str).zip(inputs.iter().cloned()).collect();
        if let Some(side) = &self.side {
            values.extend(self.computed.iter().map(String::as_str).zip(side.run(inputs)?));
        }
        Ok(values)
    }

    /// The inputs of the node, which may be constants.
    fn inputs_of_node(&self, values: &HashMap<&str, Tensor>) -> Result<Vec<Option<Tensor>>> {
        let graph = &self.model.graph;
        let one = |value: &Option<ValueId>| {
            let Some(value) = *value else { return Ok(None) };
            match graph.constant(value)? {
                Some(constant) => Ok(Some(constant)),
                None => Ok(values.get(graph.value(value).name()).cloned()),
            }
        };
        graph.node(self.id).inputs().iter().map(one).collect()
    }
}

/// The nodes of the float model that have bodies.
pub(super) fn insides<'a>(models: [&Model; 2], executor: &'a dyn Executor) -> Vec<Inside<'a>> {
    let [float, quantized] = models;
    let with_bodies = |model: &Model| {
        let graph = &model.graph;
        graph.node_ids().filter(|&id| graph.body_count(id) > 0).collect::<Vec<_>>()
    };
    let (ours, others) = (with_bodies(float), with_bodies(quantized));
    if ours.is_empty() {
        return Vec::new();
    }
    let models = models.map(|model| Arc::new(model.clone()));
    let [float, quantized] = &models;
    let one = |id: NodeId| {
        let (label, op_type) = (float.graph.label(id).to_owned(), float.graph.node(id).op_type().to_owned());
        let same = |&&other: &&NodeId| {
            quantized.graph.label(other) == label && quantized.graph.node(other).op_type() == op_type
        };
        let pair = match others.iter().find(same) {
            Some(&other) => Pair::new(&models, [id, other], executor).map_err(|why| why.to_string()),
            None => Err("the quantized model has no such node of this name".to_owned()),
        };
        Inside { label, op_type, pair }
    };
    ours.into_iter().map(one).collect()
}

impl<'a> Pair<'a> {
    fn new(models: &[Arc<Model>; 2], ids: [NodeId; 2], executor: &'a dyn Executor) -> Result<Self> {
        let kinds = [0, 1].map(|k| Kind::of(&models[k], ids[k]));
        let kind = match kinds {
            [Ok(kind), Ok(other)] if kind == other => kind,
            [Ok(_), Ok(_)] => return Err(Error::other("it takes its inputs otherwise in the quantized model")),
            [Err(why), _] | [_, Err(why)] => return Err(why),
        };
        let bodies = kind.bodies().iter().map(|name| Body::new(models, ids, name)).collect::<Result<Vec<_>>>()?;
        let around = |k: usize| {
            let graph = &models[k].graph;
            let fed = bodies.iter().flat_map(|body| body.fed.iter().filter_map(|name| graph.find(name)));
            let read: Vec<ValueId> = graph.node(ids[k]).inputs().iter().flatten().copied().chain(fed).collect();
            Around::new(&models[k], ids[k], &read, executor)
        };
        Ok(Self { float: around(0)?, quantized: around(1)?, kind, executor, bodies })
    }
}

impl<'a> Body<'a> {
    fn new([float, quantized]: &[Arc<Model>; 2], ids: [NodeId; 2], name: &str) -> Result<Self> {
        let missing = || Error::other(format!("it has no {name}"));
        let index = [(float, ids[0]), (quantized, ids[1])].map(|(model, id)| model.graph.body_index(id, name));
        let index = [index[0].ok_or_else(missing)?, index[1].ok_or_else(missing)?];
        let surroundings = [
            float.graph.surroundings(ids[0], index[0], |_| true)?,
            // What only the quantized model has, a DequantizeLinear say, is made of what both have.
            quantized.graph.surroundings(ids[1], index[1], |value| {
                let same = float.graph.find(quantized.graph.value(value).name());
                same.is_some_and(|same| !float.graph.is_constant(same))
            })?,
        ];
        let mut fed: Vec<String> = Vec::new();
        for (model, around) in [float, quantized].into_iter().zip(&surroundings) {
            let names = around.fed.iter().map(|&value| model.graph.value(value).name());
            let more: Vec<_> = names.filter(|name| fed.iter().all(|known| known != name)).map(str::to_owned).collect();
            fed.extend(more);
        }
        if let Some(name) = fed.iter().find(|name| float.graph.find(name).is_none()) {
            return Err(Error::other(format!("its body reads {name:?}, which only the quantized model has")));
        }
        Ok(Self { index, surroundings, fed, ready: OnceLock::new() })
    }

    /// The body, made for inputs like these.
    fn ready(&self, pair: &Pair<'a>, inputs: &[Tensor]) -> Result<&Ready<'a>> {
        let make = || {
            let (own, fed) = inputs.split_at(inputs.len() - self.fed.len());
            let own: Vec<DataType> = own.iter().map(Tensor::dtype).collect();
            let model = |k: usize| {
                let Around { model, id, .. } = [&pair.float, &pair.quantized][k];
                let types = self.fed.iter().zip(fed).map(|(name, tensor)| {
                    let stated = model.graph.find(name).and_then(|value| model.graph.element_type(value));
                    (name.clone(), stated.unwrap_or(tensor.dtype()))
                });
                model.of_body((*id, self.index[k]), &self.surroundings[k], &own, &types.collect::<Vec<_>>())
            };
            let (float, quantized) = (model(0)?, model(1)?);
            let level = Level::new([&float, &quantized], pair.executor, inputs)?;
            let computes = |model: &Model| model.graph.node_ids().next().is_some();
            if level.is_empty() && computes(&float) {
                return Err(Error::other("its bodies have no float value in common"));
            }
            Ok(Ready { level, alone: [Side::new(pair.executor, &float)?, Side::new(pair.executor, &quantized)?] })
        };
        let ready = self.ready.get_or_init(|| make().map_err(|why: Error| why.to_string()));
        ready.as_ref().map_err(Error::other)
    }
}

impl Inside<'_> {
    /// What the node is called.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What a sample shows of each body, and what it does not.
    pub fn look(&self, inputs: &[Tensor], whole: Option<&[Tensor]>) -> (Vec<Seen>, BTreeSet<Note>) {
        let note = |why: String| Note { path: vec![self.label.clone()], op_type: self.op_type.clone(), why };
        let pair = match &self.pair {
            Ok(pair) => pair,
            Err(why) => return (Vec::new(), BTreeSet::from([note(why.clone())])),
        };
        let mut bodies: Vec<Seen> = pair.bodies.iter().map(|_| Seen::default()).collect();
        let mut notes = BTreeSet::new();
        let mut say = |why: &str| {
            notes.insert(note(why.to_owned()));
        };
        if let Err(why) = pair.look((inputs, whole), &mut bodies, &mut say) {
            say(&why.to_string());
        }
        for inner in bodies.iter_mut().flat_map(|body| std::mem::take(&mut body.notes)) {
            let path = std::iter::once(self.label.clone()).chain(inner.path).collect();
            notes.insert(Note { path, ..inner });
        }
        (bodies, notes)
    }

    /// The errors of the values in its bodies, by what each sample showed of these.
    pub fn errors(&self, samples: &[&[Seen]], prefix: &str) -> Vec<LayerError> {
        let Ok(pair) = &self.pair else { return Vec::new() };
        let prefix = format!("{prefix}{}_", self.label);
        let of_body = |(k, body): (usize, &Body<'_>)| {
            let Some(Ok(ready)) = body.ready.get() else { return Vec::new() };
            let samples: Vec<&Seen> = samples.iter().filter_map(|bodies| bodies.get(k)).collect();
            ready.level.errors(&samples, &prefix)
        };
        pair.bodies.iter().enumerate().flat_map(of_body).collect()
    }
}

impl Pair<'_> {
    fn look(
        &self,
        (inputs, whole): (&[Tensor], Option<&[Tensor]>),
        seen: &mut [Seen],
        note: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let around = self.float.values(inputs)?;
        let other = whole.map(|whole| self.quantized.values(whole)).transpose()?;
        let read = self.float.inputs_of_node(&around)?;
        let other_read = other.as_ref().map(|other| self.quantized.inputs_of_node(other)).transpose()?;
        let body = if self.kind == Kind::If { usize::from(!is_true(read.first())?) } else { 0 };
        let other_body = match &other_read {
            Some(read) if self.kind == Kind::If => usize::from(!is_true(read.first())?),
            _ => body,
        };
        if body != other_body {
            note("the quantized model takes the other branch; what adds up in this one is not known there");
        }
        let (at, body) = (body, &self.bodies[body]);
        let fed = |values: &HashMap<&str, Tensor>| {
            // What only the other model reads may be missing here.
            let one = |name: &String| {
                let value = values.get(name.as_str()).or_else(|| around.get(name.as_str()));
                value.cloned().ok_or_else(|| Error::value(name, "was not computed"))
            };
            body.fed.iter().map(one).collect::<Result<Vec<_>>>()
        };
        let mut turns = Turns::new(&self.kind, (&self.float.model, self.float.id), read, fed(&around)?)?;
        let mut others = match (&other, other_read) {
            (Some(values), Some(read)) if at == other_body => {
                Some(Turns::new(&self.kind, (&self.quantized.model, self.quantized.id), read, fed(values)?)?)
            }
            _ => None,
        };
        while let Some(inputs) = turns.fed() {
            let ready = body.ready(self, &inputs)?;
            let whole = others.as_mut().and_then(Turns::fed);
            if others.is_some() && whole.is_none() {
                note("the quantized model has fewer iterations; what adds up is not known of those that it lacks");
                others = None;
            }
            seen[at].add(ready.level.look(&inputs, whole.as_deref())?);
            turns.step(&ready.alone[0], &inputs)?;
            if let (Some(others), Some(whole)) = (&mut others, whole) {
                others.step(&ready.alone[1], &whole)?;
            }
        }
        if others.as_mut().is_some_and(|others| others.fed().is_some()) {
            note("the quantized model has more iterations, which have nothing to be compared with");
        }
        Ok(())
    }
}
