//! ONNX Runtime's operators that read weights in blocks: MatMulNBits, MatMulBnb4 and GatherBlockQuantized. The weights are
//! known, so their real numbers are written into the model before tract reads it, and the plain operator stands in its place.

use super::mend::Scope;
use super::message::node;
use super::unpack::{bytes_of, floats};
use crate::quant::CodeBook;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

/// The nodes in the place of `found`: itself where its weight is not known, or not as this program writes it.
pub fn plain(found: NodeProto, scope: &mut Scope<'_>) -> Vec<NodeProto> {
    let weight = match (found.domain.as_str(), found.op_type.as_str()) {
        ("com.microsoft", "MatMulNBits") => matrix(&found, scope, bits_matrix),
        ("com.microsoft", "MatMulBnb4") => matrix(&found, scope, book_matrix),
        ("com.microsoft", "GatherBlockQuantized") => table(&found, scope),
        _ => None,
    };
    let Some((dims, numbers)) = weight else { return vec![found] };
    let name = scope.writer.fresh();
    let raw_data = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor =
        TensorProto { name: name.clone(), dims, data_type: DataType::Float as i32, raw_data, ..Default::default() };
    scope.initializers.push(tensor);
    let Some(output) = found.output.first() else { return vec![] };
    if found.op_type == "GatherBlockQuantized" {
        return vec![node("Gather", &[&name, &found.input[1]], &[output], vec![])];
    }
    match found.input.get(5).filter(|bias| !bias.is_empty()) {
        Some(bias) => {
            let product = scope.writer.fresh();
            let multiply = node("MatMul", &[&found.input[0], &name], &[&product], vec![]);
            vec![multiply, node("Add", &[&product, bias], &[output], vec![])]
        }
        None => vec![node("MatMul", &[&found.input[0], &name], &[output], vec![])],
    }
}

/// Whether an operator that the engine does not have is run as another.
pub fn is_rewritten(node: &NodeProto) -> bool {
    (node.domain.as_str(), node.op_type.as_str()) == ("com.microsoft", "MatMulBnb4")
}

type Matrix = (Vec<i64>, Vec<f32>);

fn attribute(found: &NodeProto, name: &str) -> Option<i64> {
    found.attribute.iter().find(|a| a.name == name).map(|a| a.i)
}

fn count(found: &NodeProto, name: &str) -> Option<usize> {
    attribute(found, name).and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0)
}

fn constant<'a>(found: &NodeProto, scope: &'a Scope<'_>, slot: usize) -> Option<&'a TensorProto> {
    found.input.get(slot).filter(|name| !name.is_empty()).and_then(|name| scope.constant(name))
}

fn is_given(found: &NodeProto, slot: usize) -> bool {
    found.input.get(slot).is_some_and(|name| !name.is_empty())
}

