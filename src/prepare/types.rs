//! What is known of the types of values, for passes and the plan that ask for a rank.

use crate::error::Result;
use crate::exec::{Executor, Types};
use crate::file;
use crate::ir::Model;
use crate::pass::{Outcome, Pass};
use crate::tensor::DataType;
use std::borrow::Cow;

/// The type of every value that follows from the inputs' types. An engine that cannot tell stops nothing: what needs a
/// type is then left as it is.
pub(super) fn infer(model: &Model, executor: &dyn Executor) -> Types {
    let inputs: Option<Vec<_>> = model.graph.inputs().map(|v| model.graph.stated_type(v)).collect();
    let types = || executor.types(&file::outline(model).ok()?, &inputs?).ok();
    types().unwrap_or_default()
}

/// A model whose inputs, where they are bfloat16, are float32: that engines do not know.
///
/// # Errors
/// When a constant is malformed.
pub fn in_float32(model: &Model) -> Result<Cow<'_, Model>> {
    if model.graph.inputs().all(|v| model.graph.element_type(v) != Some(DataType::Bfloat16)) {
        return Ok(Cow::Borrowed(model));
    }
    let mut wide = model.clone();
    super::widen(&mut wide.graph)?;
    Ok(Cow::Owned(wide))
}

/// Notes the types that follow from the inputs' in the graph. They are not written to the file.
pub struct Learn<'a> {
    /// Tells the types.
    pub executor: &'a dyn Executor,
}

impl Pass for Learn<'_> {
    fn name(&self) -> &'static str {
        "learn-types"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let types = {
            let runs = in_float32(model)?;
            infer(&runs, self.executor)
        };
        for (name, ty) in types {
            // Inputs and outputs of bfloat16 stay what they are.
            let value = model.graph.find(&name);
            if let Some(value) = value.filter(|&v| model.graph.element_type(v) != Some(DataType::Bfloat16)) {
                model.graph.learn_type(value, ty);
            }
        }
        Ok(Outcome::default())
    }
}
