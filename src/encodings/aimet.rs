//! AIMET's encodings, in all of their forms.

use super::grid::{self, BIAS_BITS};
use super::json::{Json, need, shown};
use super::{Encodings, StatedAxis, StatedConstant};
use crate::error::{Error, Result};
use crate::quant::{GridType, Params, Scheme};
use std::collections::BTreeSet;

/// Why an entry of 32 bits says nothing.
const BIAS: &str = "it is that of a bias, whose grid follows from those of input and weight";
/// The kind of an entry that is said to be of floating-point numbers.
const FLOATS: [&str; 4] = ["float", "float16", "bfloat16", "float32"];

/// What one entry says.
enum Entry {
    /// The numbers stay float.
    Float,
    /// The grid of 32-bit sums.
    Bias,
    /// Grids of the types that they are said to have.
    Typed(StatedConstant),
    /// Grids of unsigned integers, and whether they are called symmetric: then they are stored with a sign.
    Unsigned(StatedConstant, bool),
}

/// Whose numbers an entry is about.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// An activation, or a constant that is read like one.
    Activation,
    Param,
    Either,
}

#[derive(Default)]
struct Reading {
    found: Encodings,
    names: BTreeSet<String>,
}

/// Encodings in which those of activations and those of constants stand apart: of versions up to 0.6.1, by name, and 1.0.0, in
/// lists.
///
/// # Errors
/// When an entry makes no sense.
pub(super) fn by_kind(json: &Json) -> Result<Encodings> {
    let (mut reading, mut by_name) = (Reading::default(), false);
    for (section, kind) in [("activation_encodings", Kind::Activation), ("param_encodings", Kind::Param)] {
        match json.get(section) {
            None => {}
            Some(Json::Keys(entries)) => {
                by_name = true;
                for (name, entry) in entries {
                    reading.add(name, kind, of_list(entry))?;
                }
            }
            Some(Json::List(entries)) => {
                for (at, entry) in entries.iter().enumerate() {
                    let name = name_of(entry).map_err(|why| Error::other(format!("{section}[{at}]: {why}")))?;
                    reading.add(name, kind, of_one(entry))?;
                }
            }
            Some(other) => {
                let why = format!("{section} must be a list, or keys that are names; found {}", other.describe());
                return Err(Error::other(why));
            }
        }
    }
    let version = json.get("version").and_then(Json::text).unwrap_or(if by_name { "0.4.0" } else { "1.0.0" });
    reading.found.format = format!("AIMET encodings {}", version.escape_debug());
    Ok(reading.found)
}

/// Encodings of version 2.0.0, which speak of types and zero points as ONNX does.
///
/// # Errors
/// When an entry makes no sense.
pub(super) fn of_onnx(entries: &[Json]) -> Result<Encodings> {
    let mut reading = Reading::default();
    for (at, entry) in entries.iter().enumerate() {
        let name = name_of(entry).map_err(|why| Error::other(format!("encodings[{at}]: {why}")))?;
        reading.add(name, Kind::Either, of_types(entry))?;
    }
    reading.found.format = "AIMET encodings 2.0.0".to_owned();
    Ok(reading.found)
}

fn name_of(entry: &Json) -> Result<&str> {
    need(entry, "name", "a name", |name| name.text().filter(|name| !name.is_empty()))
}

impl Reading {
    fn add(&mut self, name: &str, kind: Kind, entry: Result<Entry>) -> Result<()> {
        let blame = |why: Error| Error::other(format!("entry {}: {why}", shown(name)));
        if !self.names.insert(name.to_owned()) {
            return Err(blame(Error::other("is given twice")));
        }
        match entry.map_err(blame)? {
            Entry::Float => {
                self.found.known.floats.insert(name.to_owned());
            }
            Entry::Bias if kind == Kind::Activation => {
                return Err(blame(Error::other("has 32 bits; activations have 8 or 16")));
            }
            Entry::Bias => self.found.passed_over.push((name.to_owned(), BIAS)),
            Entry::Typed(stated) => self.add_grids(name, kind, stated, None).map_err(blame)?,
            Entry::Unsigned(stated, symmetric) => {
                self.add_grids(name, kind, stated, Some(symmetric)).map_err(blame)?;
            }
        }
        Ok(())
    }

    fn add_grids(&mut self, name: &str, kind: Kind, stated: StatedConstant, symmetric: Option<bool>) -> Result<()> {
        let one = (stated.axis == StatedAxis::None).then_some(stated.grids[0]);
        let one = one.filter(|grid| grid.dtype.bits() >= 8);
        if kind == Kind::Activation && one.is_none() {
            let (count, bits) = (stated.grids.len(), stated.grids[0].dtype.bits());
            return Err(Error::other(format!("has {count} grids of {bits} bits; an activation has one, of 8 or 16")));
        }
        if let Some(grid) = one.filter(|_| kind != Kind::Param) {
            self.found.known.activations.insert(name.to_owned(), grid);
        }
        let StatedConstant { grids, axis, block } = stated;
        let grids = match symmetric {
            Some(true) => grids.into_iter().map(grid::symmetric).collect(),
            _ => grids,
        };
        self.found.constants.insert(name.to_owned(), StatedConstant { grids, axis, block });
        Ok(())
    }
}

