//! ONNX's own test data: a folder `test_data_set_K` is one sample, its `input_J.pb` the tensor for graph input `J`.

use super::tensor_proto::decode;
use super::{InputSpec, OnBadFile};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, TensorType};
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of one `.pb` file. Packed integers can be eight times as large once they are decoded.
const MAX_BYTES: u64 = 512 << 20;

/// Samples out of test data sets.
pub(super) struct TestData {
    folders: Vec<PathBuf>,
    inputs: Vec<TensorType>,
}

impl TestData {
    /// Checks that every set has a file for every input, unless bad sets are passed over.
    ///
    /// # Errors
    /// When a file is missing.
    pub(super) fn open(folders: Vec<PathBuf>, inputs: &[InputSpec], on_bad_file: OnBadFile) -> Result<Self> {
        let this = Self { folders, inputs: inputs.iter().map(|input| input.ty.clone()).collect() };
        if on_bad_file == OnBadFile::Stop {
            for file in this.folders.iter().flat_map(|folder| this.files(folder)) {
                if !file.is_file() {
                    let count = inputs.len();
                    return Err(Error::file(file, format!("missing; the model has {count} inputs, one file for each")));
                }
            }
        }
        Ok(this)
    }

    /// Number of sets.
    pub(super) fn len(&self) -> usize {
        self.folders.len()
    }

    /// The folders of all sets.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The folder of set `index`.
    pub(super) fn folder(&self, index: usize) -> Option<&Path> {
        self.folders.get(index).map(PathBuf::as_path)
    }

    fn files(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        (0..self.inputs.len()).map(move |k| folder.join(format!("input_{k}.pb")))
    }

    /// The tensors of the set in `folder`.
    ///
    /// # Errors
    /// When a file is damaged, or its type or shape is not what the input wants.
    pub(super) fn sample(&self, folder: &Path) -> Result<Vec<Tensor>> {
        self.files(folder).zip(&self.inputs).map(|(file, wanted)| read(&file, wanted)).collect()
    }
}

/// The tensor in the file at `path`, whatever it is.
///
/// # Errors
/// When it is missing or damaged.
pub(super) fn read_any(path: &Path) -> Result<Tensor> {
    let size = fs::metadata(path).map_err(|error| Error::file(path, error))?.len();
    if size > MAX_BYTES {
        return Err(Error::file(path, format!("{size} bytes are too many for test data; at most 512 MiB are read")));
    }
    let bytes = fs::read(path).map_err(|error| Error::file(path, error))?;
    decode(bytes.into()).map_err(|why| Error::file(path, why))
}

fn read(path: &Path, wanted: &TensorType) -> Result<Tensor> {
    let tensor = read_any(path)?;
    let shape = tensor.shape();
    let fits = shape.len() == wanted.dims.len()
        && wanted.dims.iter().zip(shape).all(|(dim, &size)| dim.is_none_or(|dim| dim == size));
    if tensor.dtype() != wanted.dtype || !fits {
        let found = TensorType { dtype: tensor.dtype(), dims: shape.iter().map(|&size| Some(size)).collect() };
        return Err(Error::file(path, format!("holds {found}, the model's input is {wanted}")));
    }
    Ok(tensor)
}
