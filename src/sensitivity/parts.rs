//! A float model and a quantized one as two models of the same nodes, whose parts can be rounded one by one.

use super::causes::Constants;
use super::units::{Unit, Units, edges};
use super::weights::weights;
use crate::dequantize::Found;
use crate::error::{Error, Result};
use crate::exec::{Switched, Switches, Tract};
use crate::file;
use crate::ir::{Graph, Model, NewNode, NodeId, ValueId};
use crate::quant::Params;
use crate::tensor::{DataType, Tensor, TensorType};
use crate::tune::rounding;
use crate::validate::{Border, Groups, Restored};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What else is to be known of the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// Their weights, in float and as they are rounded.
    Weights,
    /// What may cause their errors.
    Causes,
}

/// What is measured: the units, and the model in which they can be rounded.
pub struct Parts {
    /// The quantized units, in the order in which they run.
    pub units: Vec<Unit>,
    /// The model's outputs.
    pub outputs: Vec<String>,
    /// With its constants as they are, and with those of the quantized model; activations are rounded where switched.
    models: [Vec<u8>; 2],
    grids: Vec<Params>,
    /// The activations that are rounded on them, by name.
    rounded: Vec<String>,
    layers: Vec<String>,
    border: Border,
    /// What is known of the constants of each layer, where that may be a cause.
    pub(super) constants: Vec<Constants>,
    /// The products of the scales of what each layer reads and of its weight; empty where they are not known.
    steps: Vec<Vec<f32>>,
    /// The weights that layers multiply what they read with, where they are to be known.
    weights: Vec<Option<rounding::Weight>>,
    /// The grids of activations, by name.
    pub(super) known: BTreeMap<String, Params>,
    /// Which numbers of the outputs are measured together.
    pub(super) groups: Groups,
}

impl Parts {
    /// Those of `written`, which was made of the prepared float model `float`.
    ///
    /// # Errors
    /// When `written` cannot be turned back, nothing in it is quantized, or it finds grids while it runs.
    pub fn of(float: &Model, written: &Model, with: With) -> Result<Self> {
        let Restored { model: mut rounded, found, .. } = Restored::of(written)?;
        if let Some(value) = found.dynamic.first() {
            let why = "is computed on grids that each run finds anew: what it costs is measured in mode static or weight-only alone";
            return Err(Error::value(value, why));
        }
        let others = other_constants(&float.graph, &rounded.graph, &found)?;
        let (layers, index) = layers(&rounded.graph, others.keys().copied())?;
        let order = rounded.graph.topological()?;
        let mut units = Units::of(&rounded.graph, &order, &index);
        let quantized = units.quantized(&rounded.graph, &found);
        let edges = edges(&rounded.graph, &order, &units, &found);
        units.settle_ends(&quantized);
        let (mut grids, mut places) = (Vec::new(), Vec::new());
        let mut steps = vec![Vec::new(); layers.len()];
        for edge in edges {
            let name = rounded.graph.value(edge.value).name().to_owned();
            let own = |unit: Option<usize>| unit.filter(|&unit| quantized[unit]);
            if let Some(maker) = own(edge.maker) {
                units.all[maker].makes.insert(name.clone());
                units.all[maker].edges.push(grids.len());
            }
            if let Some(reader) = own(edge.reader).filter(|reader| edge.maker != Some(*reader)) {
                units.all[reader].reads.insert(name.clone());
                units.all[reader].edges.push(grids.len());
            }
            let (inputs, ints) = (vec![Some(edge.value)], vec![("index", grids.len() as i64)]);
            let node = NewNode { op_type: "TareSwitch", name: &format!("{name}_switch"), inputs, ints };
            let (_, switched) = rounded.graph.add_node(node, &format!("{name}_switched"));
            for &(node, slot) in &edge.ends {
                rounded.graph.set_input(node, slot, Some(switched));
                if let Some(&layer) = index.get(&node).filter(|_| slot == 0) {
                    steps[layer] = products(&rounded.graph, node, &edge.grid, &found);
                }
            }
            grids.push(edge.grid);
            places.push(name);
        }
        for &layer in &order {
            let Some(&index) = index.get(&layer) else { continue };
            if steps[index].is_empty() {
                steps[index] = own_steps(&rounded.graph, layer, &found);
            }
            mark(&mut rounded.graph, layer, index);
        }
        let weights = match with {
            With::Weights => weights(&rounded.graph, &others, &found, &index)?,
            With::Nothing | With::Causes => Vec::new(),
        };
        let mut model = rounded.clone();
        others.iter().for_each(|(&value, tensor)| model.graph.replace_constant(value, tensor));
        let units: Vec<Unit> =
            units.all.into_iter().zip(quantized).filter(|(_, quantized)| *quantized).map(|(unit, _)| unit).collect();
        if units.is_empty() {
            return Err(Error::other("nothing of the model is quantized by this policy: there is nothing to measure"));
        }
        let outputs = rounded.graph.outputs().map(|v| rounded.graph.value(v).name().to_owned()).collect();
        let constants = match with {
            With::Causes => constants(&model.graph, &found, &index)?,
            With::Nothing | With::Weights => Vec::new(),
        };
        let known = found.grids.activations;
        let models = [file::to_bytes(&model)?, file::to_bytes(&rounded)?];
        Ok(Self {
            units,
            outputs,
            models,
            grids,
            rounded: places,
            layers,
            border: Border::of(written)?,
            constants,
            steps,
            weights,
            known,
            groups: Groups::default(),
        })
    }

