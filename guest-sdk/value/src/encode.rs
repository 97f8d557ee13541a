//! [`Value`] to CBOR.

use minicbor::Encoder;
use minicbor::data::{Int, Tag};

use crate::Value;

/// The CBOR of `value`.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Appends the CBOR of `value` to `bytes`.
pub fn encode_into(value: &Value, bytes: &mut Vec<u8>) {
    write(value, &mut Encoder::new(bytes)).expect("writing to memory does not fail");
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(value: &Value, out: &mut Encoder<&mut Vec<u8>>) -> Written {
    match value {
        Value::Undefined => out.undefined()?.ok(),
        Value::Null => out.null()?.ok(),
        Value::Bool(truth) => out.bool(*truth)?.ok(),
        Value::Int(number) => write_int(*number, out),
        Value::Float(number) => out.f64(*number)?.ok(),
        Value::BigInt(number) => write_bignum(*number, out),
        Value::Bytes(bytes) => out.bytes(bytes)?.ok(),
        Value::Text(text) => out.str(text)?.ok(),
        Value::Array(items) => {
            out.array(items.len() as u64)?;
            items.iter().try_for_each(|item| write(item, out))
        }
        Value::Map(pairs) => {
            out.map(pairs.len() as u64)?;
            pairs.iter().try_for_each(|(key, value)| {
                write(key, out)?;
                write(value, out)
            })
        }
        Value::Tagged(tag, inner) => {
            out.tag(Tag::new(*tag))?;
            write(inner, out)
        }
    }
}

/// An integer in its shortest form; beyond 64 bits, a bignum.
pub(crate) fn write_int(number: i128, out: &mut Encoder<&mut Vec<u8>>) -> Written {
    match Int::try_from(number) {
        Ok(int) => out.int(int)?.ok(),
        Err(_) => write_bignum(number, out),
    }
}

/// Tag 2 or 3 around the magnitude's bytes, most significant first.
fn write_bignum(number: i128, out: &mut Encoder<&mut Vec<u8>>) -> Written {
    let (tag, magnitude) = if number < 0 {
        (3, !number)
    } else {
        (2, number)
    };
    let bytes = magnitude.to_be_bytes();
    let first = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    out.tag(Tag::new(tag))?.bytes(&bytes[first..])?.ok()
}
