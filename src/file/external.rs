//! Tensors whose bytes lie in a file beside the model.
//!
//! In memory such a tensor keeps `data_location = EXTERNAL` and has its bytes in `raw_data`, mapped from the file; so
//! the model remembers that it wants external data when it is written again.

use super::atomic::Beside;
use super::tensors::for_each;
use crate::error::{Error, Result};
use crate::mapped;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{ModelProto, StringStringEntryProto, TensorProto};
use crate::tensor::DataType;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

/// Tensors below this many bytes stay inside the model: readers of shapes and scales need not open a second file.
const SMALLEST_EXTERNAL: usize = 1024;

/// Offsets are multiples of this, so that a reader can map a tensor and use it aligned.
const ALIGNMENT: u64 = 64;

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location() == DataLocation::External
}

/// The files that hold external data, each once.
pub fn locations(model: &mut ModelProto) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let _ = for_each(model, &mut |tensor| {
        if is_external(tensor) {
            found.extend(tensor.external_data.iter().filter(|e| e.key() == "location").map(|e| e.value().to_owned()));
        }
        Ok(())
    });
    found
}

/// Whether the model came with external data.
pub fn wanted(model: &ModelProto) -> bool {
    let mut found = false;
    // The walk needs a mutable model; a clone shares all tensor bytes.
    let _ = for_each(&mut model.clone(), &mut |t| {
        found |= is_external(t);
        Ok(())
    });
    found
}

/// Fills `raw_data` of every external tensor; `map` finds a file by its location.
pub fn read(model: &mut ModelProto, map: impl Fn(&str) -> Result<Bytes>) -> Result<()> {
    let mut files: HashMap<String, Bytes> = HashMap::new();
    for_each(model, &mut |tensor| {
        if !is_external(tensor) {
            return Ok(());
        }
        let bytes = locate(tensor, &map, &mut files);
        tensor.raw_data = Some(bytes.map_err(|e| Error::value(tensor.name(), e))?);
        Ok(())
    })
}

fn locate(
    tensor: &TensorProto,
    map: &impl Fn(&str) -> Result<Bytes>,
    files: &mut HashMap<String, Bytes>,
) -> Result<Bytes> {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key() == key).map(StringStringEntryProto::value);
    let location = entry("location").ok_or_else(|| Error::other("external data without a location"))?;
    let number = |key: &str| {
        let parse = |text: &str| {
            text.parse::<usize>()
                .map_err(|_| Error::other(format!("external data has the {key} {text:?}, not a number")))
        };
        entry(key).map(parse).transpose()
    };
    let file = match files.get(location) {
        Some(file) => file.clone(),
        None => files.entry(location.to_owned()).or_insert(map(location)?).clone(),
    };
    let offset = number("offset")?.unwrap_or(0);
    let length = match number("length")? {
        Some(length) => length,
        None => stated_length(tensor).unwrap_or_else(|| file.len().saturating_sub(offset)),
    };
    let end = offset.checked_add(length).filter(|&end| end <= file.len());
    let end = end.ok_or_else(|| {
        let has = file.len();
        Error::other(format!(
            "needs {length} bytes at offset {offset} of {location:?}, which has {has}: is it truncated?"
        ))
    })?;
    Ok(file.slice(offset..end))
}

/// The bytes that element type and shape ask for.
fn stated_length(tensor: &TensorProto) -> Option<usize> {
    let bits = DataType::from_onnx(tensor.data_type())?.bits()?;
    let count = tensor.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?))?;
    Some(count.checked_mul(bits)?.div_ceil(8))
}

/// Maps a file that must lie in `folder`: a model is not allowed to read the rest of the disk.
pub fn map(location: &str, folder: &Path) -> Result<Bytes> {
    let outside = || {
        Error::other(format!("external data {location:?} lies outside the model's folder; move it beside the model"))
    };
    let relative = Path::new(location);
    if !relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let missing = |e: std::io::Error| Error::other(format!("external data {location:?} cannot be read: {e}"));
    let root = folder.canonicalize().map_err(missing)?;
    let path = root.join(relative).canonicalize().map_err(missing)?;
    if !path.starts_with(&root) {
        return Err(outside());
    }
    map_file(&path)
}

/// Maps a file into memory.
#[expect(unsafe_code, reason = "mapping a file is unsafe: see below")]
pub fn map_file(path: &Path) -> Result<Bytes> {
    let failed = |e: std::io::Error| Error::file(path, format!("cannot be read: {e}"));
    // A folder cannot be mapped, and opening a pipe would wait for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::file(path, "is not a file"));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: should another program truncate the file meanwhile, the operating system ends this one; the bytes never change
    // under a reader that this program itself gave them to, because its own writes go to a new file that is renamed into place.
    unsafe { mapped::map(&file, Some(path)) }.map_err(failed)
}

/// Moves external tensors inside the model, as their `raw_data`.
pub fn make_internal(model: &mut ModelProto) {
    let _ = for_each(model, &mut |tensor| {
        if is_external(tensor) {
            tensor.data_location = None;
            tensor.external_data.clear();
        }
        Ok(())
    });
}

/// Writes the bytes of large tensors to a file to be called `MODEL.data` beside `path` and leaves references to them in the
/// message. Returns that name and the file, not yet in its place.
pub fn write(model: &mut ModelProto, path: &Path) -> Result<(String, Beside)> {
    make_internal(model);
    let name = path.file_name().map(|n| format!("{}.data", n.to_string_lossy())).unwrap_or_default();
    let target = path.with_file_name(&name);
    let mut file = Beside::create(&target)?;
    let mut offset = 0u64;
    for_each(model, &mut |tensor| {
        let Some(bytes) = tensor.raw_data.take_if(|raw| raw.len() >= SMALLEST_EXTERNAL) else { return Ok(()) };
        let padding = offset.next_multiple_of(ALIGNMENT) - offset;
        file.write(&vec![0; padding as usize])?;
        file.write(&bytes)?;
        mapped::let_go(&bytes);
        offset += padding;
        let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
        tensor.external_data = vec![
            entry("location", name.clone()),
            entry("offset", offset.to_string()),
            entry("length", bytes.len().to_string()),
        ];
        tensor.data_location = Some(DataLocation::External as i32);
        offset += bytes.len() as u64;
        Ok(())
    })?;
    file.flush()?;
    Ok((name, file))
}
