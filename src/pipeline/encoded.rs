//! Encodings beside the model: what a file of them says about a prepared model, and a file of those of a quantized one.

use super::TOOL;
use crate::dequantize;
use crate::encodings::{self, Encodings, StatedAxis, StatedConstant};
use crate::error::{Error, Result};
use crate::file;
use crate::ir::{Graph, Model, ValueId};
use crate::ops::{self, Role};
use crate::pass::Derived;
use crate::plan::Unused;
use crate::policy::Settings;
use crate::quant::{GridType, KnownConstant, KnownGrids, Params};
use crate::report::{EncodingsSummary, UnusedGrid};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A file of encodings, as it meets a model.
pub struct Encoded {
    path: PathBuf,
    encodings: Encodings,
    grids: KnownGrids,
    sha256: String,
    /// Entries that say nothing about the model.
    passed_over: Vec<UnusedGrid>,
    /// What preparing made of values that the file has a range or a grid of.
    derived: Vec<Derived>,
}

impl Encoded {
    /// The file that the settings name, if they name one.
    ///
    /// # Errors
    /// When it cannot be read or makes no sense.
    pub fn load(settings: &Settings) -> Result<Option<Self>> {
        let Some(path) = settings.encodings.clone() else { return Ok(None) };
        let encodings = Encodings::load(&path)?;
        let passed = |(name, why): &(String, &str)| UnusedGrid { name: name.clone(), reason: (*why).to_owned() };
        let passed_over = encodings.passed_over.iter().map(passed).collect();
        let mut grids = encodings.known.clone();
        let constants = encodings.constants.iter().map(|(name, stated)| {
            let StatedConstant { block, grids, .. } = stated.clone();
            (name.clone(), KnownConstant { axis: None, block, grids })
        });
        grids.constants.extend(constants);
        Ok(Some(Self { sha256: file::digest(&path)?, path, encodings, grids, passed_over, derived: Vec::new() }))
    }

    /// The grids as they stand in the file, without regard to the axes of constants.
    pub fn grids(&self) -> &KnownGrids {
        &self.grids
    }

    /// What it says about `graph`, which was prepared from `original`, beside what is `told` otherwise, which comes first. Which of the
    /// types with and without a sign stores an activation is the policy's choice: the numbers are the same. Of what preparing
    /// `derived` from a value, the range follows from that of the value.
    ///
    /// # Errors
    /// When the grids of a constant do not fit it.
    pub fn settle(
        &mut self,
        original: &Graph,
        graph: &Graph,
        derived: Vec<Derived>,
        settings: &Settings,
        told: &KnownGrids,
    ) -> Result<KnownGrids> {
        let mut known = self.encodings.known.clone();
        self.derive(derived, &mut known);
        let signed = settings.activations.scheme.dtype.limits().0 < 0;
        for grid in known.activations.values_mut() {
            *grid = grid.stored_as(with_sign(grid.dtype, signed));
        }
        for (name, stated) in &self.encodings.constants {
            let value = graph.find(name).filter(|&value| graph.is_constant(value));
            if value.is_some() {
                known.activations.remove(name);
            } else if known.activations.contains_key(name) {
                continue;
            }
            let fitted = match value {
                Some(value) if changed(original, graph, value)? => Err("preparing the model changes its numbers"),
                Some(value) => Ok(fitted(graph, value, stated, signed).map_err(|e| Error::file(&self.path, e))?),
                None => elsewhere(stated).ok_or("the prepared model has no such constant"),
            };
            match fitted {
                Ok(constant) => {
                    known.constants.insert(name.clone(), constant);
                }
                Err(reason) => {
                    let reason = reason.to_owned();
                    self.passed_over.push(UnusedGrid { name: name.clone(), reason });
                }
            }
        }
        known.activations.extend(told.activations.iter().map(|(name, grid)| (name.clone(), *grid)));
        known.constants.extend(told.constants.iter().map(|(name, constant)| (name.clone(), constant.clone())));
        known.ranges.extend(told.ranges.iter().map(|(name, range)| (name.clone(), *range)));
        known.floats.extend(told.floats.iter().cloned());
        Ok(known)
    }

