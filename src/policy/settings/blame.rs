//! Errors that are found once the policy has met a model, and the places in its file that are to blame.

use super::super::text::Place;
use super::Settings;
use crate::error::Error;
use std::path::PathBuf;

impl Settings {
    /// The policy file, if there is one.
    pub fn path(&self) -> Option<&PathBuf> {
        self.origin.path.as_ref()
    }

    /// `error`, with the place of a rule or name in the policy that is to blame for it.
    #[must_use]
    pub fn blame(&self, place: Option<Place>, error: Error) -> Error {
        match (self.path(), place) {
            (Some(path), Some(Place { line, column })) => {
                Error::Policy { path: path.clone(), line, column, message: error.to_string() }
            }
            _ => error,
        }
    }

    /// `error`, with the place of the value of `key` (`io.inputs`, `half.block[1]`), unless that came from elsewhere than the
    /// policy.
    #[must_use]
    pub fn blame_key(&self, key: &str, error: Error) -> Error {
        self.blame(self.origin.place(key), error)
    }

    /// The same of what `key` says for `name`, where it says something for each name.
    #[must_use]
    pub fn blame_name(&self, key: &str, name: &str, error: Error) -> Error {
        self.blame(self.origin.place_of_name(key, name), error)
    }
}
