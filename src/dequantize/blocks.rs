//! ONNX Runtime's operators that read weights in blocks become MatMul and Gather again: MatMulNBits, MatMulBnb4 and
//! GatherBlockQuantized, as its documentation of contrib operators has them.

use super::forms::{add_behind, become_float};
use super::{Grid, Walk, float_name, stored};
use crate::error::{Error, Result};
use crate::ir::{Graph, NodeId, ValueId};
use crate::quant::{CodeBook, GridType, HalfType, KnownConstant, Params};
use crate::tensor::{DataType, Tensor};

/// What decides about the numbers of a weight beside its integers and their grid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The columns of a matrix of so many rows and columns, each filled up to whole blocks.
    Columns { bits: u32, size: usize, shape: [usize; 2] },
    /// The same as codes, the matrix in one piece.
    Codes { book: CodeBook, size: usize, shape: [usize; 2] },
    /// A table.
    Table { bits: u32, size: usize, axis: i64 },
}

/// The numbers of a weight, and their grids where a DequantizeLinear could have them.
type Numbers = (Tensor, Option<KnownConstant>);

impl Walk<'_> {
    /// MatMulNBits becomes a MatMul, with an Add behind it where it has a bias.
    pub(super) fn product_of_blocks(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        if graph.node(id).input(4).is_some() {
            return Err(graph.node_error(id, "puts its rows in another order (g_idx), which is not turned back"));
        }
        let (bits, size, shape) = (bits(graph, id)?, count(graph, id, "block_size")?, sides(graph, id)?);
        let bias = graph.node(id).input(5);
        self.multiply(graph, id, Form::Columns { bits, size, shape })?;
        add_behind(graph, id, bias);
        Ok(())
    }

    /// MatMulBnb4 becomes a MatMul.
    pub(super) fn product_of_codes(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let attributes = graph.node(id).attributes();
        let book = match attributes.int("quant_type") {
            Some(0) => CodeBook::Fp4,
            Some(1) => CodeBook::Nf4,
            other => return Err(graph.node_error(id, format!("quant_type is {other:?}, expected 0 (FP4) or 1 (NF4)"))),
        };
        if attributes.int("transB").unwrap_or(1) != 1 || attributes.int("training_mode").unwrap_or(0) != 0 {
            return Err(graph.node_error(id, "reads its weight as in training (transB, training_mode)"));
        }
        let (size, shape) = (count(graph, id, "block_size")?, sides(graph, id)?);
        self.multiply(graph, id, Form::Codes { book, size, shape })
    }

    /// GatherBlockQuantized becomes a Gather.
    pub(super) fn look_up_blocks(&mut self, graph: &mut Graph, id: NodeId) -> Result<()> {
        let attributes = graph.node(id).attributes();
        let (along, axis) = (attributes.int("gather_axis").unwrap_or(0), attributes.int("quantize_axis").unwrap_or(1));
        let size = attributes.int("block_size").map_or(Ok(128), |_| count(graph, id, "block_size"))?;
        let (table, scale) = (graph.node(id).input(0), graph.node(id).input(2));
        let bits = match table.and_then(|table| graph.element_type(table)).and_then(GridType::of) {
            Some(dtype) if dtype.bits() < 8 => dtype.bits(),
            _ => bits(graph, id)?,
        };
        let grid = (table.zip(scale), graph.node(id).input(3));
        let float = self.in_blocks(graph, id, grid, Form::Table { bits, size, axis })?;
        let indices = graph.node(id).input(1);
        graph.clear_attributes(id);
        become_float(graph, id, "Gather", &[Some(float), indices]);
        graph.set_int(id, "axis", along);
        self.done.operators += 1;
        Ok(())
    }

    fn multiply(&mut self, graph: &mut Graph, id: NodeId, form: Form) -> Result<()> {
        let node = graph.node(id);
        let (float, weight) = (node.input(0), node.input(1).zip(node.input(2)));
        let zeros = node.input(3).filter(|_| matches!(form, Form::Columns { .. }));
        let weight = self.in_blocks(graph, id, (weight, zeros), form)?;
        graph.clear_attributes(id);
        become_float(graph, id, "MatMul", &[float, Some(weight)]);
        self.done.operators += 1;
        Ok(())
    }

    /// The weight as numbers of its scale's type, made once.
    fn in_blocks(
        &mut self,
        graph: &mut Graph,
        id: NodeId,
        (weight, zero_point): (Option<(ValueId, ValueId)>, Option<ValueId>),
        form: Form,
    ) -> Result<ValueId> {
        let (weight, scale) = weight.ok_or_else(|| graph.node_error(id, "an input is missing"))?;
        let key = (weight, Grid { scale, zero_point }, form);
        if let Some(&known) = self.blocks.get(&key) {
            return Ok(known);
        }
        let zeros = zero_point.map(|zeros| graph.constant(zeros)).transpose()?;
        let (Some(integers), Some(scales), Some(zeros)) =
            (graph.constant(weight)?, graph.constant(scale)?, zeros.map_or(Some(None), |zeros| zeros.map(Some)))
        else {
            return Err(graph.node_error(id, "its weight, or the weight's grid, is computed while the model runs"));
        };
        if scales.dtype() != DataType::Float32 && HalfType::of(scales.dtype()).is_none() {
            let why = format!("its scale is {}, expected float32, float16 or bfloat16", scales.dtype());
            return Err(graph.node_error(id, why));
        }
        let made = key.2.numbers(&integers, &scales, zeros.as_ref());
        let (numbers, known) = made.map_err(|why| graph.node_error(id, why))?;
        let kind = HalfType::of(scales.dtype());
        let numbers = match kind.filter(|_| numbers.dtype() == DataType::Float32) {
            Some(kind) => kind.tensor(&numbers)?,
            None => numbers,
        };
        self.done.stored += 1;
        let name = float_name(graph, weight);
        let float = graph.add_initializer(&name, &numbers);
        if let Some(known) = known.filter(|_| kind.is_none()) {
            self.note_grids(float, known);
        }
        self.blocks.insert(key, float);
        Ok(float)
    }
}

