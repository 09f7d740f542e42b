//! What is known of the types of values, for passes and the plan that ask for a rank.

use crate::error::Result;
use crate::exec::{Executor, Types};
use crate::file;
use crate::ir::Model;
use crate::pass::{Outcome, Pass};

/// The type of every value that follows from the inputs' types. An engine that cannot tell stops nothing: what needs a
/// type is then left as it is.
pub(super) fn infer(model: &Model, executor: &dyn Executor) -> Types {
    let inputs: Option<Vec<_>> = model.graph.inputs().map(|v| model.graph.stated_type(v)).collect();
    let types = || executor.types(&file::outline(model).ok()?, &inputs?).ok();
    types().unwrap_or_default()
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
        for (name, ty) in infer(model, self.executor) {
            if let Some(value) = model.graph.find(&name) {
                model.graph.learn_type(value, ty);
            }
        }
        Ok(Outcome::default())
    }
}
