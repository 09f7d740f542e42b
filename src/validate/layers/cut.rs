//! Models made of a quantized one that was turned back to float, to look at its layers.

use crate::dequantize::Found;
use crate::error::Result;
use crate::inputs::Meaning;
use crate::ir::{Graph, Model, NewNode, NodeId, Use, ValueId};
use crate::quant::{Cut, KnownGrids, Params};
use crate::tensor::{DataType, Tensor};
use std::collections::HashMap;

/// The model whose nodes read, in the place of each value called one of `ends`, a further input of the type beside the name
/// that stands for it, and these inputs. They come behind the model's own inputs, in the order of `ends`.
pub fn cut<'a>(model: &Model, ends: impl Iterator<Item = (&'a str, DataType)>) -> (Model, Vec<ValueId>) {
    let mut model = model.clone();
    let graph = &mut model.graph;
    let feed = |(name, dtype): (&str, DataType)| {
        let value = graph.find(name);
        let fed = graph.add_input(&format!("{name}_fed"), dtype);
        value.into_iter().for_each(|value| graph.redirect_readers(value, fed));
        fed
    };
    let fed = ends.map(feed).collect();
    (model, fed)
}

/// Rounds constants that the quantized model rounds while it runs, as if it had stored them; of one that is not float32, or that
/// its grids do not fit, nothing is known.
///
/// # Errors
/// When a constant cannot be read.
pub fn constants_on_grids(model: &mut Model, found: &mut Found) -> Result<()> {
    for (name, known) in std::mem::take(&mut found.rounded) {
        let Some(value) = model.graph.find(&name) else { continue };
        let constant = model.graph.constant(value)?.filter(|constant| constant.dtype() == DataType::Float32);
        let Some(constant) = constant else { continue };
        let fits = |cut: &Cut| cut.count() == known.grids.len();
        let Some(cut) = known.cut(constant.shape()).filter(fits) else { continue };
        let round = |(index, &number): (usize, &f32)| {
            let grid = &known.grids[cut.grid(index)];
            grid.dequantize(grid.quantize(number))
        };
        let numbers: Vec<f32> = constant.to_f32()?.iter().enumerate().map(round).collect();
        model.graph.replace_constant(value, &Tensor::from_f32(constant.shape().to_vec(), &numbers));
        found.grids.constants.entry(name).or_insert(known);
    }
    Ok(())
}

/// The model with each constant moved by as much as rounding to its grids does on average, up or down by chance that is the
/// same each time.
///
/// # Errors
/// When a constant cannot be read.
pub fn shaken(model: &Model, grids: &KnownGrids) -> Result<Model> {
    let mut model = model.clone();
    for (name, known) in &grids.constants {
        let Some(value) = model.graph.find(name) else { continue };
        let Some(constant) = model.graph.constant(value)? else { continue };
        if constant.dtype() != DataType::Float32 {
            continue;
        }
        let mut numbers = constant.to_f32()?.into_owned();
        let Some(cut) = known.cut(constant.shape()) else { continue };
        let mut chance = 0x9e37_79b9_u32;
        for (index, number) in numbers.iter_mut().enumerate() {
            // xorshift (Marsaglia 2003).
            chance ^= chance << 13;
            chance ^= chance >> 17;
            chance ^= chance << 5;
            let Some(grid) = known.grids.get(cut.grid(index)) else { break };
            let by = spread(grid, *number);
            *number += if chance & 1 == 0 { by } else { -by };
        }
        let moved = Tensor::from_f32(constant.shape().to_vec(), &numbers);
        model.graph.replace_constant(value, &moved);
    }
    Ok(model)
}

/// The root of the mean squared error of rounding numbers like `number`: a step over the root of 12.
fn spread(grid: &Params, number: f32) -> f32 {
    let step = match grid.dtype.float8() {
        // Between two powers of two its numbers lie evenly.
        Some(kind) => number.abs() / (1 << kind.mantissa()) as f32,
        None => grid.scale,
    };
    step / 12f32.sqrt()
}

