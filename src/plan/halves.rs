//! Where numbers of 16 bits do. A node computes in them unless ONNX has no such operator, the policy or its constants are
//! against it, samples showed numbers that they cannot hold, or it does the arithmetic of shapes and positions.

use super::Placement;
use super::place::{makes_no_floats, policy_reason};
use super::types::FloatTypes;
use crate::error::Result;
use crate::ir::{Graph, NodeId, Use, ValueId};
use crate::ops;
use crate::ops::{Half, Role};
use crate::policy::{HalfSettings, Matched};
use crate::quant::HalfType;
use std::collections::HashMap;

/// A node that computes in 16 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfNode {
    /// The type that it computes in.
    pub kind: HalfType,
    /// Inputs that are of this type.
    pub inputs: Vec<usize>,
    /// Those of them whose numbers come from float32, and may lie beyond the type's range: they are cut off at its ends.
    pub cut_off: Vec<usize>,
    /// Outputs that are of this type.
    pub outputs: Vec<usize>,
    /// The attribute that states the type of what it makes.
    pub attribute: Option<&'static str>,
}

/// So many elements at most does a constant have that positions are multiplied with, and not what is looked up by them.
const FEW: usize = 4096;

/// What becomes of the nodes of a graph whose mode is one of 16 bits, by the index of the node; nothing of the others.
/// `matched` is parallel to `order`, a topological order; `kept` stay in float32, each for what samples showed.
///
/// # Errors
/// When a stored constant is malformed.
pub(super) fn place(
    graph: &Graph,
    order: &[NodeId],
    matched: &Matched,
    settings: &HalfSettings,
    kept: &[(NodeId, String)],
) -> Result<Vec<Option<Placement>>> {
    let mut wishes: Vec<Option<Wish>> = vec![None; graph.node_bound()];
    for (&id, node) in order.iter().zip(&matched.nodes) {
        let against = (!node.quantize).then(|| policy_reason(node));
        wishes[id.index()] = node.mode.half().map(|kind| Wish { kind, insists: node.insists, against });
    }
    if wishes.iter().all(Option::is_none) {
        return Ok(vec![None; graph.node_bound()]);
    }
    let kept = kept.iter().map(|(id, why)| (*id, why.as_str())).collect();
    let mut placer = Placer {
        graph,
        order,
        wishes,
        convert_io: settings.convert_io,
        blocked: &settings.block,
        kept,
        types: FloatTypes::of(graph, order),
        verdicts: vec![None; graph.node_bound()],
        beyond: vec![false; graph.node_bound()],
    };
    placer.run()?;
    Ok(placer.placements())
}

/// What is wished of a node.
#[derive(Debug, Clone)]
struct Wish {
    kind: HalfType,
    /// Whether the policy says that the node is to be in 16 bits, whatever the risk.
    insists: bool,
    /// Why the policy keeps it in float32.
    against: Option<String>,
}

struct Placer<'a> {
    graph: &'a Graph,
    order: &'a [NodeId],
    wishes: Vec<Option<Wish>>,
    /// Whether inputs and outputs of the model become numbers of 16 bits, too.
    convert_io: bool,
    /// Operators that the policy keeps in float32.
    blocked: &'a [String],
    kept: HashMap<NodeId, &'a str>,
    types: FloatTypes,
    /// Whether a node computes in 16 bits, or why not; nothing for those that need not know.
    verdicts: Vec<Option<std::result::Result<&'static Half, String>>>,
    /// Nodes that stay in float32 because their numbers lie beyond the range.
    beyond: Vec<bool>,
}

