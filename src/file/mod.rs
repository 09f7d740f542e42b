//! Bytes on disk to a [`Model`], and back.

mod atomic;
mod external;
mod tensors;

pub use atomic::{check_writable, write_atomically};

use crate::error::{Error, Result};
use crate::ir::Model;
use crate::proto::ModelProto;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use std::io::BufRead;
use std::path::Path;

/// The largest protobuf message there can be, in bytes: 2 GiB less one.
const MAX_MESSAGE: usize = i32::MAX as usize;

/// Reads a model, with its external data mapped into memory.
///
/// # Errors
/// When the file cannot be read, is no ONNX model, is truncated, or its external data is missing, too short or outside
/// its folder.
pub fn load(path: &Path) -> Result<Model> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    let mut proto = decode(Bytes::from(bytes)).map_err(|e| Error::file(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    external::read(&mut proto, folder).map_err(|e| Error::file(path, e))?;
    Model::from_proto(proto).map_err(|e| Error::file(path, e))
}

/// The message in `bytes`, whose tensors share them.
fn decode(bytes: Bytes) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::other("is empty; expected an ONNX model"));
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
    let mut proto = model.to_proto()?;
    external::make_internal(&mut proto);
    if proto.encoded_len() > MAX_MESSAGE {
        return Err(Error::other("the model passes 2 GiB and cannot be held in one message"));
    }
    Ok(proto.encode_to_vec())
}

/// Writes a model beside its target and renames it into place, so that nobody sees half of it. Data goes to
/// `FILE.data` when the model had external data or passes 2 GiB.
///
/// # Errors
/// When the folder cannot be written; what stood at `path` is then untouched.
pub fn save(model: &Model, path: &Path) -> Result<()> {
    let mut proto = model.to_proto()?;
    if external::wanted(&proto) || proto.encoded_len() > MAX_MESSAGE {
        external::write(&mut proto, path)?;
    }
    write_atomically(path, &proto.encode_to_vec())
}

/// The SHA-256 of a file in hexadecimal.
///
/// # Errors
/// When the file cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    let failed = |e: std::io::Error| Error::file(path, format!("cannot be read: {e}"));
    let mut file = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(path).map_err(failed)?);
    let mut hasher = Sha256::new();
    loop {
        let chunk = file.fill_buf().map_err(failed)?;
        if chunk.is_empty() {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(chunk);
        let read = chunk.len();
        file.consume(read);
    }
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
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    let mut proto = decode(Bytes::from(bytes)).map_err(|e| Error::file(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let external = external::locations(&mut proto);
    external.iter().try_fold(length(path)?, |sum, location| Ok(sum + length(&folder.join(location))?))
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn digest_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests;
