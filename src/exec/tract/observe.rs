//! The operator that observed values end in.

use super::super::Observer;
use super::convert;
use super::own::{Kernel, Own, Wired};
use tract_onnx::tract_hir::internal::*;

/// Swallows observed value number `.0`; the run shows it to the observer before.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Sink(pub usize);

impl Kernel for Sink {
    fn name(&self) -> StaticName {
        "TareSink".into()
    }

    fn facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(u8::datum_type().scalar_fact()))
    }

    fn run(&self, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(tensor0(0u8).into()))
    }
}

impl Expansion for Sink {
    fn name(&self) -> StaticName {
        Kernel::name(self)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        _: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> TractResult<()> {
        solver.equals(&outputs[0].datum_type, u8::datum_type())?;
        solver.equals(&outputs[0].rank, 0)
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
        model.wire_node(prefix, Own(self.clone()), inputs)
    }
}

/// Shows a value, widened to float32 where it is another number type.
pub fn show(tap: usize, value: &TValue, observer: &mut Observer<'_>) -> TractResult<()> {
    if value.datum_type() == f32::datum_type() {
        observer(tap, value.shape(), value.try_as_plain_ram()?.as_slice::<f32>()?);
        return Ok(());
    }
    let tensor = convert::from_tract(value)?;
    observer(tap, tensor.shape(), &tensor.to_f32().map_err(|e| format_err!("{e}"))?);
    Ok(())
}
