//! Makes the float graph ready to be planned: weights become constants that can be seen, what can be folded into them is,
//! and the operator set is one that quantized models can be written in. The graph computes the same as before.

mod affine;
mod constants;
mod functions;
mod gemm;
mod identity;
mod inputs;
mod opset;
mod pad;

use crate::error::Result;
use crate::exec::Executor;
use crate::ir::Model;
use crate::pass::{self, Outcome, Pass};

/// The oldest operator set in which DequantizeLinear has an axis.
pub const OUTPUT_OPSET: i64 = 13;

/// What each pass did, in order.
pub type Preparation = Vec<(&'static str, Outcome)>;

/// Runs every pass.
///
/// # Errors
/// When the operator set is one that is not understood, or the model is malformed.
pub fn prepare(model: &mut Model, executor: &dyn Executor) -> Result<Preparation> {
    let passes: [&dyn Pass; 10] = [
        &inputs::DefaultsToConstants,
        &functions::Inline { name: "inline-functions" },
        &opset::Upgrade { to: OUTPUT_OPSET, executor },
        &functions::Inline { name: "inline-upgraded-functions" },
        &constants::Fold { executor },
        &identity::Eliminate,
        &gemm::FoldAlphaBeta,
        &affine::Fold,
        &pad::Fold,
        &RemoveUnused,
    ];
    passes.iter().map(|p| Ok((p.name(), pass::run(*p, model)?))).collect()
}

/// Drops nodes and constants that no output needs.
struct RemoveUnused;

impl Pass for RemoveUnused {
    fn name(&self) -> &'static str {
        "remove-unused"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let before = model.graph.node_ids().count();
        model.graph.remove_unused();
        Ok(Outcome { changed: before - model.graph.node_ids().count(), ..Outcome::default() })
    }
}

#[cfg(test)]
mod tests;
