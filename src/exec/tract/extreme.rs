//! ReduceMax and ReduceMin. tract starts from the least and the greatest finite number, and so never arrives at an infinity.

use super::own::{Kernel, Own, Stock, Wired};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

/// Makes what tract does of either operator, with its own one in place of the reduction.
///
/// # Errors
/// When tract cannot.
pub fn wire(stock: &Stock, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> Wired {
    let first = model.nodes.len();
    // Were the value known, tract would reduce it at once.
    let known = model.outlet_fact(inputs[0])?.clone();
    model.set_outlet_fact(inputs[0], known.without_value())?;
    let outlets = stock.wire(prefix, model, inputs);
    model.set_outlet_fact(inputs[0], known)?;
    let outlets = outlets?;
    for node in &mut model.nodes[first..] {
        if let Some(reduce) = node.op_as::<Reduce>().cloned() {
            node.op = Box::new(Own(Extreme(reduce)));
        }
    }
    Ok(outlets)
}

/// tract's operator, with infinities put right.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct Extreme(Reduce);

impl Kernel for Extreme {
    fn name(&self) -> StaticName {
        format!("TareReduce{:?}", self.0.reducer).into()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].clone();
        let mut outputs = self.0.eval(&EvalContext::out_of_plan(), inputs)?;
        let right = match (&self.0.reducer, input.datum_type()) {
            (Reducer::Max, DatumType::F16) => self.put_right(&input, &outputs[0], f16::MIN, f16::NEG_INFINITY)?,
            (Reducer::Min, DatumType::F16) => self.put_right(&input, &outputs[0], f16::MAX, f16::INFINITY)?,
            (Reducer::Max, DatumType::F32) => self.put_right(&input, &outputs[0], f32::MIN, f32::NEG_INFINITY)?,
            (Reducer::Min, DatumType::F32) => self.put_right(&input, &outputs[0], f32::MAX, f32::INFINITY)?,
            _ => None,
        };
        if let Some(right) = right {
            outputs[0] = right.into_tvalue();
        }
        Ok(outputs)
    }
}

impl Extreme {
    /// `output`, infinite where it is `start` but no element that was reduced to it is; nothing where it never is.
    fn put_right<T: Datum + Copy + PartialEq>(
        &self,
        input: &Tensor,
        output: &Tensor,
        start: T,
        infinite: T,
    ) -> TractResult<Option<Tensor>> {
        if !output.try_as_plain_ram()?.as_slice::<T>()?.contains(&start) {
            return Ok(None);
        }
        let mut found = vec![false; output.len()];
        // Steps in the output for each axis of the input; none along those that are reduced away.
        let mut steps = vec![0; input.rank()];
        let mut step = 1;
        for axis in (0..input.rank()).rev().filter(|axis| !self.0.axes.contains(axis)) {
            steps[axis] = step;
            step *= input.shape()[axis];
        }
        let mut at = vec![0; input.rank()];
        for &value in input.try_as_plain_ram()?.as_slice::<T>()? {
            let target: usize = at.iter().zip(&steps).map(|(a, s)| a * s).sum();
            found[target] |= value == start;
            for axis in (0..at.len()).rev() {
                at[axis] += 1;
                if at[axis] < input.shape()[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        let mut right = output.clone();
        for (value, found) in right.try_as_plain_ram_mut()?.as_slice_mut::<T>()?.iter_mut().zip(found) {
            if *value == start && !found {
                *value = infinite;
            }
        }
        Ok(Some(right))
    }
}
