//! Softmax, LogSoftmax and Hardmax, whose axis came to mean another thing.

use super::site::Site;
use crate::error::Result;

/// Before 13 the axes from `axis` (1 by default) on were taken as one; since 13 only `axis` (-1 by default) counts. Both
/// agree on the last axis; otherwise the tensor is flattened to a matrix around the node.
pub fn softmax(site: &mut Site<'_>) -> Result<bool> {
    let axis = site.attributes().int("axis").unwrap_or(1);
    let input = site.input(0)?;
    let Some(output) = site.node().output(0) else { return Ok(false) };
    let rank = site.known.rank(input).or(site.known.rank(output)).map(|rank| rank as i64);
    let last = axis == -1 || rank == axis.checked_add(1);
    site.graph.set_int(site.id, "axis", -1);
    if last {
        return Ok(true);
    }
    let (_, shape) = site.add("Shape", vec![Some(input)], vec![]);
    let (_, matrix) = site.add("Flatten", vec![Some(input)], vec![("axis", axis)]);
    site.graph.set_input(site.id, 0, Some(matrix));
    // The Reshape now makes what the node made, and the node a matrix of a new name.
    site.behind(site.id, "Reshape", &[shape]);
    Ok(true)
}
