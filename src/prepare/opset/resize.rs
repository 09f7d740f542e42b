//! Upsample and the first Resize, which had one way to map coordinates: a pixel of the output lies at its index divided by
//! the scale. Which pixel is the nearest was left open; ONNX Runtime takes the one before where it enlarges, and the one
//! behind where it shrinks.

use super::site::Site;
use crate::error::Result;
use crate::ir::{NodeId, ValueId};
use crate::tensor::Tensor;

/// Upsample never shrinks. Before 9 its scales were an attribute.
pub fn upsample(site: &mut Site<'_>) -> Result<bool> {
    let scales = match site.attributes().floats("scales").map(<[f32]>::to_vec) {
        Some(scales) => site.constant("scales", &Tensor::from_f32(vec![scales.len()], &scales)),
        None => site.input(1)?,
    };
    let nearest = is_nearest(site)?;
    site.graph.remove_attribute(site.id, "scales");
    site.graph.set_op_type(site.id, "Resize");
    modernize(site, site.id, scales, nearest.then_some("floor"));
    Ok(true)
}

/// The Resize of opset 10, which had neither a region nor sizes, and that of 11, which had today's inputs but none that
/// may be left out.
pub fn resize(site: &mut Site<'_>) -> Result<bool> {
    if site.version >= 11 {
        return left_out(site);
    }
    let scales = site.input(1)?;
    if !is_nearest(site)? {
        modernize(site, site.id, scales, None);
        return Ok(true);
    }
    let constant = constant(site, scales)?;
    let shrinks = constant.as_ref().is_none_or(|scales| scales.iter().any(|s| *s < 1.0));
    let grows = constant.as_ref().is_none_or(|scales| scales.iter().any(|s| *s > 1.0));
    if !(shrinks && grows) {
        modernize(site, site.id, scales, Some(if shrinks { "ceil" } else { "floor" }));
        return Ok(true);
    }
    // Each axis goes its own way, so one Resize after the other gives the same.
    let one = site.constant("one", &Tensor::from_f32(vec![], &[1.0]));
    let (_, growing) = site.add("Max", vec![Some(scales), Some(one)], vec![]);
    let (_, shrinking) = site.add("Min", vec![Some(scales), Some(one)], vec![]);
    modernize(site, site.id, growing, Some("floor"));
    let second = site.behind(site.id, "Resize", &[]);
    if let Some(mode) = site.attributes().text("mode").map(str::to_owned) {
        site.graph.set_text(second, "mode", &mode);
    }
    modernize(site, second, shrinking, Some("ceil"));
    Ok(true)
}

/// Since 13 scales and sizes exclude each other, where scales without numbers stood beside sizes; and one way to map
/// coordinates is gone, which another one equals where the pixel before is taken. In other cases runtimes still know it.
fn left_out(site: &mut Site<'_>) -> Result<bool> {
    let mut changed = false;
    if let (Some(scales), Some(_)) = (site.node().input(2), site.node().input(3))
        && constant(site, scales)?.is_some_and(|scales| scales.is_empty())
    {
        site.graph.set_input(site.id, 2, None);
        changed = true;
    }
    let attributes = site.attributes();
    let gone = attributes.text("coordinate_transformation_mode") == Some("tf_half_pixel_for_nn");
    if gone
        && attributes.text("mode").is_none_or(|m| m == "nearest")
        && attributes.text("nearest_mode") == Some("floor")
    {
        site.graph.set_text(site.id, "coordinate_transformation_mode", "half_pixel");
        site.graph.set_text(site.id, "nearest_mode", "round_prefer_ceil");
        changed = true;
    }
    Ok(changed)
}

/// Whether the node takes the nearest pixel rather than to interpolate.
fn is_nearest(site: &Site<'_>) -> Result<bool> {
    match site.attributes().text("mode").unwrap_or("nearest") {
        "nearest" => Ok(true),
        "linear" => Ok(false),
        other => Err(site.error(format!("its mode is {other:?}; before opset 11 there are nearest and linear"))),
    }
}

/// Gives node `id` the inputs and attributes of today's Resize.
fn modernize(site: &mut Site<'_>, id: NodeId, scales: ValueId, nearest_mode: Option<&str>) {
    site.graph.set_input(id, 1, None);
    site.graph.set_input(id, 2, Some(scales));
    site.graph.set_text(id, "coordinate_transformation_mode", "asymmetric");
    if let Some(mode) = nearest_mode {
        site.graph.set_text(id, "nearest_mode", mode);
    }
}

/// The numbers of a value that is an initializer or a Constant node.
fn constant(site: &Site<'_>, value: ValueId) -> Result<Option<Vec<f32>>> {
    let maker = || site.graph.value(value).producer().map(|id| site.graph.node(id)).filter(|node| node.is("Constant"));
    let tensor = match site.graph.constant(value)? {
        Some(tensor) => Some(tensor),
        None => maker().map(|node| node.attributes().tensor("value")).transpose()?.flatten(),
    };
    Ok(tensor.and_then(|t| Some(t.to_f32().ok()?.into_owned())))
}
