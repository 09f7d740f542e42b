//! What changed since a lock was written, so that it no longer fits.

use super::{Constant, Digests, Lock, constants};
use crate::ir::Model;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How many changes are named.
const SHOWN: usize = 5;
/// Keys of a policy that decide about statistics alone, which the lock stands in for.
const OF_STATISTICS: [&str; 4] = ["calibration", "engine", "held_back", "on_bad_value"];

impl Lock {
    /// What is another model, policy or file of encodings than when the lock was written; `None` if nothing is.
    pub fn changed(&self, model: &Digests, policy: &Value, encodings_sha256: Option<&str>) -> Option<String> {
        let mut changes = Vec::new();
        let (old, new): (BTreeSet<&String>, BTreeSet<&String>) =
            (self.model.values().collect(), model.values().collect());
        if old != new {
            let told = |digests: &Digests| {
                let each: Vec<String> = digests.iter().map(|(name, sha256)| format!("{name} ({sha256})")).collect();
                each.join(", ")
            };
            changes.push(format!("the model is {}, and was {}", told(model), told(&self.model)));
        }
        differences("", &without_statistics(&self.policy), &without_statistics(policy), &mut changes);
        if self.encodings_sha256.as_deref() != encodings_sha256 {
            let told = |sha256: Option<&str>| sha256.map_or("none".to_owned(), str::to_owned);
            let (new, old) = (told(encodings_sha256), told(self.encodings_sha256.as_deref()));
            changes.push(format!("the encodings are {new}, and were {old}"));
        }
        listed(changes)
    }

    /// What differs in a model that was written from the lock, whose digests are not those that it states; `tool` is the program's
    /// name and version.
    pub fn written_otherwise(&self, written: &Model, output: &Digests, tool: &str) -> String {
        let mut changes = Vec::new();
        if self.tool != tool {
            changes.push(format!("this is {tool}, and the lock was written by {}", self.tool));
        }
        if self.output.len() > 1 && !self.output.keys().eq(output.keys()) {
            changes.push(format!(
                "the output is called {:?}, and was {:?}: its data is known by name",
                names(output),
                names(&self.output)
            ));
        }
        grids(&self.constants, &constants(written), &mut changes);
        listed(changes).unwrap_or_else(|| {
            "its grids are the same, but not its bytes: tare diff compares it with the old one".to_owned()
        })
    }
}

fn names(digests: &Digests) -> Vec<&String> {
    digests.keys().collect()
}

/// The changes in one line; `None` if there are none.
fn listed(changes: Vec<String>) -> Option<String> {
    let more = changes.len().saturating_sub(SHOWN);
    let mut text = changes.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    (!text.is_empty()).then_some(text)
}

/// A policy without what decides about statistics alone; pictures' normalization stays where it goes into the model.
fn without_statistics(policy: &Value) -> Value {
    let mut keys = policy.as_object().cloned().unwrap_or_default();
    let folds = policy["io"]["fold_normalization"] == true;
    let preprocess = policy["calibration"]["preprocess"].clone();
    keys.retain(|key, _| !OF_STATISTICS.contains(&key.as_str()));
    if folds {
        keys.insert("preprocess".to_owned(), preprocess);
    }
    Value::Object(keys)
}

/// Adds each key under `path` at which two policies differ.
fn differences(path: &str, old: &Value, new: &Value, changes: &mut Vec<String>) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        if old != new {
            changes.push(format!("{path} of the policy is {}, and was {}", word(new), word(old)));
        }
        return;
    };
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |map: &Map<String, Value>, key: &String| map.get(key).cloned().unwrap_or(Value::Null);
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        differences(&path, &of(before, key), &of(after, key), changes);
    }
}

fn word(value: &Value) -> String {
    if value.is_null() { "left out".to_owned() } else { value.to_string() }
}

/// Adds each constant whose grids differ.
fn grids(old: &BTreeMap<String, Constant>, new: &BTreeMap<String, Constant>, changes: &mut Vec<String>) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        match (old.get(name), new.get(name)) {
            (Some(before), Some(after)) if before == after => {}
            (Some(_), Some(_)) => changes.push(format!("the constant {name:?} has other grids")),
            (Some(_), None) => changes.push(format!("the constant {name:?} is stored no longer")),
            (None, _) => changes.push(format!("the constant {name:?} was not stored")),
        }
    }
}
