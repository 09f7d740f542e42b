//! Pad, which crops where a pad is negative (tract takes it for a huge one), and wraps around.

use super::operators::{Built, expansion, stock};
use super::own::{Stock, Wired, wrapped};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Gather, Slice};
use tract_onnx::tract_hir::internal::*;

/// Builds the operator.
///
/// # Errors
/// When tract cannot read the node.
pub fn build(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let given = |slot: usize| node.input.get(slot).is_some_and(|name| !name.is_empty());
    if !given(1) {
        return stock(context, node, "stock Pad");
    }
    let context = ParsingContext { onnx_operator_set_version: 18, ..context.clone() };
    let mut known = node.clone();
    let mode = known.attribute.iter_mut().find(|a| a.name == "mode" && a.s == b"wrap");
    let wraps = mode.is_some();
    // Another mode makes the same shape.
    mode.into_iter().for_each(|mode| mode.s = b"edge".to_vec());
    let stock = expansion(stock(&context, &known, "stock Pad")?)?;
    // Which input names the axes that are padded.
    let axes = given(3).then(|| 2 + usize::from(given(2)));
    let pad = wrapped(stock, move |stock, prefix, model, inputs| {
        let pads = Pads::of(model, inputs, axes)?;
        if wraps { pads.wrap(prefix, model, inputs[0]) } else { pads.crop(stock, prefix, model, inputs) }
    });
    Ok((pad, vec![]))
}

/// How many elements to put before and after each axis that is padded; fewer than none are cut off.
struct Pads(Vec<(usize, i64, i64)>);

impl Pads {
    fn of(model: &TypedModel, inputs: &[OutletId], axes: Option<usize>) -> TractResult<Self> {
        let integers = |outlet: OutletId| -> TractResult<Option<Vec<i64>>> {
            let Some(constant) = &model.outlet_fact(outlet)?.konst else { return Ok(None) };
            Ok(Some(constant.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()))
        };
        let pads = integers(inputs[1])?.context("pads must be constants")?;
        let rank = model.outlet_fact(inputs[0])?.rank() as i64;
        let axes = match axes {
            Some(input) => integers(inputs[input])?.context("axes must be constants")?,
            None => (0..rank).collect(),
        };
        ensure!(pads.len() == 2 * axes.len(), "{} pads for {} axes", pads.len(), axes.len());
        let (before, after) = pads.split_at(axes.len());
        let one = |((&axis, &before), &after)| {
            let axis: i64 = if axis < 0 { axis + rank } else { axis };
            ensure!((0..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
            Ok((axis as usize, before, after))
        };
        axes.iter().zip(before).zip(after).map(one).collect::<TractResult<_>>().map(Self)
    }

    /// Cuts off, and lets tract do the rest.
    fn crop(&self, stock: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        if self.0.iter().all(|&(_, before, after)| before.min(after) >= 0) {
            return stock.wire(prefix, model, inputs);
        }
        let mut inputs: TVec<OutletId> = inputs.into();
        for &(axis, before, after) in &self.0 {
            let size = model.outlet_fact(inputs[0])?.shape[axis].clone();
            let slice = Slice::new(axis, -before.min(0), size + after.min(0));
            inputs[0] = model.wire_node(format!("{prefix}.crop-{axis}"), slice, &inputs[..1])?[0];
        }
        let outer: Vec<i64> = self.0.iter().map(|p| p.1.max(0)).chain(self.0.iter().map(|p| p.2.max(0))).collect();
        inputs[1] = model.add_const(format!("{prefix}.pads"), tensor1(&outer))?;
        stock.wire(prefix, model, &inputs)
    }
    /// Goes on as if the tensor were a torus, of which what is cut off is no part.
    fn wrap(&self, prefix: &str, model: &mut TypedModel, input: OutletId) -> Wired {
        let mut outlets = tvec!(input);
        for &(axis, before, after) in self.0.iter().filter(|p| p.1 != 0 || p.2 != 0) {
            let size = model.outlet_fact(outlets[0])?.shape[axis].to_i64()?;
            let (cut, kept) = (-before.min(0), size + before.min(0) + after.min(0));
            let steps = -before.max(0)..kept + after.max(0);
            ensure!(kept > 0 || kept == 0 && steps.is_empty(), "nothing is left of axis {axis} to wrap around");
            let from: Vec<i64> = steps.map(|step| cut + step.rem_euclid(kept)).collect();
            let from = model.add_const(format!("{prefix}.from-{axis}"), tensor1(&from))?;
            let pick = Gather { axis, output_type: None };
            outlets = model.wire_node(format!("{prefix}.wrap-{axis}"), pick, &[outlets[0], from])?;
        }
        Ok(outlets)
    }
}