    /// Adds to `known` the ranges of what was `derived` from values that it knows.
    fn derive(&mut self, derived: Vec<Derived>, known: &mut KnownGrids) {
        for made in derived {
            let stated = known.ranges.contains_key(&made.value) || known.activations.contains_key(&made.value);
            let grid = || known.activations.get(&made.source).map(Params::real_range);
            let range = known.ranges.get(&made.source).copied().or_else(grid);
            if let Some(range) = range.filter(|_| !stated) {
                known.ranges.insert(made.value.clone(), made.range(range));
                self.derived.push(made);
            }
        }
    }

    /// Takes from what the plan makes no use of the entries whose value went into others that it does make use of, and those
    /// others, which are no entries.
    pub fn account(&self, unused: &mut Vec<Unused>) {
        let of_use = |made: &&Derived| unused.iter().all(|entry| entry.name != made.value);
        let sources: BTreeSet<String> = self.derived.iter().filter(of_use).map(|made| made.source.clone()).collect();
        let made = |name: &str| self.derived.iter().any(|made| made.value == name);
        unused.retain(|entry| !sources.contains(&entry.name) && !made(&entry.name));
    }

    /// What to report, where `unused` of the entries say nothing that the plan uses.
    pub fn summary(&self, unused: &mut Vec<UnusedGrid>) -> EncodingsSummary {
        let entries = self.encodings.count() + self.encodings.passed_over.len();
        unused.extend(self.passed_over.iter().cloned());
        unused.sort_by(|a, b| a.name.cmp(&b.name));
        EncodingsSummary {
            path: self.path.display().to_string(),
            format: self.encodings.format.clone(),
            sha256: self.sha256.clone(),
            entries,
            used: entries.saturating_sub(unused.len()),
        }
    }

