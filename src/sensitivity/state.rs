//! What was measured so far, as a file to go on from.

use super::sums::Total;
use crate::error::{Error, Result};
use crate::file;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a measurement is of: where any of it differs, nothing of it can be taken up again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The version of the program.
    pub tool: String,
    /// SHA-256 of the model.
    pub model: String,
    /// SHA-256 of the policy.
    pub policy: String,
    /// SHA-256 of the data, and which samples.
    pub data: String,
    /// SHA-256 of the statistics that the grids are from.
    pub statistics: String,
}

impl Subject {
    /// What of it is another one, in words.
    fn change(&self, other: &Self) -> Option<&'static str> {
        let pairs = [
            (&self.tool, &other.tool, "another version of tare"),
            (&self.model, &other.model, "another model"),
            (&self.policy, &other.policy, "another policy"),
            (&self.data, &other.data, "other samples"),
            (&self.statistics, &other.statistics, "other calibration statistics"),
        ];
        pairs.into_iter().find(|(a, b, _)| a != b).map(|(_, _, what)| what)
    }
}

/// Sums over the samples that were run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What they are of.
    pub subject: Subject,
    /// How many samples were run.
    pub samples: usize,
    /// The sums of each variant.
    pub totals: Vec<Total>,
}

/// Where the state is kept.
pub struct Keeper {
    path: Option<PathBuf>,
}

impl Keeper {
    /// Keeps it at `path`; nowhere without.
    pub fn new(path: Option<&Path>) -> Self {
        Self { path: path.map(Path::to_path_buf) }
    }

    /// The state to go on from, of `variants` variants: the one that is kept, if there is one.
    ///
    /// # Errors
    /// When what is there is none, or is of something else.
    pub fn load(&self, subject: &Subject, variants: usize) -> Result<State> {
        let fresh = State { subject: subject.clone(), samples: 0, totals: vec![Total::default(); variants] };
        let Some(path) = self.path.as_deref().filter(|path| path.exists()) else { return Ok(fresh) };
        let text = std::fs::read_to_string(path).map_err(|e| Error::file(path, format!("cannot be read: {e}")))?;
        let state: State = serde_json::from_str(&text).map_err(|e| {
            Error::file(
                path,
                format!("is no state of a measurement that was stopped ({e}); name another file to begin anew"),
            )
        })?;
        let changed = state.subject.change(subject).or((state.totals.len() != variants).then_some("other nodes"));
        match changed {
            None => Ok(state),
            Some(what) => Err(Error::file(
                path,
                format!("is the state of a measurement of {what}; name another file, or delete this one to begin anew"),
            )),
        }
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, state: &State) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        file::write_atomically(path, serde_json::to_string(state).map_err(Error::other)?.as_bytes())
    }
}
