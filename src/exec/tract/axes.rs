//! Squeeze and Unsqueeze. tract removes axes in the order in which they are listed, and as often as they are.

use super::operators::Built;
use super::own::Wired;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;

/// Builds either operator.
///
/// # Errors
/// When an Unsqueeze does not say where.
pub fn build(context: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let listed = if context.onnx_operator_set_version < 13 { node.get_attr_opt_vec("axes")? } else { None };
    let inserts = node.op_type == "Unsqueeze";
    ensure!(!inserts || listed.is_some() || node.input.len() > 1, "it does not name its axes");
    Ok((expand(Axes { inserts, listed }), vec![]))
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Axes {
    inserts: bool,
    /// The axes, where an attribute states them; otherwise they are the second input. Without either all axes of length one
    /// are removed.
    listed: Option<Vec<i64>>,
}

fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    Ok(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
}

impl Axes {
    /// Where axes are inserted or removed, in ascending order. To remove one twice is to remove it; to insert two at one place
    /// is an error, as in ONNX Runtime.
    fn places(&self, shape: &[TDim], axes: &[i64]) -> TractResult<Vec<usize>> {
        if axes.is_empty() && !self.inserts {
            return Ok((0..shape.len()).filter(|&axis| shape[axis].is_one()).collect());
        }
        let rank = (shape.len() + if self.inserts { axes.len() } else { 0 }) as i64;
        let place = |&axis: &i64| {
            ensure!((-rank..rank).contains(&axis), "axis {axis} of a tensor of rank {rank}");
            Ok(axis.rem_euclid(rank) as usize)
        };
        let mut places = axes.iter().map(place).collect::<TractResult<Vec<_>>>()?;
        places.sort_unstable();
        places.dedup();
        ensure!(
            !self.inserts || places.len() == axes.len(),
            "its axes {axes:?} name one of them twice: mend the model"
        );
        Ok(places)
    }

    fn shape(&self, shape: &[TDim], axes: &[i64]) -> TractResult<TVec<TDim>> {
        let mut changed: TVec<TDim> = shape.into();
        let places = self.places(shape, axes)?;
        if self.inserts {
            places.iter().for_each(|&place| changed.insert(place, 1.to_dim()));
            return Ok(changed);
        }
        for &place in places.iter().rev() {
            let size = changed.remove(place);
            ensure!(size.to_usize().map_or(true, |size| size == 1), "axis {place} has {size} elements, not one");
        }
        Ok(changed)
    }
}

impl Expansion for Axes {
    fn name(&self) -> StaticName {
        if self.inserts { "Unsqueeze" } else { "Squeeze" }.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        check_output_arity(outputs, 1)?;
        let input = inputs.first().context("an input is missing")?;
        solver.equals(&input.datum_type, &outputs[0].datum_type)?;
        match (&self.listed, inputs.get(1)) {
            (None, Some(axes)) => solver.given_2(&input.shape, &axes.value, move |solver, shape, axes| {
                solver.equals(&outputs[0].shape, self.shape(&shape, &integers(&axes)?)?)
            }),
            (listed, _) => solver.given(&input.shape, move |solver, shape| {
                solver.equals(&outputs[0].shape, self.shape(&shape, listed.as_deref().unwrap_or_default())?)
            }),
        }
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        let axes = match (&self.listed, inputs.get(1)) {
            (None, Some(&axes)) => {
                let known = model.outlet_fact(axes)?.konst.clone();
                integers(known.as_ref().context("the axes must be constants")?)?
            }
            (listed, _) => listed.clone().unwrap_or_default(),
        };
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        self.shape(&shape, &axes)?;
        let mut places = self.places(&shape, &axes)?;
        if !self.inserts {
            places.reverse();
        }
        let mut outlet: TVec<OutletId> = inputs[..1].into();
        for place in places {
            let change = if self.inserts { AxisOp::Add(place) } else { AxisOp::Rm(place) };
            outlet = model.wire_node(format!("{prefix}.axis-{place}"), change, &outlet)?;
        }
        Ok(outlet)
    }
}
