//! JSON as other programs write it: with NaN and Infinity, which Python's do, and without keys given twice.

use crate::error::{Error, Result};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;

/// How many characters of a text that somebody else wrote an error shows.
const SHOWN: usize = 60;

/// A value. What is no number (NaN, infinite) is nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Nothing,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Keys(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// When it is no JSON, nests deeper than anything meant, or gives a key twice.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |e: serde_json::Error| Error::other(format!("is not valid JSON: {e}"));
        let masked = without_infinities(text);
        serde_json::from_str(masked.as_deref().unwrap_or(text)).map_err(wrong)
    }

    /// What it is, for "found ...".
    pub fn describe(&self) -> String {
        match self {
            Self::Nothing => "nothing, or no finite number".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => format!("the text {}", shown(text)),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Keys(keys) if keys.is_empty() => "no keys".to_owned(),
            Self::Keys(keys) => {
                let first: Vec<_> = keys.iter().take(3).map(|(key, _)| shown(key)).collect();
                format!("the keys {}{}", first.join(", "), if keys.len() > 3 { ", ..." } else { "" })
            }
        }
    }

    /// What stands at `key`; `None` where nothing does, and where this has no keys.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.keys().iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// The keys; none where it has none.
    pub fn keys(&self) -> &[(String, Self)] {
        if let Self::Keys(keys) = self { keys } else { &[] }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The list, if it is one.
    pub fn list(&self) -> Option<&[Self]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The truth value, also of the texts that some write for it.
    pub fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The number, or all numbers of a list however nested, in order; `None` where anything else is in it.
    pub fn numbers(&self) -> Option<Vec<f64>> {
        fn collect(json: &Json, into: &mut Vec<f64>) -> Option<()> {
            match json {
                Json::Number(number) => into.push(*number),
                Json::List(items) => items.iter().try_for_each(|item| collect(item, into))?,
                _ => return None,
            }
            Some(())
        }
        let mut numbers = Vec::new();
        collect(self, &mut numbers)?;
        Some(numbers)
    }
}

/// `key` of `json`, as `read` understands it.
///
/// # Errors
/// When it is missing or something else: `key must be EXPECTED; found ...`.
pub(super) fn need<'a, T>(
    json: &'a Json,
    key: &str,
    expected: &str,
    read: impl FnOnce(&'a Json) -> Option<T>,
) -> Result<T> {
    let found = json.get(key);
    found.and_then(read).ok_or_else(|| {
        let found = json.get(key).map_or_else(|| "no such key".to_owned(), Json::describe);
        Error::other(format!("{key} must be {expected}; found {found}"))
    })
}

/// `text` in quotes, shortened where it is long.
pub(super) fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN).is_none() {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(SHOWN).collect();
    format!("{:?}", head + "...")
}

/// The text with `null` for `NaN` and infinities that stand outside of strings; `None` where there are none.
fn without_infinities(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    if !WORDS.iter().any(|word| text.contains(word)) {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut from, mut at, mut quoted) = (0, 0, false);
    let bytes = text.as_bytes();
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' => {
                quoted = !quoted;
                1
            }
            b'\\' if quoted => 2,
            b'N' | b'I' | b'-' if !quoted => {
                let word = WORDS.iter().find(|word| bytes[at..].starts_with(word.as_bytes()));
                if let Some(word) = word {
                    out.push_str(&text[from..at]);
                    out.push_str("null");
                    from = at + word.len();
                }
                word.map_or(1, |word| word.len())
            }
            _ => 1,
        };
    }
    out.push_str(&text[from..]);
    Some(out)
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> std::result::Result<Json, E> {
                Ok(Json::Nothing)
            }

            fn visit_bool<E>(self, flag: bool) -> std::result::Result<Json, E> {
                Ok(Json::Bool(flag))
            }

            fn visit_f64<E>(self, number: f64) -> std::result::Result<Json, E> {
                Ok(Json::Number(number))
            }

            fn visit_u64<E>(self, number: u64) -> std::result::Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Json, E> {
                Ok(Json::Number(number as f64))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Json, A::Error> {
                let (mut keys, mut seen) = (Vec::new(), HashSet::new());
                while let Some(key) = entries.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("the key {} is given twice", shown(&key))));
                    }
                    keys.push((key, entries.next_value()?));
                }
                Ok(Json::Keys(keys))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_nothing_and_texts_stay() {
        let json = Json::parse(r#"{"NaN": [NaN, -Infinity, 1e3, "a\"NaN\\"], "b": Infinity, "c": -2}"#).expect("JSON");
        let Some([Json::Nothing, Json::Nothing, Json::Number(1e3), Json::Text(text)]) =
            json.get("NaN").and_then(Json::list)
        else {
            panic!("{json:?}")
        };
        assert_eq!((text.as_str(), json.get("b")), ("a\"NaN\\", Some(&Json::Nothing)));
        assert_eq!(json.get("c").and_then(Json::number), Some(-2.0));
    }

    #[test]
    fn what_is_no_json_is_said_in_one_line() {
        let deep = "[".repeat(100_000);
        for (text, part) in [
            ("{\"a\": 1, \"b\": {\"c\": 1, \"c\": 2}}", "the key \"c\" is given twice"),
            ("{\"a\": ", "EOF"),
            ("{\"a\": 1e999}", "out of range"),
            ("{\"a\": 1} 2", "trailing"),
            (deep.as_str(), "recursion"),
            ("NaN \\", "trailing"),
        ] {
            let error = Json::parse(text).expect_err(text).to_string();
            assert!(error.contains(part) && !error.contains('\n') && error.len() < 200, "{error}");
        }
    }

    #[test]
    fn nested_lists_of_numbers_are_read_in_order() {
        let numbers = |text: &str| Json::parse(text).expect("JSON").numbers();
        assert_eq!(numbers("[[1, 2], [3]]"), Some(vec![1.0, 2.0, 3.0]));
        assert_eq!((numbers("4"), numbers("[1, null]")), (Some(vec![4.0]), None));
    }
}
