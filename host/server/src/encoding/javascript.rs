//! Between native values and what JavaScript clients write and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenroom_value::Value;

use super::bignum;

/// Integers beyond this go to clients as floats, which is how they read a number; in eight bytes a
/// client takes an integer for a `BigInt`.
const SHORT_MAX: u128 = u32::MAX as u128;
/// The largest integer that is exact as a JavaScript number.
const EXACT_MAX: u128 = 1 << 53;

/// From what a client wrote to a native value.
///
/// With tag arrays, `["$BigInt", "5"]` is a `BigInt` and `["$$x", 1]` an escaped plain array; without, every array
/// is plain. Floats that are integers become integers.
pub(super) fn from_client(value: Value, has_tag_arrays: bool) -> Result<Value, String> {
    Ok(match value {
        Value::Float(number) => integral(number).map_or(Value::Float(number), Value::Int),
        Value::Array(items) if has_tag_arrays => match tag_of(&items) {
            Some(_) => revive(items)?,
            None => Value::Array(all_from_client(items, true)?),
        },
        Value::Array(items) => Value::Array(all_from_client(items, false)?),
        Value::Map(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| Ok((key, from_client(value, has_tag_arrays)?)));
            Value::Map(pairs.collect::<Result<_, String>>()?)
        }
        Value::Tagged(tag, inner) => {
            Value::Tagged(tag, Box::new(from_client(*inner, has_tag_arrays)?))
        }
        plain => plain,
    })
}

fn all_from_client(items: Vec<Value>, has_tag_arrays: bool) -> Result<Vec<Value>, String> {
    items
        .into_iter()
        .map(|item| from_client(item, has_tag_arrays))
        .collect()
}

/// The tag, if it is an array of two whose first is a text that begins with `$`.
fn tag_of(items: &[Value]) -> Option<&str> {
    match items {
        [Value::Text(tag), _] if tag.starts_with('$') => Some(tag),
        _ => None,
    }
}

fn revive(mut items: Vec<Value>) -> Result<Value, String> {
    let (Some(value), Some(Value::Text(tag))) = (items.pop(), items.pop()) else {
        return Err("not a tag array".to_owned());
    };
    if let Some(plain) = tag.strip_prefix('$').filter(|rest| rest.starts_with('$')) {
        return Ok(Value::Array(vec![plain.into(), from_client(value, true)?]));
    }
    match (tag.as_str(), value) {
        ("$BigInt", Value::Text(digits)) => bignum::from_decimal(&digits).ok_or_else(|| {
            "a $BigInt has to be a decimal integer of at most 10,000 digits".to_owned()
        }),
        ("$Uint8Array" | "$ArrayBuffer", Value::Text(base64)) => {
            let bytes = STANDARD
                .decode(base64)
                .map_err(|_| format!("a {tag} has to be base64"))?;
            Ok(Value::Bytes(bytes))
        }
        ("$Undefined", _) => Ok(Value::Undefined),
        ("$Set", Value::Array(items)) => Ok(Value::Array(all_from_client(items, true)?)),
        (_, value) => {
            // Clients escape their own arrays, so that this is one that has not gone through a client.
            let value = from_client(value, true)?;
            Ok(Value::Array(vec![tag.into(), value]))
        }
    }
}

/// From a native value to one that can be written for a client. With `escape`, plain arrays that would look
/// like tag arrays are marked.
pub(super) fn to_client(value: Value, escape: bool) -> Value {
    match value {
        Value::Int(number) => int_to_client(number),
        Value::Array(items) => {
            let is_escaped = escape && tag_of(&items).is_some();
            let mut items: Vec<Value> = items
                .into_iter()
                .map(|item| to_client(item, escape))
                .collect();
            if let (true, Some(Value::Text(tag))) = (is_escaped, items.first_mut()) {
                tag.insert(0, '$');
            }
            Value::Array(items)
        }
        Value::Map(pairs) => {
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (key, to_client(value, escape)));
            Value::Map(pairs.collect())
        }
        Value::Tagged(tag, inner) => Value::Tagged(tag, Box::new(to_client(*inner, escape))),
        plain => plain,
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn int_to_client(number: i128) -> Value {
    match number.unsigned_abs() {
        magnitude if magnitude <= SHORT_MAX => Value::Int(number),
        magnitude if magnitude <= EXACT_MAX => Value::Float(number as f64),
        _ => Value::BigInt(number),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be integral and in range"
)]
fn integral(number: f64) -> Option<i128> {
    let is_negative_zero = number == 0.0 && number.is_sign_negative();
    let is_integral = number.fract() == 0.0 && number.abs() <= EXACT_MAX as f64;
    (is_integral && !is_negative_zero).then_some(number as i128)
}
