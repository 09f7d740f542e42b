//! What layers read in the mean: from what BatchNormalization makes through what stands behind it.

use super::functions;
use super::spread::Spread;
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::Normal;
use crate::tensor::{DataType, Tensor};
use crate::tune::equalize;
use std::collections::{BTreeMap, HashMap};

/// What is read in the mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Mean {
    /// Of each channel.
    pub channels: Vec<f64>,
    /// Whether the positions of each channel were made columns, which stand together.
    pub flattened: bool,
}

/// A value whose channels are known.
#[derive(Clone)]
struct Known {
    spread: Spread,
    /// Whether it is a matrix, whose columns are channels, or the positions of channels one after the other.
    flattened: bool,
}

/// What each of the values that layers multiply with weights is in the mean, as far as that follows from values by these names.
///
/// # Errors
/// When the graph is malformed.
pub fn means(graph: &Graph, normals: &BTreeMap<String, Normal>) -> Result<HashMap<ValueId, Mean>> {
    let (mut known, mut found) = (HashMap::<ValueId, Known>::new(), HashMap::new());
    let mut left: HashMap<ValueId, usize> = HashMap::new();
    for id in graph.topological()? {
        let node = graph.node(id);
        if let Some((read, own)) = node.input(0).and_then(|read| Some((read, known.get(&read)?)))
            && equalize::lie(graph, id).is_some()
        {
            let mean = Mean { channels: own.spread.means(), flattened: own.flattened };
            found.entry(read).or_insert(mean);
        }
        let Some(value) = node.output(0) else { continue };
        let made = match normals.get(graph.value(value).name()) {
            Some(normal) => Some(Known { spread: Spread::of(normal, value.index()), flattened: false }),
            None => made(graph, id, value, &known)?,
        };
        known.extend(made.map(|made| (value, made)));
        // What nobody reads any more takes no memory.
        for &read in node.inputs().iter().flatten() {
            let left = left.entry(read).or_insert_with(|| graph.value(read).readers().count());
            *left = left.saturating_sub(1);
            if *left == 0 {
                known.remove(&read);
            }
        }
    }
    Ok(found)
}

/// What a node makes as `value` of what is known; `None` where it says nothing about its channels.
fn made(graph: &Graph, id: NodeId, value: ValueId, known: &HashMap<ValueId, Known>) -> Result<Option<Known>> {
    let node = graph.node(id);
    if !node.domain().is_empty() {
        return Ok(None);
    }
    let base = value.index();
    let of = |slot: usize| node.input(slot).and_then(|read| known.get(&read));
    let first = of(0);
    if let Some((own, function)) = first.zip(functions::of(graph, id)) {
        return Ok(Some(Known { spread: own.spread.clone().map(|_, x| function(x)), ..*own }));
    }
    let attributes = node.attributes();
    Ok(match node.op_type() {
        "Add" | "Sub" | "Mul" | "Div" => return arithmetic(graph, id, base, known),
        "PRelu" => {
            let Some((own, slopes)) = first.zip(beside(graph, id, 1, first)?) else { return Ok(None) };
            let bent = |channel: usize, x: f64| if x < 0.0 { slopes[channel] * x } else { x };
            Some(Known { spread: own.spread.clone().map(bent), ..*own })
        }
        "Conv" => depthwise(graph, id, first)?,
        "GlobalAveragePool" => first.map(|own| Known { spread: own.spread.clone().averaged(base), ..*own }),
        "AveragePool" => {
            // Of borders that count as zeros the mean is another.
            let padded = attributes.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0));
            let counted = padded && attributes.int("count_include_pad").unwrap_or(0) != 0;
            let own = first.filter(|_| !counted);
            own.map(|own| Known { spread: own.spread.clone().averaged(base), ..*own })
        }
        "ReduceMean" => {
            let own = first.filter(|own| !own.flattened && is_over_positions(graph, id));
            own.map(|own| Known { spread: own.spread.clone().averaged(base), ..*own })
        }
        "Resize" => {
            let kept = first.filter(|own| channels(graph, value) == Some(own.spread.len()));
            let nearest = attributes.text("mode").unwrap_or("nearest") == "nearest";
            kept.map(|own| {
                let spread = own.spread.clone();
                let spread = if nearest { spread.moved(base) } else { spread.averaged(base) };
                Known { spread, ..*own }
            })
        }
        // What a border makes of the mean is left out, as it is where a layer has one of its own.
        "Pad" if equalize::pads_with_zeros(graph, id) => {
            let own = first.filter(|own| !own.flattened);
            own.map(|own| Known { spread: own.spread.clone().moved(base), ..*own })
        }
        "Flatten" if attributes.int("axis").unwrap_or(1) == 1 => first.map(|own| flat(own, base)),
        "Reshape" => first.filter(|own| is_flattened(graph, id, own)).map(|own| flat(own, base)),
        "Squeeze" => {
            first.filter(|own| graph.rank(value) == Some(2) && is_pooled(graph, id, own)).map(|own| flat(own, base))
        }
        "Concat" if attributes.int("axis") == Some(1) => {
            let all: Option<Vec<&Known>> = (0..node.inputs().len()).map(of).collect();
            let all = all.filter(|all| all.iter().all(|one| !one.flattened));
            all.map(|all| {
                let all = all.into_iter().map(|one| one.spread.clone()).collect();
                Known { spread: Spread::joined(all, base), flattened: false }
            })
        }
        _ => None,
    })
}

