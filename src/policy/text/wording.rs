//! What serde_yaml complains about, at its place and in words for the person who wrote the policy.
//!
//! serde_yaml gives its errors as finished text that begins with the path of the value. What the value should be is
//! told by the schema; what it is, and where, by the places.

use super::super::raw::schema;
use super::nearest::{shown, unknown};
use super::places::{Node, Place, Trouble};
use crate::error::{Error, Result};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::Value;

/// The value of one word of the policy, for a flag: `word::<CalibratorName>("mse")`.
///
/// # Errors
/// When the word is not known; the message says which are.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T> {
    let deserializer: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| {
        let message = error.to_string();
        Error::other(match unknown_name(&message, "unknown variant ") {
            Some((given, known)) => unknown("value", given, &known),
            None => message,
        })
    })
}

/// What `error` says about the policy whose places are under `root`.
pub(super) fn trouble(error: &serde_yaml::Error, root: &Node) -> Trouble {
    let text = error.to_string();
    let (path, message) = split_path(&text);
    let node = root.find(path);
    if let Some((given, known)) = unknown_name(message, "unknown field ") {
        let place = node.keys(given).next().map_or(node.place, |(key, _)| key.place);
        return Trouble::new(place, unknown("key", given, &known));
    }
    if let Some((given, known)) = unknown_name(message, "unknown variant ") {
        return Trouble::new(node.place, unknown("value", given, &known));
    }
    if let Some(key) = named(message, "missing field ") {
        return Trouble::new(node.place, format!("the key {} is missing", shown(key)));
    }
    if let Some(key) = named(message, "duplicate field ") {
        let mut places = node.keys(key).map(|(key, _)| key.place);
        let (first, second) = (places.next().unwrap_or(node.place), places.next().unwrap_or(node.place));
        let message = format!("the key {} is given twice, first on line {}; remove one", shown(key), first.line);
        return Trouble::new(second, message);
    }
    if message.starts_with("invalid ")
        && let Some(expected) = expected(path)
    {
        let key = path.rsplit('.').next().filter(|key| !key.is_empty()).unwrap_or("the policy");
        return Trouble::new(node.place, format!("{key} must be {expected}; found {}", node.describe()));
    }
    let place = error.location().map_or(node.place, |at| Place { line: at.line(), column: at.column() });
    // Where the message itself says so, and where more begins.
    let message = message.replacen(&format!(" at line {} column {}", place.line, place.column), "", 1);
    Trouble::new(place, format!("this is not valid YAML: {message}"))
}

/// The path before a message (`rules[0].match: unknown field ...`), empty for the whole, and the message.
fn split_path(text: &str) -> (&str, &str) {
    // Only known keys come into a path, and they are plain words.
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_.[]".contains(c);
    match text.split_once(": ") {
        Some((path, message)) if path.chars().all(in_path) => (path, message),
        _ => ("", text),
    }
}

/// The name in a message that begins with `what`: ``missing field `match` at line 3 column 5``.
fn named<'a>(message: &'a str, what: &str) -> Option<&'a str> {
    let (name, _) = message.strip_prefix(what)?.strip_prefix('`')?.rsplit_once('`')?;
    Some(name)
}

/// The name that is not known, and those that are: ``unknown field `mod`, expected one of `model`, `mode` at ...``.
fn unknown_name<'a>(message: &'a str, what: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let (given, known) = message.strip_prefix(what)?.strip_prefix('`')?.rsplit_once("`, expected ")?;
    Some((given, known.split('`').skip(1).step_by(2).collect()))
}

/// What the schema wants at `path`.
fn expected(path: &str) -> Option<String> {
    let root = schema();
    let mut here = alternatives(&root, &root);
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let next = here.iter().find_map(|schema| {
            if step.ends_with(']') { schema.get("items") } else { schema["properties"].get(step) }
        })?;
        here = alternatives(next, &root);
    }
    let words: Vec<_> = here.iter().filter_map(|schema| schema["const"].as_str()).collect();
    if !words.is_empty() {
        return Some(format!("one of {}", words.join(", ")));
    }
    let kinds: Vec<_> = here.iter().filter_map(|schema| kind(schema)).collect();
    (!kinds.is_empty()).then(|| kinds.join(" or "))
}

/// Every schema that a value may keep to, without references and without `null`.
fn alternatives<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    if let Some(found) = schema["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#'))) {
        return alternatives(found, root);
    }
    match schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        Some(all) => all.iter().flat_map(|schema| alternatives(schema, root)).collect(),
        None if schema["type"] == "null" => Vec::new(),
        None => vec![schema],
    }
}

fn kind(schema: &Value) -> Option<String> {
    let name = schema["type"].as_str().or(schema["type"][0].as_str())?;
    Some(match (name, schema["minItems"].as_u64(), schema["properties"].as_object()) {
        ("boolean", ..) => "true or false".to_owned(),
        ("integer", ..) => "a whole number".to_owned(),
        ("number", ..) => "a number".to_owned(),
        ("string", ..) => "a text".to_owned(),
        ("array", Some(length), _) => format!("a list of {length}"),
        ("array", ..) => "a list".to_owned(),
        ("object", _, Some(keys)) => {
            format!("keys ({})", keys.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
        }
        _ => return None,
    })
}
