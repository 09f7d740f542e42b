//! Layers on grids that each run finds anew: DynamicQuantizeLinear, a product of integers, and its scale.
//!
//! The product of the two scales comes first and the integers are multiplied with it: in that order ONNX Runtime finds the
//! nodes and makes them one (`DynamicQuantizeMatMul`, `MatMulIntegerToFloat`).

use super::constants::Constants;
use super::outliers;
use super::weights::{Around, grids};
use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::ops::{self, Bias};
use crate::plan::ConstantPlan;
use crate::quant::{GridType, SumOrder};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use std::collections::HashMap;

/// What a DynamicQuantizeLinear makes.
#[derive(Clone, Copy)]
struct Quantized {
    integers: ValueId,
    scale: ValueId,
    zero_point: ValueId,
}

/// Makes layers dynamic; each value is quantized once for all that read it.
#[derive(Default)]
pub(super) struct Dynamic {
    quantized: HashMap<ValueId, Quantized>,
    /// Matrices the other way round.
    turned: HashMap<ValueId, ValueId>,
    zero_points: HashMap<(GridType, i32), ValueId>,
    /// Values without the columns that run in float.
    inliers: HashMap<ValueId, ValueId>,
}

impl Dynamic {
    /// Makes the layer `id`, whose weight is stored as `plan` says, compute on integers; but for `columns` of what it reads,
    /// which run in float beside.
    pub fn layer(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        plan: &ConstantPlan,
        columns: &[usize],
        constants: &mut Constants,
    ) -> Result<()> {
        let Some((op, form)) = ops::lookup(graph, id).and_then(|op| Some((op, op.integer_form?))) else {
            return Ok(());
        };
        let node = graph.node(id);
        let (Some(read), Some(made)) = (node.input(0), node.output(0)) else { return Ok(()) };
        let bias = match op.bias {
            Bias::Input(slot) => node.input(slot),
            Bias::None | Bias::AddBehind => None,
        };
        let turned = node.attributes().int("transB").unwrap_or(0) != 0;
        let beside = if columns.is_empty() { None } else { outliers::beside(graph, id, read, columns)? };
        let read =
            if beside.is_some() { self.without(graph, read, columns, summed_length(graph, id, turned)) } else { read };
        let mut plan = plan.clone();
        if turned {
            plan = self.turn(graph, id, plan)?;
        }
        let Some(value) = graph.node(id).input(plan.slot) else { return Ok(()) };
        let Some(tensor) = graph.constant(value)? else { return Ok(()) };
        // Channels come second behind a convolution, last behind a product.
        let behind = if op.convolves() { tensor.shape().len().saturating_sub(2) } else { 0 };
        let grids = grids(&tensor, &plan, &Around::default())?;
        let weight = constants.store_for_product(graph, value, &tensor, &plan, &grids, behind)?;
        let zero = grids.first().map_or(0, |grid| grid.zero_point);
        let weight_zero = (zero != 0).then(|| self.zero_point(graph, plan.scheme.dtype, zero));
        let input = self.quantize(graph, read);

        graph.set_op_type(id, form);
        // A Gemm's, all of which say nothing any more.
        for name in ["transA", "transB", "alpha", "beta"] {
            graph.remove_attribute(id, name);
        }
        let inputs = [Some(input.integers), Some(weight.integers), Some(input.zero_point), weight_zero];
        inputs.into_iter().enumerate().for_each(|(slot, value)| graph.set_input(id, slot, value));

        let name = graph.value(made).name().to_owned();
        let product = graph.split_output(id, 0, &format!("{name}_integers"));
        let add = |graph: &mut Graph, op_type: &str, inputs: &[ValueId], ints: Vec<(&str, i64)>| {
            let stem = format!("{name}_{op_type}");
            let inputs = inputs.iter().copied().map(Some).collect();
            graph.add_node(NewNode { op_type, name: &stem, inputs, ints }, &format!("{stem}_Output"))
        };
        let to = i64::from(DataType::Float32.onnx());
        let (_, float) = add(graph, "Cast", &[product], vec![("to", to)]);
        let (_, scale) = add(graph, "Mul", &[input.scale, weight.scale], vec![]);
        let (mut last, scaled) = add(graph, "Mul", &[float, scale], vec![]);
        if let Some(bias) = bias {
            let bias = if behind > 0 { spread(graph, bias, behind)? } else { bias };
            last = add(graph, "Add", &[scaled, bias], vec![]).0;
        }
        graph.take_over_output(last, 0, made);
        if let Some(beside) = beside {
            outliers::join(graph, last, beside);
        }
        Ok(())
    }

