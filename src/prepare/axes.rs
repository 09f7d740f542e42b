//! Pad and Resize that name the axes they work on, written out for all axes. ONNX Runtime moves the channels of an integer
//! Conv to the end, through the nodes around it, and then reads the named axes wrongly.

use crate::error::Result;
use crate::ir::{Graph, Model, NodeId};
use crate::pass::{Outcome, Pass};
use crate::tensor::{DataType, Tensor, TensorType};
use std::borrow::Cow;

/// Takes `axes` and a policy for the aspect ratio away where what they lead to is known.
pub struct WriteOut;

impl Pass for WriteOut {
    fn name(&self) -> &'static str {
        "write-out-axes"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let graph = &mut model.graph;
        for id in graph.topological()? {
            let node = graph.node(id);
            let done = if node.is("Pad") && node.input(3).is_some() {
                pad(graph, id)
            } else if node.is("Resize") && (node.attributes().has("axes") || keeps_ratio(graph, id)) {
                resize(graph, id)
            } else {
                continue;
            };
            match done {
                Ok(()) => outcome.changed += 1,
                Err(why) => outcome.refuse(graph.label(id), why),
            }
        }
        Ok(outcome)
    }
}

/// Whether a Resize chooses its sizes by a ratio.
fn keeps_ratio(graph: &Graph, id: NodeId) -> bool {
    policy(graph, id) != "stretch"
}

fn policy(graph: &Graph, id: NodeId) -> &str {
    graph.node(id).attributes().text("keep_aspect_ratio_policy").unwrap_or("stretch")
}

/// A constant input of integers.
fn integers(graph: &Graph, id: NodeId, slot: usize) -> Option<Vec<i64>> {
    let tensor = graph.constant(graph.node(id).input(slot)?).ok()??;
    tensor.to_i64().ok().map(Cow::into_owned)
}

/// A constant input of float32 numbers.
fn floats(graph: &Graph, id: NodeId, slot: usize) -> Option<Vec<f32>> {
    let tensor = graph.constant(graph.node(id).input(slot)?).ok()??;
    (tensor.dtype() == DataType::Float32).then(|| tensor.to_f32().ok().map(Cow::into_owned))?
}

/// The axes counted from the front, each only once and within the rank.
fn from_front(axes: &[i64], rank: usize) -> std::result::Result<Vec<usize>, &'static str> {
    let mut named = vec![false; rank];
    let mut front = Vec::with_capacity(axes.len());
    for &axis in axes {
        let axis = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        let axis = axis
            .and_then(|a| usize::try_from(a).ok())
            .filter(|&a| a < rank)
            .ok_or("it names an axis that its input lacks")?;
        if std::mem::replace(&mut named[axis], true) {
            return Err("it names an axis twice");
        }
        front.push(axis);
    }
    Ok(front)
}

fn known_type(graph: &Graph, id: NodeId) -> std::result::Result<TensorType, &'static str> {
    graph.node(id).input(0).and_then(|v| graph.known_type(v)).ok_or("the rank of its input is not known")
}

fn pad(graph: &mut Graph, id: NodeId) -> std::result::Result<(), &'static str> {
    let rank = known_type(graph, id)?.dims.len();
    let axes = from_front(&integers(graph, id, 3).ok_or("its axes are computed while the model runs")?, rank)?;
    let stated = integers(graph, id, 1).ok_or("its pads are computed while the model runs")?;
    if stated.len() != 2 * axes.len() {
        return Err("it does not have two pads for each axis");
    }
    let mut pads = vec![0; 2 * rank];
    for (i, &axis) in axes.iter().enumerate() {
        pads[axis] = stated[i];
        pads[rank + axis] = stated[axes.len() + i];
    }
    let stem = format!("{}_pads", graph.label(id));
    let pads = graph.add_initializer(&stem, &Tensor::from_i64(vec![pads.len()], &pads));
    graph.set_input(id, 1, Some(pads));
    graph.set_input(id, 3, None);
    Ok(())
}

/// What a Resize makes of its axes.
enum Extent {
    /// A factor for each axis.
    Scales(Vec<f32>),
    /// A length for each axis.
    Sizes(Vec<i64>),
}

