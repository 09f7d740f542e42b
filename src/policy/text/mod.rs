//! Reading a policy file, and finding the line of a key when something about it turns out wrong later.
//!
//! `limits` reads the text a first time: it keeps it small and makes the tree of `places`. `differences` are the texts
//! that serde_yaml would read otherwise. `wording` says what serde_yaml complains about, with the words that lie
//! `nearest` to an unknown one.

mod differences;
mod limits;
mod nearest;
mod places;
mod wording;

pub(super) use nearest::{names, shown};
pub use places::Place;
pub use wording::word;

use super::raw::{Raw, Reference};
use crate::error::{Error, Result};
use crate::file::written_by_tare;
use places::Node;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest policy file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Where a policy came from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub(super) path: Option<PathBuf>,
    root: Option<Node>,
    /// Keys whose value came from elsewhere: the file's line is not to blame for them.
    pub(super) overridden: BTreeSet<&'static str>,
}

impl Origin {
    /// Where `key` (`rules[1].match.node`) stands, or else the nearest thing around it; `None` where it is not the
    /// file's.
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        // An entry of a list came from where the list did.
        let list = key.strip_suffix(']').and_then(|key| key.rsplit_once('[')).map_or(key, |(list, _)| list);
        if self.overridden.contains(list) {
            return None;
        }
        Some(self.root.as_ref()?.find(key).place)
    }

    /// Where `name` stands among the keys of the mapping at `key`, or else as [`Self::place`]: names may have dots.
    pub(super) fn place_of_name(&self, key: &str, name: &str) -> Option<Place> {
        let whole = self.place(key)?;
        let named = self.root.as_ref().and_then(|root| root.find(key).keys(name).next());
        Some(named.map_or(whole, |(key, _)| key.place))
    }
}

/// Reads the policy file at `path`.
///
/// # Errors
/// [`Error::File`] when it cannot be read, is larger than 1 MiB or not UTF-8; otherwise as [`Raw::parse`].
pub fn load(path: &Path) -> Result<Raw> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| Error::file(path, format!("the policy cannot be opened: {e}")))?;
    // One byte more than allowed tells a file that is too large, whatever its metadata says.
    let read = file.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| Error::file(path, format!("the policy cannot be read: {e}")))?;
    check_size(bytes.len(), path)?;
    if let Some(told) = written_by_tare(&bytes) {
        return Err(Error::file(path, format!("{told}; it is no policy")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Raw::parse(&text, path),
        Err(_) => Err(Error::file(path, "the policy is not UTF-8 text; save it as UTF-8")),
    }
}

fn check_size(bytes: usize, path: &Path) -> Result<()> {
    if bytes as u64 <= MAX_BYTES {
        return Ok(());
    }
    Err(Error::file(path, "this is larger than 1 MiB, which no policy needs; is it the right file?"))
}

impl Raw {
    /// Reads a policy from `text`. `path` is the file it came from: it appears in errors, and its folder is what the
    /// paths in the policy are relative to (they come out joined to it).
    ///
    /// # Errors
    /// [`Error::File`] when the text is larger than 1 MiB; [`Error::Policy`] with line and column for anything that is
    /// not YAML, an unknown key or word, a value of the wrong type, a missing or unknown version, an empty path.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        check_size(text.len(), path)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let here = |place: Place, message: String| Error::Policy {
            path: path.to_path_buf(),
            line: place.line,
            column: place.column,
            message,
        };
        let (root, mut raw) = limits::places(text)
            .and_then(|root| match serde_yaml::from_str::<Self>(text) {
                Ok(raw) => Ok((root, raw)),
                Err(error) => Err(wording::trouble(&error, &root)),
            })
            .map_err(|trouble| here(trouble.place, trouble.message))?;
        raw.origin = Origin { path: Some(path.to_path_buf()), root: Some(root), overridden: BTreeSet::new() };
        match raw.version {
            Some(1) => {}
            Some(other) => {
                let message = format!("version {other} is not known; this tool reads version 1");
                return Err(raw.wrong("version", message));
            }
            None => return Err(here(Place::START, "the version is missing; begin with `version: 1`".to_owned())),
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut empty = None;
        for (key, slot) in raw.paths() {
            if slot.as_os_str().is_empty() {
                empty = empty.or(Some(key));
            }
            *slot = folder.join(&*slot);
        }
        match empty {
            Some(key) => Err(raw.wrong(key, format!("{key} is an empty path; name a file, or remove the key"))),
            None => Ok(raw),
        }
    }

    /// Every path that is given, with its key.
    fn paths(&mut self) -> Vec<(&'static str, &mut PathBuf)> {
        let data = self.data.as_mut();
        let (calibration, validation, encodings, references) = data.map_or((None, None, None, None), |d| {
            (d.calibration.as_mut(), d.validation.as_mut(), d.encodings.as_mut(), d.reference.as_mut())
        });
        let recorded = references.into_iter().flatten().filter(|name| Reference::named(name).is_none());
        let (samples, labels) = validation.map_or((None, None), |v| (v.path.as_mut(), v.labels.as_mut()));
        let paths = [
            ("model", self.model.as_mut()),
            ("output", self.output.as_mut()),
            ("report", self.report.as_mut()),
            ("junit", self.junit.as_mut()),
            ("write_encodings", self.write_encodings.as_mut()),
            ("lock", self.lock.as_mut()),
            ("data.encodings", encodings),
            ("data.calibration.path", calibration.and_then(|c| c.path.as_mut())),
            ("data.validation.path", samples),
            ("data.validation.labels", labels),
            ("validation.charset", self.validation.as_mut().and_then(|tasks| tasks.charset.as_mut())),
        ];
        let recorded = recorded.map(|path| ("data.reference", Some(path)));
        paths.into_iter().chain(recorded).filter_map(|(key, path)| Some((key, path?))).collect()
    }

    /// As [`Origin::place`].
    pub(super) fn place(&self, key: &str) -> Option<Place> {
        self.origin.place(key)
    }

    /// An error about the value of `key`.
    pub(super) fn wrong(&self, key: &str, message: impl Into<String>) -> Error {
        let message = message.into();
        match (&self.origin.path, self.place(key)) {
            (Some(path), Some(Place { line, column })) => Error::Policy { path: path.clone(), line, column, message },
            _ => Error::Other(message),
        }
    }
}
