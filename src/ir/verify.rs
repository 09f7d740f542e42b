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
        for (index, (value, _)) in self.outputs.iter().enumerate() {
            if !self.value(*value).uses.contains(&Use::Output { index }) {
                return Err(Error::value(
                    self.value(*value).name(),
                    "is a graph output, but its use-list does not say so",
                ));
            }
        }
        for id in self.node_ids() {
            let node = self.node(id);
            for (slot, value) in node.inputs.iter().enumerate() {
                let listed = |v| self.value(v).uses.contains(&Use::Input { node: id, slot });
                if value.is_some_and(|v| !listed(v)) {
                    return Err(self.node_error(id, format!("input {slot} is missing from the use-list")));
                }
            }
            for (slot, value) in node.outputs.iter().enumerate() {
                if value.is_some_and(|v| self.value(v).source != Source::Node { node: id, slot }) {
                    return Err(self.node_error(id, format!("output {slot} is said to come from elsewhere")));
                }
            }
            if node.captured.iter().any(|&v| !self.value(v).uses.contains(&Use::Body { node: id })) {
                return Err(self.node_error(id, "what its bodies read is missing from the use-list"));
            }
        }
        self.topological().map(drop)
    }
}
