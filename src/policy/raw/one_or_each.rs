//! Keys that take one value for all, or one for each name: `inputs: uint8`, `inputs: { image: uint8 }`.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// One value for all, or one for each name.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged, inline)]
pub enum OneOrEach<T> {
    /// For all.
    One(T),
    /// For these, by name.
    Each(BTreeMap<String, T>),
}

impl<T: Copy> OneOrEach<T> {
    /// The value for `name`.
    pub fn of(&self, name: &str) -> Option<T> {
        match self {
            Self::One(value) => Some(*value),
            Self::Each(values) => values.get(name).copied(),
        }
    }

    /// All values.
    pub fn values(&self) -> Vec<T> {
        match self {
            Self::One(value) => vec![*value],
            Self::Each(values) => values.values().copied().collect(),
        }
    }

    /// The names that have values of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let each = match self {
            Self::One(_) => None,
            Self::Each(values) => Some(values.keys().map(String::as_str)),
        };
        each.into_iter().flatten()
    }
}

/// An untagged enum would lose where an error is.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrEach<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = OneOrEach<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value, or one for each name")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        T::deserialize(value.into_deserializer()).map(OneOrEach::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(entries)).map(OneOrEach::Each)
    }
}