/// Sums and products of a known value and a constant, or of two known values.
fn arithmetic(graph: &Graph, id: NodeId, base: usize, known: &HashMap<ValueId, Known>) -> Result<Option<Known>> {
    let node = graph.node(id);
    let of = |slot: usize| node.input(slot).and_then(|read| known.get(&read));
    let function = |a: f64, b: f64| match node.op_type() {
        "Add" => a + b,
        "Sub" => a - b,
        "Mul" => a * b,
        _ => a / b,
    };
    let rank = |slot: usize| node.input(slot).and_then(|read| graph.rank(read));
    if let (Some(one), Some(other)) = (of(0), of(1)) {
        let alike = one.spread.len() == other.spread.len() && one.flattened == other.flattened;
        if !alike || rank(0) != rank(1) {
            return Ok(None);
        }
        let sign = if node.is("Add") { 1.0 } else { -1.0 };
        let spread = if one.spread.base == other.spread.base {
            one.spread.clone().beside(&other.spread, function)
        } else if node.is("Add") || node.is("Sub") {
            one.spread.plus(&other.spread, sign, base)
        } else {
            return Ok(None);
        };
        return Ok(Some(Known { spread, flattened: one.flattened }));
    }
    for slot in 0..2 {
        if let Some((own, numbers)) = of(slot).zip(beside(graph, id, 1 - slot, of(slot))?) {
            let made = |channel: usize, x: f64| {
                let number = numbers[channel];
                if slot == 0 { function(x, number) } else { function(number, x) }
            };
            return Ok(Some(Known { spread: own.spread.clone().map(made), ..*own }));
        }
    }
    Ok(None)
}

/// The number for each channel of `own` that a constant at an input is; `None` where it is none, or not one for each.
fn beside(graph: &Graph, id: NodeId, slot: usize, own: Option<&Known>) -> Result<Option<Vec<f64>>> {
    let constant = graph.node(id).input(slot).map(|value| graph.constant(value)).transpose()?.flatten();
    let constant = constant.filter(|constant| constant.dtype() == DataType::Float32);
    let Some((constant, own)) = constant.zip(own) else { return Ok(None) };
    let numbers = constant.to_f32()?;
    let count = own.spread.len();
    if let [one] = numbers[..] {
        return Ok(Some(vec![f64::from(one); count]));
    }
    let rank = graph.node(id).input(1 - slot).and_then(|read| graph.rank(read)).filter(|&rank| rank > 1);
    // Counted from the back, channels lie in front of the positions.
    let axis = rank.and_then(|rank| (constant.shape().len() + 1).checked_sub(rank));
    let along = numbers.len() == count && axis.is_some_and(|axis| constant.shape().get(axis) == Some(&count));
    Ok(along.then(|| numbers.iter().map(|&x| f64::from(x)).collect()))
}