    /// Turns the matrix of a Gemm, and the plan with it.
    fn turn(&mut self, graph: &mut Graph, id: NodeId, plan: ConstantPlan) -> Result<ConstantPlan> {
        let Some(value) = graph.node(id).input(plan.slot) else { return Ok(plan) };
        let turned = match self.turned.get(&value) {
            Some(&known) => known,
            None => {
                let Some(tensor) = graph.constant(value)? else { return Ok(plan) };
                let name = graph.value(value).name().to_owned();
                let turned = graph.add_initializer(&name, &tensor.transposed()?);
                *self.turned.entry(value).or_insert(turned)
            }
        };
        graph.set_input(id, plan.slot, Some(turned));
        let sum_order = plan.sum_order.map(|_| SumOrder::Columns);
        Ok(ConstantPlan { axis: plan.axis.map(|axis| 1 - axis.min(1)), sum_order, ..plan })
    }

    /// A value with zeros in some of its columns, made once.
    fn without(&mut self, graph: &mut Graph, value: ValueId, columns: &[usize], length: usize) -> ValueId {
        if let Some(&known) = self.inliers.get(&value) {
            return known;
        }
        let name = graph.value(value).name().to_owned();
        let mut mask = vec![1f32; length];
        columns.iter().filter(|&&column| column < length).for_each(|&column| mask[column] = 0.0);
        let mask = graph.add_initializer(&format!("{name}_inlier_mask"), &Tensor::from_f32(vec![length], &mask));
        let (stem, inputs) = (format!("{name}_inliers"), vec![Some(value), Some(mask)]);
        let new = NewNode { op_type: "Mul", name: &stem, inputs, ints: vec![] };
        let (_, inliers) = graph.add_node(new, &stem);
        self.inliers.insert(value, inliers);
        inliers
    }

    fn quantize(&mut self, graph: &mut Graph, value: ValueId) -> Quantized {
        *self.quantized.entry(value).or_insert_with(|| {
            let name = graph.value(value).name().to_owned();
            let node = format!("{name}_DynamicQuantizeLinear");
            let new =
                NewNode { op_type: "DynamicQuantizeLinear", name: &node, inputs: vec![Some(value)], ints: vec![] };
            let (node, integers) = graph.add_node(new, &format!("{name}_quantized"));
            let scale = graph.add_output(node, &format!("{name}_scale"));
            Quantized { integers, scale, zero_point: graph.add_output(node, &format!("{name}_zero_point")) }
        })
    }

    fn zero_point(&mut self, graph: &mut Graph, dtype: GridType, zero: i32) -> ValueId {
        *self.zero_points.entry((dtype, zero)).or_insert_with(|| {
            let byte = Bytes::copy_from_slice(&[zero as u8]);
            let tensor = Tensor::new(dtype.data_type(), vec![], byte).expect("one byte for one element");
            graph.add_initializer(&format!("{dtype}_zero_point"), &tensor)
        })
    }
}

/// How many columns the weights of a product have for what it reads.
fn summed_length(graph: &Graph, id: NodeId, turned: bool) -> usize {
    let ty = graph.node(id).input(1).and_then(|weight| graph.stated_type(weight));
    ty.and_then(|ty| ty.dims.get(usize::from(turned)).copied().flatten()).unwrap_or(0)
}

/// A bias, one number for each channel, so that it is added along the axis of channels with `behind` axes behind it.
fn spread(graph: &mut Graph, bias: ValueId, behind: usize) -> Result<ValueId> {
    let Some(tensor) = graph.constant(bias)? else { return Ok(bias) };
    let name = graph.value(bias).name().to_owned();
    let shape = std::iter::once(tensor.len()).chain(std::iter::repeat_n(1, behind)).collect();
    Ok(graph.add_initializer(&name, &tensor.reshaped(shape)))
}
