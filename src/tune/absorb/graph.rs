//! Where a graph has a Relu between layers, and what it takes to move a part of a bias there.

use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::tensor::{DataType, Tensor};
use crate::tune::bias::{self, Mean};
use crate::tune::equalize;

/// A Relu behind a layer, and the layers that alone read what comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The layer whose bias gives.
    pub layer: NodeId,
    /// Where that is: a node, and which of its inputs.
    pub bias: (NodeId, usize),
    /// What is ahead of the Relu.
    pub made: ValueId,
    /// How many channels that has.
    pub channels: usize,
    /// Whether these lie along its second axis, else along the last.
    pub second: bool,
    /// All values that get other numbers.
    pub values: Vec<ValueId>,
    /// The layers whose biases take.
    pub readers: Vec<Reader>,
}

/// A layer that reads what comes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reader {
    /// The layer.
    pub layer: NodeId,
    /// Where its bias is.
    pub bias: (NodeId, usize),
    /// Whether the positions of each channel are columns of what it reads.
    flattened: bool,
}

/// What a value is called once a part of it is absorbed.
pub fn absorbed_name(name: &str) -> String {
    format!("{name}_absorbed")
}

/// All places in the order of the nodes.
pub fn sites(graph: &Graph) -> Vec<Site> {
    graph.node_ids().filter_map(|layer| site(graph, layer)).collect()
}

/// The place behind a layer.
fn site(graph: &Graph, layer: NodeId) -> Option<Site> {
    let form = equalize::lie(graph, layer)?;
    let (bias, made) = bias_place(graph, layer, form.outputs)?;
    let &[Use::Input { node: relu, slot: 0 }] = graph.value(made).uses() else { return None };
    let bends = match graph.node(relu).op_type() {
        "Relu" | "LeakyRelu" => graph.node(relu).domain().is_empty(),
        "PRelu" => graph.node(relu).input(1).is_some_and(|slope| graph.is_constant(slope)),
        _ => false,
    };
    let behind = graph.node(relu).output(0).filter(|_| bends)?;
    let second = matches!(graph.node(layer).op_type(), "Conv" | "ConvTranspose");
    // Behind a product, the last axis is that of the channels whatever comes before it.
    let mut found = Site { layer, bias, made, channels: form.outputs, second, values: vec![made], readers: vec![] };
    let all = follow(graph, behind, !second, &mut found);
    let named = found.values.iter().all(|&value| equalize::is_named(graph, value));
    (all && named && !found.readers.is_empty()).then_some(found)
}

/// Collects the layers that read a value, through what averages, picks or flattens. False where anything else reads it.
fn follow(graph: &Graph, value: ValueId, flattened: bool, found: &mut Site) -> bool {
    found.values.push(value);
    graph.value(value).uses().iter().all(|&use_| {
        let Use::Input { node: id, slot: 0 } = use_ else { return false };
        let node = graph.node(id);
        if !node.domain().is_empty() {
            return false;
        }
        let through = match node.op_type() {
            "Conv" if !flattened => return reads(graph, id, flattened, found),
            "Gemm" | "MatMul" if flattened => return reads(graph, id, flattened, found),
            "MaxPool" | "AveragePool" => !flattened && node.outputs().len() == 1 && has_no_border(graph, id),
            "GlobalAveragePool" | "GlobalMaxPool" => !flattened,
            "Flatten" => !flattened && node.attributes().int("axis").unwrap_or(1) == 1,
            _ => false,
        };
        let flattened = flattened || node.is("Flatten");
        through && node.output(0).is_some_and(|made| follow(graph, made, flattened, found))
    })
}

/// Adds a layer that reads what comes of a Relu. False where its bias cannot take anything.
fn reads(graph: &Graph, layer: NodeId, flattened: bool, found: &mut Site) -> bool {
    let Some(form) = equalize::lie(graph, layer) else { return false };
    let whole = form.inputs == found.channels || flattened && form.inputs % found.channels == 0;
    let exact = !graph.node(layer).is("Conv") || has_no_border(graph, layer);
    let Some((bias, _)) = bias_place(graph, layer, form.outputs).filter(|_| whole && exact) else { return false };
    found.readers.push(Reader { layer, bias, flattened });
    true
}

