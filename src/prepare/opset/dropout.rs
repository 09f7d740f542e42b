//! Dropout, which outside training only copies.

use super::site::Site;
use crate::error::Result;
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;

/// Since 12 the ratio is an input; outside training it has no effect. Since then the mask is true everywhere, too; before,
/// ONNX left open what it holds, and ONNX Runtime fills it with zeros.
pub fn dropout(site: &mut Site<'_>) -> Result<bool> {
    let had = site.attributes().has("ratio");
    site.graph.remove_attribute(site.id, "ratio");
    let Some(mask) = site.node().output(1) else { return Ok(had) };
    // A mask was of the input's type at first.
    let zero = match site.version < 10 {
        true => site.scalar("mask", 0.0)?,
        false => Tensor::new(DataType::Bool, vec![], Bytes::from_static(&[0]))?,
    };
    let input = site.input(0)?;
    site.graph.drop_output(site.id, 1);
    let zero = site.constant("mask", &zero);
    let (_, shape) = site.add("Shape", vec![Some(input)], vec![]);
    let (expand, _) = site.add("Expand", vec![Some(zero), Some(shape)], vec![]);
    site.graph.take_over_output(expand, 0, mask);
    Ok(true)
}