/// An entry of a version up to 0.6.1: a list with a grid for each channel.
fn of_list(entry: &Json) -> Result<Entry> {
    let channels = entry.list().filter(|channels| !channels.is_empty()).ok_or_else(|| {
        Error::other(format!("must be a list with an encoding for each channel; found {}", entry.describe()))
    })?;
    let first = &channels[0];
    let bits = need(first, "bitwidth", "a number", Json::number)?;
    if is_float(first)? {
        return Ok(Entry::Float);
    }
    if bits == BIAS_BITS {
        return Ok(Entry::Bias);
    }
    let mut grids = Vec::with_capacity(channels.len());
    let mut symmetric = true;
    for (at, channel) in channels.iter().enumerate() {
        let in_channel = |why: Error| {
            if channels.len() == 1 { why } else { Error::other(format!("channel {at}: {why}")) }
        };
        if need(channel, "bitwidth", "a number", Json::number).map_err(in_channel)? != bits {
            return Err(in_channel(Error::other(format!("bitwidth must be that of the first channel, {bits}"))));
        }
        let is_symmetric = channel.get("is_symmetric").and_then(Json::truth).unwrap_or(false);
        symmetric &= is_symmetric;
        grids.push(of_channel(channel, bits, is_symmetric).map_err(in_channel)?);
    }
    let axis = if grids.len() == 1 { StatedAxis::None } else { StatedAxis::Channels };
    Ok(Entry::Unsigned(StatedConstant { grids, axis, block: None }, symmetric))
}

/// One grid of a version up to 0.6.1. Where someone wrote no scale, it follows from the ends.
fn of_channel(channel: &Json, bits: f64, symmetric: bool) -> Result<Params> {
    let ends = channel.get("min").and_then(Json::number).zip(channel.get("max").and_then(Json::number));
    if let (None, Some((min, max))) = (channel.get("scale"), ends) {
        let dtype = grid::unsigned(bits, 1.0, 0.0)?.dtype;
        let (low, high) = (min as f32, max as f32);
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(Error::other(format!("min must not be above max, nor beyond float32; found {min} and {max}")));
        }
        return Ok(Params::from_range(low, high, Scheme::new(dtype, symmetric)));
    }
    let scale = need(channel, "scale", "a number", Json::number)?;
    let offset = need(channel, "offset", "a number", Json::number)?;
    // Some count the offset of symmetric grids from zero; their lowest number tells.
    let lowest = -(bits - 1.0).exp2();
    let counted = |offset: f64| ends.is_none_or(|(min, _)| (min - offset * scale).abs() <= 1.5 * scale.abs());
    let offset = if symmetric && !counted(offset) && counted(offset + lowest) { offset + lowest } else { offset };
    let grid = grid::unsigned(bits, scale, offset)?;
    if !counted(offset) {
        let min = ends.map_or(0.0, |(min, _)| min);
        let why = format!("min must be about offset * scale, {}; found {min}", offset * scale);
        return Err(Error::other(why));
    }
    Ok(grid)
}

fn is_float(entry: &Json) -> Result<bool> {
    let Some(dtype) = entry.get("dtype") else { return Ok(false) };
    match dtype.text().map(str::to_ascii_lowercase).as_deref() {
        Some("int") => Ok(false),
        Some("float") => Ok(true),
        _ => Err(Error::other(format!("dtype must be int or float; found {}", dtype.describe()))),
    }
}

/// An entry of version 1.0.0.
fn of_one(entry: &Json) -> Result<Entry> {
    if is_float(entry)? {
        return Ok(Entry::Float);
    }
    let bits = need(entry, "bw", "a number", Json::number)?;
    if bits == BIAS_BITS {
        return Ok(Entry::Bias);
    }
    if entry.get("zero_point_shift").is_some() {
        return Err(Error::other("has a zero_point_shift: no type of ONNX has its zero between two integers"));
    }
    let kind = need(entry, "enc_type", "PER_TENSOR, PER_CHANNEL, PER_BLOCK or LPBQ", Json::text)?;
    let symmetric = need(entry, "is_sym", "true or false", Json::truth)?;
    let list = |key| need(entry, key, "a list of numbers", |json| json.list().and(json.numbers()));
    let (mut scales, mut offsets) = (list("scale")?, list("offset")?);
    if scales.is_empty() || scales.len() != offsets.len() {
        let (scales, offsets) = (scales.len(), offsets.len());
        return Err(Error::other(format!("must have a scale for each offset; found {scales} and {offsets}")));
    }
    let (axis, block, bits) = match kind {
        "PER_TENSOR" if scales.len() == 1 => (StatedAxis::None, None, bits),
        "PER_TENSOR" => {
            return Err(Error::other(format!("is PER_TENSOR, which has one scale; found {}", scales.len())));
        }
        "PER_CHANNEL" => (StatedAxis::Channels, None, bits),
        "PER_BLOCK" => (StatedAxis::Channels, Some(block_size(entry)?), bits),
        "LPBQ" => {
            let lowest = -(bits - 1.0).exp2();
            if let Some(offset) = offsets.iter().find(|&&offset| offset != lowest) {
                return Err(Error::other(format!("is LPBQ, whose offsets are {lowest}; found {offset}")));
            }
            let steps = list("per_block_int_scale")?;
            scales = of_blocks(&scales, &steps)?;
            let bits = need(entry, "compressed_bw", "a number", Json::number)?;
            offsets = vec![-(bits - 1.0).exp2(); scales.len()];
            (StatedAxis::Channels, Some(block_size(entry)?), bits)
        }
        other => {
            let other = shown(other);
            let why = format!("enc_type must be PER_TENSOR, PER_CHANNEL, PER_BLOCK or LPBQ; found {other}");
            return Err(Error::other(why));
        }
    };
    let grids = scales.iter().zip(&offsets).map(|(&scale, &offset)| grid::unsigned(bits, scale, offset));
    Ok(Entry::Unsigned(StatedConstant { grids: grids.collect::<Result<_>>()?, axis, block }, symmetric))
}

