//! Whether bytes are one well-formed value, without building it.

use minicbor::Decoder;

use crate::decode::{Kind, each, kind, lift};
use crate::{DEPTH_MAX, Error};

/// Checks that `bytes` are exactly one well-formed value, nested no deeper than
/// [`DEPTH_MAX`]. Allocates nothing.
///
/// # Errors
///
/// [`Error`] says where they are not.
pub fn validate(bytes: &[u8]) -> Result<(), Error> {
    let mut decoder = Decoder::new(bytes);
    walk(&mut decoder, 0)?;
    match bytes.len() - decoder.position() {
        0 => Ok(()),
        trailing => Err(Error::Trailing(trailing)),
    }
}

fn walk(d: &mut Decoder<'_>, depth: usize) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    match kind(d)? {
        Kind::Undefined | Kind::Null => lift(d.skip()),
        Kind::Bool => lift(d.bool()).map(drop),
        Kind::Int => lift(d.int()).map(drop),
        Kind::Float => lift(d.f64()).map(drop),
        Kind::Bytes => lift(d.bytes_iter())?.try_for_each(|chunk| lift(chunk).map(drop)),
        Kind::Text => lift(d.str_iter())?.try_for_each(|chunk| lift(chunk).map(drop)),
        Kind::Array => each(d, |d| lift(d.array()), |d| walk(d, depth + 1)),
        Kind::Map => each(
            d,
            |d| lift(d.map()),
            |d| {
                walk(d, depth + 1)?;
                walk(d, depth + 1)
            },
        ),
        Kind::Tag => {
            lift(d.tag())?;
            walk(d, depth + 1)
        }
    }
}
