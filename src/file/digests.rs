//! SHA-256 of files and folders, in hexadecimal.

use super::{bytes, decode, external};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};

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

/// The SHA-256 of a file or, of a folder, of the names and digests of all files in it, wherever it lies.
///
/// # Errors
/// When a file cannot be read.
pub fn digest_all(path: &Path) -> Result<String> {
    if !path.is_dir() {
        return digest(path);
    }
    let mut files = Vec::new();
    list(path, &mut files).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
    let name = |file: &Path| {
        let name = file.strip_prefix(path).unwrap_or(file);
        // The same on every system.
        name.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
    };
    let lines: BTreeMap<String, String> =
        files.iter().map(|file| Ok((name(file), digest(file)?))).collect::<Result<_>>()?;
    let text: String = lines.iter().map(|(name, sha256)| format!("{sha256} {name}\n")).collect();
    Ok(digest_bytes(text.as_bytes()))
}

/// Adds all files in a folder and the folders in it.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // A link to a folder may lead in a circle.
        if entry.file_type()?.is_dir() {
            list(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The SHA-256 of a model file and of each file of its external data, in hexadecimal, by their names.
///
/// # Errors
/// When a file cannot be read.
pub fn digests(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut proto = decode(bytes(path)?).map_err(|e| Error::file(path, e))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let external =
        external::locations(&mut proto).into_iter().map(|location| (location.clone(), folder.join(location)));
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let all = std::iter::once((name, path.to_path_buf())).chain(external);
    all.map(|(name, path)| Ok((name, digest(&path)?))).collect()
}

/// The SHA-256 of `bytes` in hexadecimal.
pub fn digest_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
