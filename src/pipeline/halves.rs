//! What becomes of the numbers of 16 bits that a model has itself.

use crate::error::{Error, Result};
use crate::ir::Model;
use crate::plan::{Plan, WasHalf};
use crate::policy::{HalfInput, Settings};
use crate::prepare::Kinds;
use crate::quant::HalfType;
use crate::rewrite;

/// The numbers of 16 bits of a model, and whether they stay.
#[derive(Default)]
pub(super) struct Halves {
    was: Option<WasHalf>,
    kinds: Kinds,
}

impl Halves {
    /// Decides for a model whose values had the types `kinds` before it became float32.
    ///
    /// # Errors
    /// When the policy keeps both types, float16 and bfloat16, of one model: a scale is of one.
    pub fn of(kinds: Kinds, settings: &Settings) -> Result<Self> {
        let found: Vec<HalfType> = kinds.halves().collect();
        if found.len() > 1 && settings.half.input == Some(HalfInput::Keep) {
            let why = "computes in float16 and in bfloat16, and grids have scales of one type; set half.input: widen";
            return Err(Error::other(why));
        }
        let kept = settings.keeps_halves() && found.len() == 1;
        // Modes of 16 bits say themselves what is computed in them.
        let told = settings.halves().next().is_none();
        let was = found.first().filter(|_| told).map(|&kind| WasHalf { kind, kept });
        Ok(Self { was, kinds })
    }

    /// Notes it in a plan, whose scales are then of the type that stays.
    pub fn settle(&self, plan: &mut Plan) {
        plan.was_half = self.was;
        if let Some(was) = self.was.filter(|was| was.kept) {
            plan.scale_in(was.kind);
        }
    }

    /// Makes a rewritten model compute in 16 bits again, if it is to.
    ///
    /// # Errors
    /// When a constant or body is malformed, or a body hands on a value of another type.
    pub fn restore(&self, model: &mut Model) -> Result<()> {
        if self.was.is_some_and(|was| was.kept) { rewrite::keep_halves(model, &self.kinds) } else { Ok(()) }
    }
}