impl Form {
    fn numbers(&self, integers: &Tensor, scales: &Tensor, zeros: Option<&Tensor>) -> Result<Numbers> {
        match *self {
            Self::Columns { bits, size, shape } => of_columns(integers, scales, zeros, (bits, size, shape)),
            Self::Codes { book, size, shape } => of_codes(integers, scales, (book, size, shape)),
            Self::Table { bits, size, axis } => of_table(integers, scales, zeros, (bits, size, axis)),
        }
    }
}

fn of_columns(
    integers: &Tensor,
    scales: &Tensor,
    zeros: Option<&Tensor>,
    (bits, size, [inner, outer]): (u32, usize, [usize; 2]),
) -> Result<Numbers> {
    let (along, each) = (inner.div_ceil(size), 8 / bits as usize);
    let filled = along.checked_mul(size).ok_or_else(|| Error::other("its blocks are beyond memory"))?;
    let unpacked = |tensor: &Tensor, columns: usize| {
        let packed = Tensor::new(unsigned(bits), vec![outer, columns], in_bytes(tensor)?.bytes().clone())?;
        Ok::<_, Error>(stored::values(&packed)?.into_owned())
    };
    let q = unpacked(integers, filled)?;
    let scales = scales.to_f32()?;
    let middle = (1u32 << (bits - 1)) as f32;
    let zeros: Vec<f32> = match zeros {
        None => vec![middle; scales.len()],
        // Real numbers, one behind the other.
        Some(zeros) if zeros.dtype().is_float() => zeros.to_f32()?.into_owned(),
        Some(zeros) => {
            let columns = along.next_multiple_of(each);
            let rows = unpacked(zeros, columns)?;
            rows.chunks(columns).flat_map(|row| &row[..along]).map(|&zero| zero as f32).collect()
        }
    };
    if [scales.len(), zeros.len()] != [outer * along; 2] {
        let (scales, zeros) = (scales.len(), zeros.len());
        return Err(Error::other(format!("{scales} scales and {zeros} zero points, expected {}", outer * along)));
    }
    let number = |row: usize, column: usize| {
        let grid = column * along + row / size;
        (q[column * filled + row] as f32 - zeros[grid]) * scales[grid]
    };
    let numbers: Vec<f32> =
        (0..inner).flat_map(|row| (0..outer).map(move |column| (row, column))).map(|(r, c)| number(r, c)).collect();
    let numbers = Tensor::from_f32(vec![inner, outer], &numbers);
    let whole = zeros.iter().all(|zero| zero.fract() == 0.0);
    let dtype = GridType::of(unsigned(bits)).filter(|_| whole);
    let known = dtype.map(|dtype| {
        let grids = (0..along).flat_map(|block| (0..outer).map(move |column| column * along + block));
        let grids = grids.map(|at| Params { dtype, scale: scales[at], zero_point: zeros[at] as i32 }).collect();
        KnownConstant { axis: Some(0), block: Some(size), grids }
    });
    Ok((numbers, known))
}

