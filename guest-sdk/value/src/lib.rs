//! The values that cross the border between host and guest, and between actors.
//!
//! On the border a value is CBOR (RFC 8949), *native* rather than in the stock client's tag arrays:
//!
//! | JavaScript | CBOR |
//! |---|---|
//! | `undefined`, "nothing" | simple value 23 (`f7`) |
//! | `null` | `f6` |
//! | number | integer where it is integral and within 2^53, else a float |
//! | `BigInt` | bignum (tag 2 or 3), whatever its size |
//! | `Uint8Array` | byte string |
//! | `Date`, `Map` and other things with tags | the tag is kept |
//!
//! [`Value`] is any of them. [`to_vec`] and [`from_slice`] carry a Rust type across by serde; what they
//! add to an off-the-shelf CBOR crate is that JavaScript does not tell `2` from `2.0` and does tell
//! `undefined` from `null`, so that integers are read from integral floats, floats from integers,
//! numbers from bignums, bytes from arrays, and nothing from either of the two nothings.
//!
//! No input makes this crate panic, recurse deeper than [`DEPTH_MAX`] or allocate more than a small
//! multiple of the input's length.

mod de;
mod decode;
mod encode;
mod lossy;
mod ser;
mod split;
mod validate;
mod value;

pub use de::from_slice;
pub use decode::{decode, decode_javascript};
pub use encode::{encode, encode_into};
pub use ser::to_vec;
pub use split::split_array;
pub use validate::validate;
pub use value::Value;

/// The deepest nesting of arrays, maps and tags that is read.
pub const DEPTH_MAX: usize = 128;

/// The name under which [`Value`] tells our serializer and deserializer to pass it through raw.
const RAW_VALUE: &str = "$greenroom::Value";

/// Why bytes are not a value, or not the one that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not CBOR, or cut off.
    #[error("malformed CBOR at byte {position}: {reason}")]
    Malformed {
        /// Where, from 0.
        position: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Bytes left after the one value.
    #[error("{0} bytes after the end of the value")]
    Trailing(usize),
    /// A value, but not of the type wanted.
    #[error("{0}")]
    Mismatch(String),
}

impl Error {
    fn from_minicbor(error: &minicbor::decode::Error) -> Self {
        let position = error.position().unwrap_or_default();
        Self::Malformed {
            position,
            reason: error.to_string(),
        }
    }
}
