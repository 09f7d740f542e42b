//! What kind of data lies at a path. Decided by names alone; nothing is opened here.

use crate::error::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

const PICTURES: &[&str] = &["png", "jpg", "jpeg", "bmp", "webp"];
const NPZ: &[&str] = &["npz"];
const NPY: &[&str] = &["npy"];
/// What every error about the kind of data ends with.
const ACCEPTED: &str = "accepted are a folder of pictures (png, jpg, jpeg, bmp, webp), an .npz with an array per \
                        model input, an .npy for a model of one input, a folder of either, or a folder of \
                        test_data_set_*/input_*.pb";

/// The kinds of data, with their files in the order of the samples.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Picture files, and the folder to which their names in a table of labels are relative.
    Pictures { root: PathBuf, files: Vec<PathBuf> },
    /// Archives, one after the other.
    Npz(Vec<PathBuf>),
    /// One `.npy` per input, of the folder at `path`; or the one at `path`.
    Npy { path: PathBuf, files: Vec<PathBuf> },
    /// Folders of `input_*.pb`.
    TestData(Vec<PathBuf>),
}

/// Whether `path` ends in one of `extensions`, in capitals or not.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| extensions.iter().any(|wanted| found.eq_ignore_ascii_case(wanted)))
}

/// Looks at `path`; `labels` names a file that is not data, even if it lies in the folder.
///
/// # Errors
/// When nothing is there that could be data, or data of several kinds.
pub(super) fn look(path: &Path, labels: Option<&Path>) -> Result<Found> {
    let there = fs::metadata(path).map_err(|error| Error::file(path, format!("{error}; {ACCEPTED}")))?;
    if there.is_dir() { look_into(path, labels) } else { look_at(path) }
}

fn look_at(path: &Path) -> Result<Found> {
    let file = path.to_path_buf();
    if has_extension(path, PICTURES) {
        let root = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Found::Pictures { root, files: vec![file] })
    } else if has_extension(path, NPZ) {
        Ok(Found::Npz(vec![file]))
    } else if has_extension(path, NPY) {
        Ok(Found::Npy { path: file.clone(), files: vec![file] })
    } else {
        Err(Error::file(path, format!("found a file that is no data; {ACCEPTED}")))
    }
}

fn look_into(path: &Path, labels: Option<&Path>) -> Result<Found> {
    let (folders, mut files) = entries(path)?;
    if let Some(labels) = labels.and_then(|labels| labels.canonicalize().ok()) {
        files.retain(|file| file.canonicalize().map_or(true, |file| file != labels));
    }
    // First, because ONNX's model zoo keeps an .npz of the same data beside them.
    if let Some(sets) = test_data(path, &folders, &files) {
        return Ok(Found::TestData(sets));
    }
    let of = |extensions| files.iter().filter(|f| has_extension(f, extensions)).cloned().collect::<Vec<PathBuf>>();
    let (mut pictures, npz, npy) = (of(PICTURES), of(NPZ), of(NPY));
    if pictures.is_empty() && npz.is_empty() && npy.is_empty() {
        // A folder per class.
        for folder in &folders {
            let (_, files) = entries(folder)?;
            pictures.extend(files.into_iter().filter(|file| has_extension(file, PICTURES)));
        }
    }
    match (pictures.len(), npz.len(), npy.len()) {
        (0, 0, 0) => {
            let (folders, files) = (folders.len(), files.len());
            Err(Error::file(path, format!("found no data among {files} files and {folders} folders; {ACCEPTED}")))
        }
        (_, 0, 0) => Ok(Found::Pictures { root: path.to_path_buf(), files: pictures }),
        (0, _, 0) => Ok(Found::Npz(npz)),
        (0, 0, _) => Ok(Found::Npy { path: path.to_path_buf(), files: npy }),
        (pictures, npz, npy) => Err(Error::file(
            path,
            format!(
                "found {pictures} pictures, {npz} .npz and {npy} .npy in one folder: keep one kind, or name a file"
            ),
        )),
    }
}

/// Folders and files in `path`, each sorted by the bytes of their names; hidden ones are left out.
fn entries(path: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut folders, mut files) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).map_err(|error| Error::file(path, error))? {
        let entry = entry.map_err(|error| Error::file(path, error))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let child = entry.path();
        // Follows links; one that leads nowhere counts as a file, and reading it will say so.
        if child.is_dir() { folders.push(child) } else { files.push(child) }
    }
    let key = |path: &PathBuf| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    folders.sort_by_cached_key(key);
    files.sort_by_cached_key(key);
    Ok((folders, files))
}

/// The folder itself if it holds `input_0.pb`, otherwise its `test_data_set_*` in the order of their numbers.
fn test_data(path: &Path, folders: &[PathBuf], files: &[PathBuf]) -> Option<Vec<PathBuf>> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if files.iter().any(|file| name(file) == "input_0.pb") {
        return Some(vec![path.to_path_buf()]);
    }
    let number = |folder: &PathBuf| name(folder).strip_prefix("test_data_set_").map(str::to_owned);
    let mut sets: Vec<_> = folders.iter().filter_map(|folder| Some((number(folder)?, folder.clone()))).collect();
    // Set 10 comes after set 9; what is not a number keeps its place at the end.
    sets.sort_by_key(|(number, _)| number.parse::<u64>().unwrap_or(u64::MAX));
    (!sets.is_empty()).then(|| sets.into_iter().map(|(_, folder)| folder).collect())
}
