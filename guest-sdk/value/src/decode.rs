//! CBOR to [`Value`].

use minicbor::Decoder;
use minicbor::data::Type;

use crate::{DEPTH_MAX, Error, Value, lossy};

/// Reads exactly one value.
///
/// # Errors
///
/// [`Error`] if the bytes are not one well-formed value and nothing else.
pub fn decode(bytes: &[u8]) -> Result<Value, Error> {
    decode_with(bytes, Wide::Number)
}

/// As [`decode`], for bytes from a JavaScript client: there, an integer written in eight bytes is a `BigInt`,
/// however small it is, and every number that is not fits into four bytes or is a float. Texts may have lone surrogates
/// in them; each is replaced by U+FFFD.
///
/// # Errors
///
/// As [`decode`].
pub fn decode_javascript(bytes: &[u8]) -> Result<Value, Error> {
    decode_with(bytes, Wide::BigInt)
}

/// What an integer in eight bytes stands for.
#[derive(Clone, Copy)]
enum Wide {
    Number,
    BigInt,
}

fn decode_with(bytes: &[u8], wide: Wide) -> Result<Value, Error> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder, wide, 0)?;
    match bytes.len() - decoder.position() {
        0 => Ok(value),
        trailing => Err(Error::Trailing(trailing)),
    }
}

fn read(d: &mut Decoder<'_>, wide: Wide, depth: usize) -> Result<Value, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::TooDeep);
    }
    let value = match kind(d)? {
        Kind::Undefined => {
            lift(d.skip())?;
            Value::Undefined
        }
        Kind::Null => {
            lift(d.skip())?;
            Value::Null
        }
        Kind::Bool => Value::Bool(lift(d.bool())?),
        Kind::Int => {
            let is_wide = matches!(d.input().get(d.position()), Some(0x1b | 0x3b));
            let number = lift(d.int())?.into();
            match wide {
                Wide::BigInt if is_wide => Value::BigInt(number),
                Wide::BigInt | Wide::Number => Value::Int(number),
            }
        }
        Kind::Float => Value::Float(lift(d.f64())?),
        Kind::Bytes => Value::Bytes(read_bytes(d)?),
        Kind::Text => Value::Text(match wide {
            Wide::Number => read_text(d)?,
            // Their texts may have halves of characters in them.
            Wide::BigInt => lossy::read_text(d)?,
        }),
        Kind::Array => {
            let mut items = Vec::new();
            each(
                d,
                |d| lift(d.array()),
                |d| {
                    items.push(read(d, wide, depth + 1)?);
                    Ok(())
                },
            )?;
            Value::Array(items)
        }
        Kind::Map => {
            let mut pairs = Vec::new();
            each(
                d,
                |d| lift(d.map()),
                |d| {
                    let key = read(d, wide, depth + 1)?;
                    pairs.push((key, read(d, wide, depth + 1)?));
                    Ok(())
                },
            )?;
            Value::Map(pairs)
        }
        Kind::Tag => {
            let tag = lift(d.tag())?.as_u64();
            untag(tag, read(d, wide, depth + 1)?)
        }
    };
    Ok(value)
}

/// Bignums that fit become [`Value::BigInt`], typed byte arrays (tag 64) become bytes.
fn untag(tag: u64, inner: Value) -> Value {
    match (tag, inner) {
        (2 | 3, Value::Bytes(bytes)) => match bignum(tag == 3, &bytes) {
            Some(number) => Value::BigInt(number),
            None => Value::Tagged(tag, Box::new(Value::Bytes(bytes))),
        },
        (64, bytes @ Value::Bytes(_)) => bytes,
        (tag, inner) => Value::Tagged(tag, Box::new(inner)),
    }
}

/// The number that a bignum's magnitude stands for, if it fits.
pub(crate) fn bignum(is_negative: bool, magnitude: &[u8]) -> Option<i128> {
    let first = magnitude
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(magnitude.len());
    let digits = &magnitude[first..];
    if digits.len() > 16 {
        return None;
    }
    let unsigned = digits
        .iter()
        .fold(0_u128, |sum, byte| (sum << 8) | u128::from(*byte));
    let number = i128::try_from(unsigned).ok()?;
    Some(if is_negative { !number } else { number })
}

/// What comes next, with CBOR's many forms folded together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Undefined,
    Null,
    Bool,
    Int,
    Float,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
}

pub(crate) fn kind(d: &Decoder<'_>) -> Result<Kind, Error> {
    Ok(match lift(d.datatype())? {
        Type::Undefined => Kind::Undefined,
        Type::Null => Kind::Null,
        Type::Bool => Kind::Bool,
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Kind::Int,
        Type::F16 | Type::F32 | Type::F64 => Kind::Float,
        Type::Bytes | Type::BytesIndef => Kind::Bytes,
        Type::String | Type::StringIndef => Kind::Text,
        Type::Array | Type::ArrayIndef => Kind::Array,
        Type::Map | Type::MapIndef => Kind::Map,
        Type::Tag => Kind::Tag,
        Type::Simple | Type::Break | Type::Unknown(_) => {
            let position = d.position();
            let reason = "a simple value or break that means nothing here".to_owned();
            return Err(Error::Malformed { position, reason });
        }
    })
}

/// Reads a container's length, then its items one by one; of indefinite length, up to the break.
pub(crate) fn each<'b>(
    d: &mut Decoder<'b>,
    length: impl FnOnce(&mut Decoder<'b>) -> Result<Option<u64>, Error>,
    mut item: impl FnMut(&mut Decoder<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    match length(d)? {
        Some(count) => (0..count).try_for_each(|_| item(d)),
        None => {
            while lift(d.datatype())? != Type::Break {
                item(d)?;
            }
            lift(d.skip())
        }
    }
}

pub(crate) fn read_bytes(d: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for chunk in lift(d.bytes_iter())? {
        bytes.extend_from_slice(lift(chunk)?);
    }
    Ok(bytes)
}

pub(crate) fn read_text(d: &mut Decoder<'_>) -> Result<String, Error> {
    let mut text = String::new();
    for chunk in lift(d.str_iter())? {
        text.push_str(lift(chunk)?);
    }
    Ok(text)
}

pub(crate) fn lift<T>(result: Result<T, minicbor::decode::Error>) -> Result<T, Error> {
    result.map_err(|error| Error::from_minicbor(&error))
}
