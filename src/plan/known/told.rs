//! What is known of activations and constants beside grids: ranges, and what stays float.

use super::super::{Plan, RangeSource};
use super::Here;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::policy::Matched;
use crate::quant::KnownGrids;
use std::collections::{BTreeMap, HashMap, HashSet};

const FLOAT: &str = "the encodings leave it in float";

/// What is known of one graph, by value.
#[derive(Default)]
pub(super) struct Told {
    pub ranges: HashMap<ValueId, (f32, f32)>,
    floats: HashSet<ValueId>,
}

impl Told {
    /// What is known of `graph`.
    pub fn of(graph: &Graph, known: &KnownGrids) -> Self {
        let activation = |name: &String| graph.find(name).filter(|&value| !graph.is_constant(value));
        let ranges = known.ranges.iter().filter_map(|(name, range)| Some((activation(name)?, *range)));
        Self { ranges: ranges.collect(), floats: known.floats.iter().filter_map(|name| graph.find(name)).collect() }
    }

    /// Leaves in float what is said to stay so: values, and layers whose weights are.
    pub fn settle(&self, graph: &Graph, order: &[NodeId], matched: &mut Matched) {
        for value in &self.floats {
            let settings = &mut matched.values[value.index()];
            settings.quantize = false;
            settings.reason.get_or_insert_with(|| FLOAT.to_owned());
        }
        for (at, &id) in order.iter().enumerate().filter(|_| !self.floats.is_empty()) {
            let weights = ops::lookup(graph, id).into_iter().flat_map(|op| op.weights().collect::<Vec<_>>());
            let mut read = weights.filter_map(|weight| graph.node(id).input(weight.slot));
            let settings = &mut matched.nodes[at];
            if read.any(|value| self.floats.contains(&value)) && !settings.insists {
                settings.quantize = false;
                settings.reason.get_or_insert_with(|| "the encodings leave its weight in float".to_owned());
            }
        }
    }
}

impl Plan {
    /// Lists what is told of `graph` and not used: ranges of what needs none, and what the model does not have.
    pub(super) fn list_told(
        &self,
        graph: &Graph,
        here: &Here<'_>,
        told: &KnownGrids,
        unused: &mut BTreeMap<String, String>,
    ) {
        for name in told.ranges.keys() {
            let value = graph.find(name).filter(|value| here.told.ranges.contains_key(value));
            let reason = match value.map(|value| (value, self.value(value).map(|plan| plan.range))) {
                None => "the prepared model has no such value".to_owned(),
                Some((_, None)) => "the plan leaves it in float".to_owned(),
                Some((value, Some(RangeSource::Given(low, high)))) if here.range(value) == Some((low, high)) => {
                    continue;
                }
                Some((value, Some(RangeSource::SameAs(_)))) => {
                    format!("it is moved on the grid of {:?}", graph.value(self.root(value)).name())
                }
                Some((_, Some(RangeSource::Fixed(_)))) => "its operator cannot leave a range that is known".to_owned(),
                Some(_) => "its range or grid is stated elsewhere".to_owned(),
            };
            unused.insert(name.clone(), reason);
        }
        for name in &told.floats {
            let reason = match graph.find(name) {
                None => "the prepared model has no such value or constant",
                Some(value) if self.value(value).is_some() => "something else insists on a grid",
                Some(_) => continue,
            };
            unused.insert(name.clone(), reason.to_owned());
        }
    }
}