    /// Where the encodings were read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of the file, for the metadata of what is made with it.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// `dtype` with or without a sign.
fn with_sign(dtype: GridType, signed: bool) -> GridType {
    match (dtype, signed) {
        (GridType::Uint8, true) => GridType::Int8,
        (GridType::Int8, false) => GridType::Uint8,
        (GridType::Uint16, true) => GridType::Int16,
        (GridType::Int16, false) => GridType::Uint16,
        _ => dtype,
    }
}

/// Whether the constant `value` is not what it was.
fn changed(original: &Graph, graph: &Graph, value: ValueId) -> Result<bool> {
    let Some(before) = original.find(graph.value(value).name()) else { return Ok(false) };
    let (before, after) = (original.constant(before)?, graph.constant(value)?);
    Ok(before.zip(after).is_some_and(|(before, after)| {
        before.dtype() == after.dtype() && (before.shape() != after.shape() || before.bytes() != after.bytes())
    }))
}

/// The grids of a constant that the graph does not have: a body may. Along which axis an operator there counts its channels is
/// not looked up.
fn elsewhere(stated: &StatedConstant) -> Option<KnownConstant> {
    let axis = match stated.axis {
        StatedAxis::None => None,
        StatedAxis::At(axis) => Some(usize::try_from(axis).ok()?),
        StatedAxis::Channels => return None,
    };
    let axis = axis.filter(|_| stated.grids.len() > 1 || stated.block.is_some());
    Some(KnownConstant { axis, block: stated.block, grids: stated.grids.clone() })
}

/// The grids of `value` as the model has its axes.
fn fitted(graph: &Graph, value: ValueId, stated: &StatedConstant, signed: bool) -> Result<KnownConstant> {
    let name = graph.value(value).name();
    let shape = graph.constant(value)?.map_or_else(Vec::new, |constant| constant.shape().to_vec());
    let mut grids = stated.grids.clone();
    // The axes that its channels may lie along: of a table either, as far as there are so many.
    let weight: Option<Vec<usize>> = graph.value(value).readers().find_map(|(node, slot)| {
        let op = ops::lookup(graph, node)?;
        op.weights().find(|weight| weight.slot == slot)?;
        Some(match op.role {
            Role::Lookup => (0..shape.len()).filter(|&axis| fits(&shape, axis, stated)).collect(),
            _ => op.weight_channels(graph, node, &shape).into_iter().collect(),
        })
    });
    if weight.is_none() {
        // Beside activations it is read like one.
        grids.iter_mut().for_each(|grid| *grid = grid.stored_as(with_sign(grid.dtype, signed)));
    }
    let several = grids.len() > 1 || stated.block.is_some();
    let axis = match stated.axis {
        _ if !several => return Ok(KnownConstant { axis: None, block: None, grids }),
        StatedAxis::None => None,
        StatedAxis::At(axis) => {
            let from_start = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let found = usize::try_from(from_start).ok().filter(|&axis| axis < shape.len());
            let why = || Error::value(name, format!("has encodings along axis {axis}, but its shape is {shape:?}"));
            Some(found.ok_or_else(why)?)
        }
        StatedAxis::Channels => {
            let count = grids.len();
            let &[channels] = weight.as_deref().unwrap_or_default() else {
                let why = format!(
                    "has {count} encodings for channels, but what reads it does not tell along which axis of {shape:?}; \
                     encodings 2.0.0 can state it"
                );
                return Err(Error::value(name, why));
            };
            match stated.block {
                None => Some(channels),
                Some(size) => Some(along_sums(name, &shape, channels, size, &mut grids)?),
            }
        }
    };
    Ok(KnownConstant { axis, block: stated.block, grids })
}

/// Whether there are as many grids as for channels along `axis`.
fn fits(shape: &[usize], axis: usize, stated: &StatedConstant) -> bool {
    let blocks = match (stated.block, shape) {
        (None, _) => Some(1),
        (Some(size), [_, _]) => Some(shape[1 - axis].div_ceil(size)),
        (Some(_), _) => None,
    };
    blocks.is_some_and(|blocks| shape[axis] * blocks == stated.grids.len())
}

/// The axis along which blocks lie whose grids stand side by side for each of `channels`, and these grids in the order of the
/// scales of DequantizeLinear.
fn along_sums(name: &str, shape: &[usize], channels: usize, size: usize, grids: &mut Vec<Params>) -> Result<usize> {
    let wrong = |why: String| Error::value(name, why);
    if shape.len() < 2 || channels > 1 || shape[2..].iter().any(|&length| length != 1) {
        return Err(wrong(format!(
            "has encodings by block, which only those of version 2.0.0 state for a weight of shape {shape:?}"
        )));
    }
    let axis = 1 - channels;
    let (count, along) = (shape[channels], shape[axis].div_ceil(size));
    if grids.len() != count * along {
        let found = grids.len();
        return Err(wrong(format!(
            "has {found} encodings; expected {count} times {along} for blocks of {size}, its shape is {shape:?}"
        )));
    }
    if channels == 1 {
        *grids = (0..along).flat_map(|block| grids.iter().skip(block).step_by(along).copied()).collect();
    }
    Ok(axis)
}

/// A file and what is to stand in it.
pub type Text<'a> = (&'a Path, String);

/// The grids of `model`, as it lies on disk, as the encodings that the settings ask for. Values and constants have the names that
/// they have once the model is turned back to float.
///
/// # Errors
/// When it has none, cannot be turned back, or the version cannot state one of them.
pub fn wanted<'a>(settings: &'a Settings, model: &Model) -> Result<Option<Text<'a>>> {
    let Some(path) = settings.write_encodings.as_deref() else { return Ok(None) };
    let mut float = model.clone();
    let known = dequantize::take_apart(&mut float).map_err(|e| {
        let why = "cannot be written: encodings are named after the model turned back to float, which fails";
        Error::file(path, format!("{why}: {e}"))
    })?;
    let known = known.1.grids;
    if known.is_empty() {
        return Err(Error::file(path, "cannot be written: nothing in the quantized model has a grid that is stored"));
    }
    let shape = |name: &str| {
        let constant = float.graph.constant(float.graph.find(name)?).ok()??;
        Some(constant.shape().to_vec())
    };
    let (package, version) = TOOL.split_once(' ').unwrap_or((TOOL, ""));
    let text = encodings::to_json(&known, settings.encodings_version, shape, (package, version));
    Ok(Some((path, text.map_err(|why| Error::file(path, why))?)))
}

/// Writes encodings, if there are some.
///
/// # Errors
/// When the file cannot be written.
pub fn save(encodings: Option<Text<'_>>) -> Result<()> {
    encodings.map_or(Ok(()), |(path, text)| file::write_atomically(path, text.as_bytes()))
}

#[cfg(test)]
mod tests;
