//! The order of nodes.

use super::graph::{Graph, NodeId, ValueId};
use crate::error::{Error, Result};

impl Graph {
    /// Every node after those whose values it reads. Nodes keep the order of the file; one that was inserted comes just
    /// before its first reader.
    ///
    /// # Errors
    /// When nodes form a circle.
    pub fn topological(&self) -> Result<Vec<NodeId>> {
        #[derive(Clone, Copy, PartialEq)]
        enum Mark {
            New,
            Open,
            Done,
        }
        let mut marks = vec![Mark::New; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut stack: Vec<(NodeId, usize)> = Vec::new();
        for root in self.node_ids() {
            if marks[root.index()] != Mark::New {
                continue;
            }
            marks[root.index()] = Mark::Open;
            stack.push((root, 0));
            // Depth first without recursion: a chain may be as long as the model.
            while let Some((id, next)) = stack.last_mut() {
                let id = *id;
                let Some(value) = self.dependency(id, *next) else {
                    marks[id.index()] = Mark::Done;
                    order.push(id);
                    stack.pop();
                    continue;
                };
                *next += 1;
                let Some(producer) = value.and_then(|v| self.value(v).producer()) else { continue };
                match marks[producer.index()] {
                    Mark::Done => {}
                    Mark::Open => {
                        return Err(Error::value(self.value(value.unwrap_or(ValueId(0))).name(), "depends on itself"));
                    }
                    Mark::New => {
                        marks[producer.index()] = Mark::Open;
                        stack.push((producer, 0));
                    }
                }
            }
        }
        Ok(order)
    }

    /// Value number `index` that a node reads, counting its inputs and then what its bodies read; `None` past the end.
    #[expect(clippy::option_option, reason = "past the end, and an input left out, are two things")]
    fn dependency(&self, id: NodeId, index: usize) -> Option<Option<ValueId>> {
        let node = self.node(id);
        match node.inputs.get(index) {
            Some(input) => Some(*input),
            None => node.captured.get(index - node.inputs.len()).map(|v| Some(*v)),
        }
    }
}
