//! What tells two actors of a type apart.
//!
//! A key is a list of strings. The stock client writes it in two ways: *serialized* in REST bodies,
//! headers and errors, and *joined with commas* in gateway queries. The second form cannot say
//! whether a comma stood inside a part, so the same handle would reach different actors depending
//! on the road it takes. We therefore let **a comma always separate parts**, whatever road a key
//! comes by: `["a,b", "c"]` and `["a", "b", "c"]` are one key, and one handle is one actor. Slashes,
//! backslashes and empty parts are kept as they are.

use std::fmt;
use std::sync::Arc;

/// The longest key, in bytes of its serialized form.
const KEY_BYTES_MAX: usize = 1024;

/// A list of strings, kept in its serialized form: parts joined with `/`, with `\` and `/` inside a
/// part escaped by `\`, an empty part written `\0`, and the empty list a single `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorKey(Arc<str>);

/// Why a text or a list cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Longer than a key may be.
    #[error(
        "the key has {bytes} bytes in its serialized form; at most {KEY_BYTES_MAX} are allowed"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A backslash that escapes nothing.
    #[error("the key has a backslash that is not followed by a backslash, a slash or a 0")]
    BadEscape,
}

impl ActorKey {
    /// The key with these parts.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::TooLong`] if its serialized form is over the limit.
    pub fn new<S: AsRef<str>>(parts: &[S]) -> Result<Self, InvalidKey> {
        if parts.is_empty() {
            return Ok(Self("/".into()));
        }
        let mut serialized = String::new();
        let split = parts.iter().flat_map(|part| part.as_ref().split(','));
        for (index, part) in split.enumerate() {
            if index > 0 {
                serialized.push('/');
            }
            push_escaped(&mut serialized, part);
        }
        if serialized.len() > KEY_BYTES_MAX {
            let bytes = serialized.len();
            return Err(InvalidKey::TooLong { bytes });
        }
        Ok(Self(serialized.into()))
    }

    /// Reads the comma-joined form of gateway queries; `None` is the empty list.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_joined(joined: Option<&str>) -> Result<Self, InvalidKey> {
        match joined {
            None => Self::new::<&str>(&[]),
            Some(joined) => Self::new(&[joined]),
        }
    }

    /// Reads the serialized form.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if it is too long or an escape in it is not one of ours.
    pub fn from_serialized(serialized: &str) -> Result<Self, InvalidKey> {
        Self::new(&parse(serialized)?)
    }

    /// The serialized form.
    #[must_use]
    pub fn as_serialized(&self) -> &str {
        &self.0
    }

    /// The parts, unescaped.
    #[must_use]
    pub fn parts(&self) -> Vec<String> {
        parse(&self.0).expect("a key holds what `new` serialized")
    }
}

impl fmt::Display for ActorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn push_escaped(serialized: &mut String, part: &str) {
    if part.is_empty() {
        serialized.push_str("\\0");
    }
    for c in part.chars() {
        if matches!(c, '\\' | '/') {
            serialized.push('\\');
        }
        serialized.push(c);
    }
}

fn parse(serialized: &str) -> Result<Vec<String>, InvalidKey> {
    let mut parts = Vec::new();
    if matches!(serialized, "/" | "") {
        return Ok(parts);
    }
    let mut part = String::new();
    let mut chars = serialized.chars();
    while let Some(c) = chars.next() {
        match c {
            '/' => parts.push(std::mem::take(&mut part)),
            '\\' => match chars.next() {
                Some('0') => {}
                Some(escaped @ ('\\' | '/')) => part.push(escaped),
                _ => return Err(InvalidKey::BadEscape),
            },
            plain => part.push(plain),
        }
    }
    parts.push(part);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialized_as_the_stock_client_does() {
        let cases: [(&[&str], &str); 6] = [
            (&[], "/"),
            (&["a"], "a"),
            (&["org-acme", "doc/1"], "org-acme/doc\\/1"),
            (&[""], "\\0"),
            (&["", "\\"], "\\0/\\\\"),
            (&["a,b", "c"], "a/b/c"),
        ];
        for (parts, serialized) in cases {
            let key = ActorKey::new(parts).unwrap();
            assert_eq!(key.as_serialized(), serialized);
            assert_eq!(ActorKey::from_serialized(serialized), Ok(key));
        }
    }

    #[test]
    fn every_road_leads_to_one_actor() {
        let by_rest = ActorKey::from_serialized("a,b/c").unwrap();
        let by_gateway = ActorKey::from_joined(Some("a,b,c")).unwrap();
        assert_eq!(by_rest, by_gateway);
        assert_eq!(by_rest.parts(), ["a", "b", "c"]);
        assert_eq!(ActorKey::from_joined(None), ActorKey::from_serialized("/"));
        assert_eq!(ActorKey::from_joined(Some("")).unwrap().parts(), [""]);
    }

    #[test]
    fn too_long_and_badly_escaped_keys_are_refused() {
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        assert_eq!(
            ActorKey::new(&[long]),
            Err(InvalidKey::TooLong { bytes: 1025 })
        );
        assert_eq!(
            ActorKey::from_serialized("a\\x"),
            Err(InvalidKey::BadEscape)
        );
        assert_eq!(ActorKey::from_serialized("a\\"), Err(InvalidKey::BadEscape));
    }
}