impl Placer<'_> {
    fn run(&mut self) -> Result<()> {
        for &id in self.order {
            let Some(wish) = &self.wishes[id.index()] else { continue };
            if let Some(why) = &wish.against {
                self.verdicts[id.index()] = Some(Err(why.clone()));
            } else {
                self.verdicts[id.index()] = self.alone(id, wish.kind, wish.insists)?;
            }
        }
        self.keep_counting();
        self.follow_inputs();
        self.keep_squares();
        self.keep_between();
        self.follow_readers();
        Ok(())
    }

    fn is_half(&self, id: NodeId) -> bool {
        matches!(self.verdicts[id.index()], Some(Ok(_)))
    }

    /// The inputs of one floating-point type that are computed while the model runs.
    fn dynamic(&self, id: NodeId, row: &Half) -> Vec<ValueId> {
        let node = self.graph.node(id);
        let inputs = row.reads(node).into_iter().filter_map(|slot| node.input(slot));
        inputs.filter(|&v| !self.graph.is_constant(v)).collect()
    }

    /// What can be said of a node by itself.
    fn alone(
        &mut self,
        id: NodeId,
        kind: HalfType,
        insists: bool,
    ) -> Result<Option<std::result::Result<&'static Half, String>>> {
        let node = self.graph.node(id);
        let row = ops::half(node);
        let Some(row) = row.filter(|row| row.since(kind.dtype()).is_some()) else {
            let why = if node.attributes().has_bodies() {
                "it hands on what its bodies give, in float32".to_owned()
            } else {
                format!("ONNX has no {} of {kind}", node.op_type())
            };
            return Ok((!makes_no_floats(self.graph, id)).then_some(Err(why)));
        };
        if row.measures() || !self.types.concerns(self.graph, id, row) {
            return Ok(None);
        }
        if !self.types.is_float32(self.graph, id, row) {
            return Ok(Some(Err("the element type of its inputs is not known to be float32".to_owned())));
        }
        let risk = ops::half_risk(node).map(str::to_owned);
        let blocked = self.blocked.iter().any(|op_type| op_type == node.op_type());
        let risk = risk.or_else(|| blocked.then(|| "the policy blocks its operator".to_owned()));
        if let Some(why) = risk.filter(|_| !insists) {
            return Ok(Some(Err(why)));
        }
        for slot in row.reads(node) {
            let Some(value) = node.input(slot).filter(|&v| self.graph.is_constant(v)) else { continue };
            let Some(tensor) = self.graph.constant(value)? else {
                return Ok(Some(Err("a constant input is sparse or of strings".to_owned())));
            };
            let loss = kind.loss(&tensor)?;
            let why = match loss.beyond {
                Some(number) if !row.bounds() => {
                    self.beyond[id.index()] = true;
                    format!("its constant {:?} holds {number:e}, and {kind} ends at {:e}", self.name(value), kind.max())
                }
                _ if row.compares() && !loss.exact => {
                    format!("it compares with the constant {:?}, which {kind} does not hold exactly", self.name(value))
                }
                _ if loss.relative > kind.tolerated() => format!(
                    "its constant {:?} is so small that {kind} loses {:.1} % of it",
                    self.name(value),
                    loss.relative * 100.0
                ),
                _ => continue,
            };
            return Ok(Some(Err(why)));
        }
        if let Some(&why) = self.kept.get(&id).filter(|_| !insists) {
            self.beyond[id.index()] = true;
            return Ok(Some(Err(why.to_owned())));
        }
        Ok(Some(Ok(row)))
    }

    fn name(&self, value: ValueId) -> &str {
        self.graph.value(value).name()
    }

    /// Arithmetic of shapes, positions and masks: what is computed from integers alone. In 16 bits, integers above 2048 (256
    /// in bfloat16) are not exact, and the number of a position times a frequency is an angle of no meaning.
    fn keep_counting(&mut self) {
        let mut counts = vec![false; self.graph.value_bound()];
        for &id in self.order {
            let node = self.graph.node(id);
            let dynamic = || node.inputs().iter().flatten().copied().filter(|&v| !self.graph.is_constant(v));
            let floats = || dynamic().filter(|&v| self.types.may_be_float(v));
            let from_integers =
                ops::half(node).is_some_and(Half::casts) && dynamic().all(|v| !self.types.may_be_float(v));
            let weighs = ops::lookup(self.graph, id).is_some_and(|op| op.role == Role::Compute)
                && node.inputs().iter().flatten().any(|&v| self.elements(v) > FEW);
            let counted = floats().next().is_some() && floats().all(|v| counts[v.index()]) && !weighs;
            if !(from_integers || counted) || node.attributes().has_bodies() {
                continue;
            }
            node.outputs().iter().flatten().for_each(|v| counts[v.index()] = true);
            let insists = self.wishes[id.index()].as_ref().is_some_and(|wish| wish.insists);
            if self.is_half(id) && !insists {
                let why = "it is computed from shapes, positions or masks alone";
                self.verdicts[id.index()] = Some(Err(why.to_owned()));
            }
        }
    }

    fn elements(&self, value: ValueId) -> usize {
        let constant = self.graph.is_constant(value);
        self.graph.stated_type(value).filter(|_| constant).map_or(0, |ty| ty.dims.iter().flatten().product())
    }

    /// What tells but makes no numbers reads 16 bits where it finds them and float32 where not, and roots and logarithms of
    /// what was kept from leaving the range are taken before they return to it.
    fn follow_inputs(&mut self) {
        for &id in self.order {
            let Some(Ok(row)) = self.verdicts[id.index()] else { continue };
            let dynamic = self.dynamic(id, row);
            let made_in = |v: &ValueId, half: bool| {
                let producer = self.graph.value(*v).producer();
                producer.is_some_and(|p| self.is_half(p) == half)
            };
            if row.makes(self.graph.node(id)).is_empty() {
                if !dynamic.iter().all(|v| made_in(v, true)) {
                    self.verdicts[id.index()] = None;
                }
            } else if row.narrows() && !dynamic.is_empty() && dynamic.iter().all(|v| made_in(v, false)) {
                self.verdicts[id.index()] = Some(Err("it goes on with what stays in float32".to_owned()));
            }
        }
    }

    /// Whether what reads is a node that stays in float32, or an output of the model that does.
    fn reads_float32(&self, one: &Use) -> bool {
        match one {
            Use::Input { node, .. } => matches!(self.verdicts[node.index()], Some(Err(_))),
            Use::Output { .. } => !self.convert_io,
            Use::Body { .. } => true,
        }
    }

    /// Squares that only a sum in float32 reads are made in float32: they pass the range before anything else does.
    fn keep_squares(&mut self) {
        for &id in self.order {
            let node = self.graph.node(id);
            let multiplies = matches!(self.verdicts[id.index()], Some(Ok(row)) if row.multiplies());
            let square = multiplies && node.input(0) == node.input(1);
            let uses: Vec<_> = node.outputs().iter().flatten().flat_map(|&v| self.graph.value(v).uses()).collect();
            let summed = |one: &&Use| matches!(one, Use::Input { .. }) && self.reads_float32(one);
            if square && !uses.is_empty() && uses.iter().all(summed) {
                self.verdicts[id.index()] = Some(Err("it makes squares for what stays in float32".to_owned()));
            }
        }
    }

    /// A node without weights between nodes that all stay in float32 would only cost two conversions.
    fn keep_between(&mut self) {
        let light = |placer: &Self, id: NodeId| {
            let Some(Ok(row)) = placer.verdicts[id.index()] else { return None };
            let weighs = ops::lookup(placer.graph, id).is_none_or(|op| op.weight.is_some());
            (!weighs && !row.makes(placer.graph.node(id)).is_empty()).then(|| placer.dynamic(id, row))
        };
        // Forwards: whether it reads nothing but what stays in float32, nodes like it between.
        let mut fed = vec![false; self.graph.node_bound()];
        for &id in self.order {
            fed[id.index()] = match light(self, id) {
                Some(dynamic) => {
                    let from_float = |v: &ValueId| {
                        let producer = self.graph.value(*v).producer();
                        producer.is_some_and(|p| fed[p.index()])
                    };
                    !dynamic.is_empty() && dynamic.iter().all(from_float)
                }
                None => matches!(self.verdicts[id.index()], Some(Err(_))),
            };
        }
        for &id in self.order.iter().rev() {
            if light(self, id).is_none() || !fed[id.index()] {
                continue;
            }
            let outputs = self.graph.node(id).outputs().iter().flatten();
            let uses: Vec<_> = outputs.flat_map(|&v| self.graph.value(v).uses()).collect();
            if !uses.is_empty() && uses.into_iter().all(|one| self.reads_float32(one)) {
                self.verdicts[id.index()] = Some(Err("it stands between nodes that stay in float32".to_owned()));
            }
        }
    }

    /// What reads no number is in 16 bits only where every reader is.
    fn follow_readers(&mut self) {
        for &id in self.order.iter().rev() {
            let Some(Ok(row)) = self.verdicts[id.index()] else { continue };
            if row.attribute.is_none() {
                continue;
            }
            let outputs = self.graph.node(id).outputs().iter().flatten();
            let by_half = |one: &Use| matches!(one, Use::Input { node, .. } if self.is_half(*node));
            if !outputs.flat_map(|&v| self.graph.value(v).uses()).all(by_half) {
                self.verdicts[id.index()] = Some(Err("somebody reads it in float32".to_owned()));
            }
        }
    }

    /// Whether each value may hold numbers beyond the range, made by nodes in float32.
    fn huge(&self) -> Vec<bool> {
        let mut huge = vec![false; self.graph.value_bound()];
        for &id in self.order.iter().filter(|&&id| !self.is_half(id)) {
            let node = self.graph.node(id);
            if self.beyond[id.index()] || node.inputs().iter().flatten().any(|v| huge[v.index()]) {
                node.outputs().iter().flatten().for_each(|v| huge[v.index()] = true);
            }
        }
        huge
    }

    fn placements(&self) -> Vec<Option<Placement>> {
        let huge = self.huge();
        let placement = |id: NodeId| {
            let wish = self.wishes[id.index()].as_ref()?;
            Some(match &self.verdicts[id.index()] {
                None => Placement::NoFloats,
                Some(Err(reason)) => Placement::Float { reason: reason.clone() },
                Some(Ok(row)) => {
                    let node = self.graph.node(id);
                    let inputs = row.reads(node);
                    let huge = |slot: &usize| node.input(*slot).is_some_and(|v| huge[v.index()]);
                    let cut_off = inputs.iter().copied().filter(huge).collect();
                    let (outputs, attribute) = (row.makes(node), row.attribute);
                    Placement::Half(HalfNode { kind: wish.kind, inputs, cut_off, outputs, attribute })
                }
            })
        };
        let mut placements = vec![None; self.graph.node_bound()];
        self.order.iter().for_each(|&id| placements[id.index()] = placement(id));
        placements
    }
}