fn resize(graph: &mut Graph, id: NodeId) -> std::result::Result<(), &'static str> {
    let dims = known_type(graph, id)?.dims;
    let rank = dims.len();
    let axes = match graph.node(id).attributes().ints("axes") {
        Some(axes) => from_front(axes, rank)?,
        None => (0..rank).collect(),
    };
    let extent = match (stated_scales(graph, id)?, stated_sizes(graph, id)?) {
        (Some(scales), None) if scales.len() == axes.len() => {
            let mut all = vec![1.0; rank];
            axes.iter().zip(&scales).for_each(|(&axis, &scale)| all[axis] = scale);
            Extent::Scales(all)
        }
        (None, Some(sizes)) if sizes.len() == axes.len() => {
            let lengths: Option<Vec<usize>> = axes.iter().map(|&axis| dims[axis].filter(|&d| d > 0)).collect();
            match policy(graph, id) {
                "stretch" => stretched(&dims, &axes, &sizes, lengths.as_deref())?,
                policy => {
                    let lengths = lengths.ok_or("the lengths that its aspect ratio depends on are not known")?;
                    let scale = common_scale(policy, &lengths, &sizes)?;
                    let mut all = vec![1.0; rank];
                    axes.iter().for_each(|&axis| all[axis] = scale);
                    Extent::Scales(all)
                }
            }
        }
        _ => return Err("it does not have one scale or size for each axis"),
    };
    let roi = region(graph, id, &axes, rank)?;
    let label = graph.label(id).to_owned();
    if let Some(roi) = roi {
        let roi = graph.add_initializer(&format!("{label}_roi"), &Tensor::from_f32(vec![roi.len()], &roi));
        graph.set_input(id, 1, Some(roi));
    }
    let (scales, sizes) = match extent {
        Extent::Scales(s) => {
            (Some(graph.add_initializer(&format!("{label}_scales"), &Tensor::from_f32(vec![rank], &s))), None)
        }
        Extent::Sizes(s) => {
            (None, Some(graph.add_initializer(&format!("{label}_sizes"), &Tensor::from_i64(vec![rank], &s))))
        }
    };
    graph.set_input(id, 3, sizes);
    graph.set_input(id, 2, scales);
    ["axes", "keep_aspect_ratio_policy"].iter().for_each(|name| graph.remove_attribute(id, name));
    Ok(())
}

/// The scales, unless they are left out, which an empty list says too.
fn stated_scales(graph: &Graph, id: NodeId) -> std::result::Result<Option<Vec<f32>>, &'static str> {
    if graph.node(id).input(2).is_none() {
        return Ok(None);
    }
    let scales = floats(graph, id, 2).ok_or("its scales are computed while the model runs")?;
    Ok(Some(scales).filter(|s| !s.is_empty()))
}

fn stated_sizes(graph: &Graph, id: NodeId) -> std::result::Result<Option<Vec<i64>>, &'static str> {
    if graph.node(id).input(3).is_none() {
        return Ok(None);
    }
    let sizes = integers(graph, id, 3).ok_or("its sizes are computed while the model runs")?;
    Ok(Some(sizes).filter(|s| !s.is_empty()))
}

/// Sizes of all axes where those that are not named are known; else scales, if they lead to the same sizes exactly.
fn stretched(
    dims: &[Option<usize>],
    axes: &[usize],
    sizes: &[i64],
    lengths: Option<&[usize]>,
) -> std::result::Result<Extent, &'static str> {
    let mut all: Vec<Option<i64>> = dims.iter().map(|d| d.and_then(|d| i64::try_from(d).ok())).collect();
    axes.iter().zip(sizes).for_each(|(&axis, &size)| all[axis] = Some(size));
    if let Some(all) = all.into_iter().collect() {
        return Ok(Extent::Sizes(all));
    }
    let lengths = lengths.ok_or("the lengths of its input are not known")?;
    let mut scales = vec![1.0; dims.len()];
    for ((&axis, &size), &length) in axes.iter().zip(sizes).zip(lengths) {
        let scale = size as f32 / length as f32;
        if f64::from(scale) * length as f64 != size as f64 {
            return Err("no scale leads to its sizes exactly, and the other lengths are not known");
        }
        scales[axis] = scale;
    }
    Ok(Extent::Scales(scales))
}

/// The one factor that keeps the ratio of the axes, where it leads to whole lengths: they would be rounded to the nearest,
/// and what a scale leads to is rounded down.
fn common_scale(policy: &str, lengths: &[usize], sizes: &[i64]) -> std::result::Result<f32, &'static str> {
    let scales = lengths.iter().zip(sizes).map(|(&length, &size)| size as f32 / length as f32);
    let scale = match policy {
        "not_larger" => scales.reduce(f32::min),
        "not_smaller" => scales.reduce(f32::max),
        _ => None,
    };
    let scale = scale.filter(|s| s.is_finite() && *s > 0.0).ok_or("its policy for the aspect ratio is not known")?;
    let whole = lengths.iter().all(|&length| (f64::from(scale) * length as f64).fract() == 0.0);
    whole.then_some(scale).ok_or("its scale does not lead to whole lengths")
}

/// The region that is cropped, for all axes: the starts, then the ends. `None` where none is read.
fn region(
    graph: &Graph,
    id: NodeId,
    axes: &[usize],
    rank: usize,
) -> std::result::Result<Option<Vec<f32>>, &'static str> {
    let crops = graph.node(id).attributes().text("coordinate_transformation_mode") == Some("tf_crop_and_resize");
    if !crops {
        return Ok(None);
    }
    let stated = floats(graph, id, 1).ok_or("its region is computed while the model runs")?;
    if stated.len() != 2 * axes.len() {
        return Err("its region does not have a start and an end for each axis");
    }
    let mut region = [vec![0.0; rank], vec![1.0; rank]].concat();
    for (i, &axis) in axes.iter().enumerate() {
        region[axis] = stated[i];
        region[rank + axis] = stated[axes.len() + i];
    }
    Ok(Some(region))
}
