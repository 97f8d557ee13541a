//! Names and numbers that tell things apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::ActorKey;

/// Why a text cannot be a name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} must be 1 to {bytes_max} characters out of letters, digits, '-', '_' and '.', not {given:?}"
)]
pub struct InvalidName {
    kind: &'static str,
    bytes_max: usize,
    given: String,
}

macro_rules! name_type {
    ($(#[$docs:meta])* $name:ident, $kind:literal, $bytes_max:literal) => {
        $(#[$docs])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text that keeps the rules of a name.
            ///
            /// # Errors
            ///
            /// [`InvalidName`] if it is empty, too long, or has a character that paths and logs would
            /// have to escape.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                if text.is_empty() || text.len() > $bytes_max || !text.chars().all(is_legal) {
                    let given = text.chars().take(80).collect();
                    return Err(InvalidName { kind: $kind, bytes_max: $bytes_max, given });
                }
                Ok(Self(text.into()))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_type!(
    /// A world of actors that never meets another. Clients name one in every request.
    Namespace, "a namespace", 64
);
name_type!(
    /// A kind of actor, as its component describes it.
    ActorType, "an actor type", 128
);
name_type!(
    /// What revisions are numbered under: one Wasm component through all its revisions.
    ComponentName, "a component name", 128
);

/// What a client calls an actor by: at most one actor has a given name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActorName {
    /// Where the actor lives.
    pub namespace: Namespace,
    /// What kind of actor it is.
    pub actor_type: ActorType,
    /// Which one of its kind.
    pub key: ActorKey,
}

impl fmt::Display for ActorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.namespace, self.actor_type, self.key)
    }
}

/// An actor for as long as its data exists; never used again after that.
///
/// Shown as 32 lower-case hexadecimal digits. They are time-ordered, so that a store's index grows
/// at its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(u128);

impl ActorId {
    /// A new id, different from every other.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().as_u128())
    }

    /// The id as a number, for compact storage.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id that [`as_u128`](Self::as_u128) gave.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ActorId {
    type Err = ();

    /// Only the form that `Display` writes; anything else is no id of ours.
    fn from_str(text: &str) -> Result<Self, ()> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| ())
    }
}

/// Counts an actor's activations. A store refuses writes of any but the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

/// Counts an actor's commits. A commit names the head it builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Head(pub u64);

/// Counts the deployments of one component, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u32);

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
display_number!(Generation, Head, Revision);

/// The SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ComponentHash(pub [u8; 32]);

impl fmt::Display for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ComponentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_the_way_through_text() {
        let id = ActorId::generate();
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn only_the_canonical_text_is_an_id() {
        for text in [
            "",
            "xyz",
            "0123456789ABCDEF0123456789ABCDEF",
            "+1234567890123456789012345678901",
        ] {
            assert_eq!(text.parse::<ActorId>(), Err(()), "{text}");
        }
    }

    #[test]
    fn names_are_bounded_and_plain() {
        assert!(ActorType::new("counter.v2_x-1").is_ok());
        for text in ["", "a b", "a/b", "é", &"x".repeat(129)] {
            assert!(ActorType::new(text).is_err(), "{text}");
        }
    }
}