/// A Conv of one tap for each channel is a factor and an addend.
fn depthwise(graph: &Graph, id: NodeId, first: Option<&Known>) -> Result<Option<Known>> {
    let Some((own, form)) = first.zip(equalize::lie(graph, id)) else { return Ok(None) };
    let alone = form.taps == 1 && form.groups == form.inputs && form.inputs == form.outputs;
    let strides = graph.node(id).attributes().ints("strides").is_some_and(|all| all.iter().any(|&one| one != 1));
    let pads = graph.node(id).attributes().ints("pads").is_some_and(|all| all.iter().any(|&one| one != 0));
    if !alone || strides || pads || form.inputs != own.spread.len() {
        return Ok(None);
    }
    let numbers = |slot: usize| -> Result<Option<Tensor>> {
        Ok(graph.node(id).input(slot).map(|value| graph.constant(value)).transpose()?.flatten())
    };
    let Some(factors) = numbers(1)? else { return Ok(None) };
    let addends = match (graph.node(id).input(2), numbers(2)?) {
        (None, _) => vec![0.0; form.outputs],
        (Some(_), Some(bias)) if bias.len() == form.outputs => bias.to_f32()?.into_owned(),
        (Some(_), _) => return Ok(None),
    };
    let factors = factors.to_f32()?;
    let made = |channel: usize, x: f64| f64::from(factors[channel]) * x + f64::from(addends[channel]);
    Ok(Some(Known { spread: own.spread.clone().map(made), ..*own }))
}

/// The same where positions become columns.
fn flat(own: &Known, base: usize) -> Known {
    Known { spread: own.spread.clone().moved(base), flattened: true }
}

/// How many channels a value has along its second axis.
fn channels(graph: &Graph, value: ValueId) -> Option<usize> {
    graph.known_type(value)?.dims.get(1).copied().flatten()
}

/// Whether a ReduceMean is over the axes of positions, all of them behind the second.
fn is_over_positions(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let stated = node.input(1).and_then(|axes| graph.constant(axes).ok().flatten());
    let axes = match stated {
        Some(axes) => axes.to_i64().map(|axes| axes.to_vec()).ok(),
        None => node.attributes().ints("axes").map(<[i64]>::to_vec),
    };
    let rank = node.input(0).and_then(|read| graph.rank(read));
    let Some((axes, rank)) = axes.zip(rank) else { return false };
    let behind = |axis: &i64| if *axis < 0 { axis + rank as i64 } else { *axis };
    // Without the axes of positions nothing else may move.
    let keeps = node.attributes().int("keepdims").unwrap_or(1) != 0 || axes.len() + 2 == rank;
    !axes.is_empty() && keeps && axes.iter().all(|axis| (2..rank as i64).contains(&behind(axis)))
}

/// Whether a Reshape makes a matrix whose rows are what belongs to one sample.
fn is_flattened(graph: &Graph, id: NodeId, own: &Known) -> bool {
    let shape = graph.node(id).input(1).and_then(|shape| graph.constant(shape).ok().flatten());
    let Some(shape) = shape.and_then(|shape| shape.to_i64().map(|shape| shape.to_vec()).ok()) else { return false };
    let &[rows, columns] = shape.as_slice() else { return false };
    let read = graph.node(id).input(0).and_then(|read| graph.known_type(read)).map(|ty| ty.dims).unwrap_or_default();
    let each = read.iter().skip(1).try_fold(1usize, |each, dim| each.checked_mul((*dim)?));
    let batch = read.first().copied().flatten();
    let whole = each.is_some() && usize::try_from(columns).ok() == each;
    let count = own.spread.len() as i64;
    match (rows, columns) {
        (0, -1) => true,
        (-1, columns) => whole || read.is_empty() && columns == count,
        (rows, -1) => usize::try_from(rows).ok() == batch && batch.is_some(),
        (rows, _) => whole && (rows == 0 || usize::try_from(rows).ok() == batch),
    }
}

/// Whether a node reads one position of each channel.
fn is_pooled(graph: &Graph, id: NodeId, own: &Known) -> bool {
    let read = graph.node(id).input(0).and_then(|read| graph.known_type(read)).map(|ty| ty.dims).unwrap_or_default();
    read.get(1) == Some(&Some(own.spread.len())) && read.iter().skip(2).all(|dim| *dim == Some(1))
}
