//! Resize with aligned corners by factors. tract takes the size of the result to be the product of size and factor,
//! a fraction, where runtimes take the result's own, which is rounded down.

use super::operators::{Built, expansion, stock};
use super::own::wrapped;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator: as tract's, but that of aligned corners is told the size of what it makes.
///
/// # Errors
/// When tract cannot read the node.
pub fn build(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let mode: Option<&str> = node.get_attr_opt("coordinate_transformation_mode")?;
    let given = |slot: usize| node.input.get(slot).is_some_and(|name| !name.is_empty());
    let made = stock(context, node, "stock Resize")?;
    if mode != Some("align_corners") || !given(2) {
        return Ok(made);
    }
    let mut by_size = node.clone();
    // Sizes may be bound to each other, factors never are.
    by_size.attribute.retain(|a| a.name != "keep_aspect_ratio_policy");
    by_size.input = vec![node.input[0].clone(), String::new(), String::new(), node.input[2].clone()];
    let context =
        ParsingContext { onnx_operator_set_version: context.onnx_operator_set_version.max(13), ..context.clone() };
    let by_size = expansion(stock(&context, &by_size, "stock Resize")?)?;
    let factors = 1 + usize::from(given(1));
    let axes = node.get_attr_opt_vec("axes")?;
    let aligned = wrapped(expansion(made)?, move |by_factor, prefix, model, inputs| {
        match sizes(model, inputs, factors, axes.as_deref())? {
            // Empty factors stand for sizes.
            None => by_factor.wire(prefix, model, inputs),
            Some(sizes) => {
                let sizes = model.add_const(format!("{prefix}.sizes"), tensor1(&sizes))?;
                by_size.wire(prefix, model, &[inputs[0], sizes])
            }
        }
    });
    Ok((aligned, vec![]))
}

/// The sizes that the input number `factors` gives to `axes`, or to all; nothing where it is empty.
fn sizes(
    model: &TypedModel,
    inputs: &[OutletId],
    factors: usize,
    axes: Option<&[i64]>,
) -> TractResult<Option<Vec<i64>>> {
    let outlet = inputs.get(factors).context("the factors are missing")?;
    let factors = model.outlet_fact(*outlet)?.konst.clone().context("the factors must be constants")?;
    if factors.len() == 0 {
        return Ok(None);
    }
    let factors = factors.cast_to::<f32>()?;
    let factors = factors.try_as_plain_ram()?.as_slice::<f32>()?;
    let shape = model.outlet_fact(inputs[0])?.shape.clone();
    let rank = shape.rank() as i64;
    let axes = axes.map_or_else(|| (0..rank).collect(), <[_]>::to_vec);
    ensure!(axes.len() == factors.len(), "{} factors for {} axes", factors.len(), axes.len());
    let size = |(axis, factor): (&i64, &f32)| -> TractResult<i64> {
        let axis = if *axis < 0 { axis + rank } else { *axis };
        ensure!((0..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
        Ok((shape[axis as usize].to_usize()? as f32 * factor) as i64)
    };
    axes.iter().zip(factors).map(size).collect::<TractResult<Vec<_>>>().map(Some)
}
