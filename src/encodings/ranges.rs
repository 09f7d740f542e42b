//! Ranges that ONNX Runtime's calibrators found, in each of the forms that they are kept in.
//!
//! `save_tensors_data` and `write_calibration_table` write JSON with the lowest and the highest number of each value. The latter
//! writes a table of texts and a plain text beside it, for TensorRT, which hold one number for each value: how far it reaches on
//! both sides of zero.

use super::json::{Json, need, shown};
use super::{Encodings, flatbuffers};
use crate::error::{Error, Result};

/// Why an entry of a table says nothing.
const NO_EXTENT: &str = "the table holds nothing but the larger end of its range, which is not above 0";
/// What the first line of TensorRT's own caches begins with.
const TENSORRT: &str = "TRT-";

/// What the keys of `json` say, each the name of a value; `method` is that of the calibrator, where it is told.
///
/// # Errors
/// When one of them holds no range.
pub(super) fn of_json(json: &Json, method: Option<&str>) -> Result<Encodings> {
    let format = method.map_or_else(|| "ranges".to_owned(), |method| format!("ONNX Runtime ranges ({method})"));
    let mut found = Encodings { format, ..Encodings::default() };
    for (name, entry) in json.keys().iter().filter(|(key, _)| key != "CLS") {
        let range = range(entry).map_err(|why| Error::other(format!("value {}: {why}", shown(name))))?;
        found.known.ranges.insert(name.clone(), range);
    }
    Ok(found)
}

/// What `save_tensors_data` wrote.
///
/// # Errors
/// When an entry holds no range.
pub(super) fn of_tensors_data(json: &Json) -> Result<Encodings> {
    let data = need(json, "data", "keys", |data| matches!(data, Json::Keys(_)).then_some(data))?;
    let method = json.get("calibration_method").and_then(|method| method.get("value")).and_then(Json::text);
    let method = method.and_then(|method| method.rsplit('.').next()).filter(|m| m.chars().all(char::is_alphanumeric));
    of_json(data, Some(method.unwrap_or("of no named method")))
}

/// Whether a value of a JSON file looks like the range of one of a model.
pub(super) fn is_range(entry: &Json) -> bool {
    entry.list().is_some() || entry.get("lowest").is_some() || entry.get("CLS").is_some()
}

fn range(entry: &Json) -> Result<(f32, f32)> {
    let (low, high) = match entry {
        Json::List(ends) => match ends.as_slice() {
            // Older histogram calibrators keep the histogram and its bins behind the ends.
            [low, high] | [low, high, _, _] => (end("the low end", low)?, end("the high end", high)?),
            _ => return Err(Error::other(format!("must be [low, high]; found {}", entry.describe()))),
        },
        _ => {
            let of = |key: &str| end(key, entry.get(key).unwrap_or(&Json::Nothing));
            (of("lowest")?, of("highest")?)
        }
    };
    // One range for each channel: that of all is the widest.
    let (low, high) = (low.into_iter().fold(f64::MAX, f64::min), high.into_iter().fold(f64::MIN, f64::max));
    let (low, high) = (low as f32, high as f32);
    if !(low.is_finite() && high.is_finite() && low <= high) {
        let why = format!("the range must be of finite float32 numbers, the low end first; found {low} to {high}");
        return Err(Error::other(why));
    }
    Ok((low, high))
}

/// One end of a range: a number, a list with one for each channel, or what either looks like as an array of numpy.
fn end(what: &str, json: &Json) -> Result<Vec<f64>> {
    let array = json.get("data").filter(|_| json.get("CLS").and_then(Json::text) == Some("numpy.array"));
    let numbers = array.unwrap_or(json).numbers().filter(|numbers| !numbers.is_empty());
    numbers.ok_or_else(|| {
        Error::other(format!("{what} must be a finite number; found {}", array.unwrap_or(json).describe()))
    })
}

/// The table of `calibration.flatbuffers`.
///
/// # Errors
/// When the bytes are no such table, or an entry is no number.
pub(super) fn of_flatbuffers(bytes: &[u8]) -> Result<Encodings> {
    let entries = flatbuffers::entries(bytes).ok_or_else(|| {
        Error::other("is neither JSON nor text, and no whole table as write_calibration_table writes it")
    })?;
    of_table("ONNX Runtime calibration table", entries.into_iter().map(|(name, text)| Ok((name, text))))
}

/// The lines of `calibration.cache`: a name, a space, and a number.
///
/// # Errors
/// When a line is something else.
pub(super) fn of_text(text: &str) -> Result<Encodings> {
    if text.starts_with(TENSORRT) {
        let why = "is a cache of TensorRT itself, whose names are those of an engine; expected what ONNX Runtime's \
                   write_calibration_table writes, or AIMET encodings";
        return Err(Error::other(why));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entries = lines.map(|(at, line)| {
        let found = || Error::other(format!("line {}: expected a name and a number; found {}", at + 1, shown(line)));
        line.trim_end().rsplit_once(' ').filter(|(name, _)| !name.is_empty()).ok_or_else(found)
    });
    of_table("ONNX Runtime calibration cache", entries)
}

fn of_table<'a>(format: &str, entries: impl Iterator<Item = Result<(&'a str, &'a str)>>) -> Result<Encodings> {
    let mut found = Encodings { format: format.to_owned(), ..Encodings::default() };
    let mut passed_over = std::collections::BTreeSet::new();
    for entry in entries {
        let (name, text) = entry?;
        let wrong = |why: String| Error::other(format!("value {}: {why}", shown(name)));
        let reach = text.trim().parse::<f32>().ok().filter(|reach| reach.is_finite());
        let reach = reach.ok_or_else(|| wrong(format!("expected a finite number, found {}", shown(text))))?;
        let again = found.known.ranges.contains_key(name) || passed_over.contains(name);
        if again {
            return Err(wrong("is given twice".to_owned()));
        }
        if reach > 0.0 {
            found.known.ranges.insert(name.to_owned(), (-reach, reach));
        } else {
            passed_over.insert(name.to_owned());
        }
    }
    found.passed_over = passed_over.into_iter().map(|name| (name, NO_EXTENT)).collect();
    Ok(found)
}
