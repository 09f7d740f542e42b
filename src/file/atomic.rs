//! Writing beside the target and renaming into place: a reader sees the old file or the new one, never half of one.

use crate::error::{Error, Result};
use crate::mapped;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The folder that a path is in; of a mere name the working directory.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file being written in the folder of its target. Dropped without [`Beside::rename`], it leaves nothing behind.
pub struct Beside {
    file: BufWriter<NamedTempFile>,
    target: PathBuf,
}

impl Beside {
    /// Opens a new file beside `target`, in a folder that is made if it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or `target` is a folder.
    pub fn create(target: &Path) -> Result<Self> {
        if target.is_dir() || target.file_name().is_none() {
            return Err(Error::file(target, "is a folder; name a file to write to"));
        }
        let folder = folder_of(target);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".tare-").suffix(".part");
        #[cfg(unix)]
        {
            // As any new file: readable as the umask allows, not only by its owner.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let made = std::fs::create_dir_all(folder).and_then(|()| builder.tempfile_in(folder));
        let file = made.map_err(|e| Error::file(target, format!("cannot be written: {e}")))?;
        Ok(Self { file: BufWriter::new(file), target: target.to_path_buf() })
    }

    /// Writes some bytes.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::file(&self.target, format!("cannot be written: {e}")))
    }

    /// Hands everything written so far to the operating system, so that it can be read at [`Beside::path`].
    ///
    /// # Errors
    /// When the disk is full.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|e| Error::file(&self.target, format!("cannot be written: {e}")))
    }

    /// Where the bytes are until they get their name.
    pub fn path(&self) -> &Path {
        self.file.get_ref().path()
    }

    /// Where they will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Puts the file in the target's place, once its bytes are on disk.
    ///
    /// # Errors
    /// When the disk is full or the target cannot be replaced; the target is then as it was.
    pub fn rename(self) -> Result<()> {
        let Self { file, target } = self;
        let failed = |e: std::io::Error| Error::file(&target, format!("cannot be written: {e}"));
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&target).map(drop).map_err(|e| failed(e.error))
    }
}

/// Whether nobody has a model whose weights `path` holds.
///
/// # Errors
/// When somebody has.
pub fn check_not_read(path: &Path) -> Result<()> {
    match mapped::is_read(path) {
        true => Err(Error::file(
            path,
            "holds weights of the model that is read, and would be written over; name another output",
        )),
        false => Ok(()),
    }
}

/// Writes `bytes` to `path`, atomically.
///
/// # Errors
/// When the file cannot be written, or holds weights of a model that somebody has; what stood at `path` is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    check_not_read(path)?;
    let mut file = Beside::create(path)?;
    file.write(bytes)?;
    file.rename()
}

/// A file that is written here and there.
pub trait WriteSeek: Write + Seek {}

impl<T: Write + Seek> WriteSeek for T {}

/// Writes what `write` writes to `path`, atomically.
///
/// # Errors
/// When the file cannot be written, holds weights of a model that somebody has, or `write` says so; what stood at `path` is then untouched.
pub fn write_atomically_with(path: &Path, write: impl FnOnce(&mut dyn WriteSeek) -> io::Result<()>) -> Result<()> {
    check_not_read(path)?;
    let mut file = Beside::create(path)?;
    write(&mut file.file).map_err(|e| Error::file(path, format!("cannot be written: {e}")))?;
    file.rename()
}

/// Finds out now, before hours of work, whether `path` can be written.
///
/// # Errors
/// When it cannot.
pub fn check_writable(path: &Path) -> Result<()> {
    check_not_read(path)?;
    Beside::create(path).map(drop)
}

/// Finds out whether all of `written` can be written, and that none of them is another of them or a file that is `read`, each
/// of which comes with what it is.
///
/// # Errors
/// When one cannot or is.
pub fn check_outputs(written: &[&Path], read: &[(&str, &Path)]) -> Result<()> {
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in written {
        check_writable(path)?;
        let place = place(path);
        if let Some((what, _)) = read.iter().find(|(_, read)| read.canonicalize().is_ok_and(|read| read == place)) {
            return Err(Error::file(path, format!("is the {what} itself; name another output")));
        }
        if seen.contains(&place) {
            return Err(Error::file(path, "is named for two outputs; name another for one of them"));
        }
        seen.push(place);
    }
    Ok(())
}

/// Where a file in a folder that exists lies or will lie.
fn place(path: &Path) -> PathBuf {
    let made = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(made).unwrap_or_else(|| path.to_path_buf())
}
