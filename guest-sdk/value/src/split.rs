//! An array's items, each as its own CBOR.

use minicbor::Decoder;

use crate::decode::{Kind, each, kind, lift};
use crate::{Error, validate};

/// Splits an array into the bytes of its items.
///
/// # Errors
///
/// [`Error`] if the bytes are not one well-formed array and nothing else.
pub fn split_array(bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
    validate(bytes)?;
    let mut decoder = Decoder::new(bytes);
    if kind(&decoder)? != Kind::Array {
        return Err(Error::Mismatch("not an array".to_owned()));
    }
    let mut items = Vec::new();
    each(
        &mut decoder,
        |d| lift(d.array()),
        |d| {
            let start = d.position();
            lift(d.skip())?;
            items.push(&bytes[start..d.position()]);
            Ok(())
        },
    )?;
    Ok(items)
}
