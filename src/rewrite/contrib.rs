//! Weights in blocks as operands of ONNX Runtime's own operators: MatMulNBits, MatMulBnb4 and GatherBlockQuantized.

use super::clusters;
use super::weights::in_blocks;
use crate::error::Result;
use crate::ir::{Graph, NewNode, NodeId, ValueId};
use crate::mapped;
use crate::plan::{ConstantPlan, Placement, Plan, Stored};
use crate::qoperators::MICROSOFT;
use crate::quant::{self, CodeBook, Scheme};
use crate::tensor::{DataType, Tensor};
use bytes::Bytes;
use std::collections::HashMap;

/// Whether a plan stores any weight for these operators.
pub(super) fn is_asked_for(plan: &Plan) -> bool {
    let asked = |placement: &Placement| placement.constants().iter().any(|constant| constant.form != Stored::Plain);
    plan.nodes.iter().any(|node| asked(&node.placement)) || plan.bodies.iter().any(|body| is_asked_for(&body.plan))
}

/// How the rows of a weight become operands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Layout {
    /// A matrix whose columns are the output channels.
    Columns,
    /// A matrix whose rows are the output channels.
    Rows,
    /// A table.
    Table,
}

/// The operands that stand for a weight.
#[derive(Clone, Copy)]
struct Operands {
    integers: ValueId,
    scales: ValueId,
    zeros: Option<ValueId>,
}

/// A weight, and all that decides how it is stored.
type Key = (ValueId, Layout, Scheme, Option<usize>, [bool; 2], Stored);

/// Makes operators of nodes, and stores each weight once.
#[derive(Default)]
pub(super) struct Operators {
    stored: HashMap<Key, Operands>,
}

impl Operators {
    /// Stores the weight of a node as operands, and makes the node the operator that reads them.
    pub fn store_weight(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        plan: &ConstantPlan,
        value: ValueId,
        tensor: &Tensor,
    ) -> Result<()> {
        let transposed = graph.node(id).attributes().int("transB").unwrap_or(0) != 0;
        let layout = match plan.slot {
            0 => Layout::Table,
            _ if transposed => Layout::Rows,
            _ => Layout::Columns,
        };
        let key = (value, layout, plan.scheme, plan.block, [plan.least_error, plan.least_norm], plan.form);
        let operands = match self.stored.get(&key) {
            Some(&known) => known,
            None => {
                let name = graph.value(value).name().to_owned();
                *self.stored.entry(key).or_insert(store(graph, &name, tensor, plan, layout)?)
            }
        };
        match layout {
            Layout::Table => look_up(graph, id, plan, operands),
            Layout::Rows | Layout::Columns => multiply(graph, id, plan, tensor.shape(), layout, operands),
        }
        Ok(())
    }
}

/// The operands of a matrix or table of two axes.
fn store(graph: &mut Graph, name: &str, tensor: &Tensor, plan: &ConstantPlan, layout: Layout) -> Result<Operands> {
    let turned;
    let rows = if layout == Layout::Columns {
        turned = tensor.transposed()?;
        &turned
    } else {
        tensor
    };
    let size = plan.block.unwrap_or(1);
    let tensors = match plan.form {
        Stored::Codes(book) => of_codes(rows, book, size, plan.least_error)?,
        Stored::InBlocks | Stored::Recurrent | Stored::Plain => of_integers(rows, plan, size, layout == Layout::Table)?,
    };
    mapped::let_go(tensor.bytes());
    let [integers, scales] = [("quantized", &tensors.0), ("scale", &tensors.1)]
        .map(|(what, tensor)| graph.add_initializer(&format!("{name}_{what}"), tensor));
    let zeros = tensors.2.map(|zeros| graph.add_initializer(&format!("{name}_zero_point"), &zeros));
    Ok(Operands { integers, scales, zeros })
}

type Tensors = (Tensor, Tensor, Option<Tensor>);

/// The codes of all rows one behind the other, two in a byte, the first above, and the scale of each block.
fn of_codes(rows: &Tensor, book: CodeBook, size: usize, least_error: bool) -> Result<Tensors> {
    let numbers = rows.to_f32()?;
    let (mut scales, mut codes) = book.quantize(&numbers, size, least_error);
    if clusters::spread(rows, (&scales, &codes), (book, size)) {
        let blocks = scales.len();
        (scales, codes) = book.quantize(&numbers, numbers.len(), least_error);
        scales = vec![scales[0]; blocks];
    }
    codes.resize(codes.len().next_multiple_of(2), book.zero());
    let packed: Vec<u8> = codes.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
    let codes = Tensor::new(DataType::Uint8, vec![packed.len()], Bytes::from(packed))?;
    Ok((codes, Tensor::from_f32(vec![scales.len()], &scales), None))
}

