//! Which nodes compute in 16 bits: those whose numbers did, and what was put between them.

use super::bodies::Border;
use super::{HalfNode, Keeper, cast_from, half_node};
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::ops::{self, Half};
use crate::quant::HalfType;
use crate::tensor::DataType;
use std::collections::{HashMap, HashSet};

/// What becomes of the nodes of a graph.
#[derive(Default)]
pub(super) struct Decided {
    pub by_node: HashMap<NodeId, HalfNode>,
    /// What the bodies of a node read and give.
    pub borders: Vec<(NodeId, Border)>,
}

impl Keeper<'_> {
    /// Decides for each node; `native` is what is in 16 bits without it, and the nodes `float32` are not to be.
    pub(super) fn decide(
        &self,
        graph: &Graph,
        native: &HashMap<ValueId, HalfType>,
        float32: &HashSet<NodeId>,
    ) -> Result<Decided> {
        let mut decided = Decided::default();
        // The type of values; that of what is quantized and dequantized again is the one that was quantized.
        let mut types: Vec<Option<HalfType>> = graph.value_ids().map(|v| native.get(&v).copied()).collect();
        let (mut integers, mut dequantizers) = (types.clone(), Vec::new());
        let order = graph.topological()?;
        for &id in &order {
            let node = graph.node(id);
            if graph.body_count(id) > 0 {
                let (half, border) = self.around_bodies(graph, id)?;
                for &slot in half.iter().flat_map(|half| &half.outputs) {
                    node.output(slot).into_iter().for_each(|v| types[v.index()] = half.as_ref().map(|half| half.kind));
                }
                decided.by_node.extend(half.map(|half| (id, half)));
                decided.borders.push((id, border));
                continue;
            }
            let Some(row) = ops::half(node).or_else(|| ops::half_quantizer(node)) else { continue };
            if row.dequantizes() {
                let made = node.output(0).zip(node.input(0));
                if let Some((output, input)) = made {
                    let was = self.kinds.of_value(graph.value(output).name());
                    types[output.index()] = was.unwrap_or(integers[input.index()]);
                }
                dequantizers.push((id, row));
                continue;
            }
            if let Some(made) = node.output(0) {
                integers[made.index()] = self.stands_for(graph, id, row, &types, &integers);
            }
            let kind = self.kind(graph, id, row, &types).filter(|_| !float32.contains(&id));
            let Some(kind) = kind else { continue };
            if !self.holds(graph, id, row, kind)? {
                continue;
            }
            let half = half_node(graph, id, row, kind);
            for value in half.outputs.iter().filter_map(|&slot| node.output(slot)) {
                types[value.index()] = Some(kind);
            }
            decided.by_node.insert(id, half);
        }
        self.dequantize(graph, &dequantizers, &types, &mut decided)?;
        Ok(decided)
    }

    /// What dequantizes makes 16 bits where somebody reads them, or they were there before.
    fn dequantize(
        &self,
        graph: &Graph,
        dequantizers: &[(NodeId, &'static Half)],
        types: &[Option<HalfType>],
        decided: &mut Decided,
    ) -> Result<()> {
        for &(id, row) in dequantizers {
            let Some(output) = graph.node(id).output(0) else { continue };
            let mut read = graph.value(output).readers().filter_map(|(node, slot)| {
                let casts = ops::half(graph.node(node)).is_some_and(Half::casts);
                let half = decided.by_node.get(&node).filter(|half| casts || half.inputs.contains(&slot))?;
                Some(half.kind)
            });
            let kind = match self.kinds.of_value(graph.value(output).name()) {
                Some(was) => was,
                None => read.next().or_else(|| types[output.index()].filter(|_| graph.value(output).is_captured())),
            };
            let Some(kind) = kind else { continue };
            if self.holds(graph, id, row, kind)? {
                decided.by_node.insert(id, half_node(graph, id, row, kind));
            }
        }
        Ok(())
    }

    /// The type of 16 bits that a node did compute in, or that is around it if it is new.
    fn kind(&self, graph: &Graph, id: NodeId, row: &Half, types: &[Option<HalfType>]) -> Option<HalfType> {
        let node = graph.node(id);
        if row.measures() {
            return None;
        }
        let reads: Vec<_> = row.reads(node).into_iter().filter_map(|slot| node.input(slot)).collect();
        let dynamic: Vec<_> = reads.into_iter().filter(|&v| !graph.is_constant(v)).collect();
        let of = |v: ValueId| types[v.index()].or_else(|| types[cast_from(graph, v)?.index()]);
        let made = row.makes(node).first().and_then(|&slot| node.output(slot));
        let Some(made) = made else {
            let kind = dynamic.first().and_then(|&v| of(v))?;
            // Of what quantizes, the scale may be a value that a body sees from around.
            let same = |&v: &ValueId| of(v) == Some(kind);
            return if row.scales().is_some() { Some(kind) } else { dynamic.iter().all(same).then_some(kind) };
        };
        match self.kinds.of_value(graph.value(made).name()) {
            // What was put in to scale sums of integers ends here: only its result is a number that was there before.
            Some(Some(_)) if !dynamic.is_empty() && dynamic.iter().all(|&v| self.is_new(graph, v, of(v))) => None,
            Some(was) => was,
            None if row.attribute.is_some() => None,
            None => dynamic.into_iter().find_map(of),
        }
    }

    /// The type of 16 bits that the integers which a node makes stand for, as far as it quantizes or moves what is quantized.
    fn stands_for(
        &self,
        graph: &Graph,
        id: NodeId,
        row: &Half,
        types: &[Option<HalfType>],
        integers: &[Option<HalfType>],
    ) -> Option<HalfType> {
        let read = graph.node(id).input(0)?;
        if row.quantizes() {
            let was = || self.kinds.of_value(graph.value(read).name()).flatten();
            return types[read.index()].or_else(was);
        }
        integers[read.index()].filter(|_| row.reads(graph.node(id)).contains(&0))
    }

    /// Whether a value in float32 was made by what was put in.
    fn is_new(&self, graph: &Graph, value: ValueId, kind: Option<HalfType>) -> bool {
        let dequantized = || {
            let producer = graph.value(value).producer().map(|id| graph.node(id));
            producer.and_then(ops::half_quantizer).is_some_and(Half::dequantizes)
        };
        kind.is_none() && self.kinds.of_value(graph.value(value).name()).is_none() && !dequantized()
    }

    /// Whether ONNX has the operator for numbers of this type, and they hold the node's constants: scales exactly.
    fn holds(&self, graph: &Graph, id: NodeId, row: &Half, kind: HalfType) -> Result<bool> {
        let node = graph.node(id);
        if row.since(kind.dtype()).is_none_or(|since| since > self.opset) {
            return Ok(false);
        }
        for slot in row.reads(node) {
            let Some(value) = node.input(slot).filter(|&v| graph.is_constant(v)) else { continue };
            if graph.element_type(value).and_then(HalfType::of) == Some(kind) {
                continue;
            }
            let float32 = graph.element_type(value) == Some(DataType::Float32);
            let Some(tensor) = graph.constant(value)?.filter(|_| float32) else { return Ok(false) };
            let loss = kind.loss(&tensor)?;
            let exact = row.scales() == Some(slot) || row.compares();
            let beyond = loss.beyond.is_some() && !row.bounds();
            if beyond || exact && !loss.exact || loss.relative > kind.tolerated() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
