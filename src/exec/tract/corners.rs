//! Resize with aligned corners by factors. tract takes the size of the result to be the product of size and factor,
//! a fraction, where runtimes take the result's own, which is rounded down.

use super::operators::{Built, expansion, stock};
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
    let axes = node.get_attr_opt_vec("axes")?;
    Ok((expand(Aligned { by_factor: expansion(made)?, by_size, factors: 1 + usize::from(given(1)), axes }), vec![]))
}

#[derive(Debug, Clone)]
struct Aligned {
    by_factor: Box<dyn Expansion>,
    by_size: Box<dyn Expansion>,
    /// Which input the factors are.
    factors: usize,
    /// The axes that they are for, where they are not for all.
    axes: Option<Vec<i64>>,
}

impl Expansion for Aligned {
    fn name(&self) -> StaticName {
        "TareResize".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        self.by_factor.rules(solver, inputs, outputs)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let outlet = inputs.get(self.factors).context("the factors are missing")?;
        let factors = model.outlet_fact(*outlet)?.konst.clone().context("the factors must be constants")?;
        if factors.len() == 0 {
            // Empty factors stand for sizes.
            return self.by_factor.wire(prefix, model, inputs);
        }
        let factors = factors.cast_to::<f32>()?;
        let factors = factors.try_as_plain_ram()?.as_slice::<f32>()?;
        let shape = model.outlet_fact(inputs[0])?.shape.clone();
        let rank = shape.rank() as i64;
        let axes = self.axes.clone().unwrap_or_else(|| (0..rank).collect());
        ensure!(axes.len() == factors.len(), "{} factors for {} axes", factors.len(), axes.len());
        let size = |(axis, factor): (&i64, &f32)| -> TractResult<i64> {
            let axis = if *axis < 0 { axis + rank } else { *axis };
            ensure!((0..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
            Ok((shape[axis as usize].to_usize()? as f32 * factor) as i64)
        };
        let sizes = axes.iter().zip(factors).map(size).collect::<TractResult<Vec<_>>>()?;
        let sizes = model.add_const(format!("{prefix}.sizes"), tensor1(&sizes))?;
        self.by_size.wire(prefix, model, &[inputs[0], sizes])
    }
}