/// The integers of each row in blocks, all of them without a sign, scales, and zero points unless all are in the middle.
/// Those of a matrix are filled up to whole blocks and in bytes, those of a table stand as they are.
fn of_integers(rows: &Tensor, plan: &ConstantPlan, size: usize, table: bool) -> Result<Tensors> {
    let (count, length) = (rows.shape()[0], rows.shape()[1]);
    let (bits, signed) = (plan.scheme.dtype.bits(), plan.scheme.dtype.limits().0 < 0);
    let (grids, mut integers) = in_blocks(rows, plan, (1, size), 8)?;
    let middle = 1u8 << (bits - 1);
    let unsigned = |q: u8| if signed { q.wrapping_add(middle) } else { q };
    integers.iter_mut().for_each(|q| *q = unsigned(*q));
    let zeros: Vec<u8> = grids.iter().map(|grid| unsigned(grid.zero_point as u8)).collect();
    let along = length.div_ceil(size);
    let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
    let scales = Tensor::from_f32(vec![count, along], &scales);
    let needed = zeros.iter().any(|&zero| zero != middle);
    let bytes = |dims: Vec<usize>, data: Vec<u8>| Tensor::new(DataType::Uint8, dims, Bytes::from(data));
    let each = 8 / bits as usize;
    if table {
        // In uint4 a zero point that is not given is 0, in bytes it is the middle.
        let dtype = if bits == 4 { DataType::Uint4 } else { DataType::Uint8 };
        let columns = |count: usize| if bits == 2 { count / each } else { count };
        let stored = |dims, data| Tensor::new(dtype, dims, Bytes::from(quant::pack(data, bits)));
        let integers = stored(vec![count, columns(length)], integers)?;
        let needed = needed || bits == 4;
        let zeros = needed.then(|| stored(vec![count, columns(along)], zeros)).transpose()?;
        return Ok((integers, scales, zeros));
    }
    let (mut packed, mut packed_zeros) = (Vec::with_capacity(count * along * size / each), Vec::new());
    for (row, zeros) in integers.chunks(length).zip(zeros.chunks(along)) {
        let mut row = row.to_vec();
        row.resize(along * size, zeros[along - 1]);
        packed.extend(quant::pack(row, bits));
        packed_zeros.extend(quant::pack(zeros.to_vec(), bits));
    }
    let zeros = needed.then(|| bytes(vec![count, along.div_ceil(each)], packed_zeros)).transpose()?;
    Ok((bytes(vec![count, along, size / each], packed)?, scales, zeros))
}

fn look_up(graph: &mut Graph, id: NodeId, plan: &ConstantPlan, operands: Operands) {
    graph.set_operator(id, MICROSOFT, "GatherBlockQuantized");
    graph.clear_attributes(id);
    let (bits, size) = (plan.scheme.dtype.bits(), plan.block.unwrap_or(1));
    let attributes = [("bits", bits as usize), ("block_size", size), ("gather_axis", 0), ("quantize_axis", 1)];
    attributes.iter().for_each(|&(name, value)| graph.set_int(id, name, value as i64));
    graph.set_input(id, 0, Some(operands.integers));
    graph.set_input(id, 2, Some(operands.scales));
    graph.set_input(id, 3, operands.zeros);
}

fn multiply(graph: &mut Graph, id: NodeId, plan: &ConstantPlan, shape: &[usize], layout: Layout, operands: Operands) {
    let (inner, outer) = if layout == Layout::Rows { (shape[1], shape[0]) } else { (shape[0], shape[1]) };
    let bias = graph.node(id).input(2);
    let row = bias.and_then(|bias| graph.known_type(bias)).is_some_and(|ty| ty.dims == [Some(outer)]);
    graph.clear_attributes(id);
    let mut attributes = vec![("K", inner), ("N", outer), ("block_size", plan.block.unwrap_or(1))];
    let own_bias = match plan.form {
        Stored::Codes(book) => {
            graph.set_operator(id, MICROSOFT, "MatMulBnb4");
            attributes.push(("quant_type", usize::from(book == CodeBook::Nf4)));
            false
        }
        Stored::InBlocks | Stored::Recurrent | Stored::Plain => {
            graph.set_operator(id, MICROSOFT, "MatMulNBits");
            attributes.push(("bits", plan.scheme.dtype.bits() as usize));
            row
        }
    };
    attributes.iter().for_each(|&(name, value)| graph.set_int(id, name, value as i64));
    graph.set_input(id, 1, Some(operands.integers));
    graph.set_input(id, 2, Some(operands.scales));
    if operands.zeros.is_some() || own_bias {
        graph.set_input(id, 3, operands.zeros);
    }
    match bias {
        Some(bias) if own_bias => graph.set_input(id, 5, Some(bias)),
        Some(bias) => add(graph, id, bias),
        None => {}
    }
}

/// Adds `bias` to what a node makes.
fn add(graph: &mut Graph, id: NodeId, bias: ValueId) {
    let Some(output) = graph.node(id).output(0) else { return };
    let name = graph.value(output).name().to_owned();
    let product = graph.split_output(id, 0, &format!("{name}_product"));
    let inputs = vec![Some(product), Some(bias)];
    let new = NewNode { op_type: "Add", name: &format!("{name}_Add"), inputs, ints: vec![] };
    let (node, _) = graph.add_node(new, &format!("{name}_sum"));
    graph.take_over_output(node, 0, output);
}
