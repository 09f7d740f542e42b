//! What an input of a model is fed with: numbers, words of a table, or a mask.

use super::StressInput;
use super::numbers::{self, of_numbers};
use super::span::Span;
use super::tables;
use crate::error::{Error, Result};
use crate::inputs::{InputSpec, Meaning, Preprocess};
use crate::ir::{Graph, Model};
use crate::tensor::{DataType, Tensor};

/// An open dimension that no sample tells the size of has this one.
const OPEN: usize = 64;

/// What an input is fed with.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Numbers: of a picture, of sound.
    Numbers(Span),
    /// Integers from a lowest to a highest one: words, say.
    Ids {
        /// The lowest.
        low: i64,
        /// The highest.
        high: i64,
        /// Where they are from.
        from: &'static str,
    },
    /// 0 or 1: an attention mask, say.
    Flags,
    /// One integer that says how to go on, a rate or a length: it stays as it is.
    Kept,
}

/// One input.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Its element type in the float model; float32 where that takes integers on a grid.
    pub dtype: DataType,
    /// What it is fed with.
    pub kind: Kind,
    /// What the integers stand for that one of the models takes.
    pub meaning: Option<Meaning>,
}

impl Input {
    /// In words.
    pub fn told(&self) -> StressInput {
        let taken = match &self.kind {
            Kind::Numbers(span) => span.told(),
            Kind::Ids { low, high, from } => format!("{low} to {high}, {from}"),
            Kind::Flags => "0 and 1".to_owned(),
            Kind::Kept => "as it is in the samples, 0 without them".to_owned(),
        };
        StressInput { name: self.name.clone(), taken }
    }

    /// Whether it takes numbers beyond what it is meant for.
    pub fn takes_any_number(&self) -> bool {
        matches!(self.kind, Kind::Numbers(_)) && self.dtype.is_float() && self.meaning.is_none()
    }
}

/// The inputs of both models, for samples like these.
///
/// # Errors
/// When metadata or a sample is malformed.
pub fn inputs(
    (float, quantized): (&Model, &Model),
    specs: &[InputSpec],
    preprocess: Option<&Preprocess>,
    samples: &[Vec<Tensor>],
) -> Result<Vec<Input>> {
    let one = |(index, spec): (usize, &InputSpec)| {
        let of = |model: &Model| model.graph.find(&spec.name).map_or(Ok(None), |value| Meaning::of(model, value));
        let own = of(float)?;
        let meaning = match own.clone() {
            Some(own) => Some(own),
            None => of(quantized)?,
        };
        let shown: Vec<&Tensor> = samples.iter().filter_map(|sample| sample.get(index)).collect();
        let dtype = if own.is_some() { DataType::Float32 } else { spec.ty.dtype };
        let kind = match is_numbers(dtype, spec.ty.dims.len()) {
            true => Kind::Numbers(span((spec, dtype), meaning.as_ref(), preprocess, &shown)?),
            false => of_integers(&float.graph, spec, &shown)?,
        };
        Ok(Input { name: spec.name.clone(), dtype, kind, meaning })
    };
    specs.iter().enumerate().map(one).collect()
}

/// Whether an input of this type and rank holds numbers and not words or a mask.
fn is_numbers(dtype: DataType, rank: usize) -> bool {
    let small = matches!(dtype, DataType::Uint8 | DataType::Int8 | DataType::Uint16 | DataType::Int16);
    dtype.is_float() || small && rank >= 3
}

