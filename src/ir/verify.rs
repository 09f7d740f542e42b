//! Whether a graph keeps its own laws. Runs after every pass in tests and debug builds.

use super::graph::{Graph, Source, Use};
use crate::error::{Error, Result};

impl Graph {
    /// Checks that use-lists and producers agree in both directions, names are unique, and there is no circle.
    ///
    /// # Errors
    /// The first law found broken.
    pub fn verify(&self) -> Result<()> {
        for id in self.value_ids() {
            let value = self.value(id);
            let broken = |what: &str| Err(Error::value(value.name(), what));
            match value.source {
                Source::Node { node, slot } if self.get_node(node).and_then(|n| n.output(slot)) != Some(id) => {
                    return broken("its producer does not make it");
                }
                Source::Nowhere if !value.uses.is_empty() => return broken("is read, but nothing makes it"),
                _ => {}
            }
            let live = value.source != Source::Nowhere;
            if live && self.find(value.name()) != Some(id) {
                return broken("shares its name");
            }
            for one in &value.uses {
                let found = match *one {
                    Use::Input { node, slot } => self.get_node(node).is_some_and(|n| n.input(slot) == Some(id)),
                    Use::Body { node } => self.get_node(node).is_some_and(|n| n.captured.contains(&id)),
                    Use::Output { index } => self.outputs.get(index).is_some_and(|o| o.0 == id),
                };
                if !found {
                    return broken("lists a use that does not read it");
                }
            }
        }
        for id in self.node_ids() {
            for (slot, value) in self.node(id).inputs.iter().enumerate() {
                let listed = |v| self.value(v).uses.contains(&Use::Input { node: id, slot });
                if value.is_some_and(|v| !listed(v)) {
                    return Err(self.node_error(id, format!("input {slot} is missing from the use-list")));
                }
            }
        }
        self.topological().map(drop)
    }
}
