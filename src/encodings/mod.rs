//! Grids and ranges of a model that other tools found, as files beside it: AIMET's encodings, which Qualcomm's tools take, and
//! the caches of ONNX Runtime's calibrators. What a file is, is told by what is in it, never by its name.
//!
//! AIMET's quantsim (`QuantizationSimModel.export`) has had three forms. Up to 0.6.1 and in 1.0.0 an offset counts from the
//! lowest of unsigned integers, whatever the sign of the type: `real = (q + offset) * scale`, so that the offset of symmetric
//! int8 is -128. 2.0.0 speaks of types and zero points as ONNX does.

mod aimet;
mod flatbuffers;
mod grid;
mod json;
mod ranges;
mod written;

pub use written::{Version, to_json};

use crate::error::{Error, Result};
use crate::quant::{KnownGrids, Params};
use json::Json;
use std::collections::BTreeMap;
use std::path::Path;

/// What a file of encodings says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encodings {
    /// What kind of file it is, in a few words.
    pub format: String,
    /// Grids and ranges of activations, and what stays float. Constants stand in `constants`, since what the axis of their grids
    /// is only the model tells.
    pub known: KnownGrids,
    /// The grids of constants, by name. Of an entry that may be either, the grid stands here and among the activations'.
    pub constants: BTreeMap<String, StatedConstant>,
    /// Entries without anything to use, by name, with why.
    pub passed_over: Vec<(String, &'static str)>,
}

/// The grids of one constant, as a file states them.
#[derive(Debug, Clone, PartialEq)]
pub struct StatedConstant {
    /// The grids, all of one type.
    pub grids: Vec<Params>,
    /// Which of them is whose.
    pub axis: StatedAxis,
    /// How many elements share a grid, where blocks do.
    pub block: Option<usize>,
}

/// Along which axis each index has its own grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatedAxis {
    /// There is one grid.
    None,
    /// This one, counted from the end where it is negative. Blocks lie along it, and their grids in the order of the scales of
    /// DequantizeLinear.
    At(i64),
    /// That of the channels which the operator makes. Blocks lie along the axis that it adds up, those of a channel side by
    /// side.
    Channels,
}

impl Encodings {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is no such file, holds nothing, or an entry makes no sense. The message names file and entry.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        Self::parse(&bytes).map_err(|why| Error::file(path, why))
    }

    /// What the bytes of a file say.
    ///
    /// # Errors
    /// As [`Encodings::load`], without the file's name.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.contains(&0) {
            return ranges::of_flatbuffers(bytes)?.checked();
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Error::other("is neither UTF-8 text nor a table of it"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        let found =
            if text.starts_with(['{', '[']) { Self::of_json(&Json::parse(text)?)? } else { ranges::of_text(text)? };
        found.checked()
    }

    fn of_json(json: &Json) -> Result<Self> {
        if json.get("CLS").and_then(Json::text) == Some("TensorsData") {
            return ranges::of_tensors_data(json);
        }
        if let Some(version) = json.get("version").and_then(Json::text)
            && !["0.", "1.", "2."].iter().any(|known| version.starts_with(known))
        {
            let version = json::shown(version);
            return Err(Error::other(format!("holds encodings of version {version}; 0.4.0 to 2.0.0 are read")));
        }
        if json.get("activation_encodings").or(json.get("param_encodings")).is_some() {
            return aimet::by_kind(json);
        }
        let listed = json.get("encodings").and_then(Json::list);
        if let Some(entries) = listed.filter(|entries| entries.iter().all(|entry| matches!(entry, Json::Keys(_)))) {
            return aimet::of_onnx(entries);
        }
        let mut entries = json.keys().iter().filter(|(key, _)| key != "CLS").map(|(_, entry)| entry);
        if !json.keys().is_empty() && entries.all(ranges::is_range) {
            return ranges::of_json(json, json.keys().iter().find_map(|(_, e)| e.get("CLS")).map(|_| "TensorData"));
        }
        let found = json.describe();
        Err(Error::other(format!(
            "expected AIMET encodings (activation_encodings and param_encodings, or encodings), what ONNX Runtime's \
             calibrators save, or {{NAME: [low, high]}}; found {found}"
        )))
    }

    fn checked(self) -> Result<Self> {
        if self.count() == 0 && self.passed_over.is_empty() {
            return Err(Error::other("holds no encodings"));
        }
        Ok(self)
    }

    /// How many entries hold something.
    pub fn count(&self) -> usize {
        self.names().count()
    }

    /// The names of all entries that hold something, in order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let known = self.known.activations.keys().chain(self.known.ranges.keys()).chain(&self.known.floats);
        known.chain(self.constants.keys()).collect::<std::collections::BTreeSet<_>>().into_iter()
    }
}

#[cfg(test)]
mod tests;
