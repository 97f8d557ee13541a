//! Any value.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{RAW_VALUE, decode, encode};

/// Any value that can cross the border.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// JavaScript's `undefined`: nothing was given.
    #[default]
    Undefined,
    /// An explicit null.
    Null,
    /// True or false.
    Bool(bool),
    /// A number that is an integer in CBOR: −2^64 to 2^64−1.
    Int(i128),
    /// A number that is a float in CBOR.
    Float(f64),
    /// A `BigInt` that fits into 128 bits. Larger ones stay [`Tagged`](Self::Tagged) byte strings.
    BigInt(i128),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// A list.
    Array(Vec<Self>),
    /// Pairs, in the order they came. Keys are nearly always [`Text`](Self::Text).
    Map(Vec<(Self, Self)>),
    /// Something with a CBOR tag that has no variant of its own.
    Tagged(u64, Box<Self>),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a text key, if it is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs
                .iter()
                .find(|(k, _)| k.as_text() == Some(key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// Whether it is undefined or null.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Undefined | Self::Null)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl Serialize for Value {
    /// Meant for [`to_vec`](crate::to_vec), which writes the value as it is. Other serializers see
    /// its CBOR bytes.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(RAW_VALUE, &Raw(&encode(self)))
    }
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    /// Meant for [`from_slice`](crate::from_slice), which hands over the CBOR bytes as they are.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_VALUE, RawVisitor)
    }
}

struct RawVisitor;

impl Visitor<'_> for RawVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CBOR bytes of any value")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Value, E> {
        decode(bytes).map_err(E::custom)
    }
}
