//! The lock as text: JSON with a line for each value and constant, so that two locks can be compared line by line.

use super::Lock;
use crate::error::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;

impl Lock {
    /// The JSON text. Equal locks give equal text.
    ///
    /// # Errors
    /// Only when the text passes the memory.
    pub fn to_json(&self) -> Result<String> {
        let policy = self.policy.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value)).collect();
        let mut keys = vec![
            ("format", line(&self.format)?),
            ("version", line(&self.version)?),
            ("tool", line(&self.tool)?),
            ("model", lines(&self.model)?),
            ("output", lines(&self.output)?),
            ("policy", lines(&policy)?),
            ("policy_sha256", line(&self.policy_sha256)?),
        ];
        if let Some(sha256) = &self.encodings_sha256 {
            keys.push(("encodings_sha256", line(sha256)?));
        }
        keys.push(("calibration", line(&self.calibration)?));
        keys.push(("float", lines(&self.float)?));
        if !self.equalized.is_empty() {
            keys.push(("equalized", lines(&self.equalized)?));
        }
        if !self.absorbed.is_empty() {
            keys.push(("absorbed", lines(&self.absorbed)?));
        }
        if !self.smoothed.is_empty() {
            keys.push(("smoothed", lines(&self.smoothed)?));
        }
        if !self.protected.is_empty() {
            keys.push(("protected", lines(&self.protected)?));
        }
        keys.push(("values", lines(&self.values)?));
        if !self.refits.is_empty() {
            keys.push(("refits", lines(&self.refits)?));
        }
        if !self.roundings.is_empty() {
            keys.push(("roundings", lines(&self.roundings)?));
        }
        keys.push(("constants", lines(&self.constants)?));
        let keys: Vec<String> = keys.into_iter().map(|(key, text)| format!("  \"{key}\": {text}")).collect();
        Ok(format!("{{\n{}\n}}\n", keys.join(",\n")))
    }
}

fn line<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::other)
}

/// An object with a line for each entry.
fn lines<T: Serialize>(entries: &BTreeMap<String, T>) -> Result<String> {
    if entries.is_empty() {
        return Ok("{}".to_owned());
    }
    let entry = |(name, value): (&String, &T)| Ok(format!("    {}: {}", line(name)?, line(value)?));
    let entries: Vec<String> = entries.iter().map(entry).collect::<Result<_>>()?;
    Ok(format!("{{\n{}\n  }}", entries.join(",\n")))
}