    /// The same, where numbers of an output that are not of one kind are measured apart.
    #[must_use]
    pub fn with_groups(self, groups: Groups) -> Self {
        Self { groups, ..self }
    }

    /// The program for inputs of the types `inputs`.
    ///
    /// # Errors
    /// When the engine cannot run the model.
    pub fn program(&self, executor: &Tract, inputs: &[TensorType]) -> Result<Box<dyn Switched>> {
        let switches = Switches { grids: &self.grids, layers: &self.layers };
        executor.switched([&self.models[0], &self.models[1]], inputs, &switches)
    }

    /// Lets go of the models, which take as much memory as they have weights: no program is made then.
    pub fn let_go(&mut self) {
        self.models = [Vec::new(), Vec::new()];
    }

    /// The activation that is rounded on each grid, by name.
    pub fn rounded(&self) -> &[String] {
        &self.rounded
    }

    /// The names of the nodes that compute with rounded constants.
    pub fn layers(&self) -> &[String] {
        &self.layers
    }

    /// The steps of an integer bias of a layer, one for each scale of its weight; none where they are not known.
    pub fn bias_steps(&self, layer: usize) -> &[f32] {
        self.steps.get(layer).map_or(&[], Vec::as_slice)
    }

    /// The weight of a layer, where the layer is a convolution or a product with a matrix.
    pub fn weight(&self, layer: usize) -> Option<&rounding::Weight> {
        self.weights.get(layer)?.as_ref()
    }

    /// What the model takes for the inputs of a sample.
    ///
    /// # Errors
    /// When a tensor is malformed.
    pub fn inputs(&self, sample: &[Tensor]) -> Result<Vec<Tensor>> {
        self.border.quantize(sample)
    }

    /// The models with constants as they are and rounded, the grids and the names of layers.
    #[cfg(test)]
    pub fn inside(&self) -> ([&[u8]; 2], &[Params], &[String]) {
        ([&self.models[0], &self.models[1]], &self.grids, &self.layers)
    }

    /// What is on where nothing is, or all.
    pub fn all(&self, on: bool) -> Vec<bool> {
        vec![on; self.grids.len() + self.layers.len()]
    }

    /// The switches of a unit's weights, and those of its activations.
    pub fn switches(&self, unit: &Unit) -> [Vec<usize>; 2] {
        [unit.layers.iter().map(|layer| self.grids.len() + layer).collect(), unit.edges.clone()]
    }
}

/// Marks what layer `index` makes, and what it reads where that is multiplied with its weight. That also keeps the engine from
/// making one of a layer and what reads it, which would go by the name of the latter: layers are told by theirs.
fn mark(graph: &mut Graph, layer: NodeId, index: usize) {
    let multiplies = ["Conv", "Gemm", "MatMul"].contains(&graph.node(layer).op_type());
    let read = graph.node(layer).input(0).filter(|&read| multiplies && !graph.is_constant(read));
    for slot in 0..graph.node(layer).outputs().len() {
        let Some(value) = graph.node(layer).output(slot) else { continue };
        let name = format!("{}_marked", graph.value(value).name());
        let made = graph.split_output(layer, slot, &name);
        let inputs = std::iter::once(made).chain(read).map(Some).collect();
        let node = NewNode { op_type: "TareMark", name: &name, inputs, ints: vec![("index", index as i64)] };
        let (node, _) = graph.add_node(node, &name);
        graph.take_over_output(node, 0, value);
    }
}

/// The steps of the bias of a layer that reads integers which nothing rounds while it runs, as an input of the model.
fn own_steps(graph: &Graph, layer: NodeId, found: &Found) -> Vec<f32> {
    let read = graph.node(layer).input(0);
    let grid = read.and_then(|read| found.grids.activations.get(graph.value(read).name()));
    grid.map_or_else(Vec::new, |grid| products(graph, layer, grid, found))
}

/// The products of the scale of `input` and those of the weight of `layer`.
fn products(graph: &Graph, layer: NodeId, input: &Params, found: &Found) -> Vec<f32> {
    let weight = graph.node(layer).input(1).and_then(|weight| found.grids.constants.get(graph.value(weight).name()));
    weight.map_or_else(Vec::new, |known| known.grids.iter().map(|grid| input.scale * grid.scale).collect())
}

