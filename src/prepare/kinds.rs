//! The floating-point types that values had in a model before all of it became float32.

use crate::error::Result;
use crate::exec::Types;
use crate::ir::{Graph, NodeId};
use crate::ops;
use crate::quant::HalfType;
use crate::tensor::DataType;
use std::collections::HashMap;

/// The floating-point type of each value, by its name, as far as it is known. Of bodies that have a name in common one says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    types: HashMap<String, DataType>,
    /// How many nodes made numbers of each type of 16 bits, Casts aside.
    made: HashMap<HalfType, usize>,
}

impl Kinds {
    /// Collects it; `found` is what an engine found out.
    ///
    /// # Errors
    /// When a body is malformed.
    pub(super) fn of(graph: &Graph, found: &Types) -> Result<Self> {
        let mut kinds = Self::default();
        kinds.collect(graph, found, &HashMap::new())?;
        Ok(kinds)
    }

    /// The types of 16 bits that the model computes in. One that only comes in and goes out through Casts does not count.
    pub fn halves(&self) -> impl Iterator<Item = HalfType> + '_ {
        [HalfType::Float16, HalfType::Bfloat16].into_iter().filter(|kind| self.made.contains_key(kind))
    }

    /// The type of 16 bits that a value had; `Some(None)` where it was another floating-point type, `None` where nothing is
    /// known of it.
    pub fn of_value(&self, name: &str) -> Option<Option<HalfType>> {
        self.types.get(name).map(|&dtype| HalfType::of(dtype))
    }

    /// Notes that a value which is new stands for numbers of 16 bits.
    pub(super) fn note(&mut self, name: &str, kind: HalfType) {
        self.types.insert(name.to_owned(), kind.dtype());
    }

    /// Notes that a value which is new stands for another.
    pub(super) fn copy(&mut self, from: &str, to: &str) {
        if let Some(&dtype) = self.types.get(from) {
            self.types.insert(to.to_owned(), dtype);
        }
    }

    /// Goes through a graph that sees the values `around`, and gives the types of its outputs.
    fn collect(
        &mut self,
        graph: &Graph,
        found: &Types,
        around: &HashMap<String, DataType>,
    ) -> Result<Vec<Option<DataType>>> {
        let known = |v| {
            let name = graph.value(v).name();
            graph.element_type(v).or_else(|| found.get(name).map(|ty| ty.dtype)).or_else(|| around.get(name).copied())
        };
        let mut types: Vec<Option<DataType>> = graph.value_ids().map(known).collect();
        for id in graph.topological()? {
            if graph.body_count(id) > 0 {
                self.bodies(graph, id, found, around, &mut types)?;
            }
            ops::follow_type(graph, id, &mut types);
            let casts = ops::half(graph.node(id)).is_some_and(ops::Half::casts);
            for value in graph.node(id).outputs().iter().flatten().filter(|_| !casts) {
                if let Some(kind) = types[value.index()].and_then(HalfType::of) {
                    *self.made.entry(kind).or_default() += 1;
                }
            }
        }
        for (value, dtype) in graph.value_ids().zip(&types) {
            if let Some(dtype) = dtype.filter(|dtype| dtype.is_float()) {
                self.types.insert(graph.value(value).name().to_owned(), dtype);
            }
        }
        Ok(graph.outputs().map(|v| types[v.index()]).collect())
    }

    /// Goes through the bodies of a node, whose outputs are those of its body.
    fn bodies(
        &mut self,
        graph: &Graph,
        id: NodeId,
        found: &Types,
        around: &HashMap<String, DataType>,
        types: &mut [Option<DataType>],
    ) -> Result<()> {
        let mut seen = around.clone();
        let own = graph.value_ids().zip(types.iter());
        seen.extend(own.filter_map(|(v, dtype)| Some((graph.value(v).name().to_owned(), (*dtype)?))));
        for index in 0..graph.body_count(id) {
            let outputs = self.collect(&graph.body(id, index)?, found, &seen)?;
            let ahead = outputs.len().saturating_sub(graph.node(id).outputs().len());
            for (value, dtype) in graph.node(id).outputs().iter().zip(outputs.into_iter().skip(ahead)) {
                if let (Some(value), Some(dtype)) = (value, dtype) {
                    types[value.index()].get_or_insert(dtype);
                }
            }
        }
        Ok(())
    }
}
