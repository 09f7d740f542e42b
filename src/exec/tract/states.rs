//! The states that recurrent operators start from.

use super::operators::Built;
use super::own::{Kernel, Own, Wired};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator `TareStates(sequence[, states])`: the states that are given, or zeros for the batch of the sequence.
/// To tract they look computed.
///
/// # Errors
/// When an attribute is missing.
pub fn build(_: &ParsingContext<'_>, node: &NodeProto) -> Built {
    let number = |name: &str| node.get_attr::<i64>(name);
    let (directions, hidden) = (number("directions")? as usize, number("hidden")? as usize);
    let (batch_first, slot) = (number("layout")? == 1, number("slot")?);
    Ok((expand(States { directions, hidden, batch_first, slot }), vec![]))
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct States {
    directions: usize,
    hidden: usize,
    batch_first: bool,
    /// Which states these are: tract must not take equal ones for the same.
    slot: i64,
}

impl Expansion for States {
    fn name(&self) -> StaticName {
        "TareStates".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        let (batch, directions) = if self.batch_first { (0, 1) } else { (1, 0) };
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, 3)?;
        solver.equals(&outputs[0].rank, 3)?;
        solver.equals(&inputs[0].shape[batch], &outputs[0].shape[batch])?;
        solver.equals(&outputs[0].shape[directions], self.directions.to_dim())?;
        solver.equals(&outputs[0].shape[2], self.hidden.to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        ensure!(model.outlet_fact(inputs[0])?.rank() == 3, "a sequence of a rank other than 3");
        model.wire_node(prefix, Own(self.clone()), inputs)
    }
}

impl States {
    fn shape<D: Clone>(&self, sequence: &[D], number: impl Fn(usize) -> D) -> [D; 3] {
        let batch = sequence[usize::from(!self.batch_first)].clone();
        let (directions, hidden) = (number(self.directions), number(self.hidden));
        if self.batch_first { [batch, directions, hidden] } else { [directions, batch, hidden] }
    }
}

impl Kernel for States {
    fn name(&self) -> StaticName {
        "TareStates".into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = self.shape(&inputs[0].shape.to_tvec(), |n| n.to_dim());
        Ok(tvec!(inputs[0].datum_type.fact(shape)))
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        if let Some(given) = inputs.get(1) {
            return Ok(tvec!(given.clone()));
        }
        let shape = self.shape(inputs[0].shape(), |n| n);
        Ok(tvec!(Tensor::zero_dt(inputs[0].datum_type(), &shape)?.into_tvalue()))
    }
}
