//! The executor over tract, a neural network engine in Rust. No other file knows tract.

mod attention;
mod axes;
mod beside;
mod bounds;
mod branches;
mod contrib;
mod convert;
mod corners;
mod dynamic;
mod extreme;
mod failure;
mod float8;
mod lstm;
mod mend;
mod message;
mod observe;
mod operators;
mod own;
mod pad;
mod products;
mod program;
mod qdq;
mod qoperators;
mod refuse;
mod registers;
mod rounded;
mod simulate;
mod softmax;
mod states;
mod switched;
mod timed;
mod types;
mod unpack;

use super::{Executor, Program, Types};
use crate::error::Result;
use crate::tensor::TensorType;
use failure::{Failure, guarded};
use message::Message;
use program::{Optimised, Outlets, Raw, Stepped};
use std::cell::Cell;
use tract_onnx::prelude::*;

/// The version that Cargo.toml pins.
const VERSION: &str = "0.23.9";

/// tract with operators of this project: QuantizeLinear and DequantizeLinear, which round exactly as ONNX Runtime does, and
/// mended ones where tract is known to compute wrongly.
pub struct Tract {
    onnx: tract_onnx::Onnx,
}

impl Default for Tract {
    fn default() -> Self {
        // The exporter's names for dimensions would clash with the concrete shapes that are set here.
        let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
        operators::register(&mut onnx.op_register);
        Self { onnx }
    }
}

impl Executor for Tract {
    fn name(&self) -> String {
        format!("tract {VERSION}")
    }

    fn compile(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        Ok(self.program(model, inputs, observed)?)
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        types::types(&self.onnx, model, inputs)
    }
}

impl Tract {
    /// What [`Executor::compile`] makes.
    fn program(&self, model: &[u8], inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Stepped>> {
        let message = guarded(|| Message::read(&self.onnx, model, true))?;
        let hopeless = Cell::new(false);
        let optimised = guarded(|| {
            let program = self.optimised(&message, inputs, observed);
            program.inspect_err(|failure| hopeless.set(failure.is_final()))
        });
        match optimised {
            Ok(program) => Ok(Box::new(program)),
            // Run as it stands, an operator takes shapes that do not fit for ones to broadcast.
            Err(why) if hopeless.get() || !message.takes(inputs) => Err(why),
            Err(why) => {
                // What tract cannot analyse beforehand may still run, slower: it then knows every shape and value.
                tracing::debug!(%why, "runs without optimisation");
                Ok(Box::new(guarded(|| self.raw(&message, observed))?))
            }
        }
    }

    fn parse(&self, message: &Message) -> std::result::Result<(InferenceModel, Outlets), Failure> {
        let mut parsed = self.onnx.parse(&message.proto, None).map_err(|e| Failure::of(&e, &message.labels))?;
        bounds::impose(&mut parsed.model);
        Ok((parsed.model, parsed.outlets_by_name.into_iter().collect()))
    }

    fn optimised(
        &self,
        message: &Message,
        inputs: &[TensorType],
        observed: &[String],
    ) -> std::result::Result<Optimised, Failure> {
        let (mut model, outlets) = self.parse(message)?;
        let mut build = || {
            for index in 0..model.outputs.len() {
                model.set_output_fact(index, InferenceFact::default())?;
            }
            for (index, ty) in inputs.iter().enumerate() {
                // Every dimension is concrete here.
                let fact = convert::fact(ty, || 1.to_dim())?;
                model.set_input_fact(index, fact)?;
            }
            Optimised::new(std::mem::take(&mut model), &outlets, observed, &message.labels)
        };
        build().map_err(|e| Failure::of(&e, &message.labels))
    }

    fn raw(&self, message: &Message, observed: &[String]) -> std::result::Result<Raw, Failure> {
        let (model, outlets) = self.parse(message)?;
        Raw::new(model, &outlets, observed, &message.labels).map_err(|e| Failure::of(&e, &message.labels))
    }
}

#[cfg(test)]
mod tests;
