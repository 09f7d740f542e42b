//! Lock: what a conversion found out, kept for the next one.

use super::encoded::Encoded;
use super::{Context, Found, Planned, TOOL, reported};
use crate::calibrate::Calibration;
use crate::error::{Error, Result};
use crate::file::{self, Staged};
use crate::ir::{Model, NodeId};
use crate::lock::{Calibrated, Facts, Lock};
use crate::policy::{RoundingName, Settings};
use crate::report::CalibrationSummary;
use crate::resolve::Resolved;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A lock that was read, and where.
pub(super) struct Locked {
    lock: Lock,
    path: PathBuf,
}

impl Locked {
    fn load(path: &Path) -> Result<Self> {
        Ok(Self { lock: Lock::load(path)?, path: path.to_path_buf() })
    }

    /// An error of the lock.
    fn error(&self, why: impl std::fmt::Display) -> Error {
        Error::file(&self.path, why)
    }
}

impl Planned {
    /// Finds the grids; the statistics, too, where there are any.
    ///
    /// # Errors
    /// When samples, statistics or the lock are missing, bad, or of something else.
    pub(super) fn find(
        &mut self,
        settings: &Settings,
        found: Found<'_>,
        context: &Context<'_>,
    ) -> Result<(Resolved, Option<Calibration>, CalibrationSummary)> {
        let (calibration, mut summary) = match found {
            Found::Samples => self.calibrate(settings, context)?,
            Found::Saved(path) => self.load_ranges(settings, path)?,
            Found::Locked(path) => {
                let (resolved, mut summary) = self.take_over(settings, path)?;
                self.count_changes(settings, &mut summary);
                return Ok((resolved, None, summary));
            }
        };
        let mut resolved = self.resolve(settings, &calibration)?;
        self.count_changes(settings, &mut summary);
        summary.reconstruction = self.reconstruct(settings, &mut resolved, &summary, context)?;
        // Integers that are looked for have other errors than the nearest.
        let nearest = settings.repairs.rounding == RoundingName::Nearest;
        if nearest {
            summary.corrected = self.correct(settings, &mut resolved, &summary);
        }
        summary.repairs = self.repair(settings, &mut resolved, &summary, context)?;
        if !nearest {
            summary.corrected = self.correct(settings, &mut resolved, &summary);
        }
        Ok((resolved, Some(calibration), summary))
    }

    /// Says how much of the model was changed ahead of calibration.
    fn count_changes(&self, settings: &Settings, summary: &mut CalibrationSummary) {
        summary.equalized = self.equalized.len();
        let channels = self.absorbed.values().flatten().filter(|&&c| c > 0.0).count();
        let asked = settings.repairs.absorb || channels > 0;
        summary.absorbed = asked.then_some((self.absorbed.len(), channels));
        summary.smoothed = self.smoothed.len();
        summary.protected = self.protected.len();
    }

    /// Takes the grids from the lock at `path`.
    fn take_over(&mut self, settings: &Settings, path: &Path) -> Result<(Resolved, CalibrationSummary)> {
        let locked = Locked::load(path)?;
        let resolved = self.resolve_locked(settings, &locked.lock).map_err(|why| locked.error(why))?;
        let of = &locked.lock.calibration;
        let summary = CalibrationSummary {
            source: format!("{}, {}", path.display(), of.source),
            samples: of.samples,
            engine: of.engine.clone(),
            statistics_sha256: of.statistics_sha256.clone(),
            ..CalibrationSummary::default()
        };
        self.locked = Some(locked);
        Ok((resolved, summary))
    }

