//! JSON to and from [`Value`]. What JSON has no word for is written in tag arrays.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom_value::Value;
use serde_json::{Map, Number, Value as Json, json};

use super::bignum;

/// The largest integer that is exact as a JavaScript number.
const EXACT_MAX: u64 = 1 << 53;

/// Reads JSON; its tag arrays stay plain arrays.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, String> {
    // serde_json bounds the depth by itself, at the same 128 as CBOR has.
    let parsed: Json =
        serde_json::from_slice(&without_halves(bytes)).map_err(|error| error.to_string())?;
    Ok(to_value(parsed))
}

/// A text of JavaScript may have half of a pair of surrogates in it, which JSON can say and no text of ours can hold. Each
/// is replaced by U+FFFD.
fn without_halves(json: &[u8]) -> Cow<'_, [u8]> {
    const REPLACEMENT: &[u8] = b"fffd";
    let mut json = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = json[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        at += match (
            unit(&json[at..]),
            unit(json.get(at + 6..).unwrap_or_default()),
        ) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                json.to_mut()[at + 2..at + 6].copy_from_slice(REPLACEMENT);
                6
            }
            // Another escape: what is escaped is no backslash that escapes.
            _ => 2,
        };
        if at >= json.len() {
            break;
        }
    }
    json
}

/// The sixteen bits that an escape at the beginning stands for.
fn unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn to_value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) if number.unsigned_abs() <= EXACT_MAX => Value::Int(number.into()),
            // To JavaScript it is a float, however it is written.
            _ => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(text),
        Json::Array(items) => Value::Array(items.into_iter().map(to_value).collect()),
        Json::Object(map) => Value::Map(
            map.into_iter()
                .map(|(key, value)| (key.into(), to_value(value)))
                .collect(),
        ),
    }
}

/// Whether a value has a number that is too large to be written in decimal.
pub(super) fn has_huge_number(value: &Value) -> bool {
    match value {
        Value::Tagged(2 | 3, inner) => match &**inner {
            Value::Bytes(magnitude) => magnitude.len() > bignum::MAGNITUDE_BYTES_MAX,
            other => has_huge_number(other),
        },
        Value::Tagged(_, inner) => has_huge_number(inner),
        Value::Array(items) => items.iter().any(has_huge_number),
        Value::Map(pairs) => pairs
            .iter()
            .any(|(k, v)| has_huge_number(k) || has_huge_number(v)),
        _ => false,
    }
}

/// Writes a value that has been made ready for a client.
pub(super) fn from_value(value: Value) -> Json {
    match value {
        Value::Undefined => json!(["$Undefined", 0]),
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(truth),
        Value::Int(number) => Number::from_i128(number).map_or(Json::Null, Json::Number),
        Value::Float(number) => from_float(number),
        Value::BigInt(number) => json!(["$BigInt", number.to_string()]),
        Value::Bytes(bytes) => json!(["$Uint8Array", STANDARD.encode(bytes)]),
        Value::Text(text) => Json::String(text),
        Value::Array(items) => Json::Array(items.into_iter().map(from_value).collect()),
        Value::Map(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (to_key(key), from_value(value)));
            Json::Object(pairs.collect::<Map<_, _>>())
        }
        Value::Tagged(tag @ (2 | 3), inner) => match *inner {
            Value::Bytes(magnitude) => json!(["$BigInt", bignum::to_decimal(tag == 3, &magnitude)]),
            other => from_value(other),
        },
        // JSON has no word for them; what is inside is the best that can be said.
        Value::Tagged(_, inner) => from_value(*inner),
    }
}

/// Whole numbers without a fraction, as JavaScript writes them; what is no number is null, likewise.
#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be integral and in range"
)]
fn from_float(number: f64) -> Json {
    if number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64 {
        return json!(number as i64);
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

/// Keys of objects are texts.
fn to_key(key: Value) -> String {
    match key {
        Value::Text(text) => text,
        other => match from_value(other) {
            Json::String(text) => text,
            json => json.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_whole_ones_stay() {
        for (json, text) in [
            (r#""x\ud83d""#, "x\u{fffd}"),
            (r#""\ud83d\ud83d\ude00\ude00""#, "\u{fffd}😀\u{fffd}"),
            (r#""\uD83D\uDE00""#, "😀"),
            (r#""\\ud83d""#, r"\ud83d"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\u00e9\n\ud7ff""#, "é\n\u{d7ff}"),
        ] {
            assert_eq!(
                parse(json.as_bytes()),
                Ok(Value::Text(text.to_owned())),
                "{json}"
            );
        }
        for broken in [r#""\ud83""#, r#""\"#, r#""\u"#, r#""\ud8zz""#] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
