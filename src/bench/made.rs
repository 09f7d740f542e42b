//! Inputs for a model for which there are no samples: what a run takes seldom depends on the numbers, but it does on the shapes.

use crate::chance::Chance;
use crate::error::{Error, Result};
use crate::inputs::InputSpec;
use crate::ir::{Model, OpenAxis, says_length};
use crate::tensor::{DataType, Tensor, element_count};
use half::{bf16, f16};
use std::collections::BTreeSet;

/// An input may take so many bytes; a size that was mistyped must not exhaust the memory.
const MOST_BYTES: usize = 1 << 31;

/// Inputs that were made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// A tensor for each input.
    pub inputs: Vec<Tensor>,
    /// The dimensions that were taken for a batch, of 1.
    pub batches: Vec<String>,
}

/// Gives a batch that `model` leaves open the size 1: the first of several axes of an input. Returns the names of such.
///
/// # Errors
/// When other dimensions are open, too.
fn close(model: &mut Model) -> Result<Vec<String>> {
    let open = model.graph.open_axes();
    let several = |value| model.graph.stated_type(value).is_some_and(|ty| ty.dims.len() > 1);
    let inner: BTreeSet<&str> = open.iter().filter(|o| o.axis > 0).map(|o| o.name.as_str()).collect();
    // A name without meaning, as `?`, may stand for anything.
    let is_batch = |name: &str| !inner.contains(name) && !says_length(name);
    let batch = |o: &&OpenAxis| o.axis == 0 && several(o.input) && is_batch(&o.name);
    let (batches, others): (Vec<_>, Vec<_>) = open.iter().partition(|o| batch(o));
    let batches: BTreeSet<String> = batches.into_iter().map(|o| o.name.clone()).collect();
    let others: Vec<_> = others.into_iter().filter(|o| !batches.contains(&o.name)).collect();
    if !others.is_empty() {
        // A name may say nothing, so the place is told, too.
        let place = |o: &&OpenAxis| format!("{}[{}]", model.graph.value(o.input).name(), o.axis);
        let mut told: Vec<String> = Vec::new();
        let mut flags: Vec<String> = Vec::new();
        for o in &others {
            let flag = format!("--dim {}=N", o.name);
            if !flags.contains(&flag) {
                flags.push(flag);
                let place = place(o);
                told.push(if place == o.name { place } else { format!("{} ({place})", o.name) });
            }
        }
        let (told, flags) = (told.join(", "), flags.join(" "));
        return Err(Error::other(format!(
            "leaves open: {told}; say how large with {flags}, or name samples with --data"
        )));
    }
    for o in &open {
        let input = model.graph.value(o.input).name().to_owned();
        model.graph.fix_input_axis(&input, o.axis, 1);
    }
    Ok(batches.into_iter().collect())
}

/// Inputs for `model`, the same whenever it is asked: numbers between 0 and 1, integers of 8 bits as they come, larger ones
/// and truth values all 1, which is an index, a length and a mask alike. A batch that the model leaves open is 1.
///
/// # Errors
/// When another dimension is open, or an input is of a type that no engine is given.
pub fn made(model: &mut Model, specs: impl Fn(&Model) -> Result<Vec<InputSpec>>) -> Result<Made> {
    let batches = close(model)?;
    let tensor = |(index, spec): (usize, InputSpec)| tensor(&spec, index as u64);
    let inputs = specs(model)?.into_iter().enumerate().map(tensor).collect::<Result<_>>()?;
    Ok(Made { inputs, batches })
}

fn tensor(spec: &InputSpec, seed: u64) -> Result<Tensor> {
    let InputSpec { name, ty, .. } = spec;
    let refuse = |why: &str| Error::value(name, format!("{ty}: {why}; name samples with --data"));
    let shape: Option<Vec<usize>> = ty.dims.iter().copied().collect();
    let shape = shape.ok_or_else(|| refuse("a dimension is open"))?;
    let bytes = |size: usize| element_count(&shape)?.checked_mul(size).filter(|&bytes| bytes <= MOST_BYTES);
    let count = bytes(8).map(|bytes| bytes / 8).ok_or_else(|| refuse("is too large to be made up"))?;
    let mut chance = Chance::new(seed);
    let mut unit = || (chance.bits() >> 40) as f32 / (1 << 24) as f32;
    let data: Vec<u8> = match ty.dtype {
        DataType::Float32 => (0..count).flat_map(|_| unit().to_le_bytes()).collect(),
        DataType::Float64 => (0..count).flat_map(|_| f64::from(unit()).to_le_bytes()).collect(),
        DataType::Float16 => (0..count).flat_map(|_| f16::from_f32(unit()).to_le_bytes()).collect(),
        DataType::Bfloat16 => (0..count).flat_map(|_| bf16::from_f32(unit()).to_le_bytes()).collect(),
        DataType::Uint8 | DataType::Int8 => (0..count).map(|_| (chance.bits() >> 56) as u8).collect(),
        DataType::Bool => vec![1; count],
        DataType::Int16 | DataType::Uint16 => [1, 0].repeat(count),
        DataType::Int32 | DataType::Uint32 => [1, 0, 0, 0].repeat(count),
        DataType::Int64 | DataType::Uint64 => [1, 0, 0, 0, 0, 0, 0, 0].repeat(count),
        _ => return Err(refuse("inputs of this type are not made up")),
    };
    Tensor::new(ty.dtype, shape, data.into())
}