/// What is known of the constants of each of `layers` in the float model `graph`, whose grids are `found`.
fn constants(graph: &Graph, found: &Found, layers: &HashMap<NodeId, usize>) -> Result<Vec<Constants>> {
    let mut all = vec![Constants::default(); layers.len()];
    for (&id, &layer) in layers {
        for &value in graph.node(id).inputs().iter().flatten() {
            let name = graph.value(value).name();
            if let Some(bias) = found.biases.get(name) {
                all[layer].add_bias(&bias.integers);
            }
            let Some(known) = found.grids.constants.get(name) else { continue };
            if let Some(weight) = graph.constant(value)?.filter(|weight| weight.dtype() == DataType::Float32) {
                all[layer].add_weight(&weight.to_f32()?, weight.shape(), known);
            }
        }
    }
    Ok(all)
}

/// The constants of `rounded`, which had the grids `found`, that are other numbers in `float`, with these.
///
/// # Errors
/// When there is nothing in `float` that one on a grid was made of.
fn other_constants(float: &Graph, rounded: &Graph, found: &Found) -> Result<HashMap<ValueId, Tensor>> {
    let nodes: HashMap<&str, NodeId> = float.node_ids().map(|id| (float.label(id), id)).collect();
    let mut others = HashMap::new();
    for value in rounded.value_ids().filter(|&v| rounded.is_constant(v)) {
        let Some(constant) = rounded.constant(value)?.filter(|constant| constant.dtype() == DataType::Float32) else {
            continue;
        };
        // Names of constants may be others; what reads them goes by the same name.
        let by_reader = rounded.value(value).readers().find_map(|(reader, slot)| {
            let node = float.node(*nodes.get(rounded.label(reader))?);
            node.input(slot).filter(|_| node.op_type() == rounded.node(reader).op_type())
        });
        // A bias that quantization gave a layer, which has none in float.
        let mut readers = rounded.value(value).readers().peekable();
        let read = readers.peek().is_some();
        let added = read
            && readers.all(|(reader, slot)| {
                let own = nodes.get(rounded.label(reader)).map(|&id| float.node(id));
                own.is_some_and(|node| node.op_type() == rounded.node(reader).op_type() && node.input(slot).is_none())
            });
        if added {
            // Numbers that change nothing, and are not 0: tract leaves out a bias of zeros, and the two programs would differ.
            let nothing: Vec<f32> = (1..=constant.len()).map(|at| f32::MIN_POSITIVE * at as f32).collect();
            others.insert(value, Tensor::from_f32(constant.shape().to_vec(), &nothing));
            continue;
        }
        let name = rounded.value(value).name();
        let alike = |own: &Tensor| own.dtype() == DataType::Float32 && own.shape() == constant.shape();
        let mut own = None;
        for same in by_reader.into_iter().chain(float.find(name)).filter(|&v| float.is_constant(v)) {
            own = own.or(float.constant(same)?.filter(alike));
        }
        match own {
            Some(own) if own.bytes() != constant.bytes() => drop(others.insert(value, own)),
            None if found.grids.constants.contains_key(name) => {
                return Err(Error::value(
                    name,
                    "is stored on a grid, and no constant of the float model is what it was made of",
                ));
            }
            _ => {}
        }
    }
    Ok(others)
}

/// The nodes that compute with `constants`, by name, and their places.
///
/// # Errors
/// When two of them have one name.
fn layers(graph: &Graph, constants: impl Iterator<Item = ValueId>) -> Result<(Vec<String>, HashMap<NodeId, usize>)> {
    let mut nodes: HashSet<NodeId> = HashSet::new();
    let mut waiting: Vec<ValueId> = constants.collect();
    let mut computed: HashSet<ValueId> = HashSet::new();
    while let Some(value) = waiting.pop() {
        for (reader, _) in graph.value(value).readers() {
            let node = graph.node(reader);
            // What is computed from constants alone is a constant, too.
            if node.inputs().iter().flatten().all(|v| graph.is_constant(*v) || computed.contains(v)) {
                waiting.extend(node.outputs().iter().flatten().filter(|v| computed.insert(**v)));
            } else {
                nodes.insert(reader);
            }
        }
    }
    let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
    nodes.sort_by_key(|id| id.index());
    let labels: Vec<String> = nodes.iter().map(|&id| graph.label(id).to_owned()).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = labels.iter().find(|label| !seen.insert(label.as_str())) {
        return Err(Error::node(
            twice,
            "",
            "is the name of several nodes with weights, which can then not be told apart; give each its own",
        ));
    }
    Ok((labels, nodes.into_iter().enumerate().map(|(index, id)| (id, index)).collect()))
}