fn block_size(entry: &Json) -> Result<usize> {
    need(entry, "block_size", "a whole number of 1 or more", |json| {
        json.number().filter(|size| size.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(size))
    })
    .map(|size| size as usize)
}

/// Scales of blocks: that of their channel times a whole number of their own, which makes 4-bit weights of 8-bit ones.
fn of_blocks(channels: &[f64], blocks: &[f64]) -> Result<Vec<f64>> {
    if blocks.is_empty() || !blocks.len().is_multiple_of(channels.len()) {
        let (channels, blocks) = (channels.len(), blocks.len());
        return Err(Error::other(format!("must have as many blocks for each channel; found {blocks} of {channels}")));
    }
    let each = blocks.len() / channels.len();
    Ok(blocks.iter().enumerate().map(|(at, block)| channels[at / each] * block).collect())
}

/// An entry of version 2.0.0.
fn of_types(entry: &Json) -> Result<Entry> {
    let name = need(entry, "output_dtype", "a type", Json::text)?;
    if FLOATS.contains(&name) {
        return Ok(Entry::Float);
    }
    if name == "int32" {
        return Ok(Entry::Bias);
    }
    let dtype = GridType::called(name)
        .ok_or_else(|| Error::other(format!("output_dtype must be a type of 2 to 16 bits; found {}", shown(name))))?;
    let scales = match (entry.get("per_channel_float_scale"), entry.get("per_block_int_scale")) {
        (Some(channels), Some(blocks)) => {
            let mut scales = Vec::new();
            products(channels, blocks, &mut scales).ok_or_else(|| {
                let (channels, blocks) = (channels.describe(), blocks.describe());
                let why =
                    format!("per_block_int_scale must fit per_channel_float_scale; found {blocks} and {channels}");
                Error::other(why)
            })?;
            scales
        }
        _ => need(entry, "y_scale", "a number, or lists of numbers", Json::numbers)?,
    };
    let zeros = match entry.get("y_zero_point") {
        None | Some(Json::Nothing) => vec![0.0; scales.len()],
        Some(_) => need(entry, "y_zero_point", "a number, or lists of numbers", Json::numbers)?,
    };
    if scales.is_empty() || zeros.len() != scales.len() {
        let (scales, zeros) = (scales.len(), zeros.len());
        let why = format!("must have a y_zero_point for each y_scale, or none; found {zeros} and {scales}");
        return Err(Error::other(why));
    }
    let axis = match entry.get("axis") {
        None | Some(Json::Nothing) => StatedAxis::None,
        Some(_) => StatedAxis::At(need(entry, "axis", "a whole number", |json| {
            json.number().filter(|axis| axis.fract() == 0.0 && axis.abs() < 64.0).map(|axis| axis as i64)
        })?),
    };
    let blocks = entry.get("block_size").is_some_and(|size| !matches!(size, Json::Nothing | Json::Number(0.0)));
    let block = blocks.then(|| block_size(entry)).transpose()?;
    if axis == StatedAxis::None && (scales.len() != 1 || block.is_some()) {
        return Err(Error::other(format!("must have an axis, with {} scales or blocks", scales.len())));
    }
    let grids = scales.iter().zip(&zeros).map(|(&scale, &zero)| grid::of_type(dtype, scale, zero));
    Ok(Entry::Typed(StatedConstant { grids: grids.collect::<Result<_>>()?, axis, block }))
}

/// The products of nested lists of the same depth, of which one may be shorter: an only item stands for all.
fn products(one: &Json, other: &Json, into: &mut Vec<f64>) -> Option<()> {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) => into.push(a * b),
        (Json::List(a), Json::List(b)) if a.len() == 1 => b.iter().try_for_each(|b| products(&a[0], b, into))?,
        (Json::List(a), Json::List(b)) if a.len() == b.len() => {
            a.iter().zip(b).try_for_each(|(a, b)| products(a, b, into))?;
        }
        _ => return None,
    }
    Some(())
}