    /// Takes the grids from a lock.
    ///
    /// # Errors
    /// When it is of another model, or another policy, and what changed.
    fn resolve_locked(&mut self, settings: &Settings, lock: &Lock) -> Result<Resolved> {
        let encodings = self.encoded.as_ref().map(Encoded::sha256);
        if let Some(what) = lock.changed(&file::digests(&self.path)?, &settings.canonical(), encodings) {
            return Err(Error::other(format!("no longer fits: {what}; convert again with --lock")));
        }
        self.equalize_by(settings, &lock.equalized)?;
        self.absorb_by(settings, &lock.absorbed)?;
        self.smooth_by(settings, &lock.smoothed)?;
        self.protect_by(settings, &lock.protected)?;
        let float = lock.float_nodes(&self.model.graph)?;
        if !float.is_empty() {
            self.plan_anew(settings, float)?;
        }
        let mut resolved = lock.resolve(&self.plan)?;
        let refits = lock.refits(&self.model.graph)?;
        let layers = self.refittable().into_values().chain(self.shiftable().into_values());
        let layers: HashSet<NodeId> = layers.map(|layer| layer.node).collect();
        if let Some((other, _)) = refits.iter().find(|(node, _)| !layers.contains(node)) {
            let why =
                "is refitted by the lock, but is no layer on integers, or with such weights, whose channels could be";
            return Err(self.model.graph.node_error(*other, why));
        }
        resolved.set_refits(refits);
        let roundings = lock.roundings(&self.model.graph)?;
        if let Some((other, _)) = roundings.iter().find(|(node, rounding)| !self.can_round(*node, rounding)) {
            let why = "has integers in the lock, but no weight of as many elements whose integers could be looked for";
            return Err(self.model.graph.node_error(*other, why));
        }
        resolved.set_roundings(roundings);
        Ok(resolved)
    }

    /// The digest of the policy: the one of the lock, which may have been made with other samples.
    pub(super) fn policy_sha256(&self, settings: &Settings) -> String {
        let of_lock = self.locked.as_ref().map(|locked| locked.lock.policy_sha256.clone());
        of_lock.unwrap_or_else(|| reported::policy_sha256(settings))
    }

    /// Whether what was written is what the lock says.
    ///
    /// # Errors
    /// When it is not: what differs.
    pub(super) fn check_locked(&self, staged: &Staged, written: &Model) -> Result<()> {
        let Some(locked) = &self.locked else { return Ok(()) };
        let output = staged.digests()?;
        // The name of a file without data is nothing that its bytes know.
        let same = locked.lock.output.values().eq(output.values());
        let what = || locked.lock.written_otherwise(written, &output, TOOL);
        if same { Ok(()) } else { Err(locked.error(format!("gives other bytes than it was written for: {}", what()))) }
    }

    /// The lock that the settings ask for, as text, and where it goes.
    ///
    /// # Errors
    /// When a file cannot be read any more.
    pub(super) fn lock(
        &self,
        settings: &Settings,
        resolved: &Resolved,
        (found, summary): (Found<'_>, &CalibrationSummary),
        (staged, written): (&Staged, &Model),
    ) -> Result<Option<(PathBuf, String)>> {
        let Some(path) = &settings.lock else { return Ok(None) };
        let facts = Facts {
            tool: TOOL,
            model: file::digests(&self.path)?,
            output: staged.digests()?,
            policy: settings.canonical(),
            policy_sha256: self.policy_sha256(settings),
            encodings_sha256: self.encoded.as_ref().map(|encoded| Encoded::sha256(encoded).to_owned()),
            calibration: Calibrated {
                source: summary.source.clone(),
                samples: summary.samples,
                data_sha256: data_sha256(settings, found, summary)?,
                engine: summary.engine.clone(),
                statistics_sha256: summary.statistics_sha256.clone(),
            },
            float: &self.float,
            equalized: &self.equalized,
            absorbed: &self.absorbed,
            smoothed: &self.smoothed,
            protected: &self.protected,
        };
        let lock = Lock::of(facts, &self.model.graph, &self.plan, resolved, written);
        Ok(Some((path.clone(), lock.to_json()?)))
    }
}

/// The digest of what samples or statistics came from; `None` where there were none.
fn data_sha256(settings: &Settings, found: Found<'_>, summary: &CalibrationSummary) -> Result<Option<String>> {
    let path = match (found.file(), &settings.calibration) {
        (Some((_, path)), _) => path,
        (None, Some(data)) if summary.samples > 0 => &data.source.path,
        (None, _) => return Ok(None),
    };
    file::digest_all(path).map(Some)
}

/// Writes a lock.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn save(lock: Option<(PathBuf, String)>) -> Result<()> {
    lock.map_or(Ok(()), |(path, text)| file::write_atomically(&path, text.as_bytes()))
}
