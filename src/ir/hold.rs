//! Values that have to outlast the passes as they are.

use super::graph::{Graph, Use, ValueId};
use crate::proto::ValueInfoProto;

impl Graph {
    /// Makes `value` an output more, so that no pass takes it away.
    pub fn expose(&mut self, value: ValueId) {
        let name = self.value(value).name().to_owned();
        let index = self.outputs.len();
        self.values[value.index()].uses.push(Use::Output { index });
        self.outputs.push((value, ValueInfoProto { name: Some(name), ..ValueInfoProto::default() }));
    }

    /// Takes the outputs from number `count` on away again.
    pub fn conceal(&mut self, count: usize) {
        for (value, _) in self.outputs.split_off(count.min(self.outputs.len())) {
            self.values[value.index()].uses.retain(|one| !matches!(one, Use::Output { index } if *index >= count));
        }
    }

    /// Says that a constant must not be changed or folded into another.
    pub fn hold(&mut self, value: ValueId) {
        self.held.insert(value);
    }

    /// Whether a constant must not be changed or folded into another.
    pub fn is_held(&self, value: ValueId) -> bool {
        self.held.contains(&value)
    }
}
