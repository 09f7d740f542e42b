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
mod packed;
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
mod stretches;
mod switched;
mod timed;
mod types;
mod unpack;

use super::{Executor, Program, Types};
use crate::error::Result;
use crate::tensor::TensorType;
use failure::{Failure, Labels, guarded};
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

    fn compile(&self, model: Vec<u8>, inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Program>> {
        Ok(self.program(model, inputs, observed)?)
    }

    fn types(&self, model: &[u8], inputs: &[TensorType]) -> Result<Types> {
        types::types(&self.onnx, model, inputs)
    }
}

impl Tract {
    /// What [`Executor::compile`] makes.
    fn program(&self, model: Vec<u8>, inputs: &[TensorType], observed: &[String]) -> Result<Box<dyn Stepped>> {
        let message = guarded(|| Message::read(&self.onnx, &model, true))?;
        drop(model);
        let takes = message.takes(inputs);
        let (parsed, outlets) = guarded(|| self.parse(&message))?;
        // Message, what was parsed of it and what is made of that each hold all weights: no more of them than are needed.
        let Message { labels, proto } = message;
        drop(proto);
        let spare = parsed.clone();
        let hopeless = Cell::new(false);
        let optimised = guarded(|| {
            let program = optimised((parsed, &outlets), inputs, observed, &labels);
            program.inspect_err(|failure| hopeless.set(failure.is_final()))
        });
        match optimised {
            Ok(program) => Ok(Box::new(program)),
            // Run as it stands, an operator takes shapes that do not fit for ones to broadcast.
            Err(why) if hopeless.get() || !takes => Err(why),
            Err(why) => {
                // What tract cannot analyse beforehand may still run, slower: it then knows every shape and value.
                tracing::debug!(%why, "runs without optimisation");
                let raw = || Raw::new(spare, &outlets, observed, &labels).map_err(|e| Failure::of(&e, &labels));
                Ok(Box::new(guarded(raw)?))
            }
        }
    }

    fn parse(&self, message: &Message) -> std::result::Result<(InferenceModel, Outlets), Failure> {
        let mut parsed = self.onnx.parse(&message.proto, None).map_err(|e| Failure::of(&e, &message.labels))?;
        bounds::impose(&mut parsed.model);
        Ok((parsed.model, parsed.outlets_by_name.into_iter().collect()))
    }

    /// The program of a message for inputs of these types, analysed and optimised.
    fn of_message(
        &self,
        message: &Message,
        inputs: &[TensorType],
        observed: &[String],
    ) -> std::result::Result<Optimised, Failure> {
        let (model, outlets) = self.parse(message)?;
        optimised((model, &outlets), inputs, observed, &message.labels)
    }
}

fn optimised(
    (mut model, outlets): (InferenceModel, &Outlets),
    inputs: &[TensorType],
    observed: &[String],
    labels: &Labels,
) -> std::result::Result<Optimised, Failure> {
    let mut build = || {
        for index in 0..model.outputs.len() {
            model.set_output_fact(index, InferenceFact::default())?;
        }
        for (index, ty) in inputs.iter().enumerate() {
            // Every dimension is concrete here.
            let fact = convert::fact(ty, || 1.to_dim())?;
            model.set_input_fact(index, fact)?;
        }
        Optimised::new(std::mem::take(&mut model), outlets, observed, labels)
    };
    build().map_err(|e| Failure::of(&e, labels))
}

#[cfg(test)]
mod tests;
