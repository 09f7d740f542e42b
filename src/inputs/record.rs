//! Inputs and outputs of a model written as a reference: one `.npz`, or a folder of ONNX test data.

mod archive;

use super::tensor_proto::encode;
use super::{InputSpec, listing};
use crate::error::{Error, Result};
use crate::file;
use crate::tensor::Tensor;
use archive::Archive;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes samples with their outputs, one after the other. Dropped without [`Recorder::finish`], it leaves nothing behind.
pub struct Recorder {
    into: Into,
    path: PathBuf,
    /// The names of inputs, then of outputs.
    names: [Vec<String>; 2],
    samples: usize,
}

enum Into {
    Archive(Archive),
    /// A folder beside the target that gets its name at the end.
    Sets(tempfile::TempDir),
}

impl Recorder {
    /// Begins a reference at `path` for a model of these `inputs` and `outputs`: an archive where it ends in `.npz`, a folder of
    /// `test_data_set_K/{input,output}_J.pb` where it has no ending.
    ///
    /// # Errors
    /// When it has another ending, cannot be written, or is a folder with something in it.
    pub fn create(path: &Path, inputs: &[InputSpec], outputs: &[String]) -> Result<Self> {
        let failed = |e: std::io::Error| Error::file(path, format!("cannot be written: {e}"));
        let folder = file::folder_of(path);
        let into = if listing::has_extension(path, &["npz"]) {
            Into::Archive(Archive::create(path, inputs, outputs)?)
        } else if path.extension().is_some() || path.file_name().is_none() {
            return Err(Error::file(path, "is no place for a reference; name an .npz, or a folder, without an ending"));
        } else {
            if path.exists() && !fs::read_dir(path).is_ok_and(|mut files| files.next().is_none()) {
                return Err(Error::file(path, "is there already; name a new folder, or an .npz"));
            }
            fs::create_dir_all(folder).map_err(failed)?;
            let mut builder = tempfile::Builder::new();
            builder.prefix(".tare-").suffix(".part");
            #[cfg(unix)]
            {
                // As any new folder.
                use std::os::unix::fs::PermissionsExt;
                builder.permissions(fs::Permissions::from_mode(0o777));
            }
            Into::Sets(builder.tempdir_in(folder).map_err(failed)?)
        };
        let names = [inputs.iter().map(|input| input.name.clone()).collect(), outputs.to_vec()];
        Ok(Self { into, path: path.to_path_buf(), names, samples: 0 })
    }

    /// Adds a sample, called `sample` in messages, with its `outputs`.
    ///
    /// # Errors
    /// When the disk is full; for an archive, when a shape or type is not that of the samples before.
    pub fn add(&mut self, sample: &str, inputs: &[Tensor], outputs: &[Tensor], label: Option<u32>) -> Result<()> {
        let index = self.samples;
        self.samples += 1;
        match &mut self.into {
            Into::Archive(archive) => {
                let named = self.names.iter().zip([inputs, outputs]).flat_map(|(names, all)| names.iter().zip(all));
                archive.add(sample, named, label)
            }
            Into::Sets(folder) => {
                let set = folder.path().join(format!("test_data_set_{index}"));
                let failed = |e: std::io::Error| Error::file(&self.path, format!("cannot be written: {e}"));
                fs::create_dir(&set).map_err(failed)?;
                for ((what, names), tensors) in ["input", "output"].iter().zip(&self.names).zip([inputs, outputs]) {
                    for (k, (name, tensor)) in names.iter().zip(tensors).enumerate() {
                        fs::write(set.join(format!("{what}_{k}.pb")), encode(name, tensor)).map_err(failed)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Puts the reference in its place.
    ///
    /// # Errors
    /// When the disk is full or the target cannot be replaced; it is then as it was.
    pub fn finish(self) -> Result<()> {
        match self.into {
            Into::Archive(archive) => archive.finish(),
            Into::Sets(folder) => {
                let failed = |e: std::io::Error| Error::file(&self.path, format!("cannot be written: {e}"));
                // Some systems rename onto no folder, not even an empty one.
                if self.path.is_dir() {
                    fs::remove_dir(&self.path).map_err(failed)?;
                }
                let folder = folder.keep();
                fs::rename(&folder, &self.path).map_err(|e| {
                    let _ = fs::remove_dir_all(&folder);
                    failed(e)
                })
            }
        }
    }
}
