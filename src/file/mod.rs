//! Bytes on disk to a [`Model`], and back.

mod atomic;
mod digests;
mod external;
mod observed;
mod outline;
mod own;
mod sink;
mod tensors;

pub use atomic::{WriteSeek, check_outputs, check_writable, folder_of, write_atomically, write_atomically_with};
pub use digests::{digest, digest_all, digest_bytes, digests};
pub use observed::{Exposed, with_outputs};
pub use outline::outline;
pub use own::{LOCK, STATISTICS, written_by_tare};

use crate::error::{Error, Result};
use crate::ir::Model;
use crate::mapped;
use crate::proto::ModelProto;
use atomic::{Beside, check_not_read};
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::path::Path;

/// The largest protobuf message there can be, in bytes: 2 GiB less one.
const MAX_MESSAGE: usize = i32::MAX as usize;

/// Reads a model, with its external data mapped into memory.
///
/// # Errors
/// When the file cannot be read, is no ONNX model, is truncated, or its external data is missing, too short or outside
/// its folder.
pub fn load(path: &Path) -> Result<Model> {
    load_from(path, external::map)
}

/// Loads the model at `path`; `map` finds external data by its location and the model's folder.
fn load_from(path: &Path, map: impl Fn(&str, &Path) -> Result<Bytes>) -> Result<Model> {
    let mut proto = decode(bytes(path)?).map_err(|e| Error::file(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    external::read(&mut proto, |location| map(location, folder)).map_err(|e| Error::file(path, e))?;
    Model::from_proto(proto).map_err(|e| Error::file(path, e))
}

/// A model file of so many bytes is mapped: of the weights in it no more is in memory than is looked at.
const LARGE: u64 = 1 << 24;

/// What a file holds.
fn bytes(path: &Path) -> Result<Bytes> {
    if std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() >= LARGE) {
        return external::map_file(path);
    }
    let read = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    Ok(Bytes::from(read))
}

/// The message in `bytes`, whose tensors share them.
fn decode(bytes: Bytes) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::other("is empty; expected an ONNX model"));
    }
    if let Some(told) = own::written_by_tare(&bytes) {
        return Err(Error::other(format!("{told}; it is no ONNX model")));
    }
    let proto = ModelProto::decode(bytes)
        .map_err(|e| Error::other(format!("is not an ONNX model, or is truncated or damaged ({e})")))?;
    if proto.graph.is_some() && proto.opset_import.is_empty() {
        return Err(Error::other("imports no operator set: the file is truncated, or not an ONNX model"));
    }
    Ok(proto)
}

/// A model in the bytes of one file, without external data.
///
/// # Errors
/// When the graph has a circle, or the model passes the 2 GiB of a protobuf message.
pub fn to_bytes(model: &Model) -> Result<Vec<u8>> {
    encode(model.to_proto()?)
}

fn encode(mut proto: ModelProto) -> Result<Vec<u8>> {
    external::make_internal(&mut proto);
    if proto.encoded_len() > MAX_MESSAGE {
        return Err(Error::other("the model passes 2 GiB and cannot be held in one message"));
    }
    let bytes = proto.encode_to_vec();
    // All of the weights were looked at, and are in `bytes` now.
    tensors::for_each(&mut proto, &mut |tensor| {
        tensor.raw_data.iter().for_each(|raw| mapped::let_go(raw));
        Ok(())
    })?;
    Ok(bytes)
}

/// A model written beside its target, not yet in its place.
pub struct Staged {
    model: Beside,
    data: Option<(String, Beside)>,
}

/// Writes a model beside `path`. Data goes to `FILE.data` when the model had external data or passes 2 GiB. Dropped without
/// [`Staged::commit`], it leaves nothing behind.
///
/// # Errors
/// When the folder cannot be written, or one of the files holds weights of a model that somebody still has.
pub fn stage(model: &Model, path: &Path) -> Result<Staged> {
    check_not_read(path)?;
    let staged = beside(model, path)?;
    staged.data.iter().try_for_each(|(name, _)| check_not_read(&path.with_file_name(name)))?;
    Ok(staged)
}

fn beside(model: &Model, path: &Path) -> Result<Staged> {
    let mut proto = model.to_proto()?;
    let data = if external::wanted(&proto) || proto.encoded_len() > MAX_MESSAGE {
        Some(external::write(&mut proto, path)?)
    } else {
        None
    };
    let mut model = Beside::create(path)?;
    sink::write(&proto, &mut model)?;
    model.flush()?;
    Ok(Staged { model, data })
}

impl Staged {
    /// Loads what was written, from disk.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(&self) -> Result<Model> {
        load_from(self.model.path(), |location, folder| match &self.data {
            Some((name, data)) if name == location => external::map_file(data.path()),
            _ => external::map(location, folder),
        })
    }

    /// The SHA-256 of the model file and, where it has one, of its data, in hexadecimal, by the names that they will have.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn digests(&self) -> Result<BTreeMap<String, String>> {
        let name = self.model.target().file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let data = self.data.iter().map(|(name, data)| (name.clone(), data.path()));
        let all = std::iter::once((name, self.model.path())).chain(data);
        all.map(|(name, path)| Ok((name, digest(path)?))).collect()
    }

    /// Renames into place, so that nobody ever sees half a model: the data first, then the model that refers to it.
    ///
    /// # Errors
    /// When the target cannot be replaced; it is then as it was.
    pub fn commit(self) -> Result<()> {
        self.data.map_or(Ok(()), |(_, data)| data.rename())?;
        self.model.rename()
    }
}

/// Writes a model to `path`, atomically, be it the file that it was loaded from.
///
/// # Errors
/// When the folder cannot be written; what stood at `path` is then untouched.
pub fn save(model: &Model, path: &Path) -> Result<()> {
    beside(model, path)?.commit()
}

/// The bytes of a model file together with those of its external data.
///
/// # Errors
/// When a file cannot be read.
pub fn size(path: &Path) -> Result<u64> {
    let length = |path: &Path| {
        let metadata = std::fs::metadata(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")));
        metadata.map(|m| m.len())
    };
    let mut proto = decode(bytes(path)?).map_err(|e| Error::file(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let external = external::locations(&mut proto);
    external.iter().try_fold(length(path)?, |sum, location| Ok(sum + length(&folder.join(location))?))
}

#[cfg(test)]
mod tests;
