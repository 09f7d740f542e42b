//! Dimensions that the model leaves open get the sizes that the policy gives: many mobile runtimes take static shapes only.

use crate::error::{Error, Result};
use crate::ir::{Fixed, Model};
use crate::pass::{Outcome, Pass};
use std::collections::BTreeMap;

/// Gives each dimension of `sizes` its size: by its name in the model, or as `input[axis]`.
pub struct Fix<'a> {
    /// Sizes.
    pub sizes: &'a BTreeMap<String, usize>,
}

impl Pass for Fix<'_> {
    fn name(&self) -> &'static str {
        "fix-dimensions"
    }

    fn run(&self, model: &mut Model) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let open = model.graph.open_dims();
        for (name, &size) in self.sizes {
            let by_axis = |graph: &mut crate::ir::Graph| {
                let (input, axis) = name.strip_suffix(']')?.rsplit_once('[')?;
                Some(graph.fix_input_axis(input, axis.parse().ok()?, size))
            };
            let fixed = match model.graph.fix_dim(name, size) {
                Fixed::Unknown => by_axis(&mut model.graph).unwrap_or(Fixed::Unknown),
                done => done,
            };
            match fixed {
                Fixed::Places(_) => outcome.changed += usize::from(open.contains(name) || name.ends_with(']')),
                Fixed::Already(known) => {
                    return Err(Error::other(format!(
                        "the dimension {name} is {known} in the model; it cannot be {size}"
                    )));
                }
                Fixed::Unknown => {
                    let open = if open.is_empty() { "none".to_owned() } else { open.join(", ") };
                    return Err(Error::other(format!("no dimension is called {name}; the model leaves open: {open}")));
                }
            }
        }
        Ok(outcome)
    }
}
