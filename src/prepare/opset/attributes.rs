//! Operators whose attributes became inputs, so that they can be computed.

use super::site::Site;
use crate::error::Result;
use crate::tensor::Tensor;

/// Squeeze, Unsqueeze and ReduceSum, since 13; the other reductions since 18.
pub fn axes(site: &mut Site<'_>) -> Result<bool> {
    ints_to_input(site, "axes")
}

/// Since 13.
pub fn split(site: &mut Site<'_>) -> Result<bool> {
    ints_to_input(site, "split")
}

/// No number at all is what it is to leave the attribute out: every axis, or equal parts.
fn ints_to_input(site: &mut Site<'_>, name: &str) -> Result<bool> {
    let Some(values) = site.take_ints(name) else { return Ok(false) };
    if !values.is_empty() {
        site.set_ints(1, name, &values);
    }
    Ok(true)
}

/// Since 11. A bound that was left out stays out: its default is the largest finite float then and now.
pub fn clip(site: &mut Site<'_>) -> Result<bool> {
    let mut changed = false;
    for (slot, name, default) in [(1, "min", f32::MIN), (2, "max", f32::MAX)] {
        let Some(bound) = site.attributes().float(name) else { continue };
        if bound != default {
            let bound = site.scalar(name, bound)?;
            site.set_constant(slot, name, &bound);
        }
        site.graph.remove_attribute(site.id, name);
        changed = true;
    }
    Ok(changed)
}

/// Since 11.
pub fn pad(site: &mut Site<'_>) -> Result<bool> {
    let constant = site.attributes().text("mode").is_none_or(|mode| mode == "constant");
    let value = site.attributes().float("value").filter(|v| constant && *v != 0.0);
    let value = value.map(|value| site.scalar("value", value)).transpose()?;
    let Some(pads) = site.take_ints("pads") else { return Err(site.error("has no pads")) };
    site.graph.remove_attribute(site.id, "value");
    site.set_ints(1, "pads", &pads);
    if let Some(value) = value {
        site.set_constant(2, "value", &value);
    }
    Ok(true)
}

/// Since 10.
pub fn slice(site: &mut Site<'_>) -> Result<bool> {
    let (Some(starts), Some(ends)) = (site.take_ints("starts"), site.take_ints("ends")) else {
        return Err(site.error("has no starts or no ends"));
    };
    let axes = site.take_ints("axes").filter(|axes| !axes.is_empty());
    let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
    if starts.len() != ends.len() || starts.len() != axes.len() {
        let counts = format!("{} starts, {} ends and {} axes", starts.len(), ends.len(), axes.len());
        return Err(site.error(format!("has {counts}; it needs as many of each")));
    }
    for (slot, name, values) in [(1, "starts", starts), (2, "ends", ends), (3, "axes", axes)] {
        site.set_ints(slot, name, &values);
    }
    Ok(true)
}

/// Since 10.
pub fn top_k(site: &mut Site<'_>) -> Result<bool> {
    let Some(k) = site.attributes().int("k") else { return Err(site.error("has no k")) };
    site.graph.remove_attribute(site.id, "k");
    site.set_ints(1, "k", &[k]);
    Ok(true)
}

/// Since 20. An axis that was left out was the one behind the batch, and is the last one of the signal now.
pub fn dft(site: &mut Site<'_>) -> Result<bool> {
    let axis = site.attributes().int("axis").unwrap_or(1);
    site.graph.remove_attribute(site.id, "axis");
    site.set_constant(2, "axis", &Tensor::from_i64(vec![], &[axis]));
    Ok(true)
}

/// Since 11 it is called by another name.
pub fn scatter(site: &mut Site<'_>) -> Result<bool> {
    site.graph.set_op_type(site.id, "ScatterElements");
    Ok(true)
}
