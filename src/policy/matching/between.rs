//! The nodes between two values.

use super::super::settings::{Named, Settings};
use super::super::text::{names, shown};
use super::NodeKey;
use crate::error::Result;
use std::collections::HashSet;

/// How many names of the model an error shows.
const NEAREST: usize = 3;

impl Settings {
    /// Which of `nodes`, each behind those whose outputs it reads, lie on a way from one value to another.
    ///
    /// # Errors
    /// When there is no such value.
    pub(super) fn between(
        &self,
        from: &Named,
        to: &Named,
        nodes: &[NodeKey<'_>],
        values: &[&str],
    ) -> Result<Vec<bool>> {
        for one in [from, to] {
            if !values.contains(&one.name.as_str()) {
                let known = values.iter().copied().filter(|name| !name.is_empty());
                let nearest = names(&one.name, known, NEAREST).into_iter().map(shown);
                let nearest = nearest.collect::<Vec<_>>().join(", ");
                let message = format!("no value is called {}; the nearest in the model: {nearest}", shown(&one.name));
                return Err(self.wrong(one.place, message));
            }
        }
        let mut behind: Vec<bool> = vec![false; nodes.len()];
        let mut reached = HashSet::from([from.name.as_str()]);
        for (node, behind) in nodes.iter().zip(&mut behind) {
            *behind = node.inputs.iter().any(|input| reached.contains(input));
            reached.extend(node.outputs.iter().filter(|name| *behind && !name.is_empty()));
        }
        let mut ahead = HashSet::from([to.name.as_str()]);
        for (node, behind) in nodes.iter().zip(&mut behind).rev() {
            let leads = node.outputs.iter().any(|output| ahead.contains(output));
            *behind &= leads;
            ahead.extend(node.inputs.iter().filter(|_| leads));
        }
        Ok(behind)
    }
}