fn of_codes(
    codes: &Tensor,
    scales: &Tensor,
    (book, size, [inner, outer]): (CodeBook, usize, [usize; 2]),
) -> Result<Numbers> {
    let codes = in_bytes(codes)?;
    let count = inner.checked_mul(outer).filter(|count| count.div_ceil(2) == codes.bytes().len());
    let scales = scales.to_f32()?;
    let Some(count) = count.filter(|count| count.div_ceil(size) == scales.len()) else {
        let (bytes, scales) = (codes.bytes().len(), scales.len());
        return Err(Error::other(format!("{bytes} bytes of codes and {scales} scales do not fit {inner} x {outer}")));
    };
    let number = |i: usize| {
        let byte = codes.bytes()[i / 2];
        // The first is above.
        let code = if i.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f };
        book.numbers()[usize::from(code)] * scales[i / size]
    };
    let numbers: Vec<f32> = (0..count).map(number).collect();
    Ok((Tensor::from_f32(vec![outer, inner], &numbers).transposed()?, None))
}

fn of_table(
    integers: &Tensor,
    scales: &Tensor,
    zeros: Option<&Tensor>,
    (bits, size, axis): (u32, usize, i64),
) -> Result<Numbers> {
    // In bytes several lie along the last axis, and their zero is in the middle; in types of their own it is 0.
    let bytes = integers.dtype() == DataType::Uint8;
    let packed = bytes && bits < 8;
    let unpacked = |tensor: &Tensor, last: usize| {
        let Some((_, before)) = tensor.shape().split_last() else {
            return Err(Error::other("its integers have no axis"));
        };
        let shape = before.iter().copied().chain([last]).collect();
        Tensor::new(unsigned(bits), shape, in_bytes(tensor)?.bytes().clone())
    };
    let each = 8 / bits as usize;
    let last = integers.shape().last().copied().unwrap_or_default();
    let integers = if packed { unpacked(integers, last.saturating_mul(each))? } else { integers.clone() };
    let columns = scales.shape().last().copied().unwrap_or_default();
    let zeros: Vec<i64> = match zeros {
        None if bytes => vec![1 << (bits - 1); scales.len()],
        None => Vec::new(),
        Some(zeros) if packed && columns > 0 => {
            let filled = columns.next_multiple_of(each);
            let rows = stored::values(&unpacked(zeros, filled)?)?.into_owned();
            rows.chunks(filled).flat_map(|row| row.iter().take(columns)).copied().collect()
        }
        Some(zeros) => stored::values(zeros)?.into_owned(),
    };
    let block = i64::try_from(size).map_err(|_| Error::other("its blocks are beyond memory"))?;
    let numbers = stored::of(&integers, scales, &zeros, axis, block)?;
    let rank = integers.shape().len() as i64;
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
    let known = GridType::of(integers.dtype()).zip(axis).zip(scales.to_f32().ok()).map(|((dtype, axis), scales)| {
        let zero = |index: usize| zeros.get(index).map_or(0, |&zero| zero as i32);
        let grids = scales.iter().enumerate().map(|(at, &scale)| Params { dtype, scale, zero_point: zero(at) });
        KnownConstant { axis: Some(axis), block: Some(size), grids: grids.collect() }
    });
    Ok((numbers, known))
}

/// A tensor of bytes, which several integers may lie in.
fn in_bytes(tensor: &Tensor) -> Result<&Tensor> {
    match tensor.dtype() {
        DataType::Uint8 => Ok(tensor),
        other => Err(Error::other(format!("its integers are {other}, expected bytes (uint8)"))),
    }
}

/// The type of integers without a sign.
fn unsigned(bits: u32) -> DataType {
    match bits {
        2 => DataType::Uint2,
        4 => DataType::Uint4,
        _ => DataType::Uint8,
    }
}

/// How many bits an integer has; four where the node does not say.
fn bits(graph: &Graph, id: NodeId) -> Result<u32> {
    let stated = graph.node(id).attributes().int("bits").unwrap_or(4);
    let bits = u32::try_from(stated).ok().filter(|bits| [2, 4, 8].contains(bits));
    bits.ok_or_else(|| graph.node_error(id, format!("bits is {stated}, expected 2, 4 or 8")))
}

/// An attribute that counts something.
fn count(graph: &Graph, id: NodeId, name: &str) -> Result<usize> {
    let stated = graph.node(id).attributes().int(name);
    let count = stated.and_then(|count| usize::try_from(count).ok()).filter(|&count| count > 0);
    count.ok_or_else(|| graph.node_error(id, format!("{name} is {stated:?}, expected a number above 0")))
}

/// The rows and columns of the matrix of a product.
fn sides(graph: &Graph, id: NodeId) -> Result<[usize; 2]> {
    Ok([count(graph, id, "K")?, count(graph, id, "N")?])
}
