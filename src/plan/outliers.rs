//! Products of matrices of which a few columns are far larger than the others: those run in float beside the integer rest
//! (T. Dettmers et al., "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022), here with columns that
//! calibration finds.

use super::{Placement, Plan, RangeSource, ValuePlan};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops;
use crate::policy::{Matched, Mode, Settings};
use crate::quant::ChannelAxis;
use std::collections::HashMap;

/// What a product is split by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// What it reads.
    pub value: ValueId,
    /// The magnitude from which a column of that runs in float.
    pub threshold: f32,
}

/// Where each node stands in the plan.
type Places = HashMap<NodeId, usize>;

/// Products of a few columns beside one of the rest, as a split writes them, with what picks and what adds them: of a model that
/// was split before, they are to stay in float. With each node why.
pub fn splits(graph: &Graph) -> Vec<(NodeId, String)> {
    let why = "it is part of the columns that run in float beside the integer rest";
    let one = |id: NodeId| {
        let node = graph.node(id);
        let (picked, weight, made) = (node.input(0)?, node.input(1)?, node.output(0)?);
        let pick = graph.value(picked).producer()?;
        let indices = graph.node(pick).input(1)?;
        let mut readers = graph.value(made).readers();
        let (sum, _) = readers.next()?;
        let beside = node.is("MatMul")
            && graph.is_constant(weight)
            && graph.node(pick).is("Gather")
            && graph.node(pick).attributes().int("axis") == Some(-1)
            && graph.is_constant(indices)
            && graph.rank(indices) == Some(1)
            && graph.node(sum).is("Add")
            && readers.next().is_none();
        beside.then_some([pick, id, sum])
    };
    graph.node_ids().filter_map(one).flatten().map(|id| (id, why.to_owned())).collect()
}

/// Why the columns of `node` cannot be told, blamed on what asks for the split.
fn unseen(node: NodeId, order: &[NodeId], matched: &Matched, settings: &Settings) -> Error {
    let why = "activations.outlier_threshold: which columns pass it is seen in samples; name some with --data";
    let rule = order.iter().zip(&matched.nodes).find(|(id, _)| **id == node).and_then(|(_, node)| node.split_on);
    match rule {
        Some(place) => settings.blame(Some(place), Error::other(why)),
        None => settings.blame_key("activations.outlier_threshold", Error::other(why)),
    }
}

impl Plan {
    /// Plans the splits that the policy asks for, and what has to be observed for them. `order` and `matched` are parallel.
    ///
    /// # Errors
    /// When there are no samples that could tell the columns of a dynamic layer.
    pub(super) fn plan_splits(
        &mut self,
        graph: &Graph,
        order: &[NodeId],
        matched: &Matched,
        settings: &Settings,
    ) -> Result<()> {
        let thresholds: HashMap<NodeId, f32> = order
            .iter()
            .zip(&matched.nodes)
            .filter_map(|(&id, node)| Some((id, node.activations.outlier_threshold?)))
            .collect();
        if thresholds.is_empty() {
            return Ok(());
        }
        let places: Places = self.nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
        let mut splits = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(&threshold) = thresholds.get(&node.id) else { continue };
            let Some(value) =
                self.splittable(graph, at, &places).filter(|&v| self.all_split(graph, v, &thresholds, &places))
            else {
                continue;
            };
            splits.push((at, Split { value, threshold }));
        }
        for (at, split) in splits {
            let constants = match &mut self.nodes[at].placement {
                Placement::Integer(integer) => &mut integer.constants[..],
                Placement::Dynamic(weight) => {
                    if !settings.sees_samples() && settings.mode != Mode::Static {
                        return Err(unseen(self.nodes[at].id, order, matched, settings));
                    }
                    std::slice::from_mut(weight)
                }
                _ => continue,
            };
            constants.iter_mut().filter(|c| c.is_weight).for_each(|c| c.split = Some(split));
            self.watch_columns(graph, split.value, matched);
        }
        Ok(())
    }

    /// What product number `at` of the nodes reads, if it has one matrix of weights and reads what was computed in float.
    fn splittable(&self, graph: &Graph, at: usize, places: &Places) -> Option<ValueId> {
        let node = &self.nodes[at];
        let weight = match &node.placement {
            Placement::Integer(integer) if integer.clamps.is_empty() => {
                integer.constants.iter().find(|c| c.is_weight)?
            }
            Placement::Dynamic(weight) => weight,
            _ => return None,
        };
        let op = ops::lookup(graph, node.id).filter(|_| weight.known.is_none())?;
        let columns = op.summed_axis(graph, node.id) == Some(ChannelAxis::Last);
        let shape = graph.node(node.id).input(weight.slot).and_then(|w| graph.stated_type(w))?.dims;
        let read = graph.node(node.id).input(0).filter(|_| columns && weight.slot == 1 && shape.len() == 2)?;
        // On a grid that integers made, what passes the threshold is lost already.
        let own = self.value(read).is_none_or(|value| value.range == RangeSource::Observed && value.also.is_empty());
        let maker = graph.value(read).producer().and_then(|id| self.nodes.get(*places.get(&id)?));
        let float =
            !maker.is_some_and(|node| matches!(node.placement, Placement::Integer(_) | Placement::Clamp { .. }));
        (own && float).then_some(read)
    }

    /// Whether every integer node that reads `value` is to be split by the same threshold: they share one grid.
    fn all_split(&self, graph: &Graph, value: ValueId, thresholds: &HashMap<NodeId, f32>, places: &Places) -> bool {
        let mut found = None;
        graph.value(value).readers().all(|(reader, _)| {
            let Some(&at) = places.get(&reader) else { return true };
            match &self.nodes[at].placement {
                Placement::Integer(_) | Placement::Dynamic(_) => {
                    let own =
                        thresholds.get(&reader).filter(|_| self.splittable(graph, at, places) == Some(value)).copied();
                    own.is_some() && *found.get_or_insert(own) == own
                }
                _ => true,
            }
        })
    }

    fn watch_columns(&mut self, graph: &Graph, value: ValueId, matched: &Matched) {
        let axis = Some(ChannelAxis::Last);
        if let Some(&index) = self.index.get(&value) {
            self.values[index].channels = axis;
            return;
        }
        match self.watched.iter_mut().find(|watched| watched.id == value) {
            Some(watched) => watched.channels = axis,
            None => {
                let settings = matched.values[value.index()].activations;
                self.watched.push(ValuePlan { channels: axis, ..ValuePlan::observed(graph, value, settings) });
            }
        }
    }
}
