//! LSTM as ONNX Runtime's DynamicQuantizeLSTM, whose weights are integers, a matrix for each direction the other way round than
//! ONNX has it, with a scale for each direction or for each of its columns.

use super::pieces;
use super::weights::{Around, grids};
use crate::error::Result;
use crate::ir::{Graph, NodeId, ValueId};
use crate::mapped;
use crate::ops;
use crate::plan::ConstantPlan;
use crate::qoperators::MICROSOFT;
use crate::quant::{Params, Scheme};
use crate::tensor::Tensor;
use bytes::Bytes;
use std::collections::HashMap;

/// A weight, and all that decides how it is stored.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    value: ValueId,
    axis: Option<usize>,
    scheme: Scheme,
    chosen: [bool; 3],
    known: bool,
}

/// The operands that stand for a weight: integers, scales, zero points.
type Operands = [ValueId; 3];

/// Makes such operators; each weight is stored once for all that read it in the same way.
#[derive(Default)]
pub(super) struct Recurrent {
    stored: HashMap<Key, Operands>,
}

/// The inputs that the scales of the two weights go to; their zero points come next.
const GRIDS: [usize; 2] = [8, 10];

impl Recurrent {
    /// Makes the node `id`, whose weights are stored as `plans` say, the operator that the table of operators names.
    pub fn layer(&mut self, graph: &mut Graph, id: NodeId, plans: &[ConstantPlan]) -> Result<()> {
        let Some(form) = ops::lookup(graph, id).and_then(|op| op.contrib_form) else { return Ok(()) };
        for (plan, grid) in plans.iter().zip(GRIDS) {
            let Some(value) = graph.node(id).input(plan.slot) else { continue };
            let [integers, scales, zeros] = self.store(graph, value, plan)?;
            graph.set_input(id, plan.slot, Some(integers));
            graph.set_input(id, grid, Some(scales));
            graph.set_input(id, grid + 1, Some(zeros));
        }
        // It has none, and computes as if it were 0.
        graph.remove_attribute(id, "layout");
        graph.set_operator(id, MICROSOFT, form);
        Ok(())
    }

    fn store(&mut self, graph: &mut Graph, value: ValueId, plan: &ConstantPlan) -> Result<Operands> {
        let chosen = [plan.least_error, plan.sum_order.is_some(), plan.positive];
        let key = Key { value, axis: plan.axis, scheme: plan.scheme, chosen, known: plan.known.is_some() };
        if let Some(&known) = self.stored.get(&key) {
            return Ok(known);
        }
        let Some(tensor) = graph.constant(value)? else { return Ok([value; 3]) };
        let name = graph.value(value).name().to_owned();
        let [integers, scales, zeros] = operands(&tensor, plan)?;
        mapped::let_go(tensor.bytes());
        let made = [("quantized", integers), ("scale", scales), ("zero_point", zeros)]
            .map(|(what, tensor)| graph.add_initializer(&format!("{name}_{what}"), &tensor));
        self.stored.insert(key, made);
        Ok(made)
    }
}

/// Integers `[directions, columns, rows]` of a weight `[directions, rows, columns]`, with their scales and zero points.
fn operands(tensor: &Tensor, plan: &ConstantPlan) -> Result<[Tensor; 3]> {
    let &[directions, rows, columns] = tensor.shape() else {
        return Err(crate::error::Error::other("a weight of a recurrent operator has three axes"));
    };
    let (numbers, dtype) = (tensor.to_f32()?, plan.scheme.dtype.data_type());
    let by_row = plan.axis == Some(1) || plan.block.is_some();
    let (mut integers, mut all) = (Vec::with_capacity(numbers.len()), Vec::new());
    for (direction, own) in numbers.chunks(rows * columns).enumerate() {
        let own = Tensor::from_f32(vec![rows, columns], own);
        let each = if by_row { rows } else { 1 };
        let part = |known: &[Params]| -> std::sync::Arc<[Params]> {
            // What is known may be the same for both directions.
            let first = if known.len() > each { direction * each } else { 0 };
            known[first..first + each].into()
        };
        let known = plan.known.as_deref().map(part);
        let axis = by_row.then_some(0);
        let grids = grids(&own, &ConstantPlan { axis, block: None, known, ..plan.clone() }, &Around::default())?;
        let stored = pieces::quantize(&own, axis, &grids)?;
        integers.extend((0..columns).flat_map(|column| stored[column..].iter().step_by(columns).copied()));
        all.extend(grids);
    }
    let shape = if by_row { vec![directions, rows] } else { vec![directions] };
    let scales: Vec<f32> = all.iter().map(|grid| grid.scale).collect();
    let zeros = all.iter().flat_map(Params::zero_point_bytes).collect::<Vec<u8>>();
    Ok([
        Tensor::new(dtype, vec![directions, columns, rows], Bytes::from(integers))?,
        Tensor::from_f32(shape.clone(), &scales),
        Tensor::new(dtype, shape, Bytes::from(zeros))?,
    ])
}