/// Whether a window never reaches beyond what it slides over.
fn has_no_border(graph: &Graph, id: NodeId) -> bool {
    let attributes = graph.node(id).attributes();
    let pads = attributes.ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
    let placed = attributes.text("auto_pad").is_none_or(|mode| matches!(mode, "NOTSET" | "VALID"));
    pads && placed && attributes.int("ceil_mode").unwrap_or(0) == 0
}

/// Where the bias of a layer of so many outputs is, or can be, and what it then makes.
fn bias_place(graph: &Graph, layer: NodeId, outputs: usize) -> Option<((NodeId, usize), ValueId)> {
    let node = graph.node(layer);
    let weight = node.input(1).filter(|&weight| equalize::is_floats(graph, weight));
    weight?;
    let factor = |name| node.attributes().float(name).unwrap_or(1.0) == 1.0;
    if node.is("Gemm") && !(factor("alpha") && factor("beta")) {
        return None;
    }
    let made = node.output(0)?;
    let (place, made) = if node.is("MatMul") {
        let &[Use::Input { node: add, slot }] = graph.value(made).uses() else { return None };
        ((add, 1 - slot.min(1)), graph.node(add).output(0).filter(|_| graph.node(add).is("Add"))?)
    } else {
        ((layer, 2), made)
    };
    let fits = match graph.node(place.0).input(place.1) {
        None => place.0 == layer,
        Some(bias) => {
            let dims = graph.stated_type(bias).map(|ty| ty.dims).unwrap_or_default();
            let row = dims.last() == Some(&Some(outputs)) && dims.iter().rev().skip(1).all(|&dim| dim == Some(1));
            equalize::is_floats(graph, bias) && row
        }
    };
    fits.then_some((place, made))
}

/// Moves `least` of each channel out of the bias of a layer and into those behind its Relu. What lies between gets other names, as its
/// numbers are others.
///
/// # Errors
/// When a constant is malformed, or float32 does not hold it then.
pub fn absorb(graph: &mut Graph, site: &Site, least: &[f32]) -> Result<()> {
    let minus: Vec<f64> = least.iter().map(|&c| -f64::from(c)).collect();
    let mean = Mean { channels: least.iter().map(|&c| f64::from(c)).collect(), flattened: false };
    add(graph, site.layer, site.bias, &minus)?;
    for reader in &site.readers {
        let weight = graph.node(reader.layer).input(1).map(|weight| graph.constant(weight)).transpose()?.flatten();
        let form = equalize::lie(graph, reader.layer);
        let (Some(weight), Some(form)) = (weight, form) else {
            return Err(graph.node_error(reader.layer, "its weight is no constant"));
        };
        let mean = Mean { flattened: reader.flattened, ..mean.clone() };
        let more = bias::made(form, &weight.to_f32()?, &mean, 1);
        crate::mapped::let_go(weight.bytes());
        let more = more.ok_or_else(|| graph.node_error(reader.layer, "its weight has an unusual shape"))?;
        add(graph, reader.layer, reader.bias, &more)?;
    }
    for &value in &site.values {
        let name = absorbed_name(graph.value(value).name());
        graph.rename(value, &name);
    }
    Ok(())
}

/// Adds a number for each channel to the bias of a layer, which gets one where it has none.
fn add(graph: &mut Graph, layer: NodeId, (node, slot): (NodeId, usize), more: &[f64]) -> Result<()> {
    let bias = graph.node(node).input(slot);
    let own = bias.map(|bias| graph.constant(bias)).transpose()?.flatten();
    let own = own.filter(|own| own.dtype() == DataType::Float32);
    let sums: Vec<f32> = match &own {
        Some(own) => own.to_f32()?.iter().zip(more).map(|(own, more)| (f64::from(*own) + more) as f32).collect(),
        None => more.iter().map(|&more| more as f32).collect(),
    };
    let name = bias.map_or_else(|| format!("{}_bias", graph.label(layer)), |bias| graph.value(bias).name().to_owned());
    if sums.len() != more.len() || sums.iter().any(|sum| !sum.is_finite()) {
        return Err(Error::value(&name, "is a bias that does not take what is to be absorbed"));
    }
    let shape = own.map_or_else(|| vec![sums.len()], |own| own.shape().to_vec());
    let bias = graph.add_initializer(&absorbed_name(&name), &Tensor::from_f32(shape, &sums));
    graph.set_input(node, slot, Some(bias));
    Ok(())
}