/// The matrix that a node multiplies with, from the rows of output channels that `rows` reads.
fn matrix(
    found: &NodeProto,
    scope: &Scope<'_>,
    rows: fn(&NodeProto, &Scope<'_>, usize, usize) -> Option<Vec<f32>>,
) -> Option<Matrix> {
    let (inner, outer) = (count(found, "K")?, count(found, "N")?);
    inner.checked_mul(outer)?;
    let rows = rows(found, scope, inner, outer)?;
    let mut numbers = Vec::with_capacity(rows.len());
    for row in 0..inner {
        numbers.extend((0..outer).map(|column| rows[column * inner + row]));
    }
    Some((vec![inner as i64, outer as i64], numbers))
}

/// The integer of `bits` bits at place `i` of bytes that are filled from below.
fn integer(bytes: &[u8], bits: usize, i: usize) -> Option<u8> {
    let each = 8 / bits;
    Some(bytes.get(i / each)? << (8 - bits - i % each * bits) >> (8 - bits))
}

fn bits_matrix(found: &NodeProto, scope: &Scope<'_>, inner: usize, outer: usize) -> Option<Vec<f32>> {
    let (bits, size) = (attribute(found, "bits").unwrap_or(4), count(found, "block_size")?);
    let bits = usize::try_from(bits).ok().filter(|bits| matches!(bits, 2 | 4 | 8))?;
    let zeros = match constant(found, scope, 3) {
        Some(zeros) => Some(bytes_of(zeros, DataType::Uint8)?),
        None if is_given(found, 3) => return None,
        None => None,
    };
    if is_given(found, 4) {
        return None;
    }
    let (packed, scales) =
        (bytes_of(constant(found, scope, 1)?, DataType::Uint8)?, floats(constant(found, scope, 2)?)?);
    let along = inner.div_ceil(size);
    let each = 8 / bits;
    let mut numbers = Vec::with_capacity(inner * outer);
    for channel in 0..outer {
        for at in 0..inner {
            let block = at / size;
            let zero = match zeros {
                Some(zeros) => integer(zeros, bits, channel * along.div_ceil(each) * each + block)?,
                None => 1 << (bits - 1),
            };
            let q = integer(packed, bits, channel.checked_mul(along.checked_mul(size)?)? + at)?;
            numbers.push(f32::from(i16::from(q) - i16::from(zero)) * scales.get(channel * along + block)?);
        }
    }
    Some(numbers)
}

fn book_matrix(found: &NodeProto, scope: &Scope<'_>, inner: usize, outer: usize) -> Option<Vec<f32>> {
    let size = count(found, "block_size")?;
    let book = match attribute(found, "quant_type")? {
        0 => CodeBook::Fp4,
        1 => CodeBook::Nf4,
        _ => return None,
    };
    // Where it says that the matrix is used as it is stored, the other way round.
    if attribute(found, "transB").is_some_and(|turned| turned != 1)
        || attribute(found, "training_mode").is_some_and(|v| v != 0)
    {
        return None;
    }
    let (packed, scales) =
        (bytes_of(constant(found, scope, 1)?, DataType::Uint8)?, floats(constant(found, scope, 2)?)?);
    let number = |i: usize| {
        let byte = *packed.get(i / 2)?;
        let code = if i.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f };
        Some(book.numbers()[usize::from(code)] * scales.get(i / size)?)
    };
    (0..inner * outer).map(number).collect()
}

/// The table that a node looks up rows of.
fn table(found: &NodeProto, scope: &Scope<'_>) -> Option<Matrix> {
    let (bits, size) = (attribute(found, "bits").unwrap_or(4), count(found, "block_size")?);
    let integers = constant(found, scope, 0)?;
    let rows_first = attribute(found, "gather_axis").unwrap_or(0) == 0 && attribute(found, "quantize_axis") == Some(1);
    let [rows, columns] = integers.dims[..] else { return None };
    let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
    let (bits, columns, dtype) = match bits {
        4 if integers.data_type == DataType::Uint4 as i32 => (4, columns, DataType::Uint4),
        8 => (8, columns, DataType::Uint8),
        2 => (2, columns.checked_mul(4)?, DataType::Uint8),
        _ => return None,
    };
    let packed = bytes_of(integers, dtype)?;
    let zeros = match constant(found, scope, 3) {
        Some(zeros) => Some(bytes_of(zeros, dtype)?),
        None if is_given(found, 3) || bits == 4 => return None,
        None => None,
    };
    let scales = floats(constant(found, scope, 2)?)?;
    let along = columns.div_ceil(size);
    if !rows_first || packed.len() != rows.checked_mul(columns)?.checked_mul(bits)?.div_ceil(8) {
        return None;
    }
    let number = |i: usize| {
        let grid = i / columns * along + i % columns / size;
        let zero = match zeros {
            Some(zeros) => integer(zeros, bits, grid)?,
            None => 1 << (bits - 1),
        };
        let q = integer(packed, bits, i)?;
        Some(f32::from(i16::from(q) - i16::from(zero)) * scales.get(grid)?)
    };
    let numbers = (0..rows * columns).map(number).collect::<Option<_>>()?;
    Some((vec![rows as i64, columns as i64], numbers))
}
