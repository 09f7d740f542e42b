//! Ranges and scales that rules of the policy state for values that get no grid.

use super::{Placement, Plan};
use crate::error::{Error, Result};
use crate::ir::{Graph, ValueId};
use crate::policy::{Matched, Settings};
use crate::quant::{GridType, Params};

/// A range or scale that a rule states for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// The line of the rule.
    pub line: usize,
    /// The value.
    pub name: String,
    /// Why it gets no grid.
    pub reason: String,
}

impl Plan {
    /// Lists what rules state for values of `graph` that get no grid; `inside` a body nothing does.
    ///
    /// # Errors
    /// When a zero point is beyond its value's type.
    pub(super) fn list_idle(
        &mut self,
        graph: &Graph,
        matched: &Matched,
        settings: &Settings,
        inside: bool,
    ) -> Result<()> {
        for (value, of_rule) in graph.value_ids().zip(&matched.values) {
            let Some(place) = of_rule.stated_on.filter(|_| self.value(value).is_none()) else { continue };
            // It may be what a body reads from around, which has its grid there.
            if inside && graph.value(value).producer().is_none() {
                continue;
            }
            let name = graph.value(value).name().to_owned();
            if let Some((_, zero_point)) = of_rule.grid {
                let dtype = of_rule.activations.scheme.dtype;
                check_zero_point(&name, dtype, zero_point).map_err(|why| settings.blame(Some(place), why))?;
            }
            let reason = match inside {
                true => IN_BODY.to_owned(),
                false => self.why_without(graph, value),
            };
            self.idle.push(Idle { line: place.line, name, reason });
        }
        Ok(())
    }

    /// What rules of the policy state for nothing, here and in bodies.
    pub fn idle(&self) -> Vec<&Idle> {
        self.idle.iter().chain(self.bodies.iter().flat_map(|body| body.plan.idle())).collect()
    }

    /// Why a value has no grid.
    fn why_without(&self, graph: &Graph, value: ValueId) -> String {
        if graph.is_constant(value) {
            return "it is a constant, whose grid its own numbers give".to_owned();
        }
        let placement = |id| self.nodes.iter().find(|node| node.id == id).map(|node| &node.placement);
        let producer = graph.value(value).producer();
        match producer.and_then(placement) {
            Some(Placement::Integer(node)) if node.end.is_some_and(|end| end != value) => {
                let end = node.end.map_or("", |end| graph.value(end).name());
                format!("the grid of its layer stands behind the clamp that follows; state it of {end:?}")
            }
            Some(Placement::Clamp { into, .. }) => {
                let end = match placement(*into) {
                    Some(Placement::Integer(node)) => node.end.map(|end| graph.value(end).name()),
                    _ => None,
                };
                match end.filter(|&end| graph.find(end) != Some(value)) {
                    Some(end) => format!("the grid of its layer stands behind the last clamp; state it of {end:?}"),
                    None => NO_READER.to_owned(),
                }
            }
            Some(Placement::NoFloats) => "it holds no floats".to_owned(),
            Some(Placement::Float { reason }) => {
                format!("no integer node reads it, and what makes it is float: {reason}")
            }
            _ => NO_READER.to_owned(),
        }
    }
}

const IN_BODY: &str = "it lies in a body, whose values are not observed";

const NO_READER: &str = "no integer node reads it, and what makes it may give floats";

/// Whether a zero point that a rule states of the value `name` is one of its type.
///
/// # Errors
/// When it is not.
pub(super) fn check_zero_point(name: &str, dtype: GridType, zero_point: i32) -> Result<()> {
    let grid = Params { dtype, scale: 1.0, zero_point };
    grid.check().map_err(|why| Error::value(name, format!("has by a rule of the policy the {why}")))
}
