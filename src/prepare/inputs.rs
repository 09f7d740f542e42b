//! Constants that older exporters also list as graph inputs: runtimes then refuse to treat them as weights.

use crate::error::Result;
use crate::ir::Model;
use crate::pass::{Outcome, Pass};

/// Takes initializers out of the list of inputs. Before IR version 4 the format demanded the listing, and nobody meant it
/// to be overridden.
pub struct DefaultsToConstants;

/// The first container format in which an initializer need not be an input.
const UNLISTED_INITIALIZERS: i64 = 4;

impl Pass for DefaultsToConstants {
    fn name(&self) -> &'static str {
        "defaults-to-constants"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let changed = model.graph.unlist_default_inputs();
        if changed > 0 {
            model.require_ir_version(UNLISTED_INITIALIZERS);
        }
        Ok(Outcome { changed, ..Outcome::default() })
    }
}
