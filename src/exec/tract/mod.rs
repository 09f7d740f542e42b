//! The executor over tract, a neural network engine in Rust. No other file knows tract.

mod convert;
mod observe;
mod qdq;

use super::{Executor, Observer, Program, Types};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorType};
use observe::Sink;
use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// The version that Cargo.toml pins.
const VERSION: &str = "0.23.9";

/// tract with this project's own QuantizeLinear and DequantizeLinear, which round exactly as ONNX Runtime does.
pub struct Tract {
    onnx: tract_onnx::Onnx,
}

impl Default for Tract {
    fn default() -> Self {
        // The exporter's names for dimensions would clash with the concrete shapes that are set here.
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        qdq::register(&mut onnx.op_register);
        Self { onnx }
    }
}

impl Executor for Tract {
    fn name(&self) -> String {
        format!("tract {VERSION}")
    }

    fn compile(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        guarded(|| self.build(model, inputs, observed))
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        guarded(|| {
            let (mut model, by_name) = self.parse(model, inputs)?;
            // Obstinate: what follows in spite of an operator that cannot be analysed is still told.
            let _ = model.analyse(true);
            let known = |outlet| convert::tensor_type(model.outlet_fact(outlet).ok()?);
            Ok(by_name.into_iter().filter_map(|(name, outlet)| Some((name, known(outlet)?))).collect())
        })
    }
}

/// tract panics on some malformed models; a converter must not.
fn guarded<T>(f: impl FnOnce() -> TractResult<T>) -> Result<T> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(result) => result.map_err(|e| Error::Engine(chain(&e))),
        Err(panic) => {
            let text =
                panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Error::Engine(format!("tract cannot run it: it panicked: {}", text.unwrap_or("without saying why"))))
        }
    }
}

/// The causes of an error, outermost first, on one line.
fn chain(error: &TractError) -> String {
    let causes: Vec<_> = error.chain().map(|c| c.to_string().replace('\n', " ")).collect();
    format!("tract cannot run it: {}", causes.join(": "))
}

type Outlets = HashMap<String, OutletId>;

struct TractProgram {
    plan: Arc<TypedRunnableModel>,
    outputs: usize,
}

impl Tract {
    /// The model with the types of its inputs set, and where each ONNX value is in it.
    fn parse(&self, model: &[u8], inputs: &[TensorType]) -> TractResult<(InferenceModel, Outlets)> {
        let proto = self.onnx.proto_model_for_read(&mut Cursor::new(model))?;
        let parsed = self.onnx.parse(&proto, None)?;
        let (mut model, by_name) = (parsed.model, parsed.outlets_by_name);
        let symbols = model.symbols.clone();
        let mut named = 0;
        for (index, ty) in inputs.iter().enumerate() {
            let fact = convert::fact(ty, || {
                named += 1;
                symbols.sym(&format!("varying_{named}")).to_dim()
            });
            model.set_input_fact(index, fact?)?;
        }
        for index in 0..model.outputs.len() {
            model.set_output_fact(index, InferenceFact::default())?;
        }
        Ok((model, by_name.into_iter().collect()))
    }

    fn build(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> TractResult<Box<dyn Program>> {
        let (mut model, by_name) = self.parse(model, inputs)?;
        model.analyse(false)?;
        let outputs = model.outputs.clone();
        let taps = observed
            .iter()
            .map(|name| by_name.get(name).copied().with_context(|| format!("tract does not know the value {name:?}")));
        let taps = taps.collect::<TractResult<Vec<_>>>()?;
        // Optimisation follows an outlet through every rewrite by its position among the outputs, and only so.
        let all: Vec<_> = outputs.iter().copied().chain(taps).collect();
        model.select_output_outlets(&all)?;
        let mut model = model.into_optimized()?;
        // A sink on each tap, so that the tapped tensor is freed as soon as it was seen.
        let mut kept = model.outputs[..outputs.len()].to_vec();
        let taps = model.outputs[outputs.len()..].to_vec();
        for (tap, outlet) in taps.into_iter().enumerate() {
            kept.push(model.wire_node(format!("tare-sink-{tap}"), Sink(tap), &[outlet])?[0]);
        }
        model.select_output_outlets(&kept)?;
        Ok(Box::new(TractProgram { plan: model.into_runnable()?, outputs: outputs.len() }))
    }
}

impl Program for TractProgram {
    fn run(&self, inputs: &[Tensor], observe: &mut Observer<'_>) -> Result<Vec<Tensor>> {
        guarded(|| {
            let inputs = inputs.iter().map(|t| Ok(convert::to_tract(t)?.into_tvalue()));
            let inputs = inputs.collect::<TractResult<TVec<TValue>>>()?;
            let mut state = self.plan.spawn()?;
            let results = state.run_plan_with_eval(inputs, |context, state, node, values| {
                if let Some(Sink(tap)) = node.op_as::<Sink>() {
                    observe::show(*tap, &values[0], observe)?;
                }
                tract_onnx::tract_core::plan::eval(context, state, node, values)
            })?;
            results.iter().take(self.outputs).map(|value| convert::from_tract(value)).collect()
        })
    }
}

#[cfg(test)]
mod tests;