/// Gives the name of each output that is integers on a grid, and its place, to the numbers that the QuantizeLinear behind it reads,
/// as far as the grid reaches: a clamp may have vanished into it. So the output has the name and the type of a float model's.
/// Returns the nodes that cut off what lies beyond.
///
/// # Errors
/// When the metadata of an output is malformed.
pub fn outputs_in_float(model: &mut Model, found: &mut Found) -> Result<Vec<NodeId>> {
    let mut cuts = Vec::new();
    for output in model.graph.outputs().collect::<Vec<_>>() {
        let Some(Meaning::Grid(grid)) = Meaning::of(model, output)? else { continue };
        let graph = &mut model.graph;
        let quantizer = graph.value(output).producer().filter(|&id| graph.node(id).is("QuantizeLinear"));
        let Some(numbers) = quantizer.and_then(|id| graph.node(id).input(0)) else { continue };
        let name = graph.value(output).name().to_owned();
        let (low, high) = grid.real_range();
        let bound = |graph: &mut Graph, end: f32| graph.add_initializer(&name, &Tensor::from_f32(vec![], &[end]));
        let inputs = vec![Some(numbers), Some(bound(graph, low)), Some(bound(graph, high))];
        let (cut, clipped) = graph.add_node(NewNode { op_type: "Clip", name: &name, inputs, ints: vec![] }, &name);
        graph.hand_over_name(output, clipped, &format!("{name}_integers"));
        graph.set_element_type(clipped, DataType::Float32);
        found.grids.activations.insert(name, grid);
        cuts.push(cut);
    }
    Ok(cuts)
}

/// The model with each activation on its grid, and the names of what the activations are there, by their own.
///
/// # Errors
/// When the graph has a circle.
pub fn on_grids(model: &Model, found: &Found) -> Result<(Model, HashMap<String, String>)> {
    let mut model = model.clone();
    let graph = &mut model.graph;
    let mut renamed = HashMap::new();
    for (name, grid) in &found.grids.activations {
        let Some(value) = graph.find(name) else { continue };
        let direct = found.direct.get(name);
        let stays = |graph: &Graph, one: &Use| match one {
            Use::Input { node, .. } => {
                let first = graph.node(*node).output(0).map_or("", |made| graph.value(made).name());
                direct.is_some_and(|direct| {
                    direct.nodes.contains(graph.node(*node).name()) || direct.nodes.contains(first)
                })
            }
            _ => true,
        };
        let readers: Vec<Use> = graph.value(value).uses().iter().copied().filter(|one| !stays(graph, one)).collect();
        let rounded = rounded(graph, value, name, grid)?;
        for one in readers {
            if let Use::Input { node, slot } = one {
                graph.set_input(node, slot, Some(rounded));
            }
        }
        renamed.insert(name.clone(), graph.value(rounded).name().to_owned());
    }
    Ok((model, renamed))
}

/// `value` as what it is on `grid`.
fn rounded(graph: &mut Graph, value: ValueId, name: &str, grid: &Params) -> Result<ValueId> {
    let scale = graph.add_initializer(&format!("{name}_scale"), &Tensor::from_f32(vec![], &[grid.scale]));
    let zero = Tensor::new(grid.dtype.data_type(), vec![], grid.zero_point_bytes().into())?;
    let zero = graph.add_initializer(&format!("{name}_zero_point"), &zero);
    let mut add = |op_type: &str, from: ValueId| {
        let name = format!("{name}_{op_type}");
        let node = NewNode { op_type, name: &name, inputs: vec![Some(from), Some(scale), Some(zero)], ints: vec![] };
        graph.add_node(node, &format!("{name}_Output")).1
    };
    let integers = add("QuantizeLinear", value);
    Ok(add("DequantizeLinear", integers))
}