fn span(
    (spec, dtype): (&InputSpec, DataType),
    meaning: Option<&Meaning>,
    preprocess: Option<&Preprocess>,
    shown: &[&Tensor],
) -> Result<Span> {
    if dtype == DataType::Uint8 {
        return Ok(Span::plain(0.0, 255.0, "all of uint8"));
    }
    let levels = preprocess.filter(|_| dtype.is_float()).and_then(|preprocess| preprocess.levels(spec).ok());
    if let Some(levels) = levels {
        return Ok(Span::of_levels(&levels, "levels 0 and 255 as data.preprocess has them"));
    }
    if let Some(span) = Span::of_samples(shown.iter().copied())? {
        return Ok(span);
    }
    Ok(match (meaning, dtype) {
        (Some(meaning), _) => Span::of_meaning(meaning),
        (None, DataType::Int8) => Span::plain(-128.0, 127.0, "all of int8"),
        (None, DataType::Int16) => Span::plain(-32768.0, 32767.0, "all of int16"),
        (None, DataType::Uint16) => Span::plain(0.0, 65535.0, "all of uint16"),
        _ => Span::plain(-1.0, 1.0, "a guess, which has 0 to 1 in it: there are no samples that would tell"),
    })
}

fn of_integers(graph: &Graph, spec: &InputSpec, shown: &[&Tensor]) -> Result<Kind> {
    if spec.ty.dtype == DataType::Bool {
        return Ok(Kind::Flags);
    }
    let rows = graph.find(&spec.name).and_then(|value| tables::rows(graph, value)).filter(|&rows| rows > 0);
    if let Some(rows) = rows {
        return Ok(Kind::Ids { low: 0, high: rows as i64 - 1, from: "the rows of the table that it indexes" });
    }
    let single = match shown.first() {
        Some(tensor) => tensor.len() <= 1,
        None => spec.ty.dims.iter().all(|dim| *dim == Some(1)),
    };
    if single {
        return Ok(Kind::Kept);
    }
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for tensor in shown {
        for &number in tensor.to_i64()?.iter() {
            (low, high) = (low.min(number), high.max(number));
        }
    }
    // Without samples, none.
    Ok(match low >= 0 && high <= 1 || low > high {
        true => Kind::Flags,
        false => Kind::Ids { low, high, from: "what the samples span" },
    })
}

/// What stands in for a sample where there is none: noise, random words and a mask that masks nothing.
///
/// # Errors
/// When an input is of a type that cannot be made.
pub fn base(inputs: &[Input], specs: &[InputSpec], preprocess: Option<&Preprocess>) -> Result<Vec<Tensor>> {
    let one = |(index, (input, spec)): (usize, (&Input, &InputSpec))| {
        let shape = assumed(spec, preprocess);
        let count = crate::tensor::element_count(&shape).filter(|&count| count <= crate::inputs::MAX_TENSOR_BYTES / 8);
        let too_large = || Error::value(&spec.name, format!("is of shape {shape:?}, too large to make samples of"));
        let count = count.ok_or_else(too_large)?;
        let mut chance = numbers::chance("base", index);
        let numbers: Vec<f64> = (0..count)
            .map(|at| match &input.kind {
                Kind::Numbers(span) => chance.between(span.at(&shape, at)),
                Kind::Ids { low, high, .. } => numbers::id(&mut chance, *low, *high) as f64,
                Kind::Flags => 1.0,
                Kind::Kept => 0.0,
            })
            .collect();
        of_numbers(input, shape, &numbers)
    };
    inputs.iter().zip(specs).enumerate().map(one).collect()
}

/// The shape of a sample: a batch of one, pictures of the stated size.
fn assumed(spec: &InputSpec, preprocess: Option<&Preprocess>) -> Vec<usize> {
    let dims = &spec.ty.dims;
    let open: Vec<usize> = (0..dims.len()).filter(|&axis| dims[axis].is_none() && axis > 0).collect();
    let size = preprocess.and_then(|preprocess| preprocess.size);
    let of = |(axis, dim): (usize, &Option<usize>)| match (dim, size, open.as_slice()) {
        (Some(dim), ..) => *dim,
        (None, Some([height, width]), &[first, second]) if [first, second].contains(&axis) => {
            if axis == first {
                height
            } else {
                width
            }
        }
        _ if axis == 0 && dims.len() > 1 => 1,
        _ => OPEN,
    };
    dims.iter().enumerate().map(of).collect()
}
